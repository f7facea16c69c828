//! Text with styles, broken into rows that fit.

use std::ops::Range;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::sanitize::is_harmless;

/// A row as it is written to the terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// The text with its escape sequences.
    pub(super) text: String,
    /// Whether the terminal itself continues it in the next row, so that copying joins the two.
    pub(super) runs_on: bool,
}

/// Text in runs of one style each. Holds nothing that a terminal would act on.
#[derive(Clone, Debug, Default)]
pub(super) struct Styled {
    text: String,
    runs: Vec<(usize, Style)>,
}

impl Styled {
    /// Makes text of one style.
    pub(super) fn new(text: &str, style: Style) -> Self {
        let mut styled = Self::default();
        styled.push(text, style);
        styled
    }

    /// Appends text, without control characters and with tabs as blanks.
    pub(super) fn push(&mut self, text: &str, style: Style) {
        for c in text.chars() {
            match c {
                '\t' | '\n' => self.text.push_str(if c == '\t' { "    " } else { " " }),
                c if is_harmless(c) => self.text.push(c),
                _ => {}
            }
        }
        match self.runs.last_mut() {
            Some((end, last)) if *last == style => *end = self.text.len(),
            _ => self.runs.push((self.text.len(), style)),
        }
    }

    /// Tells whether there is nothing to see.
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Returns the columns that it takes on one row.
    pub(super) fn width(&self) -> usize {
        clusters(&self.text).map(|c| c.width).sum()
    }

    /// Returns the columns of its longest word.
    pub(super) fn longest_word(&self) -> usize {
        self.text
            .split_whitespace()
            .map(|word| clusters(word).map(|c| c.width).sum())
            .max()
            .unwrap_or(0)
    }

    /// Breaks it between words into rows of at most `width` columns.
    pub(super) fn wrap(&self, width: usize) -> Vec<Self> {
        wrap(&self.text, width.max(1))
            .into_iter()
            .map(|range| self.slice(range))
            .collect()
    }

    /// Breaks it anywhere into rows of exactly `width` columns that the terminal continues itself.
    pub(super) fn fill(&self, width: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        let (mut start, mut used) = (0, 0);
        for cluster in clusters(&self.text) {
            if used + cluster.width > width && used > 0 {
                rows.push(Row {
                    text: self.slice(start..cluster.start).paint(),
                    runs_on: true,
                });
                (start, used) = (cluster.start, 0);
            }
            used += cluster.width;
        }
        rows.push(Row {
            text: self.slice(start..self.text.len()).paint(),
            runs_on: false,
        });
        rows
    }

    /// Returns it with its escape sequences.
    pub(super) fn paint(&self) -> String {
        let mut painted = String::with_capacity(self.text.len());
        let mut start = 0;
        for (end, style) in &self.runs {
            let text = &self.text[start..*end];
            start = *end;
            if text.is_empty() {
                continue;
            }
            if *style == Style::new() {
                painted.push_str(text);
            } else {
                painted.push_str(&style.render().to_string());
                painted.push_str(text);
                painted.push_str(&style.render_reset().to_string());
            }
        }
        painted
    }

    fn slice(&self, range: Range<usize>) -> Self {
        let runs = self
            .runs
            .iter()
            .filter(|(end, _)| *end > range.start)
            .map(|(end, style)| (end.min(&range.end) - range.start, *style))
            .collect();
        Self {
            text: self.text[range].to_owned(),
            runs,
        }
    }
}

/// What a terminal keeps in one cell (or two).
struct Cluster {
    start: usize,
    end: usize,
    width: usize,
    first: char,
}

/// Splits text so that marks stay with what they mark.
///
/// Terminals disagree on joined emoji. The widest reading is taken: a row that is counted too wide
/// is broken early, but one that is counted too narrow would spill and spoil the cursor's sums.
fn clusters(text: &str) -> impl Iterator<Item = Cluster> {
    const JOINER: char = '\u{200d}';
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = chars.next()?;
        let mut end = start + first.len_utf8();
        let mut sum = first.width().unwrap_or(0);
        let mut joined = false;
        while let Some(&(at, c)) = chars.peek() {
            if c.width().unwrap_or(0) > 0 && !joined {
                break;
            }
            joined = c == JOINER;
            sum += c.width().unwrap_or(0);
            end = at + c.len_utf8();
            chars.next();
        }
        Some(Cluster {
            start,
            end,
            width: sum.max(text[start..end].width()),
            first,
        })
    })
}

/// Finds rows of at most `width` columns; blanks at a break vanish.
fn wrap(text: &str, width: usize) -> Vec<Range<usize>> {
    let mut rows = Vec::new();
    let mut start = 0;
    let mut used = 0;
    // Where the row may end, where the next would start, and the columns before that.
    let mut chance: Option<(usize, usize, usize)> = None;
    let mut was_wide = false;
    let mut seen_word = false;
    for cluster in clusters(text) {
        let is_blank = cluster.first == ' ';
        let is_wide = cluster.width > 1;
        if is_blank {
            // Leading blanks are the line's own indentation: nothing to break at before a word.
            if seen_word {
                let end = chance
                    .filter(|(_, next, _)| *next == cluster.start)
                    .map_or(cluster.start, |(end, _, _)| end);
                chance = Some((end, cluster.end, used + cluster.width));
            }
        } else {
            if seen_word && (is_wide || was_wide) && chance.is_none_or(|c| c.1 != cluster.start) {
                chance = Some((cluster.start, cluster.start, used));
            }
            if used + cluster.width > width && used > 0 {
                let (end, next, before) =
                    chance
                        .take()
                        .unwrap_or((cluster.start, cluster.start, used));
                rows.push(start..end);
                start = next;
                used -= before;
            }
            seen_word = true;
        }
        used += cluster.width;
        was_wide = is_wide;
    }
    let end = start + text[start..].trim_end_matches(' ').len();
    rows.push(start..end);
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrapped(text: &str, width: usize) -> Vec<String> {
        Styled::new(text, Style::new())
            .wrap(width)
            .iter()
            .map(Styled::paint)
            .collect()
    }

    #[test]
    fn rows_break_between_words_and_inside_long_ones() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one  two", 4), ["one", "two"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("漢字かな交じり", 4), ["漢字", "かな", "交じ", "り"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("  in", 9), ["  in"]);
    }

    #[test]
    fn a_style_goes_on_in_the_next_row() {
        let bold = Style::new().bold();
        let rows = Styled::new("one two", bold).wrap(3);
        assert_eq!(rows[1].paint(), format!("{bold}two{bold:#}"));
    }

    #[test]
    fn entities_cannot_smuggle_escapes() {
        assert_eq!(
            Styled::new("a\x1b[2Jb\u{9b}m", Style::new()).paint(),
            "a[2Jbm"
        );
    }

    proptest! {
        #[test]
        fn no_row_is_too_wide_and_no_word_is_lost(text in "[a-z漢👍é ]{0,60}", width in 2usize..20) {
            let rows = Styled::new(&text, Style::new()).wrap(width);
            for row in &rows {
                prop_assert!(row.width() <= width.max(1) || row.text.trim().is_empty());
            }
            let squeeze = |s: &str| s.replace(' ', "");
            let joined: String = rows.iter().map(|r| r.text.as_str()).collect();
            prop_assert_eq!(squeeze(&joined), squeeze(&text));
        }
    }
}
