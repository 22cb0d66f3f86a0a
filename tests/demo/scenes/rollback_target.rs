//! The image pushed before the one in use.

use simulated_aws::REGION;

use crate::scene::{Image, Scene, Step};

/// The image in use is neither the newest nor the oldest.
pub const SCENE: Scene = Scene {
    title: "The image pushed before the one in use is kept, for a rollback",
    see: "A task runs web/shop:v8, so ecr-cleanup keeps web/shop:v7 too, the target of a rollback.",
    account: |aws| {
        let shop = aws.repository("web/shop").daily_builds(10);
        aws.cluster("web").runs(&shop.uri("v8"));
    },
    files: &[],
    steps: &[
        Step::Run("ecr-cleanup delete --yes --quiet --images-to-keep 1 | head -1"),
        Step::Run("ecr-cleanup explain web/shop:v7 --quiet --images-to-keep 1 | tail -1"),
    ],
    prints: &[],
    kept: &[Image(REGION, "web/shop", "v7"), Image(REGION, "web/shop", "v8"), Image(REGION, "web/shop", "v10")],
    deleted: &[Image(REGION, "web/shop", "v6"), Image(REGION, "web/shop", "v9")],
};
