//! `ecr-cleanup usage`: what is in use, and by whom.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::account::AccountId;
use crate::image::ImageDigest;
use crate::reference::ImageReference;
use crate::usage::{Discovery, Holder};

/// So many holders of an image are named in the table; the JSON has all.
const HOLDERS_SHOWN: usize = 5;
/// So many digits of a digest tell images apart for people.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

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
pub(super) fn json(account: &AccountId, discovery: &Discovery) -> serde_json::Result<String> {
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
pub(super) fn table(discovery: &Discovery, width: Option<u16>) -> String {
    let references = discovery.usage.references();
    let mut drawn = Table::new();
    drawn.load_style(UTF8_FULL_CONDENSED).set_header(["image", "digest", "used by"]);
    match width {
        Some(width) => drawn.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => drawn.set_content_arrangement(ContentArrangement::Disabled),
    };
    for (reference, holders) in references {
        let digests = discovery.usage.digests_of(reference).map(|(digest, _)| short(digest));
        drawn.add_row([without_digest(reference), digests.collect::<Vec<_>>().join("\n"), named(holders)]);
    }
    let mut text = if references.is_empty() { String::new() } else { format!("{drawn}\n") };
    let foreign = references.keys().filter(|reference| matches!(reference, ImageReference::Foreign(_))).count();
    let count = |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    _ = writeln!(
        text,
        "{} in use, {} of them in ECR; looked for in {} of {}.",
        count(references.len(), "image", "images"),
        references.len() - foreign,
        count(discovery.regions.len(), "region", "regions"),
        count(discovery.accounts.len(), "account", "accounts"),
    );
    for problem in problems(discovery) {
        _ = writeln!(text, "warning: {problem}");
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
    let mut lines: Vec<String> = holders.iter().take(HOLDERS_SHOWN).map(ToString::to_string).collect();
    if holders.len() > HOLDERS_SHOWN {
        lines.push(format!("and {} more", holders.len() - HOLDERS_SHOWN));
    }
    lines.join("\n")
}

/// The reference as far as it is not in the column beside it.
fn without_digest(reference: &ImageReference) -> String {
    let text = reference.to_string();
    match (reference.image_digest(), text.rsplit_once('@')) {
        (Some(_), Some((name, _))) => name.to_owned(),
        _ => text,
    }
}

fn short(digest: ImageDigest) -> String {
    let mut text = digest.to_string();
    text.truncate(DIGEST_SHOWN);
    text
}
