//! The imports between the files of a crate, read from their text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// A `use` declaration, and a path in code.
static USE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?s)\buse ([^;]+);").unwrap());
static PATH: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(?:crate|super|self)(?:::\w+)+").unwrap());

/// A file of a crate.
pub struct Module {
    /// Its path below the crate root: `["sources", "ecs", "tasks"]`.
    pub path: Vec<String>,
    /// The modules that it imports.
    pub imports: BTreeSet<Vec<String>>,
    /// Its text, without its tests.
    pub text: String,
}

/// The files below a crate root, without the root file, its tests, and other crates.
pub fn modules(root: &str) -> Vec<Module> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let files: Vec<PathBuf> = files_below(&root);
    let paths: BTreeSet<Vec<String>> = files.iter().map(|file| path_of(&root, file)).collect();
    let read = |file: &PathBuf| {
        let path = path_of(&root, file);
        let text = std::fs::read_to_string(file).unwrap();
        // Tests may import any module.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        let imports = named_in(&text, &path, &paths).into_iter().filter(|import| *import != path).collect();
        Module { path, imports, text }
    };
    files.iter().map(read).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let is_another_crate = path.join("Cargo.toml").exists();
            if !is_another_crate && name != "tests" {
                files.extend(files_below(&path));
            }
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !["lib.rs", "main.rs", "tests.rs", "seeded.rs"].contains(&name.as_str())
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn path_of(root: &Path, file: &Path) -> Vec<String> {
    let path = file.strip_prefix(root).unwrap().with_extension("");
    path.iter().map(|part| part.to_str().unwrap().to_owned()).collect()
}

/// The modules that a file refers to, by `use` or in a path.
fn named_in(text: &str, own: &[String], modules: &BTreeSet<Vec<String>>) -> BTreeSet<Vec<String>> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut named: Vec<String> = USE.captures_iter(&code).flat_map(|tree| leaves(&tree[1])).collect();
    named.extend(PATH.find_iter(&code).map(|path| path.as_str().to_owned()));
    named.iter().filter_map(|name| module_of(name, own, modules)).collect()
}

/// The paths of a `use` tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn leaves(tree: &str) -> Vec<String> {
    let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((prefix, group)) = tree.split_once('{') else { return vec![tree.replace(' ', "")] };
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let (mut depth, mut item, mut items) = (0, String::new(), Vec::new());
    for letter in group.chars() {
        match letter {
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            letter => {
                depth += i32::from(letter == '{') - i32::from(letter == '}');
                item.push(letter);
            }
        }
    }
    items.push(item);
    let items = items.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
    items.flat_map(|item| leaves(&format!("{}{item}", prefix.replace(' ', "")))).collect()
}

/// The module of a path: its longest part that is a module.
fn module_of(name: &str, own: &[String], modules: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let mut parts = name.split("::").peekable();
    let mut path: Vec<String> = match parts.peek().copied() {
        Some("crate") => Vec::new(),
        Some("self") => own.to_vec(),
        Some("super") => own[..own.len() - 1].to_vec(),
        // A module that the file itself declares.
        Some(first) if modules.contains(&[own, &[first.to_owned()]].concat()) => {
            return module_of(&format!("self::{name}"), own, modules);
        }
        _ => return None,
    };
    parts.next();
    while parts.peek() == Some(&"super") {
        parts.next();
        path.pop();
    }
    path.extend(parts.map(str::to_owned));
    while !path.is_empty() && !modules.contains(&path) {
        path.pop();
    }
    (!path.is_empty()).then_some(path)
}
