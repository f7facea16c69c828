//! How many tokens a real model would have counted.

use crate::{Content, Request, ResultContent, ToolCall};

/// Estimates the length of what was read.
pub(super) fn request_tokens(request: &Request) -> u64 {
    let system = request.system.iter().map(|text| estimate(text));
    let tools = request.tools.iter().map(|tool| {
        estimate(&tool.name) + estimate(&tool.description) + estimate(&tool.parameters.to_string())
    });
    let messages = request
        .messages
        .iter()
        .flat_map(|message| &message.content)
        .map(|part| match part {
            Content::Text { text } | Content::Context { text } | Content::Thinking { text, .. } => {
                estimate(text)
            }
            Content::ToolCall(call) => estimate_call(call),
            Content::ToolResult(result) => result
                .content
                .iter()
                .map(|part| match part {
                    ResultContent::Text { text } => estimate(text),
                    ResultContent::Image { .. } => 0,
                })
                .sum(),
            // Neither is read.
            Content::Image { .. } | Content::Opaque { .. } => 0,
        });
    system.chain(tools).chain(messages).sum()
}

/// Estimates the length of what was written.
pub(super) fn answer_tokens(text: &str, calls: &[ToolCall]) -> u64 {
    estimate(text) + calls.iter().map(estimate_call).sum::<u64>()
}

fn estimate_call(call: &ToolCall) -> u64 {
    estimate(&call.name)
        + call
            .arguments
            .values()
            .map(|value| estimate(&value.to_string()))
            .sum::<u64>()
}

/// Four characters make about one token.
fn estimate(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}
