//! Reading a manifest counts as pulling it, and must not keep an index alive.

use ecr_cleanup_core::report::Outcome;
use ecr_cleanup_core::warning::WarningCode;
use serde_json::json;
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Repository, SimulatedAws};

use crate::support::{merciless, run_on, set, stale_digests, with};

const ROLE: &str = "arn:aws:iam::123456789012:role/tools/ecr-cleanup";

/// An index with one child for each tag, pulled this long ago.
fn push_index(app: &Repository, tag: &str, index_pulled: f64, child_pulled: f64) {
    let child = Image::untagged().days_old(90.0).pulled_days_ago(child_pulled);
    let index = Image::index_of([&child]).and_tag(tag).days_old(90.0).pulled_days_ago(index_pulled);
    app.push_all([child, index]);
}

fn daily(dry_run: bool) -> serde_json::Value {
    with(merciless(dry_run), &json!({ "keepPulledWithinDays": 30 }))
}

#[tokio::test(start_paused = true)]
async fn two_dry_runs_see_the_same_plan_and_a_live_run_deletes_it() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    push_index(&app, "stale", 40.0, 40.0);
    push_index(&app, "pulled", 40.0, 3.0);
    aws.place(ACCOUNT, REGION).exclude_pull_times_of(ROLE);
    aws.cluster("prod").runs("nginx");
    let first = run_on(&aws, daily(true)).await;
    assert_eq!(first.totals.images_stale, 2);
    let second = run_on(&aws, daily(true)).await;
    assert_eq!(stale_digests(&second), stale_digests(&first));
    assert_eq!(second.totals, first.totals);
    let live = run_on(&aws, daily(false)).await;
    assert_eq!((live.outcome, live.totals.images_deleted), (Outcome::Completed, 2));
    assert_eq!(app.tags(), set(["pulled"]));
    assert!(!aws.calls_of("ecr:BatchGetImage").is_empty(), "manifests were read");
}

