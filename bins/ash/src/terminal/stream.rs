//! An answer, shown as it comes.

use std::io::{self, Write};

use super::blocks::Blocks;
use super::sanitize::harmless;
use super::styled::Row;

/// What the answer is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// A pipe or a file: every byte as it came.
    Pipe,
    /// A terminal that cannot move its cursor: the text without control characters.
    Dumb,
    /// A terminal on which Markdown is laid out.
    Screen {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Whether styles may be used.
        color: bool,
    },
}

/// Shows Markdown while it is being written.
///
/// Complete lines become final rows. The line being written (and a table, until it ends) is drawn as
/// far as it is known and drawn again from the first row that changed. The result on the screen does
/// not depend on how the text was cut into pieces.
pub(crate) struct StreamRenderer<W> {
    out: W,
    surface: Surface,
    blocks: Blocks,
    partial: String,
    /// The rows that may still change; the cursor stands at the end of the last.
    live: Vec<Row>,
}

impl<W: Write> StreamRenderer<W> {
    /// Begins an answer.
    pub(crate) fn new(out: W, surface: Surface) -> Self {
        let blocks = match surface {
            Surface::Screen { width, color, .. } => Blocks::new(width, color),
            Surface::Pipe | Surface::Dumb => Blocks::new(80, false),
        };
        Self {
            out,
            surface,
            blocks,
            partial: String::new(),
            live: Vec::new(),
        }
    }

    /// Shows more of the answer.
    pub(crate) fn push(&mut self, delta: &str) -> io::Result<()> {
        match self.surface {
            Surface::Pipe => self.out.write_all(delta.as_bytes())?,
            Surface::Dumb => {
                self.partial.push_str(delta);
                self.out.write_all(harmless(delta).as_bytes())?;
            }
            Surface::Screen { .. } => {
                let delta = harmless(delta);
                let mut lines = delta.split('\n');
                self.partial.push_str(lines.next().unwrap_or_default());
                for next in lines {
                    let line = std::mem::replace(&mut self.partial, next.to_owned());
                    let rows = self.blocks.line(&line);
                    self.settle(rows)?;
                }
                let rows = self.blocks.preview(&self.partial);
                self.draw(rows)?;
            }
        }
        self.out.flush()
    }

    /// Ends the answer; what comes next on a terminal begins on a fresh row.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self.surface {
            Surface::Pipe => {}
            Surface::Dumb => {
                let text = std::mem::take(&mut self.partial);
                if !text.is_empty() && !text.ends_with('\n') {
                    self.out.write_all(b"\n")?;
                }
            }
            Surface::Screen { .. } => {
                let partial = std::mem::take(&mut self.partial);
                let rows = self.blocks.finish(&partial);
                self.settle(rows)?;
            }
        }
        self.out.flush()
    }

    /// Draws rows for good. None at all means that they are held back and stay live.
    fn settle(&mut self, rows: Vec<Row>) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.draw(rows)?;
        self.live.clear();
        self.out.write_all(b"\r\n")
    }

    /// Makes the live rows be these, touching only what differs.
    fn draw(&mut self, rows: Vec<Row>) -> io::Result<()> {
        let Some(last) = self.live.len().checked_sub(1) else {
            self.write_rows(&rows)?;
            self.live = rows;
            return Ok(());
        };
        let same = self
            .live
            .iter()
            .zip(&rows)
            .take_while(|(old, new)| old == new)
            .count();
        if same == self.live.len() && same == rows.len() {
            return Ok(());
        }
        let grown = (same >= last)
            .then(|| rows.get(last)?.text.strip_prefix(&self.live[last].text))
            .flatten();
        if let Some(grown) = grown {
            self.out.write_all(grown.as_bytes())?;
            self.write_breaks_and_rows(&rows[last..])?;
        } else {
            // Rows above the screen are out of reach; what is drawn there stays.
            let reach = match self.surface {
                Surface::Screen { height, .. } => last.saturating_sub(height.saturating_sub(1)),
                Surface::Pipe | Surface::Dumb => 0,
            };
            let from = same.min(last).min(rows.len().saturating_sub(1)).max(reach);
            if last > from {
                write!(self.out, "\x1b[{}A", last - from)?;
            }
            self.out.write_all(b"\r\x1b[J")?;
            self.write_rows(rows.get(from..).unwrap_or_default())?;
        }
        self.live = rows;
        Ok(())
    }

    fn write_rows(&mut self, rows: &[Row]) -> io::Result<()> {
        if let Some(first) = rows.first() {
            self.out.write_all(first.text.as_bytes())?;
            self.write_breaks_and_rows(rows)?;
        }
        Ok(())
    }

    /// Writes all rows but the first, each after the break that its predecessor asks for.
    fn write_breaks_and_rows(&mut self, rows: &[Row]) -> io::Result<()> {
        for pair in rows.windows(2) {
            if !pair[0].runs_on {
                self.out.write_all(b"\r\n")?;
            }
            self.out.write_all(pair[1].text.as_bytes())?;
        }
        Ok(())
    }
}
