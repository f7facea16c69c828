//! The Chat Completions protocol, as it is spoken by `OpenAI` and by many who imitate it.

mod answer;
mod calls;
mod request;

pub(super) use answer::Answer;
pub(super) use request::body;

/// The fields in which servers send reasoning. What came in one of them is sent back in the same.
const REASONING_FIELDS: [&str; 2] = ["reasoning_content", "reasoning"];
