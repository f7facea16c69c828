//! Emphasis, code and links inside one line.

use anstyle::{AnsiColor, Style};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::styled::Styled;

/// Renders the inline Markdown of one line, which begins with no block marker.
pub(super) fn render(line: &str, base: Style) -> Styled {
    // The bracket makes the line a paragraph whatever it begins with, and stands where a line's
    // beginning would stand for the rules of emphasis: it is punctuation.
    let guarded = format!("({line}");
    let mut guard = true;
    let mut styled = Styled::default();
    let mut styles = vec![base];
    let mut link = None;
    for event in Parser::new_ext(&guarded, Options::ENABLE_STRIKETHROUGH) {
        let style = styles.last().copied().unwrap_or(base);
        match event {
            Event::Start(tag) => match tag {
                Tag::Emphasis => styles.push(style.italic()),
                Tag::Strong => styles.push(style.bold()),
                Tag::Strikethrough => styles.push(style.strikethrough()),
                Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                    styles.push(style.underline());
                    link = Some((dest_url, String::new()));
                }
                _ => {}
            },
            Event::End(tag) => match tag {
                TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                    styles.pop();
                }
                TagEnd::Link | TagEnd::Image => {
                    styles.pop();
                    // Where a link leads is always shown: its text is only what somebody wrote.
                    if let Some((url, label)) = link.take()
                        && label != *url
                        && url.strip_prefix("mailto:") != Some(label.as_str())
                    {
                        let style = styles.last().copied().unwrap_or(base);
                        styled.push(&format!(" ({url})"), style.dimmed());
                    }
                }
                _ => {}
            },
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => {
                let text = if std::mem::take(&mut guard) {
                    text.strip_prefix('(').unwrap_or(&text)
                } else {
                    &text
                };
                if let Some((_, label)) = &mut link {
                    label.push_str(text);
                }
                styled.push(text, style);
            }
            Event::Code(text) => {
                if let Some((_, label)) = &mut link {
                    label.push_str(&text);
                }
                styled.push(&text, style.fg_color(Some(AnsiColor::Cyan.into())));
            }
            Event::SoftBreak | Event::HardBreak => styled.push(" ", style),
            _ => {}
        }
    }
    styled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows styles as letters, so that a snapshot can be read.
    fn shown(line: &str) -> String {
        render(line, Style::new())
            .paint()
            .replace("\x1b[1m", "<b>")
            .replace("\x1b[3m", "<i>")
            .replace("\x1b[9m", "<s>")
            .replace("\x1b[4m", "<u>")
            .replace("\x1b[2m", "<dim>")
            .replace("\x1b[36m", "<code>")
            .replace("\x1b[0m", "</>")
    }

    #[test]
    fn inline_markup_becomes_style() {
        for (line, expected) in [
            ("plain", "plain"),
            ("(bracket) kept", "(bracket) kept"),
            ("**bold** and *it*", "<b>bold</> and <i>it</>"),
            ("__bold__ _it_", "<b>bold</> <i>it</>"),
            ("snake_case_name 2*3*4", "snake_case_name 2<i>3</>4"),
            ("open **bold", "open **bold"),
            ("`a*b*c`", "<code>a*b*c</>"),
            ("~~gone~~", "<s>gone</>"),
            ("# not a heading", "# not a heading"),
            ("- not an item", "- not an item"),
            ("[x]: http://a", "[x]: http://a"),
            (r"\*literal\*", "*literal*"),
            ("<b>html</b>", "<b>html</b>"),
            ("漢字**強調**漢字", "漢字<b>強調</>漢字"),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn a_link_shows_where_it_leads() {
        assert_eq!(
            shown("[bank](https://evil.example)"),
            "<u>bank</><dim> (https://evil.example)</>"
        );
        assert_eq!(shown("<https://a.example>"), "<u>https://a.example</>");
        assert_eq!(shown("<me@a.example>"), "<u>me@a.example</>");
    }

    #[test]
    fn an_entity_cannot_become_an_escape() {
        assert_eq!(shown("a&#27;[2J&#x9b;2Jb &amp; c"), "a[2J2Jb & c");
    }
}
