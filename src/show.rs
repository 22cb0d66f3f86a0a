//! A report as people read it: a table, Markdown, a page. Pure: a report goes in, and text comes out.

pub mod coverage;
pub mod figures;
pub mod html;
pub mod markdown;
pub mod quoted;
pub mod table;
pub mod view;
pub mod wrapped;

#[cfg(test)]
mod tests;
