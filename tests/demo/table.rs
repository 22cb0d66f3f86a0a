//! A report as a table that a person likes to read.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::Value;

/// One line a repository that has stale images, the rest summed up, and the totals below.
pub fn draw(report: &Value) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    let freed = if report["dryRun"] == true { "would free" } else { "freed" };
    table.set_header(["region", "repository", "images", "kept", "of these in use", "stale", "deleted", freed]);
    let mut clean = 0;
    for registry in list(&report["regions"]) {
        for repository in list(&registry["repositories"]) {
            let stale = list(&repository["stale"]);
            if stale.is_empty() {
                clean += 1;
                continue;
            }
            let deleted = stale.iter().filter(|image| image["result"] == "deleted");
            let bytes = repository["bytesStale"].as_u64().unwrap_or_default();
            table.add_row([
                text(&registry["region"]),
                text(&repository["repositoryName"]),
                text(&repository["images"]),
                text(&repository["imagesKept"]),
                text(&repository["imagesInUse"]),
                stale.len().to_string(),
                deleted.count().to_string(),
                format!("up to {}", gibibytes(bytes)),
            ]);
        }
    }
    let totals = &report["totals"];
    let total = |name: &str| text(&totals[name]);
    let bytes = if report["dryRun"] == true { "bytesStale" } else { "bytesDeleted" };
    let bytes = totals[bytes].as_u64().unwrap_or_default();
    table.add_row([
        String::new(),
        "total".to_owned(),
        total("images"),
        total("imagesKept"),
        total("imagesInUse"),
        total("imagesStale"),
        total("imagesDeleted"),
        format!("up to {}", gibibytes(bytes)),
    ]);
    for column in 2..8 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let clean = match clean {
        0 => String::new(),
        1 => "One repository has nothing stale.\n".to_owned(),
        _ => format!("{clean} repositories have nothing stale.\n"),
    };
    let mut drawn = format!(
        "{table}\n{clean}outcome {}: the registries cost up to ${:.2} a month, and this saves up to ${:.2} of it.",
        text(&report["outcome"]),
        totals["monthlyCostUsd"].as_f64().unwrap_or_default(),
        totals["monthlySavingUsd"].as_f64().unwrap_or_default(),
    );
    for warning in list(&report["warnings"]) {
        drawn.push_str("\nwarning: ");
        drawn.push_str(&text(warning));
    }
    drawn
}

/// The items of a list; none if it is not one.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text without its quotes, or any other value as it is.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[expect(clippy::cast_precision_loss, reason = "a tenth of a GiB is shown")]
fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0)
}
