//! Text in lines that fit a terminal. Lines are broken between words, and never inside one: half an ARN or half a digest
//! can't be copied.

/// The text in lines of at most `width` characters. Every line but the first begins with `indent` blanks. A word that is
/// longer than the width has a line of its own. Without a width the text is one line.
#[must_use]
pub fn wrapped(text: &str, width: Option<u16>, indent: usize) -> String {
    let Some(width) = width.map(usize::from) else { return text.to_owned() };
    let begin = text.len() - text.trim_start_matches(' ').len();
    let mut wrapped = text[..begin].to_owned();
    let mut taken = begin;
    for (place, word) in text[begin..].split(' ').enumerate() {
        let length = word.chars().count();
        if place > 0 && taken + 1 + length > width {
            wrapped.truncate(wrapped.trim_end_matches(' ').len());
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            taken = indent;
        } else if place > 0 {
            wrapped.push(' ');
            taken += 1;
        }
        wrapped.push_str(word);
        taken += length;
    }
    wrapped
}

/// The rows of a table with their cells broken into lines, so that the table fits into `width` characters: a line and two
/// blanks at every cell. `None` where that would break words.
#[must_use]
pub fn fitted(rows: &[Vec<String>], width: u16) -> Option<Vec<Vec<String>>> {
    let columns = rows.iter().map(Vec::len).max()?;
    let longest = |column: usize, by: fn(&str) -> usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| by(cell)).max().unwrap_or_default()
    };
    let line = |cell: &str| cell.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    let word = |cell: &str| cell.split_whitespace().map(|word| word.chars().count()).max().unwrap_or_default();
    let wanted: Vec<usize> = (0..columns).map(|column| longest(column, line)).collect();
    let mut widths: Vec<usize> = (0..columns).map(|column| longest(column, word)).collect();
    let room = usize::from(width).checked_sub(columns * 3 + 1)?;
    let mut left = room.checked_sub(widths.iter().sum())?;
    // The column that wants least comes first, so that the longest texts get the rest.
    let mut order: Vec<usize> = (0..columns).collect();
    order.sort_by_key(|column| wanted[*column] - widths[*column]);
    for (place, column) in order.into_iter().enumerate() {
        let more = (wanted[column] - widths[column]).min(left / (columns - place));
        widths[column] += more;
        left -= more;
    }
    let broken = |(cell, width): (&String, &usize)| {
        let width = u16::try_from(*width).ok();
        cell.lines().map(|line| wrapped(line, width, 0)).collect::<Vec<_>>().join("\n")
    };
    Some(rows.iter().map(|row| row.iter().zip(&widths).map(broken).collect()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_end_between_words() {
        let text = "warning: 3 of the images are in use";
        assert_eq!(wrapped(text, None, 2), text);
        assert_eq!(wrapped(text, Some(20), 2), "warning: 3 of the\n  images are in use");
        assert_eq!(wrapped(text, Some(3), 0), "warning:\n3\nof\nthe\nimages\nare\nin\nuse");
        assert_eq!(wrapped("  tags        v1 v2", Some(16), 14), "  tags        v1\n              v2");
        assert_eq!(wrapped("", Some(5), 2), "");
    }

    #[test]
    fn a_table_that_would_break_words_does_not_fit() {
        let rows =
            [vec!["image".to_owned(), "why".to_owned()], vec!["v1".to_owned(), "not among the newest".to_owned()]];
        assert_eq!(fitted(&rows, 80).unwrap(), rows);
        let narrow = fitted(&rows, 24).unwrap();
        assert_eq!(narrow[1], ["v1", "not among\nthe newest"]);
        assert_eq!(fitted(&rows, 17), None, "newest is one word");
    }

    proptest! {
        #[test]
        fn no_word_is_broken_and_none_is_lost(
            words in prop::collection::vec("[a-z:/-]{1,30}", 1..20), width in 1_u16..60, indent in 0_usize..10,
        ) {
            let text = words.join(" ");
            let wrapped = wrapped(&text, Some(width), indent);
            prop_assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>(), words);
            for line in wrapped.lines() {
                let is_one_word = line.split_whitespace().count() == 1;
                prop_assert!(is_one_word || line.chars().count() <= usize::from(width), "{line:?}");
            }
        }

        #[test]
        fn cells_keep_their_words_and_the_table_its_width(
            cells in prop::collection::vec(prop::collection::vec("[a-z]{1,9}( [a-z]{1,9}){0,6}", 3), 1..6), width in 1_u16..90,
        ) {
            let least: usize = (0..3)
                .map(|column| cells.iter().flat_map(|row| row[column].split(' ')).map(str::len).max().unwrap())
                .sum();
            match fitted(&cells, width) {
                None => prop_assert!(least + 10 > usize::from(width)),
                Some(rows) => {
                    let taken = (0..3).map(|column| rows.iter().flat_map(|row| row[column].lines()).map(str::len).max().unwrap());
                    prop_assert!(taken.sum::<usize>() + 10 <= usize::from(width));
                    for (row, before) in rows.iter().flatten().zip(cells.iter().flatten()) {
                        prop_assert_eq!(&row.replace('\n', " "), before);
                    }
                }
            }
        }
    }
}
