//! From Markdown to text with spans.
//!
//! What Telegram cannot show (headings, lists, tables, rules, pictures) becomes text that reads well;
//! what is no Markdown stays as it is written. Half a document is fine too, so that a reply can be
//! rendered while it still arrives.

use pulldown_cmark::{CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

use crate::piece::{EntityKind, Piece};
use crate::split::{MESSAGE_UNITS, split};
use crate::table::{Layout, Table};
use crate::writer::{Between, Rendered, Writer};

/// Returns the messages that show a Markdown document; none for an empty one.
///
/// Each is at most 4,096 UTF-16 units long and has at most 100 entities. They are cut between blocks
/// where possible, then between list items, lines, words; what is formatted across a cut is
/// formatted on both sides of it.
pub fn render(markdown: &str) -> Vec<Piece> {
    split(&to_text(markdown), MESSAGE_UNITS)
}

/// Renders a whole document as one text of any length.
pub(crate) fn to_text(markdown: &str) -> Rendered {
    let options =
        Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
    let mut document = Document::default();
    for event in Parser::new_ext(markdown, options) {
        document.event(event);
    }
    document.writer.finish()
}

const BULLET: &str = "\u{2022} ";

/// Deeper levels are not indented further: on a phone nothing would be left of the line.
const DEEPEST_INDENT: usize = 8;

#[derive(Default)]
struct Document {
    writer: Writer,
    /// The next number of each list around, none for bullets.
    lists: Vec<Option<u64>>,
    quotes: usize,
    /// The address of each link around, where it may have to be told.
    links: Vec<Option<String>>,
    code_block: Option<String>,
    table: Option<Table>,
}

impl Document {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => self.end(end),
            Event::Code(code) => match &mut self.table {
                Some(table) => table.push(&code),
                None => self.writer.write_code(EntityKind::Code, &code),
            },
            Event::InlineHtml(html) | Event::Html(html) => self.html(&html),
            Event::SoftBreak | Event::HardBreak => self.line_break(),
            Event::Rule => {
                self.writer.break_lines(2);
                self.writer.write("\u{2014}\u{2014}\u{2014}");
                self.part();
            }
            Event::TaskListMarker(done) => {
                self.writer.unwrite(BULLET);
                let mark = if done { "\u{2611} " } else { "\u{2610} " };
                self.writer.write(mark);
            }
            Event::Text(text)
            // These are not asked of the parser.
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.text(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { .. } => {
                self.writer.break_lines(2);
                self.writer.open(EntityKind::Bold);
            }
            Tag::BlockQuote(_) => {
                self.writer.break_lines(1);
                self.quotes += 1;
                self.writer.open(EntityKind::Blockquote);
            }
            Tag::CodeBlock(kind) => {
                self.writer.break_lines(1);
                self.writer.open(EntityKind::Pre { language: language(&kind) });
                self.code_block = Some(String::new());
            }
            Tag::List(first) => {
                self.writer.break_lines(1);
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Emphasis => self.writer.open(EntityKind::Italic),
            Tag::Strong => self.writer.open(EntityKind::Bold),
            Tag::Strikethrough => self.writer.open(EntityKind::Strikethrough),
            Tag::Link { link_type: LinkType::Autolink | LinkType::Email, .. } => {
                // Telegram finds what is an address by itself.
                self.writer.open_nothing();
                self.links.push(None);
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.link(&dest_url),
            Tag::Table(alignments) => self.table = Some(Table::new(alignments)),
            Tag::TableRow | Tag::TableHead => {
                if let Some(table) = &mut self.table {
                    table.begin_row();
                }
            }
            Tag::TableCell => {
                if let Some(table) = &mut self.table {
                    table.begin_cell();
                }
            }
            Tag::Paragraph
            | Tag::HtmlBlock
            // These are not asked of the parser.
            | Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => {}
        }
    }

    fn end(&mut self, end: TagEnd) {
        match end {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.part(),
            TagEnd::Heading(_) => {
                self.writer.close();
                // No border: a heading stays with what it heads.
                self.writer.break_lines(2);
            }
            TagEnd::BlockQuote(_) => {
                self.writer.close();
                self.quotes -= 1;
                self.part();
            }
            TagEnd::CodeBlock => {
                let code = self.code_block.take().unwrap_or_default();
                self.writer.write_block(code.trim_end());
                self.writer.close();
                self.part();
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.indent(self.lists.len());
                if self.lists.is_empty() {
                    self.part();
                }
            }
            TagEnd::Item => self.writer.part(1, Between::Items),
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => self.writer.close(),
            TagEnd::Link | TagEnd::Image => self.end_of_link(),
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    self.table(&table);
                }
            }
            TagEnd::TableCell
            | TagEnd::TableRow
            | TagEnd::TableHead
            // These are not asked of the parser.
            | TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::MetadataBlock(_) => {}
        }
    }

    /// Ends a block.
    fn part(&mut self) {
        let between = if self.lists.is_empty() && self.quotes == 0 {
            Between::Blocks
        } else {
            Between::Items
        };
        self.writer.part(2, between);
    }

    fn text(&mut self, text: &str) {
        if let Some(code) = &mut self.code_block {
            code.push_str(text);
        } else if let Some(table) = &mut self.table {
            table.push(text);
        } else {
            self.writer.write(text);
        }
    }

    fn line_break(&mut self) {
        match &mut self.table {
            Some(table) => table.push(" "),
            None => self.writer.break_lines(1),
        }
    }

    /// Telegram knows no HTML here, so a tag stays readable; a line break is one that models write.
    fn html(&mut self, html: &str) {
        let line = html.trim_end_matches('\n');
        if matches!(
            line.to_ascii_lowercase().as_str(),
            "<br>" | "<br/>" | "<br />"
        ) {
            self.line_break();
            return;
        }
        self.text(line);
        if line.len() < html.len() {
            self.line_break();
        }
    }

    fn item(&mut self) {
        self.indent(self.lists.len() - 1);
        self.writer.break_lines(1);
        match self.lists.last_mut() {
            Some(Some(number)) => {
                let marker = format!("{number}. ");
                *number += 1;
                self.writer.write(&marker);
            }
            Some(None) | None => self.writer.write(BULLET),
        }
        self.indent(self.lists.len());
    }

    fn indent(&mut self, level: usize) {
        self.writer.set_indent(2 * level.min(DEEPEST_INDENT));
    }

    fn link(&mut self, url: &str) {
        if let Some(table) = &mut self.table {
            table.begin_link();
            self.links.push(Some(url.to_owned()));
        } else if self.writer.is_in_link() {
            // A picture in a link: the link is what can be followed.
            self.writer.open_nothing();
            self.links.push(None);
        } else if is_web_address(url) {
            self.writer.open(EntityKind::TextLink {
                url: url.to_owned(),
            });
            self.links.push(Some(url.to_owned()));
        } else {
            self.writer.open_nothing();
            self.links.push(Some(url.to_owned()));
        }
    }

    fn end_of_link(&mut self) {
        let url = self.links.pop().flatten();
        if let Some(table) = &mut self.table {
            if let Some(url) = url {
                table.end_link(&url);
            }
            return;
        }
        if let Some(url) = url {
            if !self.writer.has_text() {
                self.writer.write(&url);
            } else if !self.writer.is_in_link() {
                // It cannot be followed here, so it is told.
                self.writer.write(&format!(" ({url})"));
            }
        }
        self.writer.close();
    }

    fn table(&mut self, table: &Table) {
        self.writer.break_lines(1);
        match table.layout() {
            Layout::Columns(text) => {
                self.writer.open(EntityKind::Pre { language: None });
                self.writer.write_block(&text);
                self.writer.close();
            }
            Layout::Records(records) => {
                for record in records {
                    self.writer.open(EntityKind::Bold);
                    self.writer.write(&record.title);
                    self.writer.close();
                    for line in record.lines {
                        self.writer.break_lines(1);
                        self.writer.write(&line);
                    }
                    self.writer.part(2, Between::Items);
                }
            }
        }
        self.part();
    }
}

