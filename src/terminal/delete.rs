//! `ecr-cleanup delete`: what is stale goes, once somebody has agreed to it: in a plan that was reviewed, when asked, or
//! by `--yes`.

use std::io::{IsTerminal, Write};

use clap::ArgMatches;
use ecr_cleanup_core::account::AccountId;
use ecr_cleanup_core::image::ImageDigest;
use ecr_cleanup_core::plan::{ImageResult, NoLongerStale, NotStaleBecause, Refusal, RegistryPlan, SkipReason};
use ecr_cleanup_core::policy::Action;
use ecr_cleanup_core::report::Report;
use ecr_cleanup_core::review::{ReviewedImages, ReviewedPlan};
use ecr_cleanup_core::saved_plan::SavedPlan;
use ecr_cleanup_core::settings::{Environment, Mode, Settings};
use ecr_cleanup_core::warning::WarningCode;

use super::given::{Given, Planned};
use super::session::{Session, tell_listed};
use super::{Done, Stream, Undone, WrongUsage, account_of, done, tell};
use crate::show::figures::{bytes, counted};
use crate::show::quoted::quoted;
use crate::show::table;

/// More changes than these are counted, and not told one by one.
const CHANGES_SHOWN: usize = 20;

/// Deletes what is stale, after asking, or what a reviewed plan has.
pub(super) async fn delete(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    if let Some(file) = matches.get_one::<String>("plan") {
        let SavedPlan { created_at, settings, tags, reviewed } = read_plan(file)?;
        let given = Given::beside_plan(matches, Planned { settings, tags, file }, environment)?;
        // Who carries a plan out without a terminal has reviewed it before.
        if has_somebody_to_ask(matches) && !matches.get_flag("yes") {
            let question = question_of_plan(&reviewed);
            if question.is_some_and(|question| !is_agreed(&question)) {
                return Err(Undone::Failed("not confirmed, so nothing was deleted".to_owned()));
            }
        }
        let session = Session::begin(matches, &given).await?;
        let report = session.run(&given.settings, Some(&reviewed)).await?.report;
        session.print(&report)?;
        tell_listed(&report, &given);
        tell_changes(&report, &format!("Since the plan was made ({}):", created_at.format("%Y-%m-%d %H:%M UTC")));
        return Ok(done(&report));
    }
    let given = Given::gather(matches, Mode::Live, environment)?;
    if matches.get_flag("yes") {
        let session = Session::begin(matches, &given).await?;
        session.refuse_idle_exclusions_at_once(&given).await?;
        let report = session.run(&given.settings, None).await?.report;
        session.print(&report)?;
        session.hint(&report, &given);
        refuse_no_repository(&report, &given)?;
        return Ok(done(&report));
    }
    if !has_somebody_to_ask(matches) {
        return Err(Undone::WrongUsage(
            "there is no terminal to ask on: look at `ecr-cleanup plan`, then give --yes, or save the plan with --out and carry it out with `ecr-cleanup delete PLAN`"
                .to_owned(),
        ));
    }
    let session = Session::begin(matches, &given).await?;
    let dry = Settings { mode: Mode::DryRun, ..given.settings.clone() };
    let planned = session.run(&dry, None).await?.report;
    session.refuse_idle_exclusions(&planned, &given)?;
    session.hint(&planned, &given);
    refuse_no_repository(&planned, &given)?;
    // The question is a dialogue, and stdout is for what comes of it.
    _ = write!(std::io::stderr(), "{}", table::table(&planned, &session.look(Stream::Stderr)));
    let (Some(account), images) = (account_of(&planned), planned.totals.images_stale) else {
        return Ok(done(&planned));
    };
    if images == 0 {
        tell("Nothing is to be deleted.");
        return Ok(done(&planned));
    }
    // What would be refused is not asked for.
    if !planned.usage.complete {
        return Err(Undone::Failed("what is in use is not known in full, so nothing can be deleted".to_owned()));
    }
    if let Some(skewed) = planned.warnings.iter().find(|warning| warning.code == WarningCode::ClockSkew) {
        return Err(Undone::Failed(quoted(&skewed.to_string())));
    }
    if let Some(max_deletions) = given.settings.max_deletions.filter(|max_deletions| *max_deletions < images) {
        let refusal = Refusal::TooManyDeletions { stale: images, max_deletions };
        return Err(Undone::Failed(refusal.to_string()));
    }
    let reviewed = ReviewedPlan::of(account.clone(), &planned.plan);
    if !is_agreed(&question(&planned, account)) {
        return Err(Undone::Failed("not confirmed, so nothing was deleted".to_owned()));
    }
    session.shown.restart();
    let report = session.run(&given.settings, Some(&reviewed)).await?.report;
    session.print(&report)?;
    tell_changes(&report, "Since you were asked:");
    Ok(done(&report))
}

/// Reads a plan file.
fn read_plan(file: &str) -> Result<SavedPlan, WrongUsage> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| WrongUsage(format!("{file}: {error} (a plan is made by `ecr-cleanup plan --out {file}`)")))?;
    SavedPlan::parse(&text).map_err(|error| WrongUsage(format!("{file}: {error}; nothing was deleted")))
}

