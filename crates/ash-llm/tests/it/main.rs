//! What providers and their wrappers do, seen from outside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod anthropic;
mod anthropic_faults;
mod fallback;
mod openai;
mod retry;

use ash_llm::{ErrorKind, LlmError, LlmEvent, LlmProvider, Message, Request};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

/// A request for any model.
fn request() -> Request {
    Request {
        model: "m".to_owned(),
        messages: vec![Message::user("hello")],
        max_tokens: 100,
        ..Request::default()
    }
}

/// Reads an answer to its end, and writes it down: one line an event, the error last.
async fn transcript(provider: &dyn LlmProvider) -> Vec<String> {
    read(provider, CancellationToken::new()).await.0
}

async fn read(
    provider: &dyn LlmProvider,
    cancel: CancellationToken,
) -> (Vec<String>, Option<LlmError>) {
    let mut lines = Vec::new();
    let mut stream = match provider.stream(request(), cancel).await {
        Ok(stream) => stream,
        Err(error) => return (vec![format!("error {error}")], Some(error)),
    };
    while let Some(event) = stream.next().await {
        let line = match event {
            Ok(LlmEvent::TextDelta(text)) => format!("text {text}"),
            Ok(LlmEvent::ThinkingDelta(text)) => format!("thinking {text}"),
            Ok(LlmEvent::Retrying { error, delay }) => {
                format!("retrying after {} ms: {error}", delay.as_millis())
            }
            Ok(LlmEvent::FellBack { error, to }) => format!("fell back to {to}: {error}"),
            Ok(LlmEvent::Done(completion)) => {
                assert!(stream.next().await.is_none(), "done is the last event");
                let origin = completion.message.origin.as_deref().unwrap_or("nobody");
                lines.push(format!("done by {origin}: {}", completion.message.text()));
                return (lines, None);
            }
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error is the last item");
                lines.push(format!("error {error}"));
                return (lines, Some(error));
            }
        };
        lines.push(line);
    }
    panic!("no terminal item after {lines:?}");
}

fn error(kind: ErrorKind) -> LlmError {
    LlmError::new("", kind, "told so")
}
