//! Nothing in use is ever deleted, whatever fails, whatever moves, and whenever the time is up.
//!
//! Each case is a run over a world that is the same every time, but for the one thing that goes wrong. What a failure
//! prints names the case, and the command that repeats it alone. `make test` looks at a share of the cases, `make prove`
//! at all of them.

pub mod cases;
mod clocks;
mod deadline;
mod environments;
mod extremes;
mod members;
mod moving;
mod quotas;
mod sweep;
mod vanishing;
mod world;
