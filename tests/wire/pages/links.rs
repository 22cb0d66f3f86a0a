//! Every link within the project leads to a file that is there, and to a heading in it.

use regex::Regex;

use super::page::Page;

/// The name that GitHub gives a heading's anchor.
fn anchor(heading: &str) -> String {
    let letters = heading.to_lowercase();
    let kept = letters.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn anchors(text: &str) -> Vec<String> {
    let heading = Regex::new(r"(?m)^#{1,6} (.+)$").unwrap();
    heading.captures_iter(text).map(|found| anchor(&found[1])).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let link = Regex::new(r"\[[^\]]*\]\(([^)\s]+)\)").unwrap();
    let mut checked = 0;
    for page in Page::all() {
        let text = page.lines.join("\n");
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if target.starts_with("https://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { super::root().join(page.name) } else { page.folder().join(file) };
            assert!(path.exists(), "{}: {target}", page.name);
            if !heading.is_empty() {
                let there = anchors(&std::fs::read_to_string(&path).unwrap());
                assert!(there.iter().any(|anchor| anchor == heading), "{}: {target} of {there:?}", page.name);
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked} links");
}

#[test]
fn an_anchor_is_named_as_github_does() {
    assert_eq!(anchor("What it checks, and what it can't see"), "what-it-checks-and-what-it-cant-see");
}
