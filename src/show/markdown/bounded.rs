//! Markdown of bounded length: lines that don't fit are counted.

use std::fmt::Write;

use super::{LINES, MOST_CHARACTERS};
use crate::show::figures::{count, counted};
use crate::show::view::View;

/// Kept free for the line that says what was left out.
const FOR_THE_REST: usize = 200;

/// Markdown of bounded length.
#[derive(Default)]
pub(super) struct Bounded {
    text: String,
    characters: usize,
    images_left_out: u64,
    others_left_out: u64,
}

impl Bounded {
    fn fits(&self, characters: usize) -> bool {
        self.characters + characters + FOR_THE_REST <= MOST_CHARACTERS
    }

    /// Adds it if there is room for it.
    pub(super) fn add(&mut self, part: &str) -> bool {
        let characters = part.chars().count();
        let fits = self.fits(characters);
        if fits {
            self.text.push_str(part);
            self.characters += characters;
        }
        fits
    }

    pub(super) fn table<T>(&mut self, head: &str, items: &[T], most: usize, of: &str, row: impl Fn(&T) -> String) {
        if !self.add(head) {
            self.others_left_out += items.len() as u64;
            return;
        }
        let shown = items.iter().take(most).take_while(|item| self.add(&row(item))).count();
        self.add("\n");
        self.tell_of_more(items.len() - shown, |more| {
            format!("{more} more {of} are not listed; the totals include them.\n\n")
        });
    }

    pub(super) fn list(&mut self, title: &str, of: &str, items: impl Iterator<Item = String>) {
        let items: Vec<String> = items.collect();
        if items.is_empty() {
            return;
        }
        if !self.add(&format!("\n#### {title}\n\n")) {
            self.others_left_out += items.len() as u64;
            return;
        }
        let shown = items.iter().take(LINES).take_while(|item| self.add(&format!("- {item}\n"))).count();
        self.tell_of_more(items.len() - shown, |more| format!("- {more} more {of}\n"));
    }

    /// Says how many were left out, at the end if there is no room for that here.
    fn tell_of_more(&mut self, left_out: usize, told: impl Fn(&str) -> String) {
        let left_out = left_out as u64;
        if left_out > 0 && !self.add(&told(&count(left_out))) {
            self.others_left_out += left_out;
        }
    }

    /// A list that is opened only where there is room for a line of it, and always closed.
    pub(super) fn fold<T>(&mut self, open: &str, close: &str, items: &[T], row: impl Fn(&T) -> String) {
        let frame = open.chars().count() + close.chars().count();
        let first = items.first().map_or(0, |item| row(item).chars().count());
        if !self.fits(frame + first) {
            self.images_left_out += items.len() as u64;
            return;
        }
        self.add("\n");
        self.add(open);
        // The frame is always closed.
        self.characters += close.chars().count();
        let shown = items.iter().take_while(|item| self.add(&row(item))).count();
        self.text.push_str(close);
        self.images_left_out += (items.len() - shown) as u64;
    }

    pub(super) fn finish(mut self, view: &View) -> String {
        let images = self.images_left_out + view.truncated_images;
        let mut left_out = Vec::new();
        if images > 0 {
            left_out.push(counted(images, "stale image", "stale images"));
        }
        if view.truncated_repositories > 0 {
            left_out.push(counted(view.truncated_repositories, "repository", "repositories"));
        }
        if self.others_left_out > 0 {
            left_out.push(counted(self.others_left_out, "other line", "other lines"));
        }
        if !left_out.is_empty() {
            _ = writeln!(self.text, "\nNot listed here: {}. The totals include them.", left_out.join(", "));
        }
        self.text
    }
}
