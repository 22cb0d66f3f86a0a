//! `ecr-cleanup explain IMAGE`: why one image is kept or deleted, in its Region and in the others that have it.

mod text;

use std::collections::BTreeSet;

use chrono::Utc;
use clap::ArgMatches;
use ecr_cleanup_core::account::Region;
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::plan::{ImageAtRisk, RegistryPlan};
use ecr_cleanup_core::reference::{EcrReference, ImageReference};
use ecr_cleanup_core::report::Report;
use ecr_cleanup_core::retention::{Explanation, Fate, Outlook, Relations, Relative};
use ecr_cleanup_core::settings::{Environment, Mode, RepositorySelection, Settings};
use ecr_cleanup_core::wanted::{ExplainedImage, ImageName, WantedImage};
use ecr_cleanup_core::warning::{Warning, WarningCode};
use serde_json::{Value, json};

use super::given::Given;
use super::session::{Session, tell_listed};
use super::{Done, Stream, Undone, WrongUsage, no_region, print, tell, trouble, width};
use crate::run::{self, Finished, Request, RunError};
use crate::show::quoted::quoted;

/// A registry for an image that comes without one, so that it is read as every reference is. It is never called.
const ANY_REGISTRY: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com";

/// The image of the command, with its Region where the command names it.
#[derive(Debug)]
struct Asked {
    wanted: WantedImage,
    region: Option<Region>,
}

/// An image with its explanation and the findings about its registry.
struct Explained<'a> {
    image: &'a ExplainedImage,
    /// The tag or digest that the command has.
    name: &'a ImageName,
    /// The same repository and tag, or digest, in other Regions.
    elsewhere: Vec<&'a ExplainedImage>,
    /// The other Regions that could not be read.
    unread: Vec<&'a Region>,
    /// The rule of an ECR lifecycle policy that would expire it although it is in use.
    at_risk: Option<&'a ImageAtRisk>,
    selection: Selection,
}

/// Runs a dry plan of the image's repository, and prints what was decided on the image.
pub(super) async fn explain(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    let given = Given::gather(matches, Mode::DryRun, environment)?;
    let image = matches.get_one::<String>("image").map_or("", String::as_str);
    let asked = asked(image)?;
    let session = Session::begin(matches, &given).await?.about(image);
    let region = match (&asked.region, &given.settings.regions) {
        (Some(region), _) => region.clone(),
        (None, Some(regions)) if regions.len() == 1 => regions.iter().next().cloned().ok_or_else(no_region)?,
        (None, regions) => {
            let own: Region = session.aws.region().and_then(|region| region.parse().ok()).ok_or_else(no_region)?;
            if regions.as_ref().is_some_and(|regions| !regions.contains(&own)) {
                return Err(Undone::WrongUsage(
                    "--region has several Regions. Pass only the Region of the image.".to_owned(),
                ));
            }
            own
        }
    };
    let finished = run_in(&session, &given, &asked, &region).await;
    session.shown.end();
    let Finished { report, explained } = finished.map_err(|error| session.undone(&error))?;
    let here = RegistryOf::of(&report, &region);
    let (images, elsewhere): (Vec<_>, Vec<_>) = explained.iter().partition(|image| image.place.region == region);
    let Some(image) = images.first().copied() else {
        let others = session.shown.passed_over();
        return Err(Undone::Failed(not_found(&session, &asked, &region, here, &elsewhere, &others)));
    };
    let digest = image.explanation.image.image_digest;
    let decided = here.0.into_iter().flat_map(|registry| registry.repositories.iter().flatten());
    let mut at_risk = decided.flat_map(|repository| repository.decided.iter()).flat_map(|decided| &decided.at_risk);
    let explained = Explained {
        image,
        name: &asked.wanted.name,
        elsewhere,
        unread: unread(&report).filter(|unread| **unread != region).collect(),
        at_risk: at_risk.find(|image| image.image_digest == digest),
        selection: Selection::of(&asked, &region, &given.settings),
    };
    match session.format.as_str() {
        "json" => print(&format!("{}\n", json(&explained)))?,
        _ => print(&text::text(&explained, Utc::now(), width(Stream::Stdout)))?,
    }
    tell_listed(&report, &given);
    for warning in report.warnings.iter().filter(|warning| concerns(warning, &region)) {
        tell(&quoted(&format!("warning: {}", session.warned(warning))));
    }
    Ok(if report.usage.complete { Done::Wholly } else { Done::InPart })
}

