//! Lays out what happens to the bytes of a reply on their way.

use std::time::Duration;

use crate::reply::{Delivery, Ending};

/// One thing that happens to a body on its way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Write(Vec<u8>),
    Pause(Duration),
    Stall,
    Cut,
}

/// Lays out what happens to a body: the steps, and the length that its head announces.
pub(crate) fn plan(writes: &[Vec<u8>], delivery: &Delivery) -> (Vec<Step>, usize) {
    let mut bytes = writes.concat();
    let mut borders: Vec<usize> = match delivery.packet {
        Some(size) => (size..bytes.len()).step_by(size).collect(),
        None => writes
            .iter()
            .scan(0, |end, write| {
                *end += write.len();
                Some(*end)
            })
            .collect(),
    };
    if let Some((at, junk)) = &delivery.junk {
        let at = (*at).min(bytes.len());
        bytes.splice(at..at, junk.iter().copied());
        for border in &mut borders {
            *border += if *border > at { junk.len() } else { 0 };
        }
    }
    let mut announced = bytes.len();
    let mut cut = false;
    match delivery.end {
        Some((at, Ending::Short)) if at < bytes.len() => {
            announced = at;
            bytes.truncate(at);
        }
        // A cut after the last byte still lacks the end of the chunked message.
        Some((at, Ending::Cut)) if at <= bytes.len() => {
            cut = true;
            bytes.truncate(at);
        }
        Some(_) | None => {}
    }
    borders.extend(delivery.stall);
    borders.push(bytes.len());
    borders.retain(|border| *border <= bytes.len());
    borders.sort_unstable();
    borders.dedup();

    let mut steps = Vec::new();
    let mut sent = 0;
    for border in borders {
        if border > sent {
            if let (Some(pause), true) = (delivery.pause, sent > 0) {
                steps.push(Step::Pause(pause));
            }
            steps.push(Step::Write(bytes[sent..border].to_vec()));
            sent = border;
        }
        if delivery.stall == Some(border) {
            steps.push(Step::Stall);
        }
    }
    if cut {
        steps.push(Step::Cut);
    }
    (steps, announced)
}

#[cfg(test)]
mod tests {
    use super::{Step, plan};
    use crate::reply::{Delivery, Ending};

    #[test]
    fn every_byte_up_to_the_end_is_written_once() {
        let writes = [b"one".to_vec(), Vec::new(), b"three".to_vec()];
        for packet in [None, Some(1), Some(2), Some(100)] {
            for stall in [None, Some(0), Some(3), Some(4), Some(8), Some(9)] {
                for end in [None, Some(0), Some(5), Some(8), Some(9)] {
                    let delivery = Delivery {
                        packet,
                        stall,
                        end: end.map(|at| (at, Ending::Short)),
                        ..Delivery::default()
                    };
                    let (steps, announced) = plan(&writes, &delivery);
                    let written: Vec<u8> = steps
                        .iter()
                        .filter_map(|step| match step {
                            Step::Write(bytes) => Some(bytes.clone()),
                            Step::Pause(_) | Step::Stall | Step::Cut => None,
                        })
                        .flatten()
                        .collect();
                    let length = end.unwrap_or(8).min(8);
                    assert_eq!(written, b"onethree"[..length], "{delivery:?}");
                    assert_eq!(announced, length);
                    let stalls = steps.contains(&Step::Stall);
                    assert_eq!(stalls, stall.is_some_and(|at| at <= length), "{delivery:?}");
                }
            }
        }
    }
}
