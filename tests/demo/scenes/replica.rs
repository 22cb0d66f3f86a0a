//! Delete replication: ECR deletes the copies of a deleted image too.

use serde_json::json;
use simulated_aws::{ACCOUNT, Image as Pushed, REGION};

use crate::scene::{Image, Scene, Step};

const COPIES: &str = "eu-central-1";

/// Only the copy has the tag in use.
pub const SCENE: Scene = Scene {
    title: "A copy in use in another Region: its source is kept",
    see: "ecr-cleanup keeps api/orders:v1, because deleting it would delete its copy, which a task in eu-central-1 uses.",
    account: |aws| {
        let (source, copy) = (aws.repository("api/orders"), aws.region(COPIES).repository("api/orders"));
        aws.place(ACCOUNT, REGION).add_replication_rule(&json!({
            "destinations": [{ "region": COPIES, "registryId": ACCOUNT }],
            "deleteReplication": { "enabled": true },
        }));
        for (tag, days) in [("v1", 90.0), ("v2", 60.0), ("v3", 50.0), ("v4", 40.0)] {
            let image = Pushed::tagged(tag).days_old(days);
            source.push(image.clone());
            copy.push(image);
        }
        aws.cluster("web").runs(&source.uri("v4"));
        copy.retag("v1", "production");
        aws.region(COPIES).cluster("web").runs(&copy.uri("production"));
    },
    files: &[],
    steps: &[
        Step::Run("ecr-cleanup delete --yes --quiet --region us-west-2 --images-to-keep 1 | head -1"),
        Step::Run("ecr-cleanup explain api/orders:v1 --quiet --images-to-keep 1 | tail -2"),
    ],
    prints: &[],
    kept: &[Image(REGION, "api/orders", "v1"), Image(COPIES, "api/orders", "v1"), Image(REGION, "api/orders", "v4")],
    deleted: &[Image(REGION, "api/orders", "v2"), Image(COPIES, "api/orders", "v2")],
};