/// Runs a dry plan of the image's repository in every Region that the settings clean. Where they don't clean its own, or
/// where the Regions can't be listed, its own will do.
async fn run_in(session: &Session, given: &Given, asked: &Asked, region: &Region) -> Result<Finished, RunError> {
    let settings = Settings {
        regions: given
            .settings
            .regions
            .clone()
            .map(|regions| if regions.contains(region) { regions } else { [region.clone()].into() }),
        repositories: RepositorySelection::only(&asked.wanted.repository_name),
        ..given.settings.clone()
    };
    let request = Request { wanted: Some(&asked.wanted), ..session.request(&settings) };
    match run::run(&request, &session.aws).await {
        Err(RunError::RegionsUnavailable(_)) => {
            let settings = Settings { regions: Some([region.clone()].into()), ..settings.clone() };
            let request = Request { wanted: Some(&asked.wanted), ..session.request(&settings) };
            run::run(&request, &session.aws).await
        }
        finished => finished,
    }
}

/// The Regions whose repositories could not be read.
fn unread(report: &Report) -> impl Iterator<Item = &Region> {
    let is_unread = |registry: &&RegistryPlan| match &registry.repositories {
        Ok(repositories) => repositories.iter().any(|repository| repository.decided.is_err()),
        Err(_) => true,
    };
    report.plan.registries.iter().filter(is_unread).map(|registry| &registry.place.region)
}

/// Whether a warning concerns the image's Region or the run as a whole. At-risk images have a line of their own here, and
/// missing ones are other images.
fn concerns(warning: &Warning, region: &Region) -> bool {
    let of_others = [WarningCode::AtRisk, WarningCode::Missing, WarningCode::MissingRepository];
    warning.about.region.as_ref().is_none_or(|of| of == region) && !of_others.contains(&warning.code)
}

/// What was planned for the registry of a Region.
#[derive(Clone, Copy)]
struct RegistryOf<'a>(Option<&'a RegistryPlan>);

impl<'a> RegistryOf<'a> {
    fn of(report: &'a Report, region: &Region) -> Self {
        Self(report.plan.registries.iter().find(|registry| registry.place.region == *region))
    }
}

fn not_found(
    session: &Session,
    Asked { wanted, region: _ }: &Asked,
    region: &Region,
    RegistryOf(here): RegistryOf<'_>,
    elsewhere: &[&ExplainedImage],
    others: &BTreeSet<RepositoryName>,
) -> String {
    let repository = &wanted.repository_name;
    let repositories = here.map(|registry| registry.repositories.as_ref());
    let failed = match repositories {
        Some(Err(error)) => Some(error),
        Some(Ok(repositories)) => repositories.iter().find_map(|repository| repository.decided.as_ref().err()),
        None => None,
    };
    if let Some(error) = failed {
        return format!("can't read {repository} in {region}: {}", session.told(error));
    }
    if let Some(other) = elsewhere.first().map(|image| &image.place.region) {
        return format!(
            "{repository} in {region} has no image {}. It is in {other}: pass --region {other}",
            wanted.name
        );
    }
    if repositories.is_none_or(|repositories| repositories.is_ok_and(Vec::is_empty)) {
        let nearest = trouble::nearest(repository.as_str(), others.iter());
        let meant = nearest.map(|nearest| format!(". Did you mean {nearest}?")).unwrap_or_default();
        return format!("there is no repository {repository} in {region}{meant}");
    }
    match &wanted.name {
        ImageName::Tag(tag) => format!("no image of {repository} in {region} has the tag {tag}"),
        ImageName::Digest(digest) => format!("{repository} in {region} has no image {digest}"),
    }
}

