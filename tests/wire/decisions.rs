//! The decisions in a report as text, with a line for every repository and every listed image. A case then shows the
//! whole decision, not only the field under test.

use std::collections::BTreeMap;

use serde_json::Value;

/// The decisions in a report's JSON. The tags identify an image. Digests, which are unreadable, become three dots. The
/// images of a repository are sorted by their lines, because the order of digests means nothing.
pub fn decisions(report: &Value) -> String {
    let digest = regex::Regex::new("sha256([:-])[0-9a-f]{64}").unwrap();
    let mut lines = Vec::new();
    for region in listed(report, "regions") {
        let name = text(region, "region");
        lines.extend(error_of(region).map(|error| format!("{name}: {error}")));
        for repository in listed(region, "repositories") {
            lines.extend(of_repository(&name, repository));
            // Images without any difference share a line.
            let mut images: BTreeMap<String, usize> = BTreeMap::new();
            for line in of_images(repository) {
                *images.entry(digest.replace_all(&line, "sha256$1...").into_owned()).or_default() += 1;
            }
            let line = |(line, times)| if times == 1 { line } else { format!("{line}, {times} times") };
            lines.extend(images.into_iter().map(line));
        }
    }
    lines.join("\n")
}

fn of_repository(region: &str, repository: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let name = format!("{region} {}", text(repository, "repositoryName"));
    let policy = repository.get("policy").map(|policy| format!(", policy {policy}")).unwrap_or_default();
    if let Some(kept) = repository["keptBecause"].as_object() {
        let kept: Vec<String> = kept.iter().map(|(reason, images)| format!("{images} {reason}")).collect();
        let kept = if kept.is_empty() { "nothing".to_owned() } else { kept.join(", ") };
        lines.push(format!("{name}{policy}: keeps {kept}"));
    }
    lines.extend(error_of(repository).map(|error| format!("{name}: {error}")));
    lines.extend(repository.get("unfetchedManifests").map(|unfetched| {
        format!("{name}: {} indexes not read, {}", unfetched["indexes"], error_of(unfetched).unwrap_or_default())
    }));
    lines
}

fn of_images(repository: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (list, what) in [("onlyInUse", "only in use"), ("alsoInUse", "also in use")] {
        let line = |image: &Value| format!("  {} {what}: {}", tags(image), text(image, "heldBy"));
        lines.extend(listed(repository, list).map(line));
    }
    lines.extend(
        listed(repository, "atRisk").map(|image| {
            format!("  {} at risk: rule {}, {}", tags(image), image["rulePriority"], text(image, "heldBy"))
        }),
    );
    lines.extend(listed(repository, "stale").map(|image| {
        let action = if text(image, "action") == "archive" { "to be archived" } else { "stale" };
        format!("  {} {action}: {}; {}", tags(image), text(image, "reason"), result_of(image))
    }));
    lines.extend(listed(repository, "notStaleAnyMore").map(|image| {
        let why = ["result", "keptBecause", "heldBy"].map(|key| text(image, key));
        let why: Vec<String> = why.into_iter().filter(|text| !text.is_empty()).collect();
        format!("  {} not stale any more: {}", tags(image), why.join(", "))
    }));
    lines
}

fn result_of(image: &Value) -> String {
    let keys = ["result", "failureCode", "failureReason", "skippedBecause", "notAttemptedBecause"];
    let told: Vec<String> = keys.into_iter().map(|key| text(image, key)).filter(|text| !text.is_empty()).collect();
    told.join(", ")
}

fn error_of(what: &Value) -> Option<String> {
    let error = what.get("error")?;
    Some(format!("{} at {}: {}", text(error, "code"), text(error, "api"), text(error, "message")))
}

fn tags(image: &Value) -> String {
    let tags: Vec<&str> = listed(image, "imageTags").map(|tag| tag.as_str().unwrap()).collect();
    if tags.is_empty() { "untagged".to_owned() } else { tags.join(" ") }
}

fn listed<'a>(what: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    what[list].as_array().into_iter().flatten()
}

/// A text, or an empty one if there is none.
fn text(what: &Value, key: &str) -> String {
    what[key].as_str().unwrap_or_default().to_owned()
}
