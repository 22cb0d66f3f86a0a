//! `ecr-cleanup usage`: what is in use, and by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use clap::ArgMatches;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use super::figures::{count, counted};
use super::given::Given;
use super::quoted::quoted;
use super::session::Session;
use super::{Done, Stream, Undone, print, unwritten, width};
use crate::account::AccountId;
use crate::deadline::Deadline;
use crate::handler;
use crate::image::ImageDigest;
use crate::reference::ImageReference;
use crate::settings::{Environment, Mode};
use crate::usage::{Discovery, Holder};

/// So many holders of an image are named in the table; the JSON has all.
const HOLDERS_SHOWN: usize = 5;
/// So many digits of a digest tell images apart for people.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

/// Finds what is in use, and tells it.
pub(super) async fn usage(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    let given = Given::gather(matches, Mode::DryRun, environment)?;
    let session = Session::begin(matches, &given).await?;
    let (event, deadline) = (given.event(), Deadline::unknown());
    let found = handler::usage_alone(event, &given.environment, &session.aws, deadline, &session.shown).await;
    session.shown.end();
    let (account, discovery) = found.map_err(|error| session.undone(&error))?;
    match session.format.as_str() {
        "json" => print(&(json(&account, &discovery).map_err(|error| unwritten(&error))? + "\n"))?,
        _ => print(&table(&discovery, width(Stream::Stdout)))?,
    }
    Ok(if discovery.incomplete.is_none() { Done::Wholly } else { Done::InPart })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageJson<'a> {
    account: &'a AccountId,
    complete: bool,
    accounts: &'a BTreeSet<AccountId>,
    regions: &'a BTreeSet<crate::account::Region>,
    references: Vec<ReferenceJson>,
    /// What could not be read, or not understood.
    problems: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferenceJson {
    reference: String,
    image_digests: Vec<ImageDigest>,
    held_by: Vec<HolderJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HolderJson {
    kind: &'static str,
    name: Box<str>,
}

/// As JSON.
///
/// # Errors
/// None that its own values could cause.
fn json(account: &AccountId, discovery: &Discovery) -> serde_json::Result<String> {
    let references = discovery.usage.references().iter().map(|(reference, holders)| ReferenceJson {
        reference: reference.to_string(),
        image_digests: discovery.usage.digests_of(reference).map(|(digest, _)| digest).collect(),
        held_by: holders
            .iter()
            .map(|holder| HolderJson { kind: holder.kind.as_str(), name: holder.name.clone() })
            .collect(),
    });
    let usage = UsageJson {
        account,
        complete: discovery.incomplete.is_none(),
        accounts: &discovery.accounts,
        regions: &discovery.regions,
        references: references.collect(),
        problems: problems(discovery),
    };
    serde_json::to_string(&usage)
}

/// As a table: images of ECR by registry and repository first, then what comes from elsewhere.
fn table(discovery: &Discovery, width: Option<u16>) -> String {
    let references = discovery.usage.references();
    let mut registries: BTreeMap<String, Vec<[String; 3]>> = BTreeMap::new();
    for (reference, holders) in references {
        let digests = discovery.usage.digests_of(reference).map(|(digest, _)| short(digest));
        let (registry, image) = parts(reference);
        let row = [quoted(&image), digests.collect::<Vec<_>>().join("\n"), named(holders)];
        registries.entry(quoted(&registry)).or_default().push(row);
    }
    let mut text = String::new();
    for (registry, rows) in registries {
        let mut drawn = Table::new();
        drawn.load_style(UTF8_FULL_CONDENSED).set_header(["image", "digest", "used by"]).add_rows(rows);
        match width {
            Some(width) => drawn.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => drawn.set_content_arrangement(ContentArrangement::Disabled),
        };
        _ = writeln!(text, "{registry}\n{drawn}\n");
    }
    let foreign = references.keys().filter(|reference| matches!(reference, ImageReference::Foreign(_))).count();
    _ = writeln!(
        text,
        "{} in use, {} of them in ECR; looked for in {} of {}.",
        counted(references.len() as u64, "image", "images"),
        count((references.len() - foreign) as u64),
        counted(discovery.regions.len() as u64, "region", "regions"),
        counted(discovery.accounts.len() as u64, "account", "accounts"),
    );
    for problem in problems(discovery) {
        _ = writeln!(text, "warning: {}", quoted(&problem));
    }
    text
}

/// What keeps this from being all that is in use, and what keeps repositories whole.
fn problems(discovery: &Discovery) -> Vec<String> {
    let causes = discovery.incomplete.iter().flat_map(|incomplete| &incomplete.causes);
    let causes = causes.map(|cause| format!("usage incomplete: {cause}"));
    let withheld = discovery.usage.withheld().iter();
    let withheld = withheld.map(|(repository, unreadable)| {
        format!("repository {repository} counts as used as a whole: {}: {}", unreadable.holder, unreadable.reference)
    });
    causes.chain(withheld).collect()
}

fn named(holders: &BTreeSet<Arc<Holder>>) -> String {
    let mut lines: Vec<String> = holders.iter().take(HOLDERS_SHOWN).map(|it| quoted(&it.to_string())).collect();
    if holders.len() > HOLDERS_SHOWN {
        lines.push(format!("and {} more", holders.len() - HOLDERS_SHOWN));
    }
    lines.join("\n")
}

/// The registry, and the rest of the reference as far as it is not in the column beside it.
fn parts(reference: &ImageReference) -> (String, String) {
    let text = reference.to_string();
    let text = match (reference.image_digest(), text.rsplit_once('@')) {
        (Some(_), Some((name, _))) => name.to_owned(),
        _ => text,
    };
    match (reference, text.split_once('/')) {
        (ImageReference::Ecr(_), Some((registry, image))) => (registry.to_owned(), image.to_owned()),
        (ImageReference::Ecr(_), None) | (ImageReference::Foreign(_), _) => ("not in ECR".to_owned(), text),
    }
}

fn short(digest: ImageDigest) -> String {
    let mut text = digest.to_string();
    text.truncate(DIGEST_SHOWN);
    text
}
