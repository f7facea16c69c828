//! Cutting a text into messages.

use crate::piece::{Entity, EntityKind, Piece};
use crate::writer::{Between, Rendered, Span};

/// The longest message that Telegram takes, in UTF-16 code units.
pub(crate) const MESSAGE_UNITS: usize = 4096;

/// How many entities Telegram honours in one message.
const MESSAGE_ENTITIES: usize = 100;

/// Cuts a text into pieces of at most `limit` UTF-16 units.
///
/// All that is lost is white space around the cuts, which Telegram would trim.
pub(crate) fn split(rendered: &Rendered, limit: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(begin) = next_begin(rendered, start) {
        let end = cut(rendered, begin, limit);
        let text = rendered.text[begin..end].trim_end();
        // Empty where a line of code begins with more blanks than fit.
        if !text.is_empty() {
            pieces.push(Piece {
                text: text.to_owned(),
                entities: entities(rendered, begin, text),
            });
        }
        start = end;
    }
    pieces
}

/// Returns where the next piece begins: after white space, apart from what indents a line of code.
fn next_begin(rendered: &Rendered, start: usize) -> Option<usize> {
    let rest = &rendered.text[start..];
    let blank = rest.find(|c: char| !c.is_whitespace())?;
    let line = rest[..blank].rfind('\n').map_or(0, |newline| newline + 1);
    let is_code = rendered.spans.iter().any(|span| {
        matches!(span.kind, EntityKind::Pre { .. }) && span.range.contains(&(start + line))
    });
    Some(start + if is_code { line } else { blank })
}

/// Returns where a piece that begins at `begin` ends.
fn cut(rendered: &Rendered, begin: usize, limit: usize) -> usize {
    let text = &rendered.text;
    let mut units = 0;
    let mut early = begin;
    let mut end = text.len();
    for (at, char) in text[begin..].char_indices() {
        units += char.len_utf16();
        if units * 4 <= limit {
            early = begin + at + char.len_utf8();
        }
        // One character is always taken, so that every cut makes progress.
        if units > limit && at > 0 {
            end = begin + at;
            break;
        }
    }
    let crowded = rendered
        .spans
        .iter()
        .filter(|span| span.range.end > begin && span.range.start < end)
        .nth(MESSAGE_ENTITIES);
    if let Some(span) = crowded.filter(|span| span.range.start > begin) {
        end = span.range.start;
    }
    if end == text.len() {
        return end;
    }

    // A piece that is cut very early only to end well is worse than one that ends less well.
    let early = early.min(end);
    let border = |between: Between| {
        rendered
            .borders
            .iter()
            .rev()
            .find(|border| border.between == between && (early..=end).contains(&border.at))
            .map(|border| border.at)
    };
    // What follows the end decides too: it may be the very line break.
    let next = text[end..].chars().next().map_or(0, char::len_utf8);
    let window = &text[early..end + next];
    let last = |wanted: fn(char) -> bool| window.rfind(wanted).map(|at| early + at);
    border(Between::Blocks)
        .or_else(|| border(Between::Items))
        .or_else(|| last(|c| c == '\n'))
        .or_else(|| last(char::is_whitespace))
        .filter(|at| *at > begin)
        .unwrap_or(end)
}

