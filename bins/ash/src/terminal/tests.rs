//! What an answer looks like on a screen, judged by a terminal emulator.

use proptest::prelude::*;

use super::stream::{StreamRenderer, Surface};

const ANSWER: &str = "\
# Anna's visit

She is **allergic to nuts** and likes _long_ walks; see [her page](https://anna.example/about).

1. Bake the cake with oat flour, not with almond flour, and say so to everyone who helps in the kitchen.
2. Ask `Bo`:
   - about *music*
   - [x] about chairs

> Remember: no nuts at all,
> not even traces.

| What | When | Who brings it along |
|---|--:|---|
| Cake | 15:00 | Anna |
| Lamp | 9:30 | somebody else, to be found |

```sh
curl --silent --show-error https://example.org/a/rather/long/address | jq .things[0].name

exit 0
```
---
漢字かな交じり文は空白なしで折り返される。さようなら。
";

/// Shows the pieces on a screen and returns what it shows, with styles or without.
fn screen(pieces: &[&str], width: u16, color: bool) -> vt100::Parser {
    let mut bytes = Vec::new();
    let surface = Surface::Screen {
        width: width.into(),
        height: 200,
        color,
    };
    let mut renderer = StreamRenderer::new(&mut bytes, surface);
    for piece in pieces {
        renderer.push(piece).unwrap();
    }
    renderer.finish().unwrap();
    let mut parser = vt100::Parser::new(200, width, 0);
    parser.process(&bytes);
    parser
}

#[test]
fn an_answer_is_laid_out_to_the_screen() {
    insta::assert_snapshot!(screen(&[ANSWER], 60, true).screen().contents(), @r#"
Anna's visit

She is allergic to nuts and likes long walks; see her page
(https://anna.example/about).

1. Bake the cake with oat flour, not with almond flour, and
   say so to everyone who helps in the kitchen.
2. Ask Bo:
   • about music
   ☑ about chairs

│ Remember: no nuts at all,
│ not even traces.

What │  When │ Who brings it along
─────┼───────┼───────────────────────────
Cake │ 15:00 │ Anna
Lamp │  9:30 │ somebody else, to be found

```sh
curl --silent --show-error https://example.org/a/rather/long/address | jq .things[0].name

exit 0
```
────────────────────────────────────────
漢字かな交じり文は空白なしで折り返される。さようなら。
"#);
}

#[test]
fn without_colour_the_markers_stay() {
    insta::assert_snapshot!(screen(&[ANSWER], 36, false).screen().contents(), @r#"
# Anna's visit

She is **allergic to nuts** and
likes _long_ walks; see [her
page](https://anna.example/about).

1. Bake the cake with oat flour,
   not with almond flour, and say
   so to everyone who helps in the
   kitchen.
2. Ask `Bo`:
   • about *music*
   ☑ about chairs

│ Remember: no nuts at all,
│ not even traces.

What │  When │ Who brings it along
─────┼───────┼─────────────────────
Cake │ 15:00 │ Anna
Lamp │  9:30 │ somebody else, to be
     │       │ found

```sh
curl --silent --show-error https://example.org/a/rather/long/address | jq .things[0].name

exit 0
```
───────────────────────────────────
漢字かな交じり文は空白なしで折り返
される。さようなら。
"#);
}

#[test]
fn the_next_text_begins_on_a_fresh_row() {
    for text in [
        "word",
        "word\n",
        "word\n\n\n",
        "```\ncode",
        "| a |\n|---|\n",
    ] {
        let parser = screen(&[text], 20, true);
        let (row, column) = parser.screen().cursor_position();
        assert_eq!(column, 0, "{text:?}");
        let last = parser
            .screen()
            .rows(0, 20)
            .nth(usize::from(row) - 1)
            .unwrap();
        assert_ne!(last, "", "{text:?}");
    }
}

#[test]
fn a_copied_command_is_one_line() {
    let text = "```\n0123456789abcdef\n```\n";
    let parser = screen(&[text], 10, true);
    assert_eq!(parser.screen().contents(), "```\n0123456789abcdef\n```");
}

#[test]
fn a_pipe_gets_every_byte_as_it_came() {
    let mut bytes = Vec::new();
    let mut renderer = StreamRenderer::new(&mut bytes, Surface::Pipe);
    for piece in ["**a**\x1b[1", "m\r\n", "| b"] {
        renderer.push(piece).unwrap();
    }
    renderer.finish().unwrap();
    assert_eq!(bytes, b"**a**\x1b[1m\r\n| b");
}

#[test]
fn a_model_cannot_drive_the_terminal() {
    let attack = "a\x1b]0;owned\x07b\x1b[2J\x1b[Hc\u{9b}31md &#27;[5m\r`\x1b[7m`\n\
                  | \x1b[2J | x |\n|---|---|\n| &#x9b;2J | y |\n";
    for color in [true, false] {
        for surface in [
            Surface::Dumb,
            Surface::Screen {
                width: 40,
                height: 10,
                color,
            },
        ] {
            let mut bytes = Vec::new();
            let mut renderer = StreamRenderer::new(&mut bytes, surface);
            for piece in attack.split_inclusive(';') {
                renderer.push(piece).unwrap();
            }
            renderer.finish().unwrap();
            let shown = String::from_utf8(bytes).unwrap();
            for sequence in [
                "\x1b]", "\x1b[2J", "\x1b[H", "\x1b[5m", "\x1b[7m", "\u{9b}", "\x07",
            ] {
                assert!(!shown.contains(sequence), "{sequence:?} in {shown:?}");
            }
        }
    }
}

#[test]
fn a_small_screen_is_not_overrun() {
    let surface = Surface::Screen {
        width: 12,
        height: 4,
        color: true,
    };
    let mut bytes = Vec::new();
    let mut renderer = StreamRenderer::new(&mut bytes, surface);
    let text = "a **long paragraph that is bold and much longer than the screen is high** end";
    for c in text.chars() {
        renderer.push(&c.to_string()).unwrap();
    }
    renderer.finish().unwrap();
    let mut parser = vt100::Parser::new(4, 12, 0);
    parser.process(&bytes);
    assert_eq!(parser.screen().contents(), "than the\nscreen is\nhigh end");
}

/// Cuts a text at the given places, whatever they are.
fn pieces<'a>(text: &'a str, cuts: &[prop::sample::Index]) -> Vec<&'a str> {
    let bounds: Vec<usize> = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| *cut.get(&bounds)).collect();
    cuts.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for cut in cuts.into_iter().chain([text.len()]) {
        pieces.push(&text[start..cut]);
        start = cut;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_cutting_gives_the_same_screen(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        width in 12u16..90,
        color: bool,
    ) {
        let whole = screen(&[ANSWER], width, color);
        let cut = screen(&pieces(ANSWER, &cuts), width, color);
        prop_assert_eq!(cut.screen().contents_formatted(), whole.screen().contents_formatted());
    }

    #[test]
    fn any_text_gives_the_same_screen(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "", "word", "**bold** _it_ `code`", "open **bold", "| a | b |", "|---|---|",
                "```", "````x", "- item that is long enough to be wrapped", "  1. x", "> > q",
                "### h", "***", "漢字漢字漢字漢字漢字漢字", "👩‍👩‍👧 e\u{301}", "\ttab", "   ", "|",
            ]),
            0..14,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        width in 9u16..40,
    ) {
        let text = lines.join("\n");
        let whole = screen(&[&text], width, true);
        let cut = screen(&pieces(&text, &cuts), width, true);
        prop_assert_eq!(cut.screen().contents_formatted(), whole.screen().contents_formatted());
    }
}
