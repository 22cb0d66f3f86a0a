//! `ecr-cleanup explain IMAGE`: all there is to say of what becomes of one image.

use std::collections::BTreeSet;
use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::ArgMatches;
use ecr_cleanup_core::account::{Place, Region};
use ecr_cleanup_core::image::{Image, ImageStatus, RepositoryName};
use ecr_cleanup_core::plan::ImageAtRisk;
use ecr_cleanup_core::reference::{EcrReference, ImageReference};
use ecr_cleanup_core::report::Report;
use ecr_cleanup_core::retention::{Explanation, Fate, Outlook, Relations, Relative};
use ecr_cleanup_core::settings::{Environment, Mode, RepositorySelection, Settings};
use ecr_cleanup_core::wanted::{ExplainedImage, ImageName, WantedImage};
use ecr_cleanup_core::warning::WarningCode;
use serde_json::{Value, json};

use super::given::Given;
use super::session::{Session, tell_listed};
use super::{Done, Undone, WrongUsage, done, no_region, print, tell, trouble};
use crate::run::{self, Finished, Request};
use crate::show::figures::{bytes, count};
use crate::show::quoted::quoted;

/// A registry for an image that comes without one, so that it is read as every reference is. It is never asked.
const ANY_REGISTRY: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com";

/// The image that is asked about, and the region where that is told.
#[derive(Debug)]
struct Asked {
    wanted: WantedImage,
    region: Option<Region>,
}

/// Runs a dry plan of the image's repository, and tells what was decided on it.
pub(super) async fn explain(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    let given = Given::gather(matches, Mode::DryRun, environment)?;
    let asked = asked(matches.get_one::<String>("image").map_or("", String::as_str))?;
    let session = Session::begin(matches, &given).await?;
    let region = match (&asked.region, &given.settings.regions) {
        (Some(region), _) => region.clone(),
        (None, Some(regions)) if regions.len() == 1 => regions.iter().next().cloned().ok_or_else(no_region)?,
        (None, regions) => {
            let own: Region = session.aws.region().and_then(|region| region.parse().ok()).ok_or_else(no_region)?;
            if regions.as_ref().is_some_and(|regions| !regions.contains(&own)) {
                return Err(Undone::WrongUsage("several regions are given: name the image's with --region".to_owned()));
            }
            own
        }
    };
    let settings = Settings {
        regions: Some([region.clone()].into()),
        repositories: RepositorySelection::only(&asked.wanted.repository_name),
        ..given.settings.clone()
    };
    let request = Request { wanted: Some(&asked.wanted), ..session.request(&settings) };
    let finished = run::run(&request, &session.aws).await;
    session.shown.end();
    let Finished { report, explained } = finished.map_err(|error| session.undone(&error))?;
    let Some(explained) = explained else {
        return Err(Undone::Failed(not_found(&asked, &region, &report, &session.shown.passed_over())));
    };
    let selection = Selection::of(&asked, &region, &given.settings);
    let digest = explained.explanation.image.image_digest;
    let at_risk = report.plan.decided().flat_map(|decided| &decided.at_risk).find(|image| image.image_digest == digest);
    match session.format.as_str() {
        "json" => print(&format!("{}\n", json(&explained, at_risk, selection)))?,
        _ => print(&text(&explained, at_risk, selection, Utc::now()))?,
    }
    tell_listed(&report, &given);
    // What ECR's own policy would take is told of this image, and others are not asked about.
    let of_others = [WarningCode::AtRisk, WarningCode::Missing, WarningCode::MissingRepository];
    for warning in report.warnings.iter().filter(|warning| !of_others.contains(&warning.code)) {
        tell(&quoted(&format!("warning: {warning}")));
    }
    Ok(done(&report))
}

fn not_found(
    Asked { wanted, region: _ }: &Asked,
    region: &Region,
    report: &Report,
    others: &BTreeSet<RepositoryName>,
) -> String {
    let repository = &wanted.repository_name;
    if let Some(error) = report.plan.errors().next() {
        return format!(
            "{repository} in {region} could not be read: {}\n  {}",
            quoted(&error.to_string()),
            error.remedy()
        );
    }
    if report.totals.repositories == 0 {
        let nearest = trouble::nearest(repository.as_str(), others.iter());
        let meant = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        return format!("there is no repository {repository} in {region}{meant}");
    }
    match &wanted.name {
        ImageName::Tag(tag) => format!("no image of {repository} in {region} has the tag {tag}"),
        ImageName::Digest(digest) => format!("{repository} in {region} has no image {digest}"),
    }
}

