//! Text from AWS or other people, made safe for a terminal: nothing in it moves the cursor, changes colours, begins a line
//! or changes the order of letters.
//!
//! Descriptions of rules, tags, names, ARNs and error messages come from AWS, where others put them.

/// The characters that change the order of letters.
/// See <https://www.unicode.org/reports/tr9/#Explicit_Directional_Embeddings>.
const BIDI_CONTROLS: [std::ops::RangeInclusive<char>; 2] = ['\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

/// The text without characters that control a terminal. White space becomes a blank, and all others U+FFFD.
#[must_use]
pub fn quoted(text: &str) -> String {
    let is_control = |c: char| c.is_control() || BIDI_CONTROLS.iter().any(|range| range.contains(&c));
    let shown = |c: char| match c {
        c if !is_control(c) => c,
        c if c.is_whitespace() => ' ',
        _ => char::REPLACEMENT_CHARACTER,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_quoted_text_controls_a_terminal() {
        for (text, expected) in [
            ("keep 5 of é, 日本 and 🦀", "keep 5 of é, 日本 and 🦀"),
            ("a\nb\r\nc\td", "a b  c d"),
            ("\u{1b}[2Jgone\u{7}", "\u{fffd}[2Jgone\u{fffd}"),
            ("\u{9b}31m\u{7f}", "\u{fffd}31m\u{fffd}"),
            ("\u{202e}gpj.exe\u{202c} \u{2066}x\u{2069}", "\u{fffd}gpj.exe\u{fffd} \u{fffd}x\u{fffd}"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
