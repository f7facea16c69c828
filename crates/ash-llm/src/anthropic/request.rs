//! A [`Request`] in the words of the Messages protocol.
//!
//! What is sent is decided here and nowhere else, from the request alone, so that the same conversation
//! always becomes the same bytes: prompt caches find a prefix only if it repeats exactly.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::capability::{Capability, Plan};
use crate::identifiers::identifier;
use crate::{Content, Message, Request, ResultContent, Role, ToolSpec};

/// The longest identifier or name that is accepted.
const MAX_IDENTIFIER: usize = 64;

/// What differs between versions of the protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// Whether `temperature` exists.
    pub(super) accepts_sampling: bool,
}

/// The body of a request.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ThinkingConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Part<'a>>,
    messages: Vec<Turn<'a>>,
}

impl Body<'_> {
    /// Tells whether nothing is asked.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ThinkingConfig {
    Adaptive { display: &'static str },
    Enabled { budget_tokens: u32 },
    Disabled,
}

#[derive(Serialize)]
struct OutputConfig {
    effort: &'static str,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: Cow<'a, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: Role,
    content: Vec<Part<'a>>,
}

/// A block, and whether the cache may end after it.
#[derive(Serialize)]
struct Part<'a> {
    #[serde(flatten)]
    block: Block<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CacheControl {
    Ephemeral,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: &'a Map<String, Value>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "is_false")]
        is_error: bool,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    #[serde(untagged)]
    Opaque(&'a Map<String, Value>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Puts a request into the protocol's words. `origin` is the `PROVIDER/MODEL` that is asked: only its
/// own thoughts are shown to it again.
pub(super) fn body<'a>(request: &'a Request, origin: &str, dialect: Dialect) -> Body<'a> {
    let capability = Capability::of(&request.model);
    let plan = match capability.plan(request.thinking) {
        // In this mode the model insists that a chain of tool calls began with a thought.
        Plan::Budget(_) if chain_without_thought(&request.messages, origin) => Plan::Silent,
        plan => plan,
    };
    let thinks = match plan {
        Plan::Silent | Plan::Off => false,
        Plan::Adaptive(_) | Plan::Budget(_) => true,
    };
    let temperature = request.temperature.filter(|_| {
        // A thinking model takes no other temperature than its own.
        dialect.accepts_sampling && capability.accepts_temperature() && !thinks
    });
    let mut body = Body {
        model: &request.model,
        max_tokens: capability.longest(request.max_tokens.max(1), plan),
        stream: true,
        temperature: match capability {
            // The scale ends at 1 here and at 2 elsewhere.
            Capability::Claude { .. } => temperature.map(|degrees| degrees.clamp(0.0, 1.0)),
            Capability::Foreign => temperature,
        },
        thinking: match plan {
            Plan::Silent => None,
            Plan::Off => Some(ThinkingConfig::Disabled),
            Plan::Adaptive(_) => Some(ThinkingConfig::Adaptive {
                display: "summarized",
            }),
            Plan::Budget(budget_tokens) => Some(ThinkingConfig::Enabled { budget_tokens }),
        },
        output_config: match plan {
            Plan::Adaptive(Some(effort)) => Some(OutputConfig { effort }),
            Plan::Adaptive(None) | Plan::Silent | Plan::Off | Plan::Budget(_) => None,
        },
        tools: tools(request),
        system: request
            .system
            .iter()
            .filter_map(|text| words(text))
            .map(part)
            .collect(),
        messages: turns(&request.messages, origin),
    };
    mark_for_cache(&mut body);
    body
}

fn tools<'a>(request: &'a Request) -> Vec<Tool<'a>> {
    if !request.tools.is_empty() {
        let tool = |spec: &'a ToolSpec| Tool {
            name: Cow::Borrowed(spec.name.as_str()),
            description: &spec.description,
            input_schema: schema(&spec.parameters),
            cache_control: None,
        };
        return request.tools.iter().map(tool).collect();
    }
    // A conversation with calls is refused where no tool is offered, so those that were called are
    // named, with nothing said that would invite another call.
    let mut names: Vec<_> = request
        .messages
        .iter()
        .flat_map(Message::tool_calls)
        .map(|call| identifier(&call.name, MAX_IDENTIFIER))
        .collect();
    names.sort();
    names.dedup();
    let stub = |name| Tool {
        name,
        description: "Not available any more.",
        input_schema: Cow::Owned(json!({"type": "object"})),
        cache_control: None,
    };
    names.into_iter().map(stub).collect()
}

/// The outermost schema must be a plain object; those of other people's tools not always are.
fn schema(schema: &Value) -> Cow<'_, Value> {
    const REFUSED: [&str; 3] = ["allOf", "anyOf", "oneOf"];
    let Some(fields) = schema.as_object() else {
        return Cow::Owned(json!({"type": "object"}));
    };
    if fields.get("type").is_some_and(|kind| kind == "object")
        && !REFUSED.iter().any(|key| fields.contains_key(*key))
    {
        return Cow::Borrowed(schema);
    }
    let mut fields = fields.clone();
    fields.insert("type".to_owned(), json!("object"));
    fields.retain(|key, _| !REFUSED.contains(&key.as_str()));
    Cow::Owned(Value::Object(fields))
}

