//! A report as Markdown for a pull request or a chat message.
//!
//! Both limit the length of a message, so the most important comes first, and the rest is counted. What a report quotes
//! (descriptions of rules, names of workloads, AWS's messages) is text here and never markup.

mod bounded;

use std::fmt::Write;

use ecr_cleanup_core::plan::ImageResult;
use ecr_cleanup_core::report::Report;
use ecr_cleanup_core::settings::Mode;
use ecr_cleanup_core::sizes::Freed;

use bounded::Bounded;

use super::coverage;
use super::figures::{age, bytes, count, counted, freed, short_digests, usd};
use super::quoted::quoted;
use super::view::{HeldView, Images, MissingView, RepositoryView, ReviewedView, SettingView, View};

/// The most characters. GitHub takes 65,536 in a comment.
pub const MOST_CHARACTERS: usize = 60_000;

/// The most lines of a list, other than that of the repositories.
const LINES: usize = 50;
/// The most rows of the repositories' table.
const REPOSITORIES: usize = 200;
/// The most characters of a quoted text; more would leave no room for the rest.
const QUOTED: usize = 400;

/// A run's report as Markdown.
#[must_use]
pub fn markdown(report: &Report) -> String {
    markdown_of(&View::of(report, Images::Listed))
}

/// A report as Markdown, wherever it comes from.
#[must_use]
pub fn markdown_of(view: &View) -> String {
    let mut text = Bounded::default();
    text.add(&headline(view));
    text.add(&figures(view));
    let (stale, clean): (Vec<_>, Vec<_>) = view.repositories.iter().partition(|it| it.images_stale > 0);
    if !stale.is_empty() {
        text.table(&head_of_repositories(view), &stale, REPOSITORIES, "repositories", |it| row(view, it));
    }
    if !clean.is_empty() {
        text.add(&format!("{} no stale images.\n", counted(clean.len() as u64, "repository has", "repositories have")));
    }
    let unread = view.unread.iter().map(|(what, why)| format!("{}: {}", plain(what), plain(why)));
    text.list("Can't be read", "errors", unread);
    text.list("Not deleted", "reasons", undone(&stale));
    text.list("Warnings", "warnings", view.warnings.iter().map(|warning| plain(warning)));
    text.list("In use, but can't be pulled", "images", view.missing.iter().map(missing));
    let at_risk = |it: &'_ RepositoryView| it.at_risk.clone();
    text.list("In use, but ECR lifecycle policies would expire them", "images", held(view, at_risk));
    let only_in_use = |it: &'_ RepositoryView| it.only_in_use.clone();
    text.list("Kept only because a workload uses them", "images", held(view, only_in_use));
    text.add(&settings(view));
    text.add(&view.memory.as_ref().map_or(String::new(), |memory| format!("\n{}\n", plain(memory))));
    for repository in stale {
        images_of(&mut text, view, repository);
    }
    text.finish(view)
}

fn headline(view: &View) -> String {
    let totals = &view.totals;
    let (stale, images) = (count(totals.images_stale), counted(totals.images, "image", "images"));
    let headline = match view.mode {
        Mode::DryRun => format!("dry run, {stale} of {images} are stale"),
        Mode::Live => match &view.reviewed {
            Some(reviewed) => reviewed.carried_out.clone(),
            None => view.carried_out(),
        },
    };
    format!("### ECR cleanup: {headline}\n\n")
}

fn figures(view: &View) -> String {
    let totals = &view.totals;
    let mut text = format!(
        "Outcome **{}**, {} UTC, {}.\n\n",
        plain(&view.outcome),
        view.finished_at.format("%Y-%m-%d %H:%M"),
        counted(totals.repositories, "repository", "repositories"),
    );
    let frees = match view.mode {
        Mode::DryRun => "Deleting the stale images frees",
        Mode::Live => "That freed",
    };
    if view.deleted_nothing() {
        text.push_str("- **Nothing was deleted**\n");
    } else if totals.images_stale == 0 || view.deletes() {
        _ = write!(text, "- {frees} **{}**: **{}** a month", freed(view.freed()), view.saving());
        if let Freed::Exactly(_) = view.freed() {
            _ = write!(text, " (by the sum of the images' sizes {})", bytes(view.sum_of_sizes()));
        }
        text.push('\n');
    }
    if let Some(others) = view.reviewed.as_ref().and_then(ReviewedView::not_in_plan) {
        _ = writeln!(text, "- {others}");
    }
    if let Some(stores) = view.storing() {
        let (size, cost) = (bytes(totals.bytes), usd(totals.monthly_cost_usd));
        _ = writeln!(text, "- {stores} up to {size}, which cost up to {cost} a month");
        let in_use = counted(totals.images_in_use, "image is", "images are");
        _ = writeln!(text, "- {in_use} in use, {} kept in total", count(totals.images_kept));
    }
    if let Some(images) = view.to_archive() {
        _ = writeln!(text, "- {images} ({})", bytes(totals.bytes_to_archive));
    }
    _ = writeln!(text, "- {}\n- Not checked: {}.", view.coverage.checked(), coverage::not_checked());
    text.push('\n');
    text
}

