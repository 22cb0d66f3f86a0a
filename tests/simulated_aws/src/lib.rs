//! A simulated AWS account: the real wire protocols of ECR, ECS, STS, Account Management and the Lambda Runtime API,
//! answered from memory; on loopback for whoever has a socket, or without one, as an HTTP client of the SDK and in time
//! that a test may pause.
//!
//! It is the oracle of the tests, so it is as strict as AWS: page limits and their small defaults, batch limits,
//! tokens that fit their request, and deletion as ECR does it. The AWS SDK and the function talk to it unchanged.
//!
//! ```no_run
//! # async fn example() {
//! use simulated_aws::{Image, SimulatedAws};
//!
//! let aws = SimulatedAws::start().await;
//! let app = aws.repository("app").daily_builds(12);
//! aws.cluster("prod").runs(&app.uri("v3"));
//! # }
//! ```

#![expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "a test that asks for what it never made should fail where it stands"
)]
#![expect(clippy::must_use_candidate, reason = "what a handle changes matters more than what it returns")]

mod account;
mod body;
mod calls;
mod clock;
mod daemons;
mod ecr;
mod ecs;
mod ecs_services;
mod fault;
mod function;
mod functions;
mod image;
mod memory;
mod model;
mod page;
mod quota;
mod replication;
mod repository;
mod request;
mod server;
mod services;
mod signature;
mod sts;
mod vanish;
mod world;

pub use calls::Call;
pub use daemons::Daemon;
pub use fault::Fault;
pub use function::{Function, FunctionError};
pub use functions::LambdaFunction;
pub use image::{CONFIG_SIZE, Image};
pub use model::errors_of;
pub use model::member::{Change, Variation};
pub use repository::Repository;
pub use server::SimulatedAws;
pub use services::Service;
pub use vanish::Thing;
pub use world::{Cluster, Place, Task};

/// The account whose credentials are used unless told otherwise.
pub const ACCOUNT: &str = "123456789012";
/// The region that things are made in unless told otherwise.
pub const REGION: &str = "us-west-2";

/// The access key of an account: here, credentials say whose they are.
#[must_use]
pub fn access_key_of(account: &str) -> String {
    format!("AKIASIM{account}")
}