/// Reads an image as a person writes it.
fn asked(text: &str) -> Result<Asked, WrongUsage> {
    let (reference, is_local) = match text.parse() {
        Ok(ImageReference::Ecr(reference)) => (reference, false),
        Err(error) => return Err(WrongUsage(error.to_string())),
        Ok(ImageReference::Foreign(_)) => match format!("{ANY_REGISTRY}/{text}").parse() {
            Ok(ImageReference::Ecr(reference)) => (reference, true),
            Ok(ImageReference::Foreign(_)) | Err(_) => {
                return Err(WrongUsage(format!(
                    "`{text}` is no image: accepted are repository:tag, repository@sha256:…, and either with its registry"
                )));
            }
        },
    };
    let name = match (reference.image_digest, reference.used_tag()) {
        (Some(digest), _) => ImageName::Digest(digest),
        (None, tag) => ImageName::Tag(tag.unwrap_or_default().into()),
    };
    let EcrReference { registry_id, region, repository_name, .. } = reference;
    let registry_id = (!is_local).then_some(registry_id);
    Ok(Asked { wanted: WantedImage { registry_id, repository_name, name }, region: (!is_local).then_some(region) })
}

/// Whether the settings let a repository be cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selection {
    Cleaned,
    /// It is never touched, whatever else is said of it.
    LeftOut,
    /// Nothing of its region is.
    RegionLeftOut,
}

impl Selection {
    fn of(asked: &Asked, region: &Region, settings: &Settings) -> Self {
        if settings.regions.as_ref().is_some_and(|regions| !regions.contains(region)) {
            Self::RegionLeftOut
        } else if settings.repositories.contains(&asked.wanted.repository_name) {
            Self::Cleaned
        } else {
            Self::LeftOut
        }
    }
}

/// For people. `now` is what ages are told by.
fn text(explained: &ExplainedImage, at_risk: Option<&ImageAtRisk>, selection: Selection, now: DateTime<Utc>) -> String {
    let ExplainedImage { place: Place { region, .. }, repository_name, users, explanation } = explained;
    let Explanation {
        image,
        pulled_at,
        outlook: _,
        rank,
        shielded_by,
        parents,
        children,
        subjects,
        referrers,
        relations,
    } = explanation;
    let mut text = quoted(&format!("{repository_name} in {region}, {}", image.image_digest)) + "\n";
    let mut line = |name: &str, value: &str| _ = writeln!(text, "  {name:<12}{}", quoted(value));
    line("tags", &if image.is_untagged() { "none".to_owned() } else { image.image_tags.join(", ") });
    line("pushed", &image.image_pushed_at.map_or("not told".to_owned(), |at| age(at, now)));
    line("pulled", &pulled_at.map_or("no pull recorded".to_owned(), |at| age(at, now)));
    line("size", &size(image));
    match image.image_status {
        ImageStatus::Active => {}
        ImageStatus::Archived => line("status", "archived"),
        ImageStatus::Other => line("status", "neither active nor archived"),
    }
    if users.is_empty() {
        line("used by", "nobody that is known");
    }
    for (holder, references) in users {
        line("used by", &format!("{holder} as {}", references.iter().cloned().collect::<Vec<_>>().join(", ")));
    }
    line(
        "rank",
        &rank.map_or("none: it takes no place among the tagged images".to_owned(), |rank| {
            format!("{} of {} tagged images, the newest first", count(rank.place as u64), count(rank.of as u64))
        }),
    );
    if let Some(rule) = shielded_by {
        line("rule", &format!("{rule} speaks of it and does not take it"));
    }
    if let Some(ImageAtRisk { rule, action, .. }) = at_risk {
        line(
            "at risk",
            &format!("ECR's own lifecycle policy would {} it, although it is in use: {rule}", action.as_str()),
        );
    }
    match relations {
        Relations::Known => {}
        Relations::NotNeeded => line("indexes", "not read: nothing of the repository would go, whatever they name"),
        Relations::Unreadable => line("indexes", "not all could be read"),
    }
    for (name, relatives) in [("named by", parents), ("names", children), ("about", subjects), ("about it", referrers)]
    {
        for Relative { image_digest, image_tags, fate } in relatives {
            let tags = if image_tags.is_empty() { String::new() } else { format!(" ({})", image_tags.join(", ")) };
            line(name, &format!("{image_digest}{tags}, which {}", stays(*fate)));
        }
    }
    text.push_str(&quoted(&explanation.sentence()));
    text.push('\n');
    match selection {
        Selection::Cleaned => {}
        Selection::LeftOut => {
            _ = writeln!(
                text,
                "But repositories and excludeRepositories leave {} out, so nothing of it is ever touched.",
                quoted(repository_name.as_str())
            );
        }
        Selection::RegionLeftOut => {
            _ = writeln!(text, "But region leaves {region} out: these settings don't touch it.");
        }
    }
    text
}

