//! Keeping the beginning and the end of what a command writes, however much that is.

use std::collections::VecDeque;

use crate::clean::{clean, decode};

/// How many raw bytes of a stream are kept: enough for a long compiler report, a bearable part of a
/// model's context.
pub const OUTPUT_LIMIT: usize = 64 * 1024;

/// One stream of a running command, bounded: its first and its last bytes.
///
/// Works on raw bytes, so that a chunk may end anywhere; they are decoded once, in
/// [`finish`](Self::finish). Keep pushing after the limit is reached: a stream that nobody drains
/// blocks the command, and the end of its output is what explains how it ended.
#[derive(Clone, Debug)]
pub struct Capture {
    head: Vec<u8>,
    head_limit: usize,
    tail: VecDeque<u8>,
    tail_limit: usize,
    total: u64,
    saw_nul: bool,
}

/// What was kept of a stream, fit to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The text without control sequences, with a line that says so where bytes were left out.
    pub text: String,
    /// How many raw bytes were left out between the beginning and the end.
    pub omitted_bytes: u64,
    /// Whether the stream is no text: it held a NUL, or more than a tenth of what was kept is not
    /// UTF-8.
    pub binary: bool,
}

impl Default for Capture {
    fn default() -> Self {
        Self::new(OUTPUT_LIMIT)
    }
}

impl Capture {
    /// Makes a capture that keeps `limit` bytes, half of them from the beginning.
    pub fn new(limit: usize) -> Self {
        let head_limit = limit / 2;
        Self {
            head: Vec::new(),
            head_limit,
            tail: VecDeque::new(),
            tail_limit: limit - head_limit,
            total: 0,
            saw_nul: false,
        }
    }

    /// Takes what the command wrote next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        self.saw_nul |= bytes.contains(&0);

        let room = self.head_limit - self.head.len();
        let (to_head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(to_head);

        let rest = &rest[rest.len().saturating_sub(self.tail_limit)..];
        let surplus = (self.tail.len() + rest.len()).saturating_sub(self.tail_limit);
        self.tail.drain(..surplus);
        self.tail.extend(rest);
    }

    /// Returns what was kept, decoded and cleaned.
    pub fn finish(mut self) -> Captured {
        let mut tail = &*self.tail.make_contiguous();
        let dropped = self.total - (self.head.len() + tail.len()) as u64;
        if dropped == 0 {
            self.head.extend_from_slice(tail);
            return Captured {
                text: clean(&decode(&self.head)),
                omitted_bytes: 0,
                binary: self.saw_nul || is_mostly_not_text(&[&self.head]),
            };
        }

        // A character that the cut went through is left out whole.
        let mut head = &*self.head;
        let binary = self.saw_nul || is_mostly_not_text(&[head, tail]);
        let cut = unfinished_character(head);
        head = &head[..head.len() - cut];
        let continued = tail
            .iter()
            .take(3)
            .take_while(|byte| is_continuation(**byte))
            .count();
        tail = &tail[continued..];

        let omitted_bytes = dropped + (cut + continued) as u64;
        let head = clean(&decode(head));
        let tail = clean(&decode(tail));
        let before = if head.is_empty() || head.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        Captured {
            text: format!("{head}{before}[... {omitted_bytes} bytes omitted ...]\n{tail}"),
            omitted_bytes,
            binary,
        }
    }
}

fn is_mostly_not_text(parts: &[&[u8]]) -> bool {
    let all: usize = parts.iter().map(|part| part.len()).sum();
    let bad: usize = parts
        .iter()
        .flat_map(|part| part.utf8_chunks())
        .map(|chunk| chunk.invalid().len())
        .sum();
    // A few are allowed whatever the length: the cut makes some itself.
    bad > 6 && bad * 10 > all
}

