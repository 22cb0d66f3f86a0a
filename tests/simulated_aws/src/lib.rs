//! A simulated AWS account that speaks the real wire protocols of ECR, ECS, Lambda, STS, Account Management and the Lambda
//! Runtime API. It keeps its state in memory.
//!
//! Tools and the function call it on a port of loopback. A test can also call it through an HTTP client of the SDK, without
//! a port and with a clock that the test may pause.
//!
//! The tests rely on it, so it is as strict as AWS: it has AWS's page limits with their small defaults, AWS's batch limits,
//! page tokens that fit one request, and ECR's rules for deletion. The AWS SDK and the function need no change to call it.
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
    reason = "a test that uses a thing that it never made should fail at that line"
)]
#![expect(
    clippy::must_use_candidate,
    reason = "most callers need the change that a method makes, and not the value that it returns"
)]

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
mod respond;
mod s3;
mod server;
mod services;
mod signature;
mod start_error;
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
pub use start_error::{StartError, plain};
pub use vanish::Thing;
pub use world::{Cluster, Place, Task};

/// The account of the default credentials.
pub const ACCOUNT: &str = "123456789012";
/// The default Region of new repositories, clusters and functions.
pub const REGION: &str = "us-west-2";

/// The access key of an account. The simulated account reads the caller's account from it.
#[must_use]
pub fn access_key_of(account: &str) -> String {
    format!("AKIASIM{account}")
}
