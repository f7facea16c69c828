//! What a command wrote, as a terminal would leave it and without what only a terminal understands.

const ESCAPE: char = '\u{1b}';
const BELL: char = '\u{7}';

/// Decodes bytes once, leniently: what is not UTF-8 becomes one replacement character a run.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut replaced = false;
    for chunk in bytes.utf8_chunks() {
        if !chunk.valid().is_empty() {
            text.push_str(chunk.valid());
            replaced = false;
        }
        if !chunk.invalid().is_empty() && !replaced {
            text.push(char::REPLACEMENT_CHARACTER);
            replaced = true;
        }
    }
    text
}

/// Strips control sequences and control characters; of a line that was written over and over with
/// carriage returns (a progress bar) the last state stays. Newlines and tabs stay.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Where the current line begins in `out`, and whether the next character overwrites it.
    let mut line = 0;
    let mut returned = false;
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        match char {
            ESCAPE => rest = after_escape(rest),
            '\u{9b}' => rest = after_csi(rest),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => rest = after_string(rest),
            '\r' => returned = true,
            '\n' => {
                out.push('\n');
                line = out.len();
                returned = false;
            }
            // Overstrike, as in old manual pages: the later character stays.
            '\u{8}' if out.len() > line => {
                out.pop();
            }
            _ if char == '\t' || !char.is_control() => {
                if returned {
                    out.truncate(line);
                    returned = false;
                }
                out.push(char);
            }
            _ => {}
        }
    }
    out
}

/// Skips what follows an escape character.
fn after_escape(rest: &str) -> &str {
    let Some(char) = rest.chars().next() else {
        return rest;
    };
    let after = &rest[char.len_utf8()..];
    match char {
        '[' => after_csi(after),
        ']' | 'P' | 'X' | '^' | '_' => after_string(after),
        // Intermediates, then one final character: character sets, alignment tests and the like.
        ' '..='/' => match after.find(|c| !(' '..='/').contains(&c)) {
            Some(at) if matches!(after.as_bytes()[at], b'0'..=b'~') => &after[at + 1..],
            Some(at) => &after[at..],
            None => "",
        },
        '0'..='~' => after,
        // Not a sequence: only the escape character goes.
        _ => rest,
    }
}

/// Skips the parameters and the final character of a control sequence.
fn after_csi(rest: &str) -> &str {
    match rest.find(|c| !(' '..='?').contains(&c)) {
        Some(at) if matches!(rest.as_bytes()[at], b'@'..=b'~') => &rest[at + 1..],
        Some(at) => &rest[at..],
        None => "",
    }
}

/// Skips a control string (a window title, a link, a picture) and its end.
///
/// One that does not end on its line was never meant as such, or wants to hide what follows from the
/// reader: then its text stays.
fn after_string(rest: &str) -> &str {
    match rest.find(['\n', BELL, ESCAPE, '\u{9c}']) {
        Some(at) => {
            let end = &rest[at..];
            if let Some(after) = end.strip_prefix([BELL, '\u{9c}']) {
                after
            } else {
                end.strip_prefix("\u{1b}\\").unwrap_or(rest)
            }
        }
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_sequences_go_and_text_stays() {
        for (written, read) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("\x1b[?25l\x1b[2J\x1b[Hhome\x1b[38;5;12mx", "homex"),
            ("\x1b]0;title\x07text", "text"),
            (
                "\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\",
                "link",
            ),
            ("\x1bPq#0;2;0;0;0\x1b\\after a picture", "after a picture"),
            ("\x1b(Bascii \x1b7kept\x1b8 \x1b=", "ascii kept "),
            ("\u{9b}31mred \u{9d}0;title\u{9c}text", "red text"),
            ("nul\0bel\x07del\x7fvt\x0bff\x0c", "nulbeldelvtff"),
            ("windows\r\nlines\r\n", "windows\nlines\n"),
            (" 10%\r 50%\r100%\ndone", "100%\ndone"),
            ("100%\r\r\n", "100%\n"),
            ("N\x08NA\x08A_\x08M", "NAM"),
            ("\x08\x08a\n\x08b", "a\nb"),
            ("\u{e9}\u{1f600}\u{200f}", "\u{e9}\u{1f600}\u{200f}"),
        ] {
            assert_eq!(clean(written), read, "{written:?}");
        }
    }

    #[test]
    fn a_sequence_that_does_not_end_hides_nothing() {
        for (written, read) in [
            ("\x1b]0;never ended", "0;never ended"),
            ("\x1b]0;next line\nstays", "0;next line\nstays"),
            ("\x1b]0;other\x1b[31m sequence", "0;other sequence"),
            ("\x1b[12", ""),
            ("\x1b[12\nline", "\nline"),
            ("\x1b[1\u{1f600}", "\u{1f600}"),
            ("\x1b", ""),
            ("\x1b\nline", "\nline"),
            ("\x1b(\u{e9}", "\u{e9}"),
            ("\x1b\u{e9}", "\u{e9}"),
        ] {
            assert_eq!(clean(written), read, "{written:?}");
        }
    }

    #[test]
    fn what_is_not_text_becomes_one_mark_a_run() {
        assert_eq!(decode(b"a\xff\xfe\xfdb\xc3"), "a\u{fffd}b\u{fffd}");
        assert_eq!(decode("\u{e9}".as_bytes()), "\u{e9}");
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(text in "(\\PC|[\\x00-\\x9f]|\x1b[\\[\\]P(]?)*") {
            let cleaned = clean(&text);
            prop_assert!(cleaned.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            prop_assert_eq!(clean(&cleaned), cleaned.clone());
        }

        #[test]
        fn decoding_never_fails(bytes in any::<Vec<u8>>()) {
            let text = decode(&bytes);
            prop_assert!(text.len() <= bytes.len() * 3);
        }
    }
}