fn entities(rendered: &Rendered, begin: usize, text: &str) -> Vec<Entity> {
    let end = begin + text.len();
    let units = |from: usize, to: usize| -> usize {
        rendered.text[from..to].chars().map(char::len_utf16).sum()
    };
    let entity = |span: &Span| {
        let from = span.range.start.max(begin);
        let to = span.range.end.min(end);
        if from >= to || rendered.text[from..to].trim().is_empty() {
            return None;
        }
        Some(Entity {
            kind: span.kind.clone(),
            offset: units(begin, from),
            length: units(from, to),
        })
    };
    rendered.spans.iter().filter_map(entity).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::render::to_text;

    fn texts(markdown: &str, limit: usize) -> Vec<String> {
        let pieces = split(&to_text(markdown), limit);
        pieces.into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn a_cut_falls_between_blocks_where_it_can() {
        assert_eq!(
            texts("one two three\n\nfour\nfive\n\nsix seven eight", 30),
            ["one two three\n\nfour\nfive", "six seven eight"]
        );
    }

    #[test]
    fn otherwise_between_items_lines_words_and_characters() {
        assert_eq!(
            texts("- one\n  two\n- three\n  four", 22),
            ["\u{2022} one\n  two", "\u{2022} three\n  four"]
        );
        assert_eq!(texts("one two\nthree four", 16), ["one two", "three four"]);
        assert_eq!(texts("one two three", 9), ["one two", "three"]);
        assert_eq!(texts("123456789", 4), ["1234", "5678", "9"]);
        assert_eq!(
            texts("\u{1f600}\u{1f600}\u{1f600}", 5),
            ["\u{1f600}\u{1f600}", "\u{1f600}"]
        );
    }

    #[test]
    fn a_heading_stays_with_what_it_heads() {
        assert_eq!(
            texts("some text\n\n# Title\n\nand its text", 22),
            ["some text", "Title\n\nand its text"]
        );
    }

    #[test]
    fn a_code_block_goes_on_in_the_next_message() {
        let pieces = split(&to_text("```py\nif a:\n    b()\n    c()\n```"), 14);
        let pre = |length| {
            let language = Some("py".to_owned());
            vec![Entity {
                kind: EntityKind::Pre { language },
                offset: 0,
                length,
            }]
        };
        assert_eq!(
            pieces,
            [
                Piece {
                    text: "if a:\n    b()".to_owned(),
                    entities: pre(13)
                },
                Piece {
                    text: "    c()".to_owned(),
                    entities: pre(7)
                },
            ]
        );
    }

    #[test]
    fn no_message_has_more_entities_than_telegram_honours() {
        let pieces = split(&to_text(&"**a** b\n".repeat(250)), MESSAGE_UNITS);
        let counts: Vec<usize> = pieces.iter().map(|piece| piece.entities.len()).collect();
        assert_eq!(counts, [100, 100, 50]);
    }

    /// Markdown that is made of what makes Markdown difficult.
    fn markdown() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            select(vec![
                "**",
                "*",
                "_",
                "~~",
                "`",
                "``",
                "```\n",
                "```rust\n",
                "\n",
                "\n\n",
                "> ",
                ">> ",
                "- ",
                "  - ",
                "1. ",
                "    ",
                "\t",
                "# ",
                "---\n",
                "[",
                "](https://b.org)",
                "](b)",
                "![",
                "<br>",
                "<b>",
                "|a|b|\n|-|:-:|\n",
                "|",
                "- [x] ",
                "\\",
                "\u{1f600}",
                "\u{e9}",
                "\u{202e}\u{5d0}",
                "\0",
                "\u{9b}",
                "&amp;",
                "a\u{301}",
            ])
            .prop_map(str::to_owned),
            "[a-z ]{1,12}",
            "\\PC{0,6}",
        ];
        proptest::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
    }

    fn is_mono(kind: &EntityKind) -> bool {
        matches!(kind, EntityKind::Code | EntityKind::Pre { .. })
    }

    fn check(markdown: &str, limit: usize) {
        let whole = to_text(markdown);
        let mut rest = whole.text.as_str();
        for piece in split(&whole, limit) {
            let units: Vec<u16> = piece.text.encode_utf16().collect();
            assert!(units.len() <= limit, "fits");
            assert!(!piece.text.trim().is_empty(), "has something to show");
            assert!(
                piece.text.chars().all(|c| c == '\n' || !c.is_control()),
                "no controls"
            );

            let at = rest.find(&piece.text).expect("a part of what is left");
            assert!(rest[..at].trim().is_empty(), "only white space is lost");
            rest = &rest[at + piece.text.len()..];

            assert!(piece.entities.len() <= MESSAGE_ENTITIES);
            for (index, outer) in piece.entities.iter().enumerate() {
                let end = outer.offset + outer.length;
                assert!(outer.length > 0 && end <= units.len(), "within the text");
                String::from_utf16(&units[outer.offset..end]).expect("whole characters");
                for inner in &piece.entities[index + 1..] {
                    assert!(inner.offset >= outer.offset, "in order");
                    let apart = inner.offset >= end;
                    assert!(
                        apart || inner.offset + inner.length <= end,
                        "nested or apart"
                    );
                    let quoted = outer.kind == EntityKind::Blockquote;
                    let mono = is_mono(&outer.kind) || is_mono(&inner.kind);
                    assert!(apart || quoted || !mono, "nothing meets monospaced text");
                    assert!(apart || inner.kind != outer.kind, "nothing is said twice");
                }
            }
        }
        assert!(rest.trim().is_empty(), "nothing is left out");
    }

    proptest! {
        #[test]
        fn pieces_fit_and_together_are_the_whole(markdown in markdown(), limit in 2usize..60) {
            check(&markdown, limit);
        }

        #[test]
        fn long_documents_fit_too(markdown in markdown(), times in 1usize..200) {
            check(&markdown.repeat(times), MESSAGE_UNITS);
        }

        #[test]
        fn any_text_can_be_shown(text in any::<String>()) {
            check(&text, MESSAGE_UNITS);
        }
    }
}
