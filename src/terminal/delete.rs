//! `ecr-cleanup delete`: deletes stale images after a confirmation, which is a reviewed plan, an answer in the terminal, or
//! `--yes`.

use std::io::{IsTerminal, Write};

use clap::ArgMatches;
use ecr_cleanup_core::account::AccountId;
use ecr_cleanup_core::image::ImageDigest;
use ecr_cleanup_core::memory::{MemoryLocation, PlanLocation};
use ecr_cleanup_core::pattern::Pattern;
use ecr_cleanup_core::plan::{ImageResult, NoLongerStale, NotStaleBecause, RegistryPlan, SkipReason};
use ecr_cleanup_core::policy::Action;
use ecr_cleanup_core::report::Report;
use ecr_cleanup_core::retention::KeepReason;
use ecr_cleanup_core::review::{ReviewedImages, ReviewedPlan};
use ecr_cleanup_core::saved_plan::SavedPlan;
use ecr_cleanup_core::settings::{Environment, Mode, Settings};
use ecr_cleanup_core::warning::WarningCode;

use super::given::{Given, Planned};
use super::session::{Session, Warnings, tell_listed, too_many, usage_unknown};
use super::{
    Done, Stream, Undone, WrongUsage, account_of, arguments, done, flags, interruption, no_region, reviewed, tell,
    trouble,
};
use crate::aws::Aws;
use crate::memory::{PlanNotUsable, read_plan as read_plan_of};
use crate::show::figures::{bytes, counted};
use crate::show::quoted::quoted;
use crate::show::table;

/// More changes than these are counted, and not listed one by one.
const CHANGES_SHOWN: usize = 20;

/// Deletes the stale images after a confirmation, or those of a reviewed plan.
pub(super) async fn delete(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    if let Some(file) = matches.get_one::<String>("plan") {
        let saved_at = saved_in_memory(file)?;
        let saved = match &saved_at {
            Some(location) => read_from_memory(location, matches).await?,
            None => read_plan(file)?,
        };
        let SavedPlan { created_at, settings, tags, reviewed } = saved;
        let given = Given::beside_plan(matches, Planned { settings, tags, file }, environment)?;
        // In a script the plan was reviewed before.
        if has_somebody_to_ask(matches) && !matches.get_flag("yes") {
            let question = question_of_plan(&reviewed);
            if question.is_some_and(|question| !is_agreed(&question)) {
                return Err(not_confirmed());
            }
        }
        let session = Session::begin(matches, &given).await?.about(file);
        let report = session.run_saved(&given.settings, Some(&reviewed), saved_at.as_ref()).await?.report;
        let title = format!("Changes since the plan was created ({}):", created_at.format("%Y-%m-%d %H:%M UTC"));
        tell_carried_out(&session, &reviewed, &report, &title)?;
        tell_listed(&report, &given);
        return Ok(done(&report));
    }
    let given = Given::gather(matches, Mode::Live, environment)?;
    if matches.get_flag("yes") {
        let session = Session::begin(matches, &given).await?;
        session.refuse_idle_exclusions_at_once(&given).await?;
        let report = session.run(&given.settings, None).await?.report;
        session.print(&report, None)?;
        session.hint(&report, &given);
        refuse_no_repository(&report, &given)?;
        return Ok(done(&report));
    }
    if !has_somebody_to_ask(matches) {
        return Err(Undone::WrongUsage(
            "can't prompt for confirmation (stdin is not a terminal). Pass --yes, or create a plan file: ecr-cleanup plan --out plan.json"
                .to_owned(),
        ));
    }
    let session = Session::begin(matches, &given).await?;
    let dry = Settings { mode: Mode::DryRun, ..given.settings.clone() };
    let planned = session.run(&dry, None).await?.report;
    session.refuse_idle_exclusions(&planned, &given)?;
    session.hint(&planned, &given);
    refuse_no_repository(&planned, &given)?;
    // The question is a dialogue, and stdout is for the report of what was done.
    let view = session.view(&planned, None);
    _ = write!(std::io::stderr(), "{}", table::table_of(&view, &session.look(Stream::Stderr)));
    let (Some(account), images) = (account_of(&planned), planned.totals.images_stale) else {
        return Ok(done(&planned));
    };
    if images == 0 {
        tell("No stale images to delete.");
        return Ok(done(&planned));
    }
    // Don't prompt for a delete that would be refused.
    if !planned.usage.complete {
        return Err(Undone::Failed(usage_unknown(Warnings::Above, 0)));
    }
    if let Some(skewed) = planned.warnings.iter().find(|warning| warning.code == WarningCode::ClockSkew) {
        return Err(Undone::Failed(skewed.to_string()));
    }
    if let Some(max_deletions) = given.settings.max_deletions.filter(|max_deletions| *max_deletions < images) {
        return Err(Undone::Failed(too_many(images, max_deletions)));
    }
    let reviewed = ReviewedPlan::of(account.clone(), &planned.plan);
    if !is_agreed(&question(&planned, account)) {
        return Err(not_confirmed());
    }
    session.shown.restart();
    let report = session.run(&given.settings, Some(&reviewed)).await?.report;
    tell_carried_out(&session, &reviewed, &report, "Changes since you confirmed:")?;
    Ok(done(&report))
}

