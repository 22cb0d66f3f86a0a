//! A plan that is saved, reviewed and carried out later.

use simulated_aws::REGION;

use crate::scene::{Image, Scene, Step};

/// Between the plan and the deletion, a task starts from an image in the plan.
pub const SCENE: Scene = Scene {
    title: "A saved plan is carried out, except for an image that came into use",
    see: "A task starts from web/shop:v1 after the plan was saved, so ecr-cleanup keeps v1 and deletes the rest of the plan.",
    account: |aws| {
        let shop = aws.repository("web/shop").daily_builds(6);
        aws.cluster("web").runs(&shop.uri("v6"));
    },
    files: &[],
    steps: &[
        Step::Run("ecr-cleanup plan --quiet --images-to-keep 2 --out plan.json | head -1"),
        Step::Change("A task starts from web/shop:v1.", |aws| {
            aws.cluster("web").runs(&aws.repository("web/shop").uri("v1"));
        }),
        Step::Run("ecr-cleanup delete --quiet plan.json | head -1"),
    ],
    prints: &["web/shop:v1"],
    kept: &[Image(REGION, "web/shop", "v1"), Image(REGION, "web/shop", "v5"), Image(REGION, "web/shop", "v6")],
    deleted: &[Image(REGION, "web/shop", "v2"), Image(REGION, "web/shop", "v3"), Image(REGION, "web/shop", "v4")],
};
