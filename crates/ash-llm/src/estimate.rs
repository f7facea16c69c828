//! How many tokens there are, where nobody has counted them.

use crate::{Content, Request, ResultContent, ToolCall};

/// Estimates the length of what was read.
pub(crate) fn request_tokens(request: &Request) -> u64 {
    let system = request.system.iter().map(|text| text_tokens(text));
    let tools = request.tools.iter().map(|tool| {
        text_tokens(&tool.name)
            + text_tokens(&tool.description)
            + text_tokens(&tool.parameters.to_string())
    });
    let messages = request
        .messages
        .iter()
        .flat_map(|message| &message.content)
        .map(|part| match part {
            Content::Text { text } | Content::Context { text } | Content::Thinking { text, .. } => {
                text_tokens(text)
            }
            Content::ToolCall(call) => call_tokens(call),
            Content::ToolResult(result) => result
                .content
                .iter()
                .map(|part| match part {
                    ResultContent::Text { text } => text_tokens(text),
                    ResultContent::Image { .. } => 0,
                })
                .sum(),
            // Neither is read.
            Content::Image { .. } | Content::Opaque { .. } => 0,
        });
    system.chain(tools).chain(messages).sum()
}

/// Estimates the length of what was written.
pub(crate) fn answer_tokens(text: &str, calls: &[ToolCall]) -> u64 {
    text_tokens(text) + calls.iter().map(call_tokens).sum::<u64>()
}

fn call_tokens(call: &ToolCall) -> u64 {
    text_tokens(&call.name)
        + call
            .arguments
            .values()
            .map(|value| text_tokens(&value.to_string()))
            .sum::<u64>()
}

/// Estimates the length of a text: four characters make about one token.
pub(crate) fn text_tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}
