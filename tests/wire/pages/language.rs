//! Plain English: short sentences, one actor and one word for one thing.

use regex::Regex;

use super::page::Page;

/// The most words of a sentence outside tables and code.
const WORDS: usize = 25;

/// Words that leave out who does something, or have another name in AWS or OCI.
const AVOIDED: &str = r"(?i)\b(goes|stays?|holds?|held|stands?|speaks? of|judged?|(is|are) (told|asked|meant|looked at)|what is in use|what runs|so many|as far as)\b";

/// The paragraphs and items of lists, each in one line, with links as their text and code as one word.
fn paragraphs(page: &Page) -> Vec<String> {
    let (link, code) = (Regex::new(r"!?\[([^\]]*)\]\([^)]*\)").unwrap(), Regex::new("`[^`]*`").unwrap());
    let mut paragraphs = vec![String::new()];
    for line in &page.lines {
        let begins = line.is_empty() || line.starts_with(['|', '#', '-']) || line.starts_with(char::is_numeric);
        if begins {
            paragraphs.push(String::new());
        }
        if !line.starts_with(['|', '#']) {
            let paragraph = paragraphs.last_mut().unwrap();
            paragraph.push_str(line.trim_start_matches("- ").trim());
            paragraph.push(' ');
        }
    }
    let plain = |text: &String| code.replace_all(&link.replace_all(text, "$1"), "code").replace("**", "");
    paragraphs.iter().map(plain).collect()
}

#[test]
fn no_sentence_is_long() {
    let end = Regex::new(r"[.?!][)\x22]?\s").unwrap();
    for page in Page::all() {
        for paragraph in paragraphs(&page) {
            for sentence in end.split(&paragraph) {
                let words = sentence.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
                assert!(words <= WORDS, "{}: {words} words: {sentence}", page.name);
            }
        }
    }
}

#[test]
fn the_words_are_those_of_aws() {
    let (avoided, code) = (Regex::new(AVOIDED).unwrap(), Regex::new("`[^`]*`").unwrap());
    for page in Page::all() {
        let text = page.lines.join(" ");
        let found: Vec<String> =
            avoided.find_iter(&code.replace_all(&text, "")).map(|found| found.as_str().to_owned()).collect();
        assert!(found.is_empty(), "{}: {found:?}", page.name);
    }
}