fn part(block: Block<'_>) -> Part<'_> {
    Part {
        block,
        cache_control: None,
    }
}

/// Neighbours of one role become one turn, as the protocol understands them anyway; some servers insist.
fn turns<'a>(messages: &'a [Message], origin: &str) -> Vec<Turn<'a>> {
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for message in messages {
        let mut blocks = blocks(message, origin);
        drop_last_thoughts(&mut blocks);
        if blocks.is_empty() {
            continue;
        }
        // Words before a result are refused, whoever put them there. The sort keeps the rest in order.
        blocks.sort_by_key(|block| !matches!(block, Block::ToolResult { .. }));
        let parts = blocks.into_iter().map(part);
        match turns.last_mut() {
            Some(turn) if turn.role == message.role => turn.content.extend(parts),
            _ => turns.push(Turn {
                role: message.role,
                content: parts.collect(),
            }),
        }
    }
    turns
}

/// A reply that was cut off while the model thought ends with a thought, which is refused.
fn drop_last_thoughts(blocks: &mut Vec<Block<'_>>) {
    let is_thought = |block: &Block| match block {
        Block::Thinking { .. } => true,
        Block::Opaque(block) => block
            .get("type")
            .is_some_and(|kind| kind == "redacted_thinking"),
        Block::Text { .. }
        | Block::Image { .. }
        | Block::ToolUse { .. }
        | Block::ToolResult { .. } => false,
    };
    while blocks.last().is_some_and(is_thought) {
        blocks.pop();
    }
}

fn blocks<'a>(message: &'a Message, origin: &str) -> Vec<Block<'a>> {
    let is_own = message.origin.as_deref() == Some(origin);
    let block = |content: &'a Content| match (message.role, content) {
        (_, Content::Text { text } | Content::Context { text }) => words(text),
        (Role::User, Content::Image { media_type, data }) => Some(image(media_type, data)),
        (Role::User, Content::ToolResult(result)) => {
            let mut content: Vec<_> = result.content.iter().filter_map(result_block).collect();
            if content.is_empty() && result.is_error {
                content.push(Block::Text {
                    text: "(no message)",
                });
            }
            Some(Block::ToolResult {
                tool_use_id: identifier(&result.call_id, MAX_IDENTIFIER),
                content,
                is_error: result.is_error,
            })
        }
        (Role::Assistant, Content::ToolCall(call)) => Some(Block::ToolUse {
            id: identifier(&call.id, MAX_IDENTIFIER),
            name: identifier(&call.name, MAX_IDENTIFIER),
            input: &call.arguments,
        }),
        // A thought counts only with the proof that it is the model's own.
        (Role::Assistant, Content::Thinking { text, signature }) if is_own => {
            let signature = signature.as_deref().filter(|proof| !proof.is_empty())?;
            Some(Block::Thinking {
                thinking: text,
                signature,
            })
        }
        (Role::Assistant, Content::Opaque { block }) if is_own => {
            block.as_object().map(Block::Opaque)
        }
        // Another model's thoughts, and what the protocol has no place for.
        (_, Content::Thinking { .. } | Content::Opaque { .. })
        | (Role::User, Content::ToolCall(_))
        | (Role::Assistant, Content::Image { .. } | Content::ToolResult(_)) => None,
    };
    message.content.iter().filter_map(block).collect()
}

/// A block of nothing but white space is refused.
fn words(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text { text })
}

fn image<'a>(media_type: &'a str, data: &'a str) -> Block<'a> {
    Block::Image {
        source: Source::Base64 { media_type, data },
    }
}

fn result_block(content: &ResultContent) -> Option<Block<'_>> {
    match content {
        ResultContent::Text { text } => words(text),
        ResultContent::Image { media_type, data } => Some(image(media_type, data)),
    }
}

/// Tells whether the newest chain of tool calls begins without a thought of the model that is asked,
/// because another model began it.
fn chain_without_thought(messages: &[Message], origin: &str) -> bool {
    let is_chain = |message: &&Message| match message.role {
        Role::Assistant => true,
        Role::User => message.results().next().is_some(),
    };
    messages
        .iter()
        .rev()
        .take_while(is_chain)
        .filter(|message| message.tool_calls().next().is_some())
        .any(|message| {
            let first = blocks(message, origin).into_iter().next();
            match first {
                Some(Block::Thinking { .. } | Block::Opaque(_)) => false,
                Some(_) | None => true,
            }
        })
}

/// Says where a cache may end: after the last two parts of what hardly changes, and after the last two
/// turns of the person, the second of which is where the previous request ended. Four is the limit.
fn mark_for_cache(body: &mut Body<'_>) {
    let mark = Some(CacheControl::Ephemeral);
    if body.system.is_empty()
        && let Some(tool) = body.tools.last_mut()
    {
        tool.cache_control = mark;
    }
    for part in body.system.iter_mut().rev().take(2) {
        part.cache_control = mark;
    }
    let of_person = body
        .messages
        .iter_mut()
        .rev()
        .filter(|turn| turn.role == Role::User);
    for turn in of_person.take(2) {
        if let Some(part) = turn.content.last_mut() {
            part.cache_control = mark;
        }
    }
}
