//! No image in use is ever deleted, with any fault, during any change, and at any deadline.
//!
//! Each case is a run in the same world, with exactly one thing that goes wrong. A failure prints the case and the
//! command that repeats it alone. `make test` runs a share of the cases, and `make prove` all of them.

pub mod cases;
mod clocks;
mod deadline;
mod environments;
mod extremes;
mod members;
mod moving;
mod nights;
mod quotas;
mod sweep;
mod vanishing;
mod world;