fn not_confirmed() -> Undone {
    Undone::Failed("not confirmed. Nothing was deleted.".to_owned())
}

/// The location of a plan that a dry run saved in a memory; `None` for a plan file.
fn saved_in_memory(plan: &str) -> Result<Option<PlanLocation>, WrongUsage> {
    match plan.parse::<PlanLocation>() {
        Ok(location) => {
            let is_plan_file = !plan.ends_with(".json.gz") && std::path::Path::new(plan).is_file();
            Ok((!is_plan_file).then_some(location))
        }
        Err(error) if plan.starts_with("s3:") => Err(WrongUsage(format!(
            "{plan} is not the location of a plan: {error}, such as s3://my-bucket/ecr-cleanup/plans/2026-01-01T00-00-00Z-1a2b."
        ))),
        Err(_) => Ok(None),
    }
}

/// Reads a plan that a dry run saved in a memory.
async fn read_from_memory(location: &PlanLocation, matches: &ArgMatches) -> Result<SavedPlan, Undone> {
    let profile = matches.get_one::<String>("profile").map(String::as_str);
    let aws = Aws::from_profile(profile).await.with_somebody_waiting();
    if aws.region().is_none() && matches!(location.memory, MemoryLocation::Bucket { .. }) {
        return Err(no_region());
    }
    read_plan_of(location, &aws, interruption::deadline()).await.map_err(|error| match error {
        PlanNotUsable::Unavailable(trouble) => {
            Undone::Failed(format!("can't read the plan, so nothing was deleted: {trouble}"))
        }
        PlanNotUsable::NotAPlan(error) => WrongUsage(format!("{location}: {error}. Nothing was deleted.")).into(),
        PlanNotUsable::Unknown(_) | PlanNotUsable::CarriedOut(_) => {
            WrongUsage(format!("{error}. Nothing was deleted.")).into()
        }
    })
}

/// Reads a plan file.
fn read_plan(file: &str) -> Result<SavedPlan, WrongUsage> {
    let text = std::fs::read_to_string(file).map_err(|error| WrongUsage(unread(file, &error)))?;
    SavedPlan::parse(&text).map_err(|error| WrongUsage(format!("{file}: {error}. Nothing was deleted.")))
}

/// The error for a plan file that can't be read. It may be the name of a repository.
fn unread(file: &str, error: &std::io::Error) -> String {
    let is_json = std::path::Path::new(file).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    if !is_json && Pattern::for_repositories(file).is_ok() {
        return format!(
            "there is no plan file {file}. To clean up one repository: ecr-cleanup delete --repositories {}",
            arguments::in_a_shell(file)
        );
    }
    format!("can't read plan file {file}: {}. To create one: ecr-cleanup plan --out {file}", trouble::plain(error))
}

