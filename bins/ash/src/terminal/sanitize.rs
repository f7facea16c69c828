//! Keeps words from driving the terminal.
//!
//! What a model, a tool or a stored message says is printed on a person's terminal, so whoever wrote
//! it must not be able to retitle the window, repaint earlier lines or fill the clipboard. Dropping
//! the control characters is enough: what is left of a sequence is shown as the text that it is.
//! Nothing is swallowed up to a terminator, because then an unfinished sequence would hide the rest.

use std::borrow::Cow;

/// Tells whether a character may reach the terminal; newlines and tabs may.
pub(crate) fn is_harmless(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        // Line separators, of which terminals make what they like, and overrides of the writing
        // direction, which make text read as something it is not.
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        // C0, DEL and C1.
        _ => !c.is_control(),
    }
}

/// Returns the text without what a terminal would act on.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().filter(|c| is_harmless(*c)).collect())
    }
}

/// Returns the text as one harmless line of at most `limit` characters.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut blank = false;
    let mut count = 0;
    for c in text.trim().chars() {
        if c.is_whitespace() {
            blank = true;
            continue;
        }
        if !is_harmless(c) {
            continue;
        }
        if count + usize::from(blank) >= limit {
            line.push('…');
            break;
        }
        if std::mem::take(&mut blank) {
            line.push(' ');
            count += 1;
        }
        line.push(c);
        count += 1;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_is_left() {
        for attack in [
            "\x1b]0;owned\x07",
            "\x1b]52;c;cm0gLXJm\x1b\\",
            "\u{9b}2J\u{9d}0;t\u{9c}",
            "safe\rrm -rf",
            "\x1bP+q\x1b\\",
            "\u{202e}txt.exe",
            "a\x08\x08b\x7f\0",
        ] {
            assert!(
                harmless(attack)
                    .chars()
                    .all(|c| !c.is_control() && c != '\u{202e}'),
                "{attack:?}"
            );
        }
    }

    #[test]
    fn ordinary_text_is_not_copied() {
        assert!(matches!(
            harmless("tab\tand\nnewline, ü, 漢字, 👩‍👩‍👧"),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn one_line_folds_whitespace_and_cuts() {
        assert_eq!(one_line("  a\n\n b\tc ", 20), "a b c");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("ab cd", 3), "ab…");
        assert_eq!(one_line("abc", 3), "abc");
    }
}
