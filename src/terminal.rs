//! Reports as people read them: tables, Markdown and pages.

pub mod figures;
pub mod html;
pub mod markdown;
pub mod table;
pub mod view;

#[cfg(test)]
mod tests;
