//! `ecr-cleanup usage`: what is in use, and by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use clap::ArgMatches;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use ecr_cleanup_core::account::AccountId;
use ecr_cleanup_core::image::ImageDigest;
use ecr_cleanup_core::reference::ImageReference;
use ecr_cleanup_core::settings::{Environment, Mode};
use ecr_cleanup_core::usage::{Holder, Usage};
use ecr_cleanup_core::warning::{self, Warning};
use serde::Serialize;

use super::given::Given;
use super::session::Session;
use super::{Done, Stream, Undone, print, tell, unwritten, width};
use crate::run;
use crate::show::figures::{count, counted};
use crate::show::quoted::quoted;

/// So many holders of an image are named in the table; the JSON has all.
const HOLDERS_SHOWN: usize = 5;
/// So many digits of a digest tell images apart for people.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

/// Finds what is in use, and tells it.
pub(super) async fn usage(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    let given = Given::gather(matches, Mode::DryRun, environment)?;
    let session = Session::begin(matches, &given).await?;
    let found = run::usage_alone(&session.request(&given.settings), &session.aws).await;
    session.shown.end();
    let (account, usage) = found.map_err(|error| session.undone(&error))?;
    match session.format.as_str() {
        "json" => print(&(json(&account, &usage).map_err(|error| unwritten(&error))? + "\n"))?,
        _ => print(&table(&usage, width(Stream::Stdout)))?,
    }
    if !given.listed.is_empty() {
        tell(&format!("--in-use-file: {} read", counted(given.listed.len() as u64, "reference", "references")));
    }
    Ok(if usage.complete().is_ok() { Done::Wholly } else { Done::InPart })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageJson<'a> {
    account: &'a AccountId,
    complete: bool,
    accounts: &'a BTreeSet<AccountId>,
    regions: &'a BTreeSet<ecr_cleanup_core::account::Region>,
    references: Vec<ReferenceJson>,
    /// What could not be read, or not understood.
    warnings: Vec<Warning>,
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
    kind: String,
    name: Box<str>,
}

/// As JSON.
///
/// # Errors
/// None that its own values could cause.
fn json(account: &AccountId, usage: &Usage) -> serde_json::Result<String> {
    let references = usage.known().references().iter().map(|(reference, holders)| ReferenceJson {
        reference: reference.to_string(),
        image_digests: usage.known().digests_of(reference).map(|(digest, _)| digest).collect(),
        held_by: holders
            .iter()
            .map(|holder| HolderJson { kind: holder.kind.as_str().to_owned(), name: holder.name.clone() })
            .collect(),
    });
    let json = UsageJson {
        account,
        complete: usage.complete().is_ok(),
        accounts: &usage.accounts,
        regions: &usage.regions,
        references: references.collect(),
        warnings: warnings(usage),
    };
    serde_json::to_string(&json)
}

/// As a table: images of ECR by registry and repository first, then what comes from elsewhere.
fn table(usage: &Usage, width: Option<u16>) -> String {
    let references = usage.known().references();
    let mut registries: BTreeMap<String, Vec<[String; 3]>> = BTreeMap::new();
    for (reference, holders) in references {
        let digests = usage.known().digests_of(reference).map(|(digest, _)| short(digest));
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
        counted(usage.regions.len() as u64, "region", "regions"),
        counted(usage.accounts.len() as u64, "account", "accounts"),
    );
    for warning in warnings(usage) {
        _ = writeln!(text, "warning: {}", quoted(&warning.message));
    }
    text
}

/// What keeps this from being all that is in use, and what keeps repositories whole.
fn warnings(usage: &Usage) -> Vec<Warning> {
    let mut warnings = warning::usage_incomplete(usage);
    warnings.extend(warning::withheld(usage, usage.accounts.iter()));
    warnings
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