/// The columns that not every report has.
fn deleted_and_sum(view: &View, deleted: &str, sum: &str) -> (String, String) {
    let deleted = match view.mode {
        Mode::DryRun => String::new(),
        Mode::Live => format!(" {deleted} |"),
    };
    (deleted, if view.any_is_exact() { format!(" {sum} |") } else { String::new() })
}

fn head_of_repositories(view: &View) -> String {
    let frees = match view.mode {
        Mode::DryRun => "frees",
        Mode::Live => "freed",
    };
    let (deleted, sum) = deleted_and_sum(view, "deleted", "sum of sizes");
    let (line_of_deleted, line_of_sum) = deleted_and_sum(view, "---:", "---:");
    format!(
        "| region | repository | images | in use | kept | stale |{deleted} {frees} |{sum} oldest stale |\n\
         |---|---|---:|---:|---:|---:|{line_of_deleted} ---: |{line_of_sum} ---: |\n"
    )
}

fn row(view: &View, repository: &RepositoryView) -> String {
    let deleted = count(repository.results.get(ImageResult::Deleted.as_str()).copied().unwrap_or_default());
    let (deleted, sum) = deleted_and_sum(view, &deleted, &bytes(repository.sum_of_sizes(view.mode)));
    format!(
        "| {} | {} | {} | {} | {} | {} |{deleted} {} |{sum} {} |\n",
        plain(&repository.region),
        code(&repository.name),
        count(repository.images),
        count(repository.images_in_use),
        count(repository.images_kept),
        count(repository.images_stale),
        freed(repository.freed(view.mode)),
        repository.oldest_stale.map_or_else(String::new, |at| age(at, view.finished_at)),
    )
}

fn missing(image: &MissingView) -> String {
    let MissingView { region, repository_name, name, why, used_by } = image;
    let name = format!("{repository_name}{}{name}", if name.starts_with("sha256:") { "@" } else { ":" });
    let user = used_by.as_ref().map_or_else(String::new, |user| format!(", used by {}", plain(user)));
    format!("{} {}: {}{user}", plain(region), code(&short_digests(&name)), plain(why))
}

/// The settings, folded up.
fn settings(view: &View) -> String {
    if view.settings.is_empty() {
        return String::new();
    }
    let changed = counted(view.changed_settings().count() as u64, "is", "are");
    let mut text = format!(
        "\n<details><summary>Settings: {changed} not the default</summary>\n\n| setting | value | from |\n|---|---|---|\n"
    );
    for SettingView { name, value, from, is_default: _ } in &view.settings {
        _ = writeln!(text, "| {} | {} | {} |", code(name), plain(value), from.as_str());
    }
    text + "\n</details>\n"
}

fn undone<'a>(stale: &'a [&RepositoryView]) -> impl Iterator<Item = String> + 'a {
    stale.iter().flat_map(|it| {
        let told = |(why, images): (&String, &u64)| {
            format!("{} {}: {}, {}", plain(&it.region), code(&it.name), counted(*images, "image", "images"), plain(why))
        };
        it.undone.iter().map(told)
    })
}

fn held(view: &View, images: impl Fn(&RepositoryView) -> Vec<HeldView>) -> impl Iterator<Item = String> {
    view.repositories.iter().flat_map(move |it| {
        let tell = |image: HeldView| {
            let name = code(&format!("{}:{}", it.name, image.name()));
            format!("{} {name} used by {}", plain(&it.region), plain(&image.held_by))
        };
        images(it).into_iter().map(tell).collect::<Vec<_>>()
    })
}

/// The stale images of a repository, folded up.
fn images_of(text: &mut Bounded, view: &View, repository: &RepositoryView) {
    if repository.stale.is_empty() {
        return;
    }
    let RepositoryView { region, name, .. } = repository;
    let result = match view.mode {
        Mode::DryRun => "",
        Mode::Live => " result |",
    };
    let line = if result.is_empty() { "" } else { "---|" };
    let open = format!(
        "<details><summary>Stale images of {} in {}</summary>\n\n| image | pushed | size | why |{result}\n|---|---:|---:|---|{line}\n",
        html(name),
        html(region),
    );
    let rows: Vec<_> = repository.stale.iter().collect();
    let close = "\n</details>\n";
    text.fold(&open, close, &rows, |image| {
        let name = match &image.image_tags[..] {
            [] => code(&short_digests(&image.image_digest)),
            tags => tags.iter().map(|tag| code(tag)).collect::<Vec<_>>().join(" "),
        };
        let result = match view.mode {
            Mode::DryRun => String::new(),
            Mode::Live => format!(" {} |", plain(&image.result)),
        };
        let pushed = image.image_pushed_at.map_or_else(String::new, |at| age(at, view.finished_at));
        format!(
            "| {name} | {pushed} | {} | {} |{result}\n",
            bytes(image.image_size_in_bytes),
            plain(&short_digests(&image.reason))
        )
    });
}