/// Telegram follows no other kind of link from a text.
fn is_web_address(url: &str) -> bool {
    ["http://", "https://", "tg://"]
        .iter()
        .any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
        && !url.contains(char::is_whitespace)
}

fn language(kind: &CodeBlockKind<'_>) -> Option<String> {
    let CodeBlockKind::Fenced(info) = kind else {
        return None;
    };
    let word: String = info
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '#' | '_' | '.'))
        .collect();
    Some(word).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes each entity as its kind and the text under it.
    fn shown(markdown: &str) -> (String, Vec<String>) {
        let pieces = render(markdown);
        let [piece] = &pieces[..] else {
            panic!("one piece: {pieces:?}");
        };
        let units: Vec<u16> = piece.text.encode_utf16().collect();
        let entities = piece.entities.iter().map(|entity| {
            let under = &units[entity.offset..entity.offset + entity.length];
            let under = String::from_utf16(under).expect("cut at characters");
            match &entity.kind {
                EntityKind::Bold => format!("bold: {under}"),
                EntityKind::Italic => format!("italic: {under}"),
                EntityKind::Strikethrough => format!("struck: {under}"),
                EntityKind::Code => format!("code: {under}"),
                EntityKind::Pre { language: None } => format!("pre: {under}"),
                EntityKind::Pre {
                    language: Some(name),
                } => format!("pre {name}: {under}"),
                EntityKind::TextLink { url } => format!("link {url}: {under}"),
                EntityKind::Blockquote => format!("quote: {under}"),
            }
        });
        (piece.text.clone(), entities.collect())
    }

    #[test]
    fn every_kind_of_markdown_reads_well() {
        let table: &[(&str, &str, &[&str])] = &[
            (
                "plain *it* __bold__ ~~gone~~",
                "plain it bold gone",
                &["italic: it", "bold: bold", "struck: gone"],
            ),
            (
                "\u{1f600}**\u{e9}\u{1f600}**",
                "\u{1f600}\u{e9}\u{1f600}",
                &["bold: \u{e9}\u{1f600}"],
            ),
            ("***both***", "both", &["italic: both", "bold: both"]),
            ("# Title\ntext", "Title\n\ntext", &["bold: Title"]),
            (
                "# A **bold** title",
                "A bold title",
                &["bold: A bold title"],
            ),
            ("one\n\n\n\ntwo", "one\n\ntwo", &[]),
            ("one\ntwo\\\nthree<br>four", "one\ntwo\nthree\nfour", &[]),
            ("a\n\n***\n\nb", "a\n\n\u{2014}\u{2014}\u{2014}\n\nb", &[]),
            ("<b>tag</b> & <i", "<b>tag</b> & <i", &[]),
            ("<div>\nx\n</div>\n\ny", "<div>\nx\n</div>\n\ny", &[]),
            // Code.
            ("run `ls -l`", "run ls -l", &["code: ls -l"]),
            (
                "**all `code` bold**",
                "all code bold",
                &["bold: all ", "code: code", "bold:  bold"],
            ),
            (
                "```rust,ignore\nfn a() {\n\tb();\n}\n```",
                "fn a() {\n    b();\n}",
                &["pre rust: fn a() {\n    b();\n}"],
            ),
            ("```\nnot closed", "not closed", &["pre: not closed"]),
            ("    indented", "indented", &["pre: indented"]),
            ("a\n```\n```\nb", "a\n\nb", &[]),
            // Lists.
            (
                "- a\n- b\n  - c\n    more\n- d",
                "\u{2022} a\n\u{2022} b\n  \u{2022} c\n    more\n\u{2022} d",
                &[],
            ),
            ("3. c\n4. d\n\nend", "3. c\n4. d\n\nend", &[]),
            (
                "- [x] done\n- [ ] open",
                "\u{2611} done\n\u{2610} open",
                &[],
            ),
            ("- a\n\n  b\n\n- c", "\u{2022} a\n\n  b\n\n\u{2022} c", &[]),
            (
                "1. do\n   ```sh\n   ls\n   ```\n2. see",
                "1. do\nls\n\n2. see",
                &["pre sh: ls"],
            ),
            ("- - a", "\u{2022} \n  \u{2022} a", &[]),
            // Quotes.
            (
                "> said `x`\n>\n> > deeper\n\nanswer",
                "said x\n\ndeeper\n\nanswer",
                &["quote: said x\n\ndeeper", "code: x"],
            ),
            (
                "> - a\n> - b",
                "\u{2022} a\n\u{2022} b",
                &["quote: \u{2022} a\n\u{2022} b"],
            ),
            // Links.
            (
                "[*a*](https://b.org)",
                "a",
                &["link https://b.org: a", "italic: a"],
            ),
            ("[`a`](https://b.org)", "a", &["link https://b.org: a"]),
            ("[a](docs/b.md)", "a (docs/b.md)", &[]),
            (
                "[](https://b.org)",
                "https://b.org",
                &["link https://b.org: https://b.org"],
            ),
            ("<https://b.org>", "https://b.org", &[]),
            (
                "![cat](https://b.org/cat.png)",
                "cat",
                &["link https://b.org/cat.png: cat"],
            ),
            (
                "[![badge](b.svg)](https://b.org)",
                "badge",
                &["link https://b.org: badge"],
            ),
            // Tables.
            (
                "|a|n|\n|-|-:|\n|*x*|10|\n|yy|9|",
                "a  \u{2502}  n\n\u{2500}\u{2500}\u{2500}\u{253c}\u{2500}\u{2500}\u{2500}\nx  \u{2502} 10\nyy \u{2502}  9",
                &[
                    "pre: a  \u{2502}  n\n\u{2500}\u{2500}\u{2500}\u{253c}\u{2500}\u{2500}\u{2500}\nx  \u{2502} 10\nyy \u{2502}  9",
                ],
            ),
        ];
        for (markdown, text, entities) in table {
            let (got_text, got_entities) = shown(markdown);
            assert_eq!(
                (got_text.as_str(), &got_entities[..]),
                (
                    *text,
                    &entities.iter().map(ToString::to_string).collect::<Vec<_>>()[..]
                ),
                "{markdown}"
            );
        }
    }

    #[test]
    fn a_wide_table_becomes_records() {
        let (text, entities) = shown(
            "|name|what it is for|where|\n|-|-|-|\n\
             |bash|runs a command in the sandbox|[docs](a.md)|\n\
             |web_search|asks the search engine||",
        );
        assert_eq!(
            text,
            "bash\nwhat it is for: runs a command in the sandbox\nwhere: docs (a.md)\n\n\
             web_search\nwhat it is for: asks the search engine"
        );
        assert_eq!(entities, ["bold: bash", "bold: web_search"]);
    }

    #[test]
    fn nothing_makes_no_message() {
        for markdown in ["", "  \n\n", "```\n\n\n```", "[a]: https://b.org"] {
            assert_eq!(render(markdown), [], "{markdown:?}");
        }
    }

    #[test]
    fn entities_are_written_as_the_bot_api_reads_them() {
        let pieces = render("[a](https://b.org)\n```sh\nls\n```\n```\nx\n```");
        assert_eq!(
            serde_json::to_value(&pieces[0].entities).unwrap(),
            serde_json::json!([
                {"type": "text_link", "offset": 0, "length": 1, "url": "https://b.org"},
                {"type": "pre", "offset": 3, "length": 2, "language": "sh"},
                {"type": "pre", "offset": 7, "length": 1},
            ])
        );
    }
}
