//! ECS: daemons, their revisions and deployments.

use serde_json::{Value, json};

use crate::ecs::{INVALID, PAGES, cluster, gone};
use crate::ecs_services::{container_images, describe, renamed};
use crate::page::{listing, page};
use crate::request::{Request, ServiceError};
use crate::world::{Cluster, Place, Region, owned};

/// An ECS daemon.
#[derive(Clone)]
pub struct Daemon {
    place: Place,
    arn: String,
}

/// The state of a daemon.
pub(crate) struct StoredDaemon {
    cluster: String,
    /// Its revisions; the first is current until another is deployed.
    revisions: Vec<Vec<(String, Option<String>)>>,
    current: usize,
    deployments: Vec<DaemonDeployment>,
    /// Its current deployment.
    deployment: Option<usize>,
}

/// A deployment of a daemon, from one of its revisions to another.
struct DaemonDeployment {
    status: &'static str,
    from: usize,
    to: usize,
    is_missing: bool,
}

impl Place {
    /// Creates a daemon. Without one, the Region rejects the operations for daemons as unknown.
    pub fn daemon(&self, cluster: &Cluster, images: &[(&str, Option<&str>)]) -> Daemon {
        let revisions = vec![owned(images)];
        let arn = self.update(|region| {
            let daemons = region.daemons.get_or_insert_default();
            let arn = format!("arn:aws:ecs:{}:{}:daemon/{}/{}", self.region, self.account, cluster.name, daemons.len());
            let cluster = cluster.arn.clone();
            let daemon = StoredDaemon { cluster, revisions, current: 0, deployments: Vec::new(), deployment: None };
            daemons.insert(arn.clone(), daemon);
            arn
        });
        Daemon { place: self.clone(), arn }
    }
}

impl Daemon {
    /// Deploys a revision of these images, and returns the deployment's number. The old revision stays current until
    /// [`Self::replace_by`].
    pub fn deploy(&self, status: &'static str, images: &[(&str, Option<&str>)]) -> usize {
        self.update(|daemon| {
            daemon.revisions.push(owned(images));
            let (from, to) = (daemon.current, daemon.revisions.len() - 1);
            daemon.deployments.push(DaemonDeployment { status, from, to, is_missing: false });
            daemon.deployments.len() - 1
        })
    }

    /// Makes a deployment's revision the current one.
    pub fn replace_by(&self, deployment: usize) {
        self.update(|daemon| daemon.current = daemon.deployments[deployment].to);
    }

    /// Makes `DescribeDaemon` return this deployment.
    pub fn name_deployment(&self, deployment: usize) {
        self.update(|daemon| daemon.deployment = Some(deployment));
    }

    /// Makes ECS list a deployment and fail to describe it.
    pub fn lose_deployment(&self, deployment: usize) {
        self.update(|daemon| daemon.deployments[deployment].is_missing = true);
    }

    /// Deletes the daemon.
    pub fn delete(&self) {
        self.place.update(|region| _ = region.daemons.get_or_insert_default().remove(&self.arn));
    }

    fn update<T>(&self, change: impl FnOnce(&mut StoredDaemon) -> T) -> T {
        self.place.update(|region| {
            change(region.daemons.get_or_insert_default().get_mut(&self.arn).expect("the daemon exists"))
        })
    }
}

/// Answers a request; `None` if the Region has no support for daemons.
pub(crate) fn answer(region: &Region, request: &Request) -> Option<Result<Value, ServiceError>> {
    let daemons = region.daemons.as_ref()?;
    let daemon = || {
        let arn = request.text("daemonArn", INVALID)?;
        // `ListDaemonDeployments` has no error code of its own for a deleted daemon.
        let code = if request.action == "DescribeDaemon" { "DaemonNotFoundException" } else { "ClientException" };
        daemons.get(arn).map(|daemon| (arn, daemon)).ok_or_else(|| gone(region, code))
    };
    Some(match request.action.as_str() {
        "ListDaemons" => cluster(region, request).and_then(|_| {
            let of_cluster = daemons.iter().filter(|(_, daemon)| request.body["clusterArn"] == daemon.cluster.as_str());
            let listed: Vec<Value> =
                of_cluster.map(|(arn, _)| json!({ "daemonArn": arn, "status": "ACTIVE" })).collect();
            page(&request.body, &listed, PAGES).map(|(listed, next)| listing("daemonSummariesList", listed, next))
        }),
        "DescribeDaemon" => daemon().map(|(arn, daemon)| {
            let current = numbered(arn, "revision", daemon.current);
            let revision = json!({ "arn": current, "totalRunningCount": 1, "totalWithoutDaemonCount": 0 });
            let deployment = daemon.deployment.map(|number| numbered(arn, "deployment", number));
            json!({ "daemon": { "daemonArn": arn, "currentRevisions": [revision], "deploymentArn": deployment } })
        }),
        "ListDaemonDeployments" => daemon().and_then(|(arn, daemon)| {
            let listed = daemon.deployments.iter().enumerate().map(|(number, deployment)| {
                json!({ "daemonDeploymentArn": numbered(arn, "deployment", number), "status": deployment.status })
            });
            let (listed, next) = page(&request.body, &listed.collect::<Vec<Value>>(), PAGES)?;
            Ok(listing("daemonDeployments", listed, next))
        }),
        "DescribeDaemonDeployments" => describe(request, "daemonDeploymentArns", 20, |arn| {
            let (daemon, number) = arn.split_once("/deployment/").ok_or("MISSING")?;
            let deployments = &daemons.get(daemon).ok_or("MISSING")?.deployments;
            let deployment = deployments.get(number.parse::<usize>().unwrap_or(usize::MAX)).ok_or("MISSING")?;
            let revision = |number| json!({ "arn": numbered(daemon, "revision", number) });
            if deployment.is_missing {
                return Err("MISSING".to_owned());
            }
            Ok(json!({
                "daemonDeploymentArn": arn,
                "status": deployment.status,
                "sourceDaemonRevisions": [revision(deployment.from)],
                "targetDaemonRevision": revision(deployment.to),
            }))
        })
        .map(|answer| renamed(answer, "daemonDeploymentArns", "daemonDeployments")),
        "DescribeDaemonRevisions" => describe(request, "daemonRevisionArns", 20, |revision| {
            let (arn, number) = revision.split_once("/revision/").ok_or("MISSING")?;
            let revisions = &daemons.get(arn).ok_or("MISSING")?.revisions;
            let images = revisions.get(number.parse::<usize>().unwrap_or(usize::MAX)).ok_or("MISSING")?;
            Ok(json!({ "daemonRevisionArn": revision, "daemonArn": arn, "containerImages": container_images(images) }))
        })
        .map(|answer| renamed(answer, "daemonRevisionArns", "daemonRevisions")),
        _ => return None,
    })
}

/// The ARN of a daemon's revision or deployment.
fn numbered(daemon: &str, what: &str, number: usize) -> String {
    format!("{daemon}/{what}/{number}")
}