#[tokio::test(start_paused = true)]
async fn without_the_exclusion_what_a_dry_run_has_read_stays_and_that_is_told() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    push_index(&app, "stale", 40.0, 40.0);
    push_index(&app, "pulled", 40.0, 3.0);
    aws.cluster("prod").runs("nginx");
    assert_eq!(run_on(&aws, daily(true)).await.totals.images_stale, 2);
    for dry_run in [true, false] {
        let report = run_on(&aws, daily(dry_run)).await;
        assert_eq!(report.totals.images_stale, 0, "what it has read looks pulled");
        assert_eq!(app.tags(), set(["pulled", "stale"]));
        let told = report.warnings.iter().map(ToString::to_string).find(|text| text.contains("pull")).unwrap();
        assert!(told.contains("1 index and its child images are kept only because of such a pull"), "{told}");
        assert!(told.contains("register-pull-time-update-exclusion") && told.contains("a memory"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_for_a_recorded_pull_is_told_also_where_nothing_is_read() {
    let aws = SimulatedAws::in_memory();
    let platform = Image::untagged();
    aws.repository("app").push(Image::index_of([&platform]).and_tag("v1").days_old(90.0).pulled_days_ago(3.0));
    aws.cluster("prod").runs("nginx");
    let report = run_on(&aws, daily(true)).await;
    assert!(aws.calls_of("ecr:BatchGetImage").is_empty());
    let warnings: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.iter().any(|text| text.contains("1 index and its child images are kept only because")),
        "{warnings:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_live_run_without_the_exclusion_deletes_what_it_has_only_read_itself() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    push_index(&app, "stale", 40.0, 40.0);
    aws.cluster("prod").runs("nginx");
    let live = run_on(&aws, daily(false)).await;
    assert_eq!((live.outcome, live.totals.images_deleted), (Outcome::Completed, 2));
    assert_eq!(app.tags(), set([]));
}

#[tokio::test(start_paused = true)]
async fn a_pull_of_an_index_counts_whoever_it_was() {
    for excluded in [None, Some(ROLE), Some("arn:aws:iam::123456789012:role/other")] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app");
        // A node that already has the layers pulls only the index.
        push_index(&app, "pulled", 0.2, 40.0);
        app.push(Image::tagged("junk").days_old(90.0));
        if let Some(arn) = excluded {
            aws.place(ACCOUNT, REGION).exclude_pull_times_of(arn);
        }
        aws.cluster("prod").runs("nginx");
        run_on(&aws, daily(false)).await;
        assert_eq!(app.tags(), set(["pulled"]), "{excluded:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_warning_gives_the_command_that_registers_the_exclusion() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    push_index(&app, "v1", 40.0, 40.0);
    aws.cluster("prod").runs("nginx");
    let command = "aws ecr register-pull-time-update-exclusion --principal-arn \
                   arn:aws:iam::123456789012:role/ecr-cleanup --region us-west-2";
    let warns = |report: &ecr_cleanup_core::report::Report, text: &str| {
        report.warnings.iter().any(|warning| warning.to_string().contains(text))
    };
    assert!(warns(&run_on(&aws, daily(true)).await, command));

    aws.set_caller("arn:aws:iam::123456789012:user/ann");
    assert!(warns(&run_on(&aws, daily(true)).await, "--principal-arn arn:aws:iam::123456789012:user/ann"));

    aws.set_caller("arn:aws:iam::123456789012:root");
    let report = run_on(&aws, daily(true)).await;
    assert!(
        warns(&report, "use a memory, or a role or user that can be registered")
            && !warns(&report, "register-pull-time")
    );

    aws.inject(Fault::denied("ecr:ListPullTimeUpdateExclusions"));
    assert!(warns(&run_on(&aws, daily(true)).await, "grant ecr:ListPullTimeUpdateExclusions"));
    aws.heal();

    aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:root");
    aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:user/ann");
    aws.set_caller("arn:aws:iam::123456789012:user/ann");
    assert!(!warns(&run_on(&aws, daily(true)).await, "last-pull time"));
}

#[tokio::test(start_paused = true)]
async fn who_is_not_registered_hears_that_the_function_takes_their_reading_for_pulls() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    push_index(&app, "v1", 40.0, 40.0);
    aws.place(ACCOUNT, REGION).exclude_pull_times_of(ROLE);
    aws.cluster("prod").runs("nginx");
    assert_eq!(run_on(&aws, daily(true)).await.totals.images_stale, 2, "the function alone");
    aws.set_caller("arn:aws:iam::123456789012:user/ann");
    let by_ann = run_on(&aws, daily(true)).await;
    assert_eq!(by_ann.totals.images_stale, 2);
    let told = by_ann
        .warnings
        .iter()
        .map(ToString::to_string)
        .find(|text| text.contains("updates their last-pull time"))
        .unwrap();
    assert!(told.contains("Stale indexes that a run has read are kept for keepPulledWithinDays"), "{told}");
    assert!(told.contains("--principal-arn arn:aws:iam::123456789012:user/ann --region us-west-2"), "{told}");
    aws.set_caller("arn:aws:sts::123456789012:assumed-role/ecr-cleanup/run");
    assert_eq!(run_on(&aws, daily(true)).await.totals.images_stale, 0, "and after ann has looked");
}

#[tokio::test(start_paused = true)]
async fn where_it_can_not_be_told_whose_they_are_pulls_of_indexes_count() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    push_index(&app, "index-pulled", 3.0, 40.0);
    push_index(&app, "child-pulled", 40.0, 3.0);
    aws.place(ACCOUNT, REGION).exclude_pull_times_of(ROLE);
    aws.inject(Fault::denied("ecr:ListPullTimeUpdateExclusions"));
    aws.cluster("prod").runs("nginx");
    let report = run_on(&aws, daily(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(app.tags(), set(["child-pulled", "index-pulled"]));
    assert!(
        report
            .warnings
            .iter()
            .any(|warning| warning.to_string().contains("can't determine whether reading indexes in us-west-2"))
    );
}

#[tokio::test(start_paused = true)]
async fn the_exclusion_is_found_on_any_page_and_looked_up_once_a_region() {
    let aws = SimulatedAws::in_memory();
    let place = aws.place(ACCOUNT, REGION);
    (0..1_500).for_each(|number| place.exclude_pull_times_of(&format!("arn:aws:iam::123456789012:role/a-{number:04}")));
    place.exclude_pull_times_of(ROLE);
    for name in ["app", "web"] {
        push_index(&aws.repository(name), "pulled", 3.0, 40.0);
    }
    aws.cluster("prod").runs("nginx");
    let report = run_on(&aws, daily(true)).await;
    assert_eq!(report.totals.images_stale, 0);
    assert_eq!(aws.calls_of("ecr:ListPullTimeUpdateExclusions").len(), 2);
}

/// The warning when images to be deleted were pulled, each this number of days ago, and ten more are stale.
async fn told_of_pulls(pulled_days_ago: impl Iterator<Item = f64>) -> Option<String> {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    for (number, pulled) in pulled_days_ago.enumerate() {
        app.push(Image::built_from(&format!("pulled-{number}")).days_old(90.0).pulled_days_ago(pulled));
    }
    app.push_all((0..10).map(|number| Image::built_from(&format!("stale-{number}")).days_old(90.0)));
    aws.cluster("prod").runs("nginx");
    let report = run_on(&aws, daily(true)).await;
    assert_eq!(report.totals.images_stale, 10);
    let told = report.warnings.iter().find(|warning| warning.code == WarningCode::PulledTogether);
    told.map(|warning| warning.message.clone())
}

#[tokio::test(start_paused = true)]
async fn something_that_pulls_everything_in_one_night_is_told_with_the_exclusion_that_helps() {
    let night = (0..290).map(|number| 3.0 + f64::from(number) / 1_000.0);
    let told = told_of_pulls(night).await.unwrap();
    assert!(
        told.starts_with(
            "290 of 300 candidates for deletion of app in us-west-2 are kept only because they were pulled"
        ),
        "{told}"
    );
    let command = "`aws ecr register-pull-time-update-exclusion --principal-arn ITS_ROLE_ARN --region us-west-2`";
    assert!(told.contains(command), "{told}");
}

#[tokio::test(start_paused = true)]
async fn pulls_of_many_days_and_a_few_pulls_are_those_of_workloads() {
    assert_eq!(told_of_pulls((0..290).map(|number| f64::from(number) / 10.0)).await, None);
    assert_eq!(told_of_pulls((0..9).map(|_| 3.0)).await, None);
    assert_eq!(told_of_pulls((0..10).map(|_| 3.0)).await, None, "they are half of the candidates, not most");
    assert!(told_of_pulls((0..11).map(|_| 3.0)).await.unwrap().starts_with("11 of 21 candidates"));
}
