//! A text under construction, with its spans.

use std::cmp::Reverse;
use std::mem;
use std::ops::Range;

use crate::piece::EntityKind;

/// A document as one text, still of any length. All positions are in bytes.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// By where they begin, outer before inner; any two nest or do not meet.
    pub(crate) spans: Vec<Span>,
    /// By where they are.
    pub(crate) borders: Vec<Border>,
}

#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) kind: EntityKind,
    pub(crate) range: Range<usize>,
    opened: usize,
}

/// A good place to cut.
#[derive(Debug)]
pub(crate) struct Border {
    pub(crate) at: usize,
    pub(crate) between: Between,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    /// Paragraphs, code blocks, whole lists and the like.
    Blocks,
    /// The items of a list, the paragraphs of a quote.
    Items,
}

/// Line breaks are owed rather than written: only the next text decides how many there are, and none
/// ends up within a span that is already over, or at the end.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    done: Rendered,
    open: Vec<Open>,
    /// How many spans were ever opened; of two around the same text the outer has the lower number.
    opened: usize,
    owed_breaks: usize,
    owed_border: Option<Between>,
    indent: usize,
}

/// A span whose end is not reached.
#[derive(Debug)]
struct Open {
    /// None where nothing is to be seen of it.
    kind: Option<EntityKind>,
    opened: usize,
    /// None until there is text in it.
    start: Option<usize>,
}

impl Writer {
    /// Begins a span at the next text; within one of the same kind it is not seen.
    pub(crate) fn open(&mut self, kind: EntityKind) {
        let kind = Some(kind).filter(|kind| !self.open.iter().any(|open| open.has_kind(kind)));
        self.push_open(kind);
    }

    /// Begins a span that is not seen.
    pub(crate) fn open_nothing(&mut self) {
        self.push_open(None);
    }

    fn push_open(&mut self, kind: Option<EntityKind>) {
        self.open.push(Open {
            kind,
            opened: self.opened,
            start: None,
        });
        self.opened += 1;
    }

    /// Ends the span that was opened last.
    pub(crate) fn close(&mut self) {
        let Some(mut open) = self.open.pop() else {
            return;
        };
        let end = self.done.text.len();
        self.done.spans.extend(open.interrupt(end));
    }

    /// Tells whether the span that was opened last has text.
    pub(crate) fn has_text(&self) -> bool {
        self.open.last().is_some_and(|open| open.start.is_some())
    }

    pub(crate) fn is_in_link(&self) -> bool {
        self.open
            .iter()
            .any(|open| matches!(open.kind, Some(EntityKind::TextLink { .. })))
    }

    /// Makes the next text begin at least so many lines further down.
    pub(crate) fn break_lines(&mut self, count: usize) {
        self.owed_breaks = self.owed_breaks.max(count);
    }

    /// Breaks lines where the text may be cut.
    pub(crate) fn part(&mut self, count: usize, between: Between) {
        self.break_lines(count);
        self.owed_border = Some(between);
    }

    /// Sets how far lines that begin from here on are indented.
    pub(crate) fn set_indent(&mut self, indent: usize) {
        self.indent = indent;
    }

    pub(crate) fn write(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.pay_breaks(self.indent);
        self.begin_spans(|_| true);
        self.push(text, " ");
    }

    /// Writes monospaced text, which other styles must not touch: they pause around it.
    pub(crate) fn write_code(&mut self, kind: EntityKind, code: &str) {
        // A link that can be followed is worth more than the look of its text.
        if self.is_in_link() {
            self.write(code);
            return;
        }
        let end = self.done.text.len();
        for open in self.open.iter_mut().filter(|open| open.is_style()) {
            self.done.spans.extend(open.interrupt(end));
        }
        self.pay_breaks(self.indent);
        self.push_open(Some(kind));
        self.begin_spans(|open| !open.is_style());
        self.push(code, "    ");
        self.close();
    }

    /// Writes into the block that was opened last, unindented.
    pub(crate) fn write_block(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.pay_breaks(0);
        self.begin_spans(|_| true);
        self.push(text, "    ");
    }

    /// Takes `text` back where it is what was written last.
    pub(crate) fn unwrite(&mut self, text: &str) {
        if self.owed_breaks == 0 && self.done.text.ends_with(text) {
            self.done.text.truncate(self.done.text.len() - text.len());
        }
    }

    pub(crate) fn finish(mut self) -> Rendered {
        while !self.open.is_empty() {
            self.close();
        }
        self.done
            .spans
            .sort_by_key(|span| (span.range.start, Reverse(span.range.end), span.opened));
        self.done
    }

    fn pay_breaks(&mut self, indent: usize) {
        let count = mem::take(&mut self.owed_breaks);
        let border = mem::take(&mut self.owed_border);
        let text = &mut self.done.text;
        if count == 0 || text.is_empty() {
            return;
        }
        if let Some(between) = border {
            let at = text.len();
            self.done.borders.push(Border { at, between });
        }
        text.extend(std::iter::repeat_n('\n', count));
        text.extend(std::iter::repeat_n(' ', indent));
    }

    fn begin_spans(&mut self, of: impl Fn(&Open) -> bool) {
        let start = self.done.text.len();
        for open in self.open.iter_mut().filter(|open| of(open)) {
            open.start.get_or_insert(start);
        }
    }

    /// Appends what Telegram would keep of a text: it has no tabs and no control characters.
    fn push(&mut self, text: &str, tab: &str) {
        for char in text.chars() {
            match char {
                '\n' => self.done.text.push('\n'),
                '\t' => self.done.text.push_str(tab),
                _ if char.is_control() => {}
                _ => self.done.text.push(char),
            }
        }
    }
}

impl Open {
    fn has_kind(&self, kind: &EntityKind) -> bool {
        self.kind
            .as_ref()
            .is_some_and(|own| mem::discriminant(own) == mem::discriminant(kind))
    }

    /// Tells whether it is a look that may not meet monospaced text.
    fn is_style(&self) -> bool {
        match self.kind {
            Some(
                EntityKind::Bold
                | EntityKind::Italic
                | EntityKind::Strikethrough
                | EntityKind::TextLink { .. },
            ) => true,
            Some(EntityKind::Code | EntityKind::Pre { .. } | EntityKind::Blockquote) | None => {
                false
            }
        }
    }

    /// Ends it here for now and returns what there was of it.
    fn interrupt(&mut self, end: usize) -> Option<Span> {
        let start = self.start.take()?;
        let kind = self.kind.clone()?;
        (start < end).then_some(Span {
            kind,
            range: start..end,
            opened: self.opened,
        })
    }
}
