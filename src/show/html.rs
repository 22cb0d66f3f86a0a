//! A report as one page that needs nothing else: it fetches nothing, and opens from a file, a mail or a build's artifacts.
//!
//! The page contains the report's JSON and draws only the rows that it shows, so that a hundred thousand images are no
//! slower than a few. What a report quotes is text on the page and never markup.

mod chart;
mod index;

use ecr_cleanup_core::report::{Pages, Report, RunSummary};

use super::coverage;

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const LIST: &str = include_str!("html/list.js");
const SCRIPT: &str = include_str!("html/page.js");

/// The pages of stored reports.
pub const PAGES: Pages = Pages { report: page, index: index::index };

/// A run's report as a page.
#[must_use]
pub fn html(report: &Report) -> String {
    // Numbers, texts and lists can always be written. Otherwise the page says that it has no report.
    page(&report.to_json().unwrap_or_else(|_| "null".to_owned()), &[])
}

/// The page of a report's JSON, with the trend of these runs.
fn page(json: &str, runs: &[&RunSummary]) -> String {
    fill(PAGE, |name| match name {
        "style" => STYLE.trim_end().to_owned(),
        "list" => LIST.trim_end().to_owned(),
        "script" => SCRIPT.trim_end().to_owned(),
        "checked" => coverage::CHECKED.to_owned(),
        "not-checked" => coverage::not_checked(),
        "trend" => chart::trend(runs),
        _ => in_script(json),
    })
}

/// The template with its places filled, each by its name.
fn fill(template: &str, part: impl Fn(&str) -> String) -> String {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, from)| Some((before, from.split_once("}}")?)))
    {
        page.push_str(before);
        page.push_str(&part(name));
        rest = after;
    }
    page.push_str(rest);
    page
}

/// JSON for a page's script. Characters that would end the script or begin a comment occur only inside of texts, where
/// an escape means the same. The two line ends that JSON accepts and old JavaScript doesn't are escaped as well.
fn in_script(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            character => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The JSON that a browser finds on the page.
    fn report_on(page: &str) -> &str {
        let (_, from) = page.split_once(r#"<script type="application/json" id="report">"#).unwrap();
        from.split_once("</script>").unwrap().0
    }

    /// Text of pieces that mean something to a browser.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "</script>",
                "<!--",
                "<script",
                "{{style}}",
                "&lt;",
                "\"",
                "\\",
                "\u{2028}",
                "\u{2029}",
                "\n"
            ])
            .prop_map(str::to_owned),
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn the_page_has_the_report_whatever_it_quotes(text in text()) {
            let json = serde_json::json!({ "warnings": [{ "message": text }] });
            let page = page(&json.to_string(), &[]);
            let on_page = report_on(&page);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(on_page).unwrap(), json);
            let is_escaped = !on_page.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
            prop_assert!(is_escaped);
        }
    }

    #[test]
    fn the_page_is_whole_and_fetches_nothing() {
        let page = page("{}", &[]);
        assert!(!page.contains("{{") && !page.contains("}}"), "every place is filled");
        assert_eq!(page.matches("</script>").count(), 2, "neither the style nor the script ends one early");
        for address in ["http://", "https://", "src=", "@import", "url(", "fetch(", "innerHTML"] {
            assert!(!page.contains(address), "{address}");
        }
        assert!(page.contains("default-src 'none'"));
        assert!(page.contains(&coverage::not_checked()) && page.contains("ECS and Lambda"));
    }
}
