//! An image in use that ECR doesn't have.

use simulated_aws::{ACCOUNT, REGION};

use crate::scene::{Image, Scene, Step};

/// The image was deleted by hand before ecr-cleanup runs.
pub const SCENE: Scene = Scene {
    title: "An image in use is missing from ECR",
    see: "ecr-cleanup warns that a task definition uses mail/sender:v2, which somebody deleted.",
    account: |aws| {
        let sender = aws.repository("mail/sender").daily_builds(3);
        aws.place(ACCOUNT, REGION).register("newsletter", &[&sender.uri("v2")]);
        sender.delete(&sender.digest_of("v2"));
    },
    files: &[],
    steps: &[Step::Run("ecr-cleanup plan --quiet | grep 'mail/sender:v2'")],
    prints: &["newsletter"],
    kept: &[Image(REGION, "mail/sender", "v1"), Image(REGION, "mail/sender", "v3")],
    deleted: &[],
};
