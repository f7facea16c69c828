//! Server-sent events, decoded from bytes as they arrive.
//!
//! Follows the `EventSource` grammar of the HTML standard, and is milder where servers are known to be
//! sloppy: bytes that are no UTF-8 become U+FFFD, NUL bytes are kept, and a last event without its
//! blank line is handed out by [`Decoder::finish`]. It is stricter in one point: an event has a
//! largest size, so that a server cannot fill the memory.

use std::mem;

/// One event, as far as models use them: `id` and `retry` are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `event` field.
    pub(crate) name: Option<String>,
    /// The `data` fields, joined by line feeds.
    pub(crate) data: String,
}

/// An event grew larger than the decoder was told to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {max} bytes")]
pub(crate) struct TooLarge {
    max: usize,
}

/// Turns bytes, cut anywhere, into events.
#[derive(Debug)]
pub(crate) struct Decoder {
    max_event_bytes: usize,
    /// The line that is not complete yet. Only whole lines are decoded, so that a character that
    /// arrives in two pieces stays whole.
    line: Vec<u8>,
    /// Whether a line feed that comes next belongs to a line that has already ended.
    after_carriage_return: bool,
    at_start: bool,
    name: Option<String>,
    /// `None` until a `data` field was seen; an event without one is not dispatched.
    data: Option<String>,
}