/// Returns how many bytes at the end begin a character that the rest is missing of.
fn unfinished_character(bytes: &[u8]) -> usize {
    let Some(begin) = bytes
        .iter()
        .rev()
        .take(3)
        .position(|byte| !is_continuation(*byte))
    else {
        return 0;
    };
    let length = begin + 1;
    let needed = match bytes[bytes.len() - length] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if length < needed { length } else { 0 }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn capture(limit: usize, chunks: &[&[u8]]) -> Captured {
        let mut capture = Capture::new(limit);
        for chunk in chunks {
            capture.push(chunk);
            assert!(capture.head.len() + capture.tail.len() <= limit);
        }
        capture.finish()
    }

    #[test]
    fn a_short_output_is_kept_as_it_is() {
        let captured = capture(20, &[b"two ", b"lines\n", b"", b"here\n"]);
        assert_eq!(captured.text, "two lines\nhere\n");
        assert_eq!(captured.omitted_bytes, 0);
        assert!(!captured.binary);
    }

    #[test]
    fn an_output_of_exactly_the_limit_is_whole() {
        let captured = capture(8, &[b"1234", b"5678"]);
        assert_eq!(
            (captured.text.as_str(), captured.omitted_bytes),
            ("12345678", 0)
        );
    }

    #[test]
    fn a_long_output_keeps_its_beginning_and_its_end() {
        let captured = capture(8, &[b"begin", b" middle ", b"the end"]);
        assert_eq!(captured.text, "begi\n[... 12 bytes omitted ...]\n end");
        assert_eq!(captured.omitted_bytes, 12);
    }

    #[test]
    fn a_flood_on_one_line_stays_bounded() {
        let mut capture = Capture::default();
        for _ in 0..1_000 {
            capture.push(&[b'y'; 8 * 1024]);
        }
        let captured = capture.finish();
        assert_eq!(captured.omitted_bytes, 8_192_000 - OUTPUT_LIMIT as u64);
        assert!(captured.text.len() < OUTPUT_LIMIT + 100);
    }

    #[test]
    fn a_character_under_the_cut_is_left_out_whole() {
        // The cut at 2 goes through the first character, the one 2 before the end through the last.
        let captured = capture(4, &["\u{20ac}12345\u{20ac}".as_bytes()]);
        assert_eq!(captured.text, "[... 11 bytes omitted ...]\n");
        assert!(!captured.binary);
    }

    #[test]
    fn a_sequence_split_between_chunks_is_still_stripped() {
        assert_eq!(capture(100, &[b"\x1b", b"[3", b"1mred"]).text, "red");
        assert_eq!(capture(100, &[b"\xf0\x9f", b"\x98\x80"]).text, "\u{1f600}");
    }

    #[test]
    fn a_nul_anywhere_means_binary() {
        assert!(capture(4, &[b"aaaaaa\0aaaaaaa"]).binary);
        assert!(capture(100, &[b"\x7fELF\x02\x01\x01\0\0\0"]).binary);
        assert!(capture(100, &[&[0xff; 50]]).binary);
        assert!(!capture(100, &[b"caf\xe9 in Latin-1, otherwise plain text"]).binary);
    }

    #[test]
    fn a_limit_of_zero_keeps_nothing_and_says_so() {
        assert_eq!(capture(0, &[b"abc"]).text, "[... 3 bytes omitted ...]\n");
        assert_eq!(capture(0, &[]), Captured::default());
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_result(
            chunks in vec(vec(any::<u8>(), 0..40), 0..12),
            limit in 0usize..200,
        ) {
            let parts: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let whole = chunks.concat();
            prop_assert_eq!(capture(limit, &parts), capture(limit, &[&whole]));
        }

        #[test]
        fn plain_text_keeps_its_first_and_last_bytes(
            text in "[ -~\n]{0,300}",
            limit in 0usize..200,
        ) {
            let captured = capture(limit, &[text.as_bytes()]);
            if text.len() <= limit {
                prop_assert_eq!(&captured.text, &text);
                prop_assert_eq!(captured.omitted_bytes, 0);
            } else {
                let head = limit / 2;
                prop_assert!(captured.text.starts_with(&text[..head]));
                prop_assert!(captured.text.ends_with(&text[text.len() - (limit - head)..]));
                prop_assert_eq!(captured.omitted_bytes, (text.len() - limit) as u64);
                let notice = format!("[... {} bytes omitted ...]", captured.omitted_bytes);
                prop_assert!(captured.text.contains(&notice));
            }
        }

        #[test]
        fn the_text_is_bounded_by_the_limit(bytes in vec(any::<u8>(), 0..400), limit in 0usize..200) {
            let captured = capture(limit, &[&bytes]);
            prop_assert!(captured.text.len() <= limit * 3 + 60);
            prop_assert!(captured.omitted_bytes <= bytes.len() as u64);
        }
    }
}
