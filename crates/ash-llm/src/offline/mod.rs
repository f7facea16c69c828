//! A model that needs no network and no key.
//!
//! It follows a handful of plain instructions, looks everything else up in the history, and says
//! what it is. The same conversation always gets the same answer, so it is also the model of
//! end-to-end tests.

mod rules;

mod reply;

mod history;
mod small_talk;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use async_trait::async_trait;
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::identifiers::fresh_call_ids;
use crate::{
    Completion, Content, ErrorKind, LlmError, LlmEvent, LlmProvider, LlmStream, Message, Request,
    Role, StopReason, ToolCall, ToolResult, Usage, estimate,
};
use rules::Instruction;
pub use rules::OfflineTool;

/// The built-in model: `offline/offline`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

impl Offline {
    /// The provider's name, and the model's.
    pub const NAME: &'static str = "offline";

    /// Returns all it knows of tools; a tool is called only where it is offered.
    pub fn tools() -> &'static [OfflineTool] {
        rules::TOOLS
    }
}

#[async_trait]
impl LlmProvider for Offline {
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn stream(
        &self,
        request: Request,
        cancel: CancellationToken,
    ) -> Result<LlmStream, LlmError> {
        let completion = Answer::to(&request).into_completion(&request);
        Ok(Box::pin(async_stream::stream! {
            for word in pieces(&completion.message.text()) {
                if cancel.is_cancelled() {
                    break;
                }
                yield Ok(LlmEvent::TextDelta(word.to_owned()));
            }
            if cancel.is_cancelled() {
                yield Err(LlmError::new(Self::NAME, ErrorKind::Cancelled, "the call was cancelled"));
            } else {
                yield Ok(LlmEvent::Done(completion));
            }
        }))
    }
}

/// What the model says and calls.
#[derive(Default)]
struct Answer {
    paragraphs: Vec<String>,
    calls: Vec<ToolCall>,
}

impl Answer {
    fn to(request: &Request) -> Self {
        let mut answer = Self::default();
        let messages = &request.messages;
        let Some(said) = newest_said(messages) else {
            answer.paragraphs.push(small_talk::greeting());
            return answer;
        };

        // Words said while tools ran stand behind the results of the earlier instruction, which is
        // still owed its answer.
        let owed = outcomes(messages, said..=said);
        if !owed.is_empty() {
            let earlier = newest_said(&messages[..said]).map(|at| messages[at].text());
            answer
                .paragraphs
                .push(reply::to_outcomes(&earlier.unwrap_or_default(), &owed));
        }

        let words = messages[said].text();
        let outcomes = outcomes(messages, said + 1..=messages.len().saturating_sub(1));
        if !outcomes.is_empty() {
            answer
                .paragraphs
                .push(reply::to_outcomes(&words, &outcomes));
        } else if words.trim().is_empty() {
            answer.paragraphs.push(reply::to_picture());
        } else {
            answer.begin(&words, request);
        }
        answer
    }

    /// Answers fresh words: by a tool that is offered, or by saying why not.
    fn begin(&mut self, words: &str, request: &Request) {
        if let Some(text) = small_talk::answer(words) {
            self.paragraphs.push(text);
            return;
        }
        let offered: HashSet<&str> = request
            .tools
            .iter()
            .map(|tool| tool.name.as_str())
            .collect();
        let instruction = Instruction::read(words);
        if let Some(question) = instruction.as_ref().and_then(reply::asking_back) {
            self.paragraphs.push(question);
            return;
        }
        let mut ids = fresh_call_ids(&request.messages, Offline::NAME);
        let mut call = |tool: &OfflineTool, argument: String| ToolCall {
            id: ids.next().expect("there is always a next number"),
            name: tool.tool.to_owned(),
            arguments: Map::from_iter([(tool.argument.to_owned(), argument.into())]),
        };
        match instruction {
            Some(found) if offered.contains(found.tool.tool) => {
                self.calls.push(call(found.tool, found.argument));
            }
            Some(found) if !found.is_question() => {
                self.paragraphs.push(reply::without_tool(&found));
            }
            Some(_) | None => {
                self.calls.extend(
                    rules::for_anything_else()
                        .filter(|tool| offered.contains(tool.tool))
                        .map(|tool| call(tool, words.trim().to_owned())),
                );
                if self.calls.is_empty() {
                    self.paragraphs.push(reply::no_model());
                }
            }
        }
    }

    fn into_completion(self, request: &Request) -> Completion {
        let text = self.paragraphs.join("\n\n");
        let stop = if self.calls.is_empty() {
            StopReason::End
        } else {
            StopReason::ToolUse
        };
        let usage = Usage {
            input: estimate::request_tokens(request),
            output: estimate::answer_tokens(&text, &self.calls),
            ..Usage::default()
        };
        let mut content = Vec::new();
        if !text.is_empty() {
            content.push(Content::Text { text });
        }
        content.extend(self.calls.into_iter().map(Content::ToolCall));
        let model = if request.model.is_empty() {
            Offline::NAME
        } else {
            &request.model
        };
        Completion {
            message: Message {
                role: Role::Assistant,
                content,
                origin: Some(format!("{}/{model}", Offline::NAME)),
            },
            stop,
            usage,
        }
    }
}

/// Finds the newest message in which a person said or showed something. Tool results are sent in
/// the person's role but said by nobody, and neither is context.
fn newest_said(messages: &[Message]) -> Option<usize> {
    messages.iter().rposition(|message| {
        message.role == Role::User
            && message.content.iter().any(|part| match part {
                Content::Text { text } => !text.trim().is_empty(),
                Content::Image { .. } => true,
                Content::Context { .. }
                | Content::ToolCall(_)
                | Content::ToolResult(_)
                | Content::Thinking { .. }
                | Content::Opaque { .. } => false,
            })
    })
}

/// Pairs the results in a range of messages with the calls that they answer.
fn outcomes(
    messages: &[Message],
    range: std::ops::RangeInclusive<usize>,
) -> Vec<(&ToolCall, &ToolResult)> {
    messages
        .get(range)
        .unwrap_or_default()
        .iter()
        .flat_map(Message::results)
        .filter_map(|result| {
            let call = messages
                .iter()
                .flat_map(Message::tool_calls)
                .find(|call| call.id == result.call_id)?;
            Some((call, result))
        })
        .collect()
}

/// Cuts text into words with the space behind them; text without spaces into short runs.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    const LONGEST: usize = 16;
    text.split_inclusive(char::is_whitespace).flat_map(|word| {
        let mut rest = word;
        std::iter::from_fn(move || {
            let end = rest
                .char_indices()
                .nth(LONGEST)
                .map_or(rest.len(), |(at, _)| at);
            let (piece, left) = rest.split_at(end);
            rest = left;
            (!piece.is_empty()).then_some(piece)
        })
    })
}
