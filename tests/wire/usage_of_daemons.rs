//! The images that ECS daemons use: running ones, deployed ones, and rollback targets.

use std::time::Duration;

use ecr_cleanup_core::report::Outcome;
use simulated_aws::{ACCOUNT, Daemon, Fault, REGION, Repository, SimulatedAws};

use crate::support::{keeps_what_is_used, set, survivors};

/// A daemon that runs this image.
fn daemon(aws: &SimulatedAws, image: &str, digest: Option<&str>) -> Daemon {
    aws.place(ACCOUNT, REGION).daemon(&aws.cluster("prod"), &[("nginx", None), (image, digest)])
}

/// A daemon that runs the image in use, and is being deployed to another, which has replaced it by now.
fn replaced(aws: &SimulatedAws, app: &Repository, status: &'static str) -> (Daemon, usize) {
    let daemon = daemon(aws, &app.uri("gone"), Some(&app.digest_of("used")));
    let deployment = daemon.deploy(status, &[("nginx", None)]);
    daemon.replace_by(deployment);
    (daemon, deployment)
}

keeps_what_is_used! {
    by_what_a_daemon_runs: async |aws, app| {
        _ = daemon(aws, &app.uri("used"), None);
    };
    by_the_digest_that_a_daemon_runs: async |aws, app| {
        _ = daemon(aws, &app.uri("gone"), Some(&app.digest_of("used")));
    };
    by_what_a_daemon_is_deployed_to: async |aws, app| {
        daemon(aws, "nginx", None).deploy("PENDING", &[(&app.uri("used"), None)]);
    };
    by_the_target_of_a_current_deployment_that_is_done: async |aws, app| {
        let daemon = daemon(aws, "nginx", None);
        daemon.name_deployment(daemon.deploy("STOPPED", &[(&app.uri("used"), None)]));
    };
    by_the_101st_deployment: async |aws, app| {
        let daemon = daemon(aws, "nginx", None);
        (0..100).for_each(|_| _ = daemon.deploy("SUCCESSFUL", &[(&app.uri("junk-1"), None)]));
        daemon.deploy("IN_PROGRESS", &[(&app.uri("used"), None)]);
    };
    beside_a_deployment_that_is_gone: async |aws, app| {
        let (daemon, deployment) = replaced(aws, app, "IN_PROGRESS");
        daemon.lose_deployment(deployment);
        aws.cluster("prod").runs(&app.uri("used"));
    };
    beside_a_daemon_that_is_deleted_in_between: async |aws, app| {
        aws.cluster("prod").runs(&app.uri("used"));
        let (daemon, _) = replaced(aws, app, "IN_PROGRESS");
        aws.place(ACCOUNT, REGION).say_gone_by("ClientException");
        aws.inject(Fault::before("ecs:ListDaemonDeployments", Duration::ZERO, move || daemon.delete()));
    };
}

#[tokio::test(start_paused = true)]
async fn by_what_a_deployment_under_way_may_roll_back_to() {
    for status in ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_IN_PROGRESS", "A_STATUS_TO_COME"] {
        for is_named in [true, false] {
            let (tags, report) = survivors(async |aws, app| {
                aws.is_newer_than_its_models("A_STATUS_TO_COME");
                let (daemon, deployment) = replaced(aws, app, status);
                if is_named {
                    daemon.name_deployment(deployment);
                }
            })
            .await;
            assert_eq!((report.outcome, tags), (Outcome::Completed, set(["used"])), "{status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_done_holds_what_it_came_from_no_more() {
    for status in ["SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"] {
        let (tags, report) = survivors(async |aws, app| {
            let (daemon, deployment) = replaced(aws, app, status);
            daemon.name_deployment(deployment);
        })
        .await;
        assert_eq!((report.outcome, tags), (Outcome::Completed, set([])), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_whose_deployments_can_not_be_read_stops_the_run() {
    for operation in ["ecs:ListDaemonDeployments", "ecs:DescribeDaemonDeployments"] {
        for fault in
            [Fault::denied(operation), Fault::blank(operation), Fault::error(operation, 400, "ClientException")]
        {
            let (tags, report) = survivors(async |aws, app| {
                replaced(aws, app, "IN_PROGRESS");
                aws.inject(fault);
            })
            .await;
            assert_eq!((report.outcome.as_str(), tags.len()), ("refused", 3), "{operation}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_daemon_nothing_is_asked_of_deployments() {
    let (tags, report) = survivors(async |aws, app| {
        daemon(aws, "nginx", None).delete();
        aws.cluster("prod").runs(&app.uri("used"));
        aws.inject(Fault::denied("ecs:ListDaemonDeployments"));
        aws.inject(Fault::denied("ecs:DescribeDaemon*"));
    })
    .await;
    assert_eq!((report.outcome, tags), (Outcome::Completed, set(["used"])));
}