/// Reads an image as a person writes it.
fn asked(text: &str) -> Result<Asked, WrongUsage> {
    let invalid = || {
        WrongUsage(format!(
            "invalid image \"{text}\": expected repository:tag or repository@sha256:<64 hex digits>, with or without the registry"
        ))
    };
    let (reference, is_local) = match text.parse() {
        Ok(ImageReference::Ecr(reference)) => (reference, false),
        Err(error) => return Err(WrongUsage(error.to_string())),
        Ok(ImageReference::Foreign(_)) => match format!("{ANY_REGISTRY}/{text}").parse() {
            Ok(ImageReference::Ecr(reference)) => (reference, true),
            Ok(ImageReference::Foreign(_)) | Err(_) => return Err(invalid()),
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
    /// They exclude the repository, so that all of its images are kept.
    LeftOut,
    /// They exclude the Region.
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

/// The explanation as JSON.
fn json(Explained { image, name: _, elsewhere, unread: _, at_risk, selection }: &Explained<'_>) -> Value {
    let ExplainedImage { place, repository_name, users, explanation } = image;
    let Explanation {
        image,
        pulled_at,
        last_use,
        outlook,
        rank,
        shielded_by,
        parents,
        children,
        subjects,
        referrers,
        relations,
    } = explanation;
    let relatives = |relatives: &[Relative]| -> Value {
        let relative = |Relative { image_digest, image_tags, fate }: &Relative| json!({ "imageDigest": image_digest, "imageTags": image_tags, "decision": decision_on_relative(*fate) });
        relatives.iter().map(relative).collect()
    };
    let elsewhere = elsewhere.iter().map(|image| {
        let (decision, because, ..) = decision(&image.explanation.outlook);
        let digest = image.explanation.image.image_digest;
        json!({ "region": image.place.region, "imageDigest": digest, "decision": decision, "keptBecause": because })
    });
    let (decision, because, reason, otherwise) = decision(outlook);
    let used_by = users.iter().map(
        |(holder, references)| json!({ "kind": holder.kind.as_str(), "name": holder.name, "references": references }),
    );
    json!({
        "region": place.region,
        "repositoryName": repository_name,
        "isLeftOut": *selection != Selection::Cleaned,
        "imageDigest": image.image_digest,
        "imageTags": image.image_tags,
        "imagePushedAt": image.image_pushed_at.map(text::rfc3339),
        "pulledAt": pulled_at.map(text::rfc3339),
        "imageSizeInBytes": image.image_size_in_bytes,
        "usedBy": used_by.collect::<Value>(),
        "lastUsed": last_use,
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
        "elsewhere": elsewhere.collect::<Value>(),
    })
}

/// A decision as JSON: what it is, the reasons to keep the image, the reason to delete it, and the reason to delete it if
/// those to keep it were not.
fn decision(outlook: &Outlook) -> (&'static str, Value, Value, Value) {
    match outlook {
        Outlook::Stays { because, otherwise } => {
            let because: Vec<_> = because.iter().map(|(reason, _)| reason).collect();
            ("stays", json!(because), json!(null), json!(otherwise.as_ref().map(ToString::to_string)))
        }
        Outlook::Goes(reason) => ("goes", json!([]), json!(reason.to_string()), json!(null)),
        Outlook::IsArchived(reason) => ("isArchived", json!([]), json!(reason.to_string()), json!(null)),
    }
}

fn decision_on_relative(fate: Fate) -> &'static str {
    match fate {
        Fate::Stays => "stays",
        Fate::IsArchived | Fate::IsDeleted => "goes",
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
