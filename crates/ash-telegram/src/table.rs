//! Tables, which Telegram does not have.

use pulldown_cmark::Alignment;
use unicode_width::UnicodeWidthStr;

/// What a phone shows of a monospaced line without wrapping it.
const WIDEST: usize = 44;

const BETWEEN_COLUMNS: &str = " \u{2502} ";
const UNDER_HEADER: &str = "\u{2500}\u{253c}\u{2500}";

/// A table that is being read: plain text, row by row, the header first.
#[derive(Default)]
pub(crate) struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<String>>,
    /// Where the text of the link begins that the current cell is in.
    link: usize,
}

/// How a table is shown.
pub(crate) enum Layout {
    /// As aligned columns, for monospaced text.
    Columns(String),
    /// As one record a row, because it is too wide.
    Records(Vec<Record>),
}

pub(crate) struct Record {
    /// The first cell.
    pub(crate) title: String,
    /// The other cells, each with its header.
    pub(crate) lines: Vec<String>,
}

impl Table {
    pub(crate) fn new(alignments: Vec<Alignment>) -> Self {
        Self {
            alignments,
            ..Self::default()
        }
    }

    pub(crate) fn begin_row(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(crate) fn begin_cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.push(String::new());
        }
    }

    pub(crate) fn push(&mut self, text: &str) {
        if let Some(cell) = self.cell() {
            cell.push_str(text);
        }
    }

    pub(crate) fn begin_link(&mut self) {
        self.link = self.cell().map_or(0, |cell| cell.len());
    }

    /// Tells the address of the link that ends here, unless its text does.
    pub(crate) fn end_link(&mut self, url: &str) {
        let begin = self.link;
        if let Some(cell) = self.cell() {
            match cell.get(begin..) {
                Some(text) if text == url => {}
                Some("") => cell.push_str(url),
                Some(_) | None => cell.extend([" (", url, ")"]),
            }
        }
    }

    fn cell(&mut self) -> Option<&mut String> {
        self.rows.last_mut()?.last_mut()
    }

    pub(crate) fn layout(&self) -> Layout {
        let widths: Vec<usize> = (0..self.alignments.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.width()).max().unwrap_or(0)
            })
            .collect();
        let all: usize = widths.iter().sum();
        if all + 3 * widths.len().saturating_sub(1) <= WIDEST {
            Layout::Columns(self.columns(&widths))
        } else {
            Layout::Records(self.records())
        }
    }

    fn columns(&self, widths: &[usize]) -> String {
        let mut lines: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let cells = widths.iter().enumerate().map(|(column, width)| {
                    let cell = row.get(column).map_or("", String::as_str);
                    self.pad(cell, column, *width)
                });
                let line = cells.collect::<Vec<_>>().join(BETWEEN_COLUMNS);
                line.trim_end().to_owned()
            })
            .collect();
        let rule = widths.iter().map(|width| "\u{2500}".repeat(*width));
        let rule = rule.collect::<Vec<_>>().join(UNDER_HEADER);
        lines.insert(lines.len().min(1), rule);
        lines.join("\n")
    }

    fn pad(&self, cell: &str, column: usize, width: usize) -> String {
        let space = width - cell.width();
        let before = match self.alignments[column] {
            Alignment::Right => space,
            Alignment::Center => space / 2,
            Alignment::Left | Alignment::None => 0,
        };
        format!("{}{cell}{}", " ".repeat(before), " ".repeat(space - before))
    }

    fn records(&self) -> Vec<Record> {
        let Some((header, rows)) = self.rows.split_first() else {
            return Vec::new();
        };
        // A header without rows is still something that was said.
        let rows = if rows.is_empty() { &self.rows } else { rows };
        let record = |row: &Vec<String>| Record {
            title: row.first().cloned().unwrap_or_default(),
            lines: header
                .iter()
                .zip(row)
                .skip(1)
                .filter(|(_, cell)| !cell.is_empty())
                .map(|(name, cell)| match name.as_str() {
                    "" => cell.clone(),
                    name => format!("{name}: {cell}"),
                })
                .collect(),
        };
        rows.iter().map(record).collect()
    }
}
