use std::collections::BTreeSet;

use super::*;
use crate::show::tests::{company, crowd};

fn plain(width: Option<u16>, details: Details) -> Look {
    Look { width, colours: Colours::None, details }
}

/// The widest line of the tables, which alone are fitted: sentences are wrapped by the terminal.
fn widest(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with(['│', '┌'])).map(|line| line.chars().count()).max().unwrap()
}

#[test]
fn a_wide_terminal_shows_everything() {
    insta::assert_snapshot!(table_of(&company(Mode::DryRun), &plain(Some(200), Details::Images)));
}

#[test]
fn a_middling_terminal_shows_what_matters() {
    insta::assert_snapshot!(table_of(&company(Mode::DryRun), &plain(Some(100), Details::Images)));
}

#[test]
fn a_narrow_terminal_shows_the_least() {
    insta::assert_snapshot!(table_of(&company(Mode::DryRun), &plain(Some(60), Details::Repositories)));
}

#[test]
fn a_live_run_shows_what_was_done_and_what_was_not() {
    insta::assert_snapshot!(table_of(&company(Mode::Live), &plain(Some(160), Details::Images)));
}

#[test]
fn what_is_no_terminal_gets_whole_names() {
    let text = table_of(&company(Mode::DryRun), &plain(None, Details::Images));
    assert!(text.contains("platform/data/forecasting/nightly-model-training-and-evaluation"));
    assert!(text.contains(&format!("named by the stale index sha256:{:064x}", 1)));
}

#[test]
fn no_table_is_wider_than_its_terminal() {
    for mode in [Mode::DryRun, Mode::Live] {
        for width in 60..220 {
            let text = table_of(&company(mode), &plain(Some(width), Details::Images));
            assert!(widest(&text) <= usize::from(width), "{width}\n{text}");
        }
    }
}

#[test]
fn no_line_is_wider_than_its_terminal_and_no_word_is_broken() {
    for mode in [Mode::DryRun, Mode::Live] {
        let whole = table_of(&company(mode), &plain(None, Details::Images));
        let words: BTreeSet<&str> = whole.split_whitespace().collect();
        for width in 10..220 {
            let text = table_of(&company(mode), &plain(Some(width), Details::Images));
            for line in text.lines() {
                let is_one_word = line.split_whitespace().count() == 1;
                assert!(is_one_word || line.chars().count() <= usize::from(width), "{width} {line:?}\n{text}");
            }
            // What is shortened says so, or is a short digest. Frames of tables are no words.
            let is_shortened = |word: &&str| word.contains('…') || (word.starts_with("sha256:") && word.len() == 19);
            let long = text.split_whitespace().filter(|word| word.chars().count() > 9 && !is_shortened(word));
            for word in long.filter(|word| !word.contains(['─', '═'])) {
                assert!(words.contains(word), "{width}: {word:?}\n{text}");
            }
        }
    }
}

#[test]
fn where_no_table_fits_each_repository_has_a_sentence() {
    let text = table_of(&company(Mode::DryRun), &plain(Some(40), Details::Images));
    assert!(text.contains("\nus-west-2 web/storefront: 3 of 5,114\n  images stale, frees up to 192.0 MiB\n"), "{text}");
    assert!(text.contains("\ntotal: 4 of 5,340 images stale, frees up\n  to 256.0 MiB\n"), "{text}");
    let image = "\nbuild-1 1.0.0 sha256:000000000000\n  pushed 670 days ago, 64.0 MiB\n  not among the 100 newest tagged images\n";
    assert!(text.contains(image), "{text}");
    let live = table_of(&company(Mode::Live), &plain(Some(40), Details::Images));
    assert!(live.contains("\n  result: skipped: its tags have changed\n"), "{live}");
}

#[test]
fn colours_add_nothing_but_colours() {
    let view = company(Mode::Live);
    let coloured = table_of(&view, &Look { width: Some(120), colours: Colours::Ansi, details: Details::Images });
    let mut text = String::new();
    let mut parts = coloured.split('\u{1b}');
    text.push_str(parts.next().unwrap());
    for part in parts {
        text.push_str(part.split_once('m').unwrap().1);
    }
    assert_ne!(text, coloured);
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&text), trimmed(&table_of(&view, &plain(Some(120), Details::Images))));
}

#[test]
fn an_account_without_anything_stale_needs_no_table() {
    let text = table_of(&crowd(3, 0), &plain(Some(100), Details::Images));
    assert_eq!(
        text,
        "Dry run, planned: 0 of 0 images in 3 repositories are stale.\n\
         3 repositories have no stale images.\n\
         These repositories store up to 0 B, which cost up to $0.00 a month. 0 images are in use, 0 kept in\n  total.\n\
         Checked ECS and Lambda in 1 Region of 1 account: found 0 references to images.\n\
         Not checked: EKS, EC2, Batch, App Runner, SageMaker, CodeBuild, and schedules that pin older task\n  definition \
         revisions.\n"
    );
}

#[test]
fn without_a_repository_nothing_is_stored() {
    let text = table_of(&crowd(0, 0), &plain(Some(100), Details::Images));
    assert_eq!(
        text,
        "Dry run, planned: 0 of 0 images in 0 repositories are stale.\n\
         Checked ECS and Lambda in 1 Region of 1 account: found 0 references to images.\n\
         Not checked: EKS, EC2, Batch, App Runner, SageMaker, CodeBuild, and schedules that pin older task\n  definition \
         revisions.\n"
    );
    let mut one = crowd(1, 0);
    one.totals.repositories = 1;
    assert!(table_of(&one, &plain(None, Details::Images)).contains("\nThis repository stores up to "));
}

#[test]
fn a_refused_run_does_not_speak_of_savings() {
    let mut view = company(Mode::Live);
    view.totals.images_deleted = 0;
    let text = table_of(&view, &plain(Some(120), Details::Repositories));
    assert!(text.contains("\nNothing was deleted.\n") && !text.contains("That freed"), "{text}");
}
