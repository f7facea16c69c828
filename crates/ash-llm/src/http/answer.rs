//! A streamed answer: bytes in, events out, exactly one terminal item.

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;

use super::patience::Patience;
use crate::sse::{Decoder, Event};
use crate::{ErrorKind, LlmError, LlmEvent, LlmStream};

/// Pictures and whole documents of searches come in one event; more than this is an attack.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// Understands the events of one protocol, for one answer.
pub(crate) trait Accumulator: Send {
    /// Takes the next event and returns what it means. Nothing is asked after a
    /// [`LlmEvent::Done`] or an error.
    fn on_event(&mut self, event: &Event) -> Result<Vec<LlmEvent>, LlmError>;

    /// Returns what is left to tell when the bytes end before [`LlmEvent::Done`]. If that does not
    /// hold it either, the answer counts as cut off.
    fn at_end(&mut self) -> Result<Vec<LlmEvent>, LlmError> {
        Ok(Vec::new())
    }
}

/// Streams the events of an answer. It ends with its first error or [`LlmEvent::Done`].
pub(super) fn events(
    chunks: impl Stream<Item = Result<Bytes, String>> + Send + 'static,
    mut accumulator: Box<dyn Accumulator>,
    patience: Patience,
) -> LlmStream {
    Box::pin(async_stream::try_stream! {
        let mut chunks = Box::pin(chunks);
        let mut decoder = Decoder::new(MAX_EVENT_BYTES);
        let broken = loop {
            let bytes = match patience.wait(chunks.next()).await? {
                Some(Ok(bytes)) => bytes,
                Some(Err(cause)) => break Some(cause),
                None => break None,
            };
            let events = decoder
                .push(&bytes)
                .map_err(|error| patience.fail(ErrorKind::Protocol, &error.to_string()))?;
            for event in &events {
                for told in accumulator.on_event(event)? {
                    let is_last = matches!(told, LlmEvent::Done(_));
                    yield told;
                    if is_last {
                        return;
                    }
                }
            }
        };
        for told in last_words(decoder, accumulator.as_mut())? {
            let is_last = matches!(told, LlmEvent::Done(_));
            yield told;
            if is_last {
                return;
            }
        }
        let message = match broken {
            Some(cause) => format!("the connection broke in the middle of the answer: {cause}"),
            None => "the answer ended before it was complete".to_owned(),
        };
        Err(patience.fail(ErrorKind::CutOff, &message))?;
    })
}

/// Returns what the end of the bytes tells.
fn last_words(
    decoder: Decoder,
    accumulator: &mut dyn Accumulator,
) -> Result<Vec<LlmEvent>, LlmError> {
    let mut told = Vec::new();
    if let Some(event) = decoder.finish() {
        match accumulator.on_event(&event) {
            Ok(more) => told = more,
            // The event is cut off in its middle, which is what the caller then says.
            Err(error) if error.kind == ErrorKind::Protocol => return Ok(told),
            Err(error) => return Err(error),
        }
    }
    if !matches!(told.last(), Some(LlmEvent::Done(_))) {
        told.extend(accumulator.at_end()?);
    }
    Ok(told)
}
