//! The scenes that the demo plays on small accounts, in this order.

mod missing_image;
mod replica;
mod rollback_target;
mod rule_without_image;
mod saved_plan;

use crate::scene::Scene;

/// One row for each file in `scenes`.
pub const ALL: &[Scene] =
    &[replica::SCENE, rollback_target::SCENE, missing_image::SCENE, rule_without_image::SCENE, saved_plan::SCENE];