/// Text that is shown as it is, in a table as well: nothing in it is markup, a link or a mention.
fn plain(text: &str) -> String {
    let mut escaped = String::new();
    let text = bounded(text);
    for (place, character) in text.char_indices() {
        match character {
            // Addresses are links without any markup, unless they contain the same blank.
            ':' if text[place..].starts_with("://") => escaped.push_str(":\u{200b}"),
            '.' if ends_with_www(&text[..place]) => escaped.push_str("\u{200b}."),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' | '!' => {
                escaped.push('\\');
                escaped.push(character);
            }
            // A blank of no width, so that no person of that name is notified.
            '@' => escaped.push_str("@\u{200b}"),
            character => escaped.push(character),
        }
    }
    escaped
}

fn ends_with_www(text: &str) -> bool {
    text.len().checked_sub(3).and_then(|from| text.get(from..)).is_some_and(|end| end.eq_ignore_ascii_case("www"))
}

/// Text as code, in a table as well.
fn code(text: &str) -> String {
    let text = bounded(text);
    if text.contains(['`', '|']) || text.trim().is_empty() {
        return plain(&text);
    }
    format!("`{text}`")
}

/// Text in HTML.
fn html(text: &str) -> String {
    bounded(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => quoted(&text[..end]) + "…",
        None => quoted(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::{company, crowd};

    #[test]
    fn a_report_is_a_message() {
        insta::assert_snapshot!(markdown_of(&company(Mode::DryRun)));
    }

    #[test]
    fn a_live_run_tells_what_became_of_each_image() {
        insta::assert_snapshot!(markdown_of(&company(Mode::Live)));
    }

    #[test]
    fn a_message_has_a_length_that_is_taken_and_tells_what_it_leaves_out() {
        for repositories in [1, 40, 3_000] {
            let view = crowd(repositories, 2_000);
            let text = markdown_of(&view);
            assert!(text.chars().count() <= MOST_CHARACTERS, "{}", text.chars().count());
            assert!(text.chars().count() > MOST_CHARACTERS - 1_000, "the room is used: {}", text.chars().count());
            let (_, told) = text.rsplit_once("Not listed here: ").expect("it says what it leaves out");
            let told: u64 = told.split(' ').next().unwrap().replace(',', "").parse().unwrap();
            let rows = text.lines().filter(|line| line.starts_with("| `v")).count() as u64;
            assert_eq!(rows + told, view.totals.images_stale, "{repositories}");
            assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
        }
    }

    #[test]
    fn lists_that_leave_no_room_are_counted() {
        let mut view = crowd(3_000, 3_000);
        // Short ones, so that what they leave is less than an image would need.
        view.warnings = (0..5_000).map(|number| format!("warning {number}: {}", "x".repeat(100))).collect();
        view.unread = (0..5_000).map(|number| (format!("app-{number}"), "y".repeat(2_000))).collect();
        view.repositories[0].undone =
            (0..5_000).map(|number| (format!("failed: {number} {}", "z".repeat(390)), 1)).collect();
        let text = markdown_of(&view);
        assert!(text.chars().count() <= MOST_CHARACTERS, "{}", text.chars().count());
        for told in ["2,800 more repositories", "4,950 more errors", "4,950 more reasons", "3,000 stale images"] {
            assert!(text.contains(told), "{told}");
        }
        let shown = text.matches("- warning ").count() as u64;
        let told = format!("{} other lines", count(5_000 - shown));
        assert!(
            text.contains(&told) || text.contains(&format!("{} more warnings", count(5_000 - shown))),
            "{shown} of 5,000"
        );
    }

    #[test]
    fn what_is_quoted_is_no_markup() {
        for (text, expected) in [
            ("a|b", r"a\|b"),
            ("`rm`", r"\`rm\`"),
            ("<script>", r"\<script\>"),
            ("@team", "@\u{200b}team"),
            ("[x](y)\n# z", r"\[x\](y) \# z"),
            ("&lt;", r"\&lt;"),
            (r"\|", r"\\\|"),
            ("see https://example.com.", "see https:\u{200b}//example.com."),
            ("www.example.com, WWW.example.com", "www\u{200b}.example.com, WWW\u{200b}.example.com"),
            ("ftp://a@b.c é:// wwé.", "ftp:\u{200b}//a@\u{200b}b.c é:\u{200b}// wwé."),
        ] {
            assert_eq!(plain(text), expected);
        }
        assert_eq!(code("v1"), "`v1`");
        assert_eq!(code("a`b|c"), r"a\`b\|c");
        assert_eq!(plain(&"x".repeat(5_000)).chars().count(), QUOTED + 1);
    }
}
