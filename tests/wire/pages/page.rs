//! A page, taken apart.

use std::path::{Path, PathBuf};

use regex::Regex;

/// The pages.
pub const PAGES: [&str; 9] = [
    "CHANGELOG.md",
    "README.md",
    "events/README.md",
    "events/policies/README.md",
    "events/report.md",
    "infra/README.md",
    "src/README.md",
    "src/terminal/README.md",
    "tests/README.md",
];

/// A page with its parts.
pub struct Page {
    /// Its path from the root.
    pub name: &'static str,
    /// All of it.
    pub text: String,
    /// The fenced blocks.
    pub blocks: Vec<Block>,
    /// All but the fenced blocks, line by line.
    pub lines: Vec<String>,
}

/// A fenced block.
pub struct Block {
    /// What is written behind its fence.
    pub language: String,
    /// The lines between the fences.
    pub text: String,
}

/// The root of the project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Page {
    /// Reads a page.
    pub fn read(name: &'static str) -> Self {
        let text = std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (mut blocks, mut lines, mut open): (Vec<Block>, Vec<String>, bool) = (Vec::new(), Vec::new(), false);
        for line in text.lines() {
            match (line.strip_prefix("```"), open) {
                (Some(""), true) => open = false,
                (Some(language), false) => {
                    open = true;
                    blocks.push(Block { language: language.to_owned(), text: String::new() });
                }
                (_, true) => {
                    let block = blocks.last_mut().unwrap();
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, false) => lines.push(line.to_owned()),
            }
        }
        assert!(!open, "{name} has a block without an end");
        Self { name, text, blocks, lines }
    }

    /// All pages.
    pub fn all() -> Vec<Self> {
        PAGES.into_iter().map(Self::read).collect()
    }

    /// The folder that its links begin from.
    pub fn folder(&self) -> PathBuf {
        root().join(Path::new(self.name).parent().unwrap())
    }

    /// What is written as code within its lines.
    pub fn spans(&self) -> Vec<String> {
        // A span may go on in the next line.
        let text = self.lines.join("\n");
        let spans = text.split('`').skip(1).step_by(2);
        spans.map(|span| span.replace('\n', " ")).collect()
    }

    /// The commands in its blocks, line by line, without comments.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        let blocks = self.blocks.iter().filter(|block| block.language == "sh");
        let lines = blocks.flat_map(|block| block.text.lines());
        lines.map(without_comment).filter(|line| !line.is_empty())
    }

    /// The rows of the table below this heading whose head begins so, each with its cells.
    pub fn rows(&self, first_of_head: &str) -> Vec<Vec<String>> {
        let begin = format!("| {first_of_head} |");
        let at = self.lines.iter().position(|line| line.starts_with(&begin));
        let at = at.unwrap_or_else(|| panic!("{} has no table that begins with {begin}", self.name));
        let rows = self.lines[at + 2..].iter().take_while(|line| line.starts_with('|'));
        rows.map(|row| cells(row)).collect()
    }

    /// The code in the first cells of that table.
    pub fn keys(&self, first_of_head: &str) -> Vec<String> {
        let code = |cell: &String| code_in(cell).unwrap_or_else(|| panic!("{cell} is no code"));
        self.rows(first_of_head).iter().map(|row| code(&row[0])).collect()
    }
}

fn cells(row: &str) -> Vec<String> {
    let inner = row.strip_prefix('|').and_then(|row| row.strip_suffix('|')).unwrap_or_else(|| panic!("{row}"));
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The first code of a text.
pub fn code_in(text: &str) -> Option<String> {
    Regex::new("`([^`]+)`").unwrap().captures(text).map(|found| found[1].to_owned())
}

/// A command without its comment.
pub fn without_comment(line: &str) -> &str {
    line.split(" # ").next().unwrap().trim()
}