/// Refuses patterns of repositories to delete from that match none: such a pattern is a mistake.
fn refuse_no_repository(report: &Report, given: &Given) -> Result<(), Undone> {
    let selects_none = |registry: &RegistryPlan| registry.repositories.as_ref().is_ok_and(Vec::is_empty);
    if given.settings.repositories.is_everything() || !report.plan.registries.iter().all(selects_none) {
        return Ok(());
    }
    Err(Undone::WrongUsage(
        "no repository matches --repositories and --exclude-repositories. Nothing was deleted.".to_owned(),
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

/// The question before a reviewed plan is carried out; `None` where the plan has no images.
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
    Some(format!("{what} of this plan, unless they are not stale any more, in {regions} of account {account}?"))
}

/// The question before the images of a plan that was just shown are deleted.
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

/// Prints the report of a reviewed plan, and then what has changed since the review.
fn tell_carried_out(session: &Session, reviewed: &ReviewedPlan, report: &Report, title: &str) -> Result<(), Undone> {
    let carried_out = reviewed::of(reviewed, report);
    // Of the formats, only those for people say it.
    let others = carried_out.not_in_plan().filter(|_| !session.is_for_people());
    session.print(report, Some(carried_out))?;
    tell_changes(report, title);
    if let Some(others) = others {
        tell(&others);
    }
    Ok(())
}

/// Writes the changes since the plan was reviewed.
fn tell_changes(report: &Report, title: &str) {
    let mut changes = Vec::new();
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
                if let Some(change) = change(&image.result) {
                    changes.push(format!("{} {change}", name(&image.image_tags, image.image_digest)));
                }
            }
        }
    }
    if changes.is_empty() {
        return;
    }
    changes.sort_unstable();
    tell(title);
    for change in changes.iter().take(CHANGES_SHOWN) {
        tell(&format!("  {}", flags::named_in(&quoted(change))));
    }
    if let Some(others) = changes.len().checked_sub(CHANGES_SHOWN).filter(|others| *others > 0) {
        tell(&format!("  and {others} more. For all of them: --format json"));
    }
}

fn why_not_stale(why: &NotStaleBecause) -> String {
    match why {
        NotStaleBecause::Gone => "no longer exists".to_owned(),
        NotStaleBecause::Kept(_, Some(holder)) => format!("is in use: {holder}"),
        NotStaleBecause::Kept(reason, None) => format!("is kept: {}", in_words(*reason)),
    }
}

/// The reason to keep an image, in a phrase.
fn in_words(reason: KeepReason) -> &'static str {
    match reason {
        KeepReason::InUse => "in use",
        KeepReason::BeforeInUse => "pushed before an image in use",
        KeepReason::KeepTags => "a tag matches keepTags",
        KeepReason::IgnoreTagsRegex => "a tag matches ignoreTagsRegex",
        KeepReason::Newest => "among the newest",
        KeepReason::PulledRecently => "pulled recently",
        KeepReason::PushedRecently => "pushed recently",
        KeepReason::Policy => "no policy rule selects it",
        KeepReason::Untagged => "untagged, but not too old",
        KeepReason::ParentOfInUse => "parent of an image in use",
        KeepReason::ChildOfKept => "child of a kept image",
        KeepReason::ReferrerOfKept => "attached to a kept image",
        KeepReason::Replicated => "a copy elsewhere is kept",
        KeepReason::SharedElsewhere => "other accounts can pull it",
        KeepReason::Unreadable => "a reference or manifest can't be read",
        other => other.as_str(),
    }
}

/// The change of an image since the review, by its result. Images that were not reviewed are counted elsewhere.
fn change(result: &ImageResult) -> Option<String> {
    match result {
        ImageResult::Gone => Some("no longer exists".to_owned()),
        ImageResult::Skipped(because) if *because != SkipReason::NotReviewed => {
            Some(format!("is kept: {}", because.as_str()))
        }
        ImageResult::Skipped(_)
        | ImageResult::Planned
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
