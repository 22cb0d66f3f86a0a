//! Nothing in use is ever deleted, whatever fails, whatever moves, and whenever the time is up.
//!
//! Each case is a run over a world that is the same every time, but for the one thing that goes wrong. What a failure
//! prints names the case, and the command that repeats it alone. `make test` looks at a share of the cases, `make prove`
//! at all of them.

pub mod cases;
mod deadline;
mod environments;
mod extremes;
mod moving;
mod sweep;
mod world;
