//! Markdown, a line at a time: each complete line becomes rows that never change again.

use anstyle::{AnsiColor, Style};

use super::styled::{Row, Styled};
use super::{inline, table};

/// What the lines so far have opened.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    width: usize,
    color: bool,
    state: State,
    /// Blank lines are drawn before the next text, so that none is left at the end.
    gap: Gap,
}

#[derive(Clone, Debug)]
enum State {
    Flow,
    Fence { marker: char, length: usize },
    Table(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    /// Nothing was drawn yet: leading blank lines are dropped.
    Start,
    None,
    Due,
}

impl Blocks {
    /// Begins a text for a terminal of this width.
    pub(super) fn new(width: usize, color: bool) -> Self {
        Self {
            width: width.max(8),
            color,
            state: State::Flow,
            gap: Gap::Start,
        }
    }

    /// Takes a complete line and returns what it adds; a table is held back until it is complete.
    pub(super) fn line(&mut self, line: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        match &mut self.state {
            State::Fence { marker, length } => {
                if closes(line, *marker, *length) {
                    self.state = State::Flow;
                    self.emit(self.quiet(line), &mut rows);
                } else {
                    // Blank lines of code are code.
                    rows.extend(Styled::new(line, Style::new()).fill(self.width));
                }
                return rows;
            }
            State::Table(lines) if is_table_line(line) => {
                lines.push(line.to_owned());
                return rows;
            }
            State::Table(_) => self.close_table(&mut rows),
            State::Flow => {}
        }
        if is_table_line(line) {
            self.state = State::Table(vec![line.to_owned()]);
        } else if let Some((marker, length)) = opens(line) {
            let quiet = self.quiet(line);
            self.emit(quiet, &mut rows);
            self.state = State::Fence { marker, length };
        } else if line.trim().is_empty() {
            if self.gap == Gap::None {
                self.gap = Gap::Due;
            }
        } else {
            let flow = self.flow(line);
            self.emit(flow, &mut rows);
        }
        rows
    }

    /// Returns what is not yet final: a table that may go on, and the line being written.
    pub(super) fn preview(&self, partial: &str) -> Vec<Row> {
        let mut ahead = self.clone();
        let mut rows = if partial.is_empty() {
            Vec::new()
        } else {
            ahead.line(partial)
        };
        ahead.close_table(&mut rows);
        rows
    }

    /// Ends the text.
    pub(super) fn finish(&mut self, partial: &str) -> Vec<Row> {
        let rows = self.preview(partial);
        *self = Self::new(self.width, self.color);
        rows
    }

    fn close_table(&mut self, rows: &mut Vec<Row>) {
        if !matches!(self.state, State::Table(_)) {
            return;
        }
        let State::Table(lines) = std::mem::replace(&mut self.state, State::Flow) else {
            return;
        };
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let laid_out = table::render(&lines, self.width - 1, self.color)
            .unwrap_or_else(|| lines.iter().flat_map(|line| self.flow(line)).collect());
        self.emit(laid_out, rows);
    }

    /// Adds rows of text, after the gap that is due.
    fn emit(&mut self, text: Vec<Row>, rows: &mut Vec<Row>) {
        if self.gap == Gap::Due {
            rows.push(Row::default());
        }
        self.gap = Gap::None;
        rows.extend(text);
    }

    /// Renders a line outside of code and tables.
    fn flow(&self, line: &str) -> Vec<Row> {
        if is_rule(line) {
            return vec![Row {
                text: self.dim("─".repeat((self.width - 1).min(40))),
                runs_on: false,
            }];
        }
        let (first, rest, text) = self.prefixes(line);
        let (base, text) = self.heading(text);
        let styled = if self.color {
            inline::render(text, base)
        } else {
            Styled::new(text, base)
        };
        let used = Styled::new(&rest, Style::new()).width();
        let room = (self.width - 1).saturating_sub(used).max(4);
        styled
            .wrap(room)
            .iter()
            .enumerate()
            .map(|(i, part)| {
                let prefix = if i == 0 { &first } else { &rest };
                let prefix = if prefix.contains('│') {
                    self.dim(prefix.clone())
                } else {
                    prefix.clone()
                };
                Row {
                    text: if part.is_blank() {
                        prefix.trim_end().to_owned()
                    } else {
                        prefix + &part.paint()
                    },
                    runs_on: false,
                }
            })
            .collect()
    }