/// Who names what to delete from, and hits nothing, did not mean that.
fn refuse_no_repository(report: &Report, given: &Given) -> Result<(), Undone> {
    let selects_none = |registry: &RegistryPlan| registry.repositories.as_ref().is_ok_and(Vec::is_empty);
    if given.settings.repositories.is_everything() || !report.plan.registries.iter().all(selects_none) {
        return Ok(());
    }
    Err(Undone::WrongUsage(
        "repositories and excludeRepositories leave no repository, so nothing was deleted".to_owned(),
    ))
}

fn has_somebody_to_ask(matches: &ArgMatches) -> bool {
    let reads_stdin = matches.get_many::<String>("in-use-file").into_iter().flatten().any(|file| file == "-");
    !reads_stdin && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks whether something is to be done.
fn is_agreed(question: &str) -> bool {
    _ = write!(std::io::stderr(), "{} Type yes: ", quoted(question));
    _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

/// What is to be asked before a reviewed plan is carried out, where there is anything in it.
fn question_of_plan(ReviewedPlan { account, registries }: &ReviewedPlan) -> Option<String> {
    let images_in = registries.values().flat_map(|repositories| repositories.values().flat_map(ReviewedImages::values));
    let (deleted, archived): (Vec<_>, Vec<_>) = images_in.partition(|image| image.action == Action::Expire);
    let what = match (deleted.len() as u64, archived.len() as u64) {
        (0, 0) => return None,
        (deleted, 0) => format!("Delete {}", images(deleted)),
        (0, archived) => format!("Archive {}", images(archived)),
        (deleted, archived) => format!("Delete {} and archive {}", images(deleted), images(archived)),
    };
    let regions = registries.keys().map(|place| place.region.as_str()).collect::<Vec<_>>().join(", ");
    Some(format!("{what} of this plan, as far as it still holds, in {regions} of account {account}?"))
}

fn question(planned: &Report, account: &AccountId) -> String {
    let totals = &planned.totals;
    let archived = totals.images_to_archive;
    let deleted = totals.images_stale - archived;
    let mut what = Vec::new();
    if deleted > 0 {
        let frees = match totals.exact_bytes_stale {
            Some(exact) => format!("exactly {}", bytes(exact)),
            None => format!("up to {}", bytes(totals.bytes_stale)),
        };
        what.push(format!("Delete {}, which frees {frees},", images(deleted)));
    }
    if archived > 0 {
        let verb = if deleted > 0 { "and archive" } else { "Archive" };
        what.push(format!("{verb} {} (up to {})", images(archived), bytes(totals.bytes_to_archive)));
    }
    let has_stale = |registry: &&RegistryPlan| {
        registry.repositories.iter().flatten().any(|it| it.decided.as_ref().is_ok_and(|it| !it.stale.is_empty()))
    };
    let regions = planned.plan.registries.iter().filter(has_stale).map(|registry| registry.place.region.as_str());
    format!("{} in {} of account {account}?", what.join(" "), regions.collect::<Vec<_>>().join(", "))
}

/// Tells what is not any more as it was when the plan was reviewed.
fn tell_changes(report: &Report, title: &str) {
    let mut changes = Vec::new();
    let mut new = 0;
    for registry in &report.plan.registries {
        for repository in registry.repositories.iter().flatten() {
            let Ok(decided) = &repository.decided else { continue };
            let name = |tags: &[Box<str>], digest: ImageDigest| {
                let tags = if tags.is_empty() { String::new() } else { format!(":{}", tags.join(",")) };
                format!("{} {}{tags}@{digest}", registry.place.region, repository.repository_name)
            };
            changes.extend(decided.no_longer_stale.iter().map(|NoLongerStale { image_digest, image_tags, why }| {
                format!("{} {}", name(image_tags, *image_digest), why_not_stale(why))
            }));
            for image in &decided.stale {
                if image.result == ImageResult::Skipped(SkipReason::NotReviewed) {
                    new += 1;
                } else if let Some(change) = change(&image.result) {
                    changes.push(format!("{} {change}", name(&image.image_tags, image.image_digest)));
                }
            }
        }
    }
    if changes.is_empty() && new == 0 {
        return;
    }
    changes.sort_unstable();
    tell(title);
    for change in changes.iter().take(CHANGES_SHOWN) {
        tell(&format!("  {}", quoted(change)));
    }
    if let Some(others) = changes.len().checked_sub(CHANGES_SHOWN).filter(|others| *others > 0) {
        tell(&format!("  and {others} more; --format json has them all"));
    }
    if new > 0 {
        tell(&format!("  not in the plan, though stale now, and not touched: {}", images(new)));
    }
}

fn why_not_stale(why: &NotStaleBecause) -> String {
    match why {
        NotStaleBecause::Gone => "is gone".to_owned(),
        NotStaleBecause::Kept(_, Some(holder)) => format!("is in use: {holder}"),
        NotStaleBecause::Kept(reason, None) => format!("stays: {}", reason.as_str()),
    }
}

/// What an image's result tells of what it was before.
fn change(result: &ImageResult) -> Option<String> {
    match result {
        ImageResult::Gone => Some("is gone".to_owned()),
        ImageResult::Skipped(because) => Some(format!("stays: {}", because.as_str())),
        ImageResult::Planned
        | ImageResult::Deleted
        | ImageResult::Archived
        | ImageResult::Kept
        | ImageResult::NotAllowed(_)
        | ImageResult::Failed { .. }
        | ImageResult::NotAttempted(_) => None,
    }
}

fn images(number: u64) -> String {
    counted(number, "image", "images")
}