impl Decoder {
    pub(crate) fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            line: Vec::new(),
            after_carriage_return: false,
            at_start: true,
            name: None,
            data: None,
        }
    }

    /// Takes more bytes and returns the events that they complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        while let Some(&first) = bytes.first() {
            if mem::take(&mut self.after_carriage_return) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            self.buffer(&bytes[..end.unwrap_or(bytes.len())])?;
            let Some(end) = end else { break };
            self.after_carriage_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            events.extend(self.end_line());
        }
        Ok(events)
    }

    /// Returns the event that the stream ended in the middle of.
    pub(crate) fn finish(mut self) -> Option<Event> {
        if self.line.is_empty() {
            return self.dispatch();
        }
        self.end_line();
        self.dispatch()
    }

    fn buffer(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        let held = self.line.len()
            + self.name.as_ref().map_or(0, String::len)
            + self.data.as_ref().map_or(0, String::len);
        if held + bytes.len() > self.max_event_bytes {
            return Err(TooLarge {
                max: self.max_event_bytes,
            });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = mem::take(&mut self.line);
        let mut rest = line.as_slice();
        if mem::take(&mut self.at_start) {
            rest = rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest);
        }
        let event = if rest.is_empty() {
            self.dispatch()
        } else {
            self.field(rest);
            None
        };
        // Keeps the allocation for the next line.
        self.line = line;
        self.line.clear();
        event
    }

    fn field(&mut self, line: &[u8]) {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        // A comment is a line with an empty name; it is skipped like any unknown field.
        match name {
            b"event" => self.name = Some(String::from_utf8_lossy(value).into_owned()),
            b"data" => {
                let value = String::from_utf8_lossy(value);
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(&value);
                    }
                    None => self.data = Some(value.into_owned()),
                }
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = self.name.take().filter(|name| !name.is_empty());
        let data = self.data.take()?;
        Some(Event { name, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event {
            name: (!name.is_empty()).then(|| name.to_owned()),
            data: data.to_owned(),
        }
    }

    /// Decodes chunk after chunk and finishes.
    fn decode<'a>(
        max: usize,
        chunks: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Event>, TooLarge> {
        let mut decoder = Decoder::new(max);
        let mut events = Vec::new();
        for chunk in chunks {
            events.extend(decoder.push(chunk)?);
        }
        events.extend(decoder.finish());
        Ok(events)
    }

    /// What must come out, whichever way the bytes are cut.
    fn table() -> Vec<(&'static [u8], Vec<Event>)> {
        vec![
            (b"", vec![]),
            (b"data: a\n\n", vec![event("", "a")]),
            (b"data: a\r\n\r\n", vec![event("", "a")]),
            (b"data: a\r\r", vec![event("", "a")]),
            (
                b"data: a\r\n\rdata: b\n\r\n",
                vec![event("", "a"), event("", "b")],
            ),
            (b"event: ping\ndata: {}\n\n", vec![event("ping", "{}")]),
            (b"data: a\ndata: b\ndata:\n\n", vec![event("", "a\nb\n")]),
            (b"data\n\n", vec![event("", "")]),
            (b"data:\n\n", vec![event("", "")]),
            (
                b"data:a\n\ndata:  b\n\n",
                vec![event("", "a"), event("", " b")],
            ),
            (b": a comment\n\n:\n\ndata: a\n\n", vec![event("", "a")]),
            (b"event: lonely\n\ndata: a\n\n", vec![event("", "a")]),
            (b"event:\ndata: a\n\n", vec![event("", "a")]),
            (b"\xEF\xBB\xBFdata: a\n\n", vec![event("", "a")]),
            (b"\xEF\xBB\xBF\n\xEF\xBB\xBFdata: a\n\n", vec![]),
            (
                b"id: 1\nretry: 5\nunknown: x\ndata: a:b\n\n",
                vec![event("", "a:b")],
            ),
            ("data: äß🦀語\n\n".as_bytes(), vec![event("", "äß🦀語")]),
            (b"data: \xFF\xC3\n\n", vec![event("", "\u{FFFD}\u{FFFD}")]),
            (b"data: a\0b\n\n", vec![event("", "a\0b")]),
            (b"\n\n\r\n\r\rdata: a\n\n", vec![event("", "a")]),
            (
                b"data: a\n\ndata: last",
                vec![event("", "a"), event("", "last")],
            ),
            (b"data: a\nevent: late\n", vec![event("late", "a")]),
            (b"data: a\n\nevent: lonely", vec![event("", "a")]),
        ]
    }

    #[test]
    fn an_event_is_the_same_however_its_bytes_are_cut() {
        for (bytes, expected) in table() {
            assert_eq!(decode(1000, [bytes]).as_ref(), Ok(&expected), "{bytes:?}");
            assert_eq!(decode(1000, bytes.chunks(1)).as_ref(), Ok(&expected));
            for cut in 0..=bytes.len() {
                let (left, right) = bytes.split_at(cut);
                assert_eq!(
                    decode(1000, [left, right]).as_ref(),
                    Ok(&expected),
                    "{bytes:?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn an_event_larger_than_the_limit_is_an_error_however_it_is_cut() {
        for bytes in [
            &b"data: 0123456789\n\n"[..],
            b"data: 01234567890123456789",
            b"data: 0123\ndata: 0123\ndata: 0123\n\n",
            b": a comment without an end, never mind",
        ] {
            assert_eq!(decode(15, [bytes]), Err(TooLarge { max: 15 }));
            assert_eq!(decode(15, bytes.chunks(1)), Err(TooLarge { max: 15 }));
        }
    }

    #[test]
    fn many_small_events_do_not_add_up_to_a_large_one() {
        let bytes = b": comment\ndata: 12345678\n\n".repeat(100);
        assert_eq!(decode(15, [&bytes[..]]).map(|events| events.len()), Ok(100));
    }

    proptest! {
        #[test]
        fn no_input_panics_and_no_cut_changes_the_outcome(
            bytes in proptest::collection::vec(
                prop_oneof![
                    3 => proptest::sample::select(&b"\r\n: \0dateevn\xEF\xBB\xBF\xF0\x9F\xA6\x80"[..]),
                    1 => any::<u8>(),
                ],
                0..200,
            ),
            cuts in proptest::collection::vec(0usize..200, 0..6),
            max in 1usize..100,
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut start = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                chunks.push(&bytes[start..cut]);
                start = cut;
            }
            prop_assert_eq!(decode(max, chunks), decode(max, [&bytes[..]]));
        }

        #[test]
        fn what_is_encoded_is_decoded(
            events in proptest::collection::vec(("[a-z_]{0,8}", "[^\r]{0,40}"), 0..6),
            ending in prop_oneof![Just("\n"), Just("\r"), Just("\r\n")],
        ) {
            let mut text = String::new();
            for (name, data) in &events {
                text.extend(["event: ", name, ending]);
                for line in data.split('\n') {
                    text.extend(["data: ", line, ending]);
                }
                text.push_str(ending);
            }
            let expected: Vec<_> = events.iter().map(|(name, data)| event(name, data)).collect();
            prop_assert_eq!(decode(1000, [text.as_bytes()]), Ok(expected));
        }
    }
}