/// As JSON.
fn json(explained: &ExplainedImage, at_risk: Option<&ImageAtRisk>, selection: Selection) -> Value {
    let ExplainedImage { place: Place { region, .. }, repository_name, users, explanation } = explained;
    let Explanation { image, pulled_at, outlook, rank, shielded_by, parents, children, subjects, referrers, relations } =
        explanation;
    let relatives = |relatives: &[Relative]| -> Value {
        let relative = |Relative { image_digest, image_tags, fate }: &Relative| json!({ "imageDigest": image_digest, "imageTags": image_tags, "decision": stays(*fate) });
        relatives.iter().map(relative).collect()
    };
    let (decision, because, reason, otherwise) = match outlook {
        Outlook::Stays { because, otherwise } => {
            let because: Vec<_> = because.iter().map(|(reason, _)| reason).collect();
            ("stays", json!(because), json!(null), json!(otherwise.as_ref().map(ToString::to_string)))
        }
        Outlook::Goes(reason) => ("goes", json!([]), json!(reason.to_string()), json!(null)),
        Outlook::IsArchived(reason) => ("isArchived", json!([]), json!(reason.to_string()), json!(null)),
    };
    let used_by = users.iter().map(
        |(holder, references)| json!({ "kind": holder.kind.as_str(), "name": holder.name, "references": references }),
    );
    json!({
        "region": region,
        "repositoryName": repository_name,
        "isLeftOut": selection != Selection::Cleaned,
        "imageDigest": image.image_digest,
        "imageTags": image.image_tags,
        "imagePushedAt": image.image_pushed_at.map(rfc3339),
        "pulledAt": pulled_at.map(rfc3339),
        "imageSizeInBytes": image.image_size_in_bytes,
        "usedBy": used_by.collect::<Value>(),
        "rank": rank.map(|rank| json!({ "place": rank.place, "of": rank.of })),
        "shieldedBy": shielded_by.as_ref().map(ToString::to_string),
        "atRisk": at_risk.map(|image| json!({ "rule": image.rule.to_string(), "action": image.action.as_str() })),
        "parents": relatives(parents),
        "children": relatives(children),
        "subjects": relatives(subjects),
        "referrers": relatives(referrers),
        "relations": match relations {
            Relations::Known => "known",
            Relations::NotNeeded => "notNeeded",
            Relations::Unreadable => "unreadable",
        },
        "decision": decision,
        "keptBecause": because,
        "staleBecause": reason,
        "reasonCode": match outlook {
            Outlook::Stays { .. } => None,
            Outlook::Goes(reason) | Outlook::IsArchived(reason) => Some(reason.code()),
        },
        "otherwiseStaleBecause": otherwise,
        "sentence": explanation.sentence(),
    })
}

fn stays(fate: Fate) -> &'static str {
    match fate {
        Fate::Stays => "stays",
        Fate::IsArchived | Fate::IsDeleted => "goes",
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
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
        format!("{size}, that of the largest image it names")
    } else {
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_in_every_way_that_people_write_it() {
        let hex = "0".repeat(64);
        let registry = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
        for (text, repository, tag, region) in [
            ("web/app:v7", "web/app", Some("v7"), None),
            ("web/app", "web/app", Some("latest"), None),
            (&*format!("web/app@sha256:{hex}"), "web/app", None, None),
            (&format!("{registry}/web/app:v7"), "web/app", Some("v7"), Some("eu-central-1")),
            (&format!("{registry}/web/app:v7@sha256:{hex}"), "web/app", None, Some("eu-central-1")),
        ] {
            let Asked { wanted, region: told } = asked(text).unwrap();
            assert_eq!(wanted.repository_name.as_str(), repository, "{text}");
            match (wanted.name, tag) {
                (ImageName::Tag(told), Some(tag)) => assert_eq!(&*told, tag, "{text}"),
                (ImageName::Digest(digest), None) => assert_eq!(digest.to_string(), format!("sha256:{hex}"), "{text}"),
                (name, _) => panic!("{text}: {name:?}"),
            }
            assert_eq!(told.as_ref().map(Region::as_str), region, "{text}");
            assert_eq!(wanted.registry_id.is_some(), region.is_some(), "{text}");
        }
        for text in ["", "App:v1", "app:v 1", "app@sha256:12", &format!("{registry}/App:v1")] {
            assert!(asked(text).is_err(), "{text}");
        }
    }
}