    /// Takes off indentation, quotes and list markers; returns what stands for them in the first
    /// row and in the further ones, and the rest of the line.
    fn prefixes<'a>(&self, line: &'a str) -> (String, String, &'a str) {
        let mut first = String::new();
        let mut rest = String::new();
        let mut line = line;
        // Prefixes never take more than half of the width, however deep somebody nests.
        while rest.chars().count() < self.width / 2 {
            let text = line.trim_start_matches([' ', '\t']);
            let indent: usize = line[..line.len() - text.len()]
                .bytes()
                .map(|b| if b == b'\t' { 4 } else { 1 })
                .sum();
            let indent = indent.min(self.width / 2);
            let (marker, next, mark, hang) = if let Some(next) = text.strip_prefix('>') {
                (
                    true,
                    next.strip_prefix(' ').unwrap_or(next),
                    "│ ".to_owned(),
                    "│ ".to_owned(),
                )
            } else if let Some((mark, next)) = list_marker(text) {
                let hang = " ".repeat(mark.chars().count());
                (true, next, mark, hang)
            } else {
                (false, text, String::new(), String::new())
            };
            for prefix in [&mut first, &mut rest] {
                prefix.push_str(&" ".repeat(indent));
            }
            first.push_str(&mark);
            rest.push_str(&hang);
            line = next;
            if !marker {
                break;
            }
        }
        (first, rest, line)
    }

    fn heading<'a>(&self, text: &'a str) -> (Style, &'a str) {
        let title = text.trim_start_matches('#');
        let level = text.len() - title.len();
        if !self.color || !(1..=6).contains(&level) || !title.starts_with([' ', '\t']) {
            return (Style::new(), text);
        }
        let style = Style::new().bold();
        let style = if level == 1 { style.underline() } else { style };
        (style, title.trim().trim_end_matches('#').trim_end())
    }

    /// Renders the line that opens or closes code: as it is, but set back.
    fn quiet(&self, line: &str) -> Vec<Row> {
        let style = if self.color {
            Style::new().fg_color(Some(AnsiColor::BrightBlack.into()))
        } else {
            Style::new()
        };
        Styled::new(line, style).fill(self.width)
    }

    fn dim(&self, text: String) -> String {
        if self.color {
            Styled::new(&text, Style::new().dimmed()).paint()
        } else {
            text
        }
    }
}

fn is_table_line(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

/// Reads the line that opens code: three or more of one marker, anywhere after blanks.
fn opens(line: &str) -> Option<(char, usize)> {
    let text = line.trim_start();
    let marker = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let info = text.trim_start_matches(marker);
    let length = text.len() - info.len();
    // Backticks after backticks are code inside a line.
    (length >= 3 && !(marker == '`' && info.contains('`'))).then_some((marker, length))
}

fn closes(line: &str, marker: char, length: usize) -> bool {
    let text = line.trim();
    text.len() >= length && text.chars().all(|c| c == marker)
}

fn is_rule(line: &str) -> bool {
    let mut marks = line.chars().filter(|c| !c.is_whitespace());
    let Some(first) = marks.next().filter(|c| matches!(c, '-' | '*' | '_')) else {
        return false;
    };
    let mut count = 1;
    marks.all(|c| {
        count += 1;
        c == first
    }) && count >= 3
}

/// Splits off a list marker, and returns how it is shown.
fn list_marker(text: &str) -> Option<(String, &str)> {
    for bullet in ["- ", "* ", "+ "] {
        if let Some(rest) = text.strip_prefix(bullet) {
            let rest = rest.trim_start_matches(' ');
            for (boxed, shown) in [("[ ] ", "☐ "), ("[x] ", "☑ "), ("[X] ", "☑ ")] {
                if let Some(rest) = rest.strip_prefix(boxed) {
                    return Some((shown.to_owned(), rest));
                }
            }
            return Some(("• ".to_owned(), rest));
        }
    }
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.len() - rest.len();
    let rest = rest
        .strip_prefix(". ")
        .or_else(|| rest.strip_prefix(") "))?;
    ((1..=9).contains(&digits)).then(|| {
        let marker = &text[..digits + 2];
        (marker.to_owned(), rest.trim_start_matches(' '))
    })
}
