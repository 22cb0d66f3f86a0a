//! `ecr-cleanup usage`: the images in use, with the workloads that use them.

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
use crate::show::coverage::{self, Coverage};
use crate::show::figures::{count, counted};
use crate::show::quoted::quoted;
use crate::show::wrapped::{fitted, wrapped};

/// The most workloads of an image in the table. The JSON has all.
const HOLDERS_SHOWN: usize = 5;
/// The length of a digest in the table, which is enough to distinguish images.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

/// The blanks before a line that continues a sentence.
const INDENT: usize = 2;

/// Finds the images in use, and prints them.
pub(super) async fn usage(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    let given = Given::gather(matches, Mode::DryRun, environment)?;
    let session = Session::begin(matches, &given).await?;
    let found = run::usage_alone(&session.request(&given.settings), &session.aws).await;
    session.shown.end();
    let (account, usage) = found.map_err(|error| session.undone(&error))?;
    match session.format.as_str() {
        "json" => print(&(json(&account, &usage).map_err(|error| unwritten(&error))? + "\n"))?,
        _ => print(&table(&session, &usage, width(Stream::Stdout)))?,
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
    /// The workloads that could not be read, and the references that could not be understood.
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

/// Usage as JSON.
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

/// Usage as a table: images in ECR by registry and repository first, then those from elsewhere.
fn table(session: &Session, usage: &Usage, width: Option<u16>) -> String {
    let references = usage.known().references();
    let mut registries: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for (reference, holders) in references {
        let digests = usage.known().digests_of(reference).map(|(digest, _)| short(digest));
        let (registry, image) = parts(reference);
        let row = vec![quoted(&image), digests.collect::<Vec<_>>().join("\n"), named(holders)];
        registries.entry(quoted(&registry)).or_default().push(row);
    }
    let mut text = String::new();
    for (registry, rows) in registries {
        _ = writeln!(text, "{registry}\n{}", of_registry(rows, width));
    }
    let in_ecr = references.keys().filter(|reference| matches!(reference, ImageReference::Ecr(_))).count();
    let coverage = Coverage {
        complete: usage.complete().is_ok(),
        references: references.len() as u64,
        regions: usage.regions.len() as u64,
        accounts: usage.accounts.len() as u64,
    };
    let warnings = warnings(usage);
    let checked = coverage.checked();
    let lines = [
        format!("{}, {} of them in ECR.", checked.trim_end_matches('.'), count(in_ecr as u64)),
        format!("Not checked: {}.", coverage::not_checked()),
    ];
    let warnings = warnings.iter().map(|warning| quoted(&format!("warning: {}", session.warned(warning))));
    for line in lines.into_iter().chain(warnings) {
        _ = writeln!(text, "{}", wrapped(&line, width, INDENT));
    }
    text
}

/// The references to images of a registry: a row each, or, where a table would break words, lines of their own.
fn of_registry(rows: Vec<Vec<String>>, width: Option<u16>) -> String {
    let header = ["image", "digest", "used by"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = [header].into_iter().chain(rows).collect();
    let rows = match width {
        None => rows,
        Some(width) => match fitted(&rows, width) {
            Some(rows) => rows,
            None => return rows.iter().skip(1).map(|row| in_lines(row, width)).collect(),
        },
    };
    let mut rows = rows.into_iter();
    let mut drawn = Table::new();
    drawn.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    drawn.set_header(rows.next().unwrap_or_default()).add_rows(rows);
    format!("{drawn}\n")
}

/// A reference in lines of its own.
fn in_lines(row: &[String], width: u16) -> String {
    let [image, about @ ..] = row else { return String::new() };
    let about = about.iter().flat_map(|cell| cell.lines()).map(|line| format!("{:INDENT$}{:INDENT$}{line}", "", ""));
    let lines = [format!("{:INDENT$}{image}", "")].into_iter().chain(about);
    lines.map(|line| wrapped(&line, Some(width), 3 * INDENT) + "\n").collect()
}

/// Why this may not be all that is in use, and why all images of a repository are kept.
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

/// The registry, and the rest of the reference without the digest, which has a column of its own.
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
