//! The explanation of an image as people read it.

use chrono::{DateTime, SecondsFormat, Utc};
use ecr_cleanup_core::account::Place;
use ecr_cleanup_core::image::{Image, ImageStatus};
use ecr_cleanup_core::plan::ImageAtRisk;
use ecr_cleanup_core::retention::{Explanation, Fate, KeepReason, Outlook, Relations, Relative};
use ecr_cleanup_core::wanted::{ExplainedImage, ImageName};

use super::{Explained, Selection};
use crate::show::figures::{bytes, count};
use crate::show::quoted::quoted;
use crate::show::wrapped::wrapped;
use crate::terminal::flags;

/// The column in which values begin.
const VALUES: usize = 21;
/// The blanks before a line that continues a sentence.
const INDENT: usize = 2;

/// The explanation, as wide as the terminal. Ages count to `now`.
pub(super) fn text(explained: &Explained<'_>, now: DateTime<Utc>, width: Option<u16>) -> String {
    let Explained { image, name: asked, elsewhere, unread, at_risk, selection } = explained;
    let ExplainedImage { place: Place { region, .. }, repository_name, users, explanation } = image;
    let Explanation { image, pulled_at, last_use, rank, shielded_by, relations, .. } = explanation;
    let mut lines = vec![(String::new(), format!("{repository_name} in {region}, {}", image.image_digest))];
    let mut line = |name: &str, value: String| lines.push((name.to_owned(), value));
    line("tags", if image.is_untagged() { "none".to_owned() } else { image.image_tags.join(", ") });
    line("pushed", image.image_pushed_at.map_or("unknown".to_owned(), |at| age(at, now)));
    line("last pulled", pulled_at.map_or("no pull recorded".to_owned(), |at| age(at, now)));
    line("size", size(image));
    match image.image_status {
        ImageStatus::Active => {}
        ImageStatus::Archived => line("status", "archived".to_owned()),
        ImageStatus::Other => line("status", "neither active nor archived".to_owned()),
    }
    if users.is_empty() {
        line("used by", "no ECS or Lambda workload".to_owned());
    }
    for (holder, references) in users {
        line("used by", format!("{holder} as {}", references.iter().cloned().collect::<Vec<_>>().join(", ")));
    }
    if let Some(last_use) = last_use {
        line("last used", last_use.ago(now.date_naive()));
    }
    line(
        "rank",
        match rank {
            Some(rank) => {
                format!("{} of {} tagged images, newest first", count(rank.place as u64), count(rank.of as u64))
            }
            None => "none: the image doesn't count toward imagesToKeep".to_owned(),
        },
    );
    if let Some(rule) = shielded_by {
        line("policy rule", format!("{rule} selects the image and doesn't expire it"));
    }
    if let Some(ImageAtRisk { rule, action, .. }) = at_risk {
        let action = action.as_str();
        line("at risk", format!("the ECR lifecycle policy would {action} it, although it is in use: {rule}"));
    }
    match relations {
        Relations::Known => {}
        Relations::NotNeeded => {
            line(
                "multi-arch images",
                "manifests not read, because nothing in the repository would be deleted".to_owned(),
            );
        }
        Relations::Unreadable => line("multi-arch images", "some manifests couldn't be read".to_owned()),
    }
    for (name, relatives) in relatives(explanation) {
        for Relative { image_digest, image_tags, fate } in relatives {
            let tags = if image_tags.is_empty() { String::new() } else { format!(" ({})", image_tags.join(", ")) };
            line(name, format!("{image_digest}{tags}, {}", becomes(*fate)));
        }
    }
    line("", flags::named_in(&sentence(&explanation.outlook)));
    match selection {
        Selection::Cleaned => {}
        Selection::LeftOut => line(
            "",
            format!(
                "But these settings exclude {repository_name} (--repositories, --exclude-repositories), so the image is kept."
            ),
        ),
        Selection::RegionLeftOut => line("", format!("But --region excludes {region}, so the image is kept.")),
    }
    for other in elsewhere {
        line("", also(other, asked));
    }
    for region in unread {
        line("", format!("{region} couldn't be read. The image may exist there as well."));
    }
    let written = lines.into_iter().map(|(name, value)| match name.as_str() {
        "" => wrapped(&quoted(&value), width, INDENT),
        name => wrapped(&quoted(&format!("  {name:<column$}{value}", column = VALUES - 2)), width, VALUES),
    });
    written.map(|line| line + "\n").collect()
}

/// The images that the image belongs to, or that belong to it.
fn relatives(explanation: &Explanation) -> [(&'static str, &[Relative]); 4] {
    let Explanation { parents, children, subjects, referrers, .. } = explanation;
    [("child of", parents), ("child image", children), ("attached to", subjects), ("attached artifact", referrers)]
}

/// The same image in another Region.
fn also(other: &ExplainedImage, name: &ImageName) -> String {
    let ExplainedImage { place, repository_name, users: _, explanation } = other;
    let name = match name {
        ImageName::Tag(tag) => format!("{repository_name}:{tag}"),
        ImageName::Digest(digest) => format!("{repository_name}@{digest}"),
    };
    let fate = match &explanation.outlook {
        Outlook::Stays { because, .. } => match because.first() {
            Some((KeepReason::InUse, _)) => "kept, in use".to_owned(),
            Some((_, reason)) => format!("kept: {}", flags::named_in(reason)),
            None => "kept".to_owned(),
        },
        Outlook::Goes(reason) => format!("will be deleted: {reason}"),
        Outlook::IsArchived(reason) => format!("will be archived: {reason}"),
    };
    format!("Also {name} in {}: {fate}.", place.region)
}

/// Why it is kept or deleted.
fn sentence(outlook: &Outlook) -> String {
    match outlook {
        Outlook::Stays { because, otherwise } => {
            let because: Vec<&str> = because.iter().map(|(_, told)| told.as_str()).collect();
            let because = because.join("; ");
            match otherwise {
                Some(otherwise) => format!("Kept: {because}. Otherwise it would be deleted: {otherwise}."),
                None => format!("Kept: {because}."),
            }
        }
        Outlook::Goes(reason) => format!("Will be deleted: {reason}."),
        Outlook::IsArchived(reason) => format!("Will be archived: {reason}."),
    }
}

fn becomes(fate: Fate) -> &'static str {
    match fate {
        Fate::Stays => "kept",
        Fate::IsArchived => "will be archived",
        Fate::IsDeleted => "will be deleted",
    }
}

pub(super) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn age(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let days = now.signed_duration_since(time).num_days();
    let ago = match days {
        ..=0 => "less than a day ago".to_owned(),
        1 => "a day ago".to_owned(),
        days => format!("{} days ago", count(days.unsigned_abs())),
    };
    format!("{} ({ago})", rfc3339(time))
}

fn size(image: &Image) -> String {
    let size = bytes(image.image_size_in_bytes);
    if image.manifest.own_bytes(image.image_size_in_bytes) == 0 && image.image_size_in_bytes > 0 {
        format!("{size}, that of its largest child image")
    } else {
        size
    }
}
