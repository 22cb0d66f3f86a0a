//! A report as people read it: a table, Markdown, a page. Pure: a report goes in, and text comes out. The function has
//! only the page, for reports in memory.

pub mod coverage;
pub mod figures;
pub mod html;
#[cfg(feature = "cli")]
pub mod markdown;
#[cfg(feature = "cli")]
pub mod quoted;
#[cfg(feature = "cli")]
pub mod table;
#[cfg(feature = "cli")]
pub mod view;
#[cfg(feature = "cli")]
pub mod wrapped;

#[cfg(test)]
#[cfg(feature = "cli")]
mod tests;
