//! A rule of a policy that selects no image.

use simulated_aws::{Image as Pushed, REGION};

use crate::scene::{Image, Scene, Step};

/// ECR joins the patterns of a rule with AND. Many people read a list of patterns as OR.
const POLICIES: &str = r#"[{
  "repositories": ["*"],
  "rules": [{
    "rulePriority": 1,
    "description": "keep 2 builds of each branch",
    "selection": {
      "tagStatus": "tagged",
      "tagPatternList": ["dev-*", "test-*"],
      "countType": "imageCountMoreThan",
      "countNumber": 2
    },
    "action": { "type": "expire" }
  }]
}]"#;

/// Every image has a tag for one of the patterns, and no image has tags for both.
pub const SCENE: Scene = Scene {
    title: "A policy rule selects no image",
    see: "ecr-cleanup warns that no image has a tag for each of the rule's two patterns.",
    account: |aws| {
        let app = aws.repository("web/app");
        for branch in ["dev", "test"] {
            app.push_all((1..=4).map(|build| Pushed::tagged(&format!("{branch}-{build}")).days_old(90.0)));
        }
        aws.cluster("web").runs(&app.uri("dev-4"));
    },
    files: &[("policies.json", POLICIES)],
    steps: &[Step::Run("ecr-cleanup plan --quiet --policies policies.json | grep 'test-\\*'")],
    prints: &["dev-*", "keep 2 builds of each branch"],
    kept: &[Image(REGION, "web/app", "dev-1")],
    deleted: &[],
};
