//! From what is stored to a history that every provider accepts, and back.
//!
//! A conversation may have been cut short at any instant, or have been imported. [`mend`] is where
//! law 2 is kept against all of that: each tool call has its result, in the next message.

use std::collections::{HashMap, HashSet};

use ash_llm::{Content, Message, ResultContent, Role, ToolResult};
use ash_memory::{MessageId, NewMessage, SessionId, StoredMessage, TurnId};
use serde_json::{Map, Value, json};

/// What the model is told of a tool whose end nobody saw.
pub(crate) const OUTCOME_UNKNOWN: &str = "interrupted, outcome unknown: it was started, but Ash was stopped before it ended; \
     check before you do it again";
const NOT_RUN: &str = "not run: Ash was stopped before it could be started";
const INTERRUPTED: &str = "(Interrupted.)";

/// A stored conversation, ready to go on.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) messages: Vec<Message>,
    /// The id of each message, and its turn; imported messages have none.
    origin: Vec<(MessageId, Option<TurnId>)>,
}

impl History {
    pub(crate) fn load(stored: &[StoredMessage]) -> Self {
        let mut history = Self::default();
        for row in stored {
            history.messages.push(to_message(row));
            history.origin.push((row.id.clone(), row.turn.clone()));
        }
        history
    }

    /// Returns the turn that the newest message belongs to.
    pub(crate) fn last_turn(&self) -> Option<&TurnId> {
        self.origin.last()?.1.as_ref()
    }

    /// Returns where the messages of a turn begin.
    pub(crate) fn start_of(&self, turn: &TurnId) -> Option<usize> {
        self.origin
            .iter()
            .position(|(_, known)| known.as_ref() == Some(turn))
    }

    /// Drops the oldest turns when there are more than twice `keep` messages of people and final
    /// answers, until at most `keep` are left, and returns the id of the first message that stays.
    /// Cutting in jumps keeps the beginning of the request the same for many turns.
    pub(crate) fn shorten(&mut self, keep: usize) -> Option<MessageId> {
        let counts: Vec<bool> = self.messages.iter().map(is_said).collect();
        let mut left = counts.iter().filter(|said| **said).count();
        if left <= keep.max(1) * 2 {
            return None;
        }
        let mut cut = 0;
        for index in 1..self.messages.len() {
            if counts[index - 1] {
                left -= 1;
            }
            if self.begins_turn(index) {
                cut = index;
                if left <= keep.max(1) {
                    break;
                }
            }
        }
        self.messages.drain(..cut);
        self.origin.drain(..cut);
        if cut == 0 {
            return None;
        }
        self.origin.first().map(|(id, _)| id.clone())
    }

    fn begins_turn(&self, index: usize) -> bool {
        let turn = |index: usize| self.origin[index].1.as_ref();
        let message = &self.messages[index];
        message.role == Role::User
            && message.results().next().is_none()
            && (turn(index).is_none() || turn(index) != turn(index - 1))
    }

    /// Returns the messages that close what a crash left open at the end, in a form that is to be
    /// stored: results for open calls, from `known` where their outcome was stored, and, unless the
    /// turn is to go on, a last word.
    pub(crate) fn closing(&self, known: &HashMap<String, Known>, goes_on: bool) -> Vec<Message> {
        let mut closing = Vec::new();
        let Some(last) = self.messages.last() else {
            return closing;
        };
        let open: Vec<ToolResult> = match last.role {
            Role::Assistant => last
                .tool_calls()
                .map(|call| match known.get(&call.id) {
                    Some(Known::Finished { content, success }) => ToolResult {
                        call_id: call.id.clone(),
                        content: content.clone(),
                        is_error: !success,
                    },
                    Some(Known::Started) => ToolResult::text(&call.id, OUTCOME_UNKNOWN, true),
                    None => ToolResult::text(&call.id, NOT_RUN, true),
                })
                .collect(),
            Role::User => Vec::new(),
        };
        let unanswered = last.role == Role::User || !open.is_empty();
        if !open.is_empty() {
            closing.push(Message::tool_results(open));
        }
        if unanswered && !goes_on {
            closing.push(Message::assistant(INTERRUPTED));
        }
        closing
    }

    /// Adds what was stored meanwhile.
    pub(crate) fn push(&mut self, message: Message, id: MessageId, turn: Option<TurnId>) {
        self.messages.push(message);
        self.origin.push((id, turn));
    }
}

/// What is stored of a tool call whose results are not.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Started,
    Finished {
        content: Vec<ResultContent>,
        success: bool,
    },
}

/// Makes any sequence of messages acceptable: it begins with a person, speakers alternate, each call
/// is answered in the next message and nothing else is answered there, nothing is empty. What is
/// acceptable already comes out as it went in.
pub(crate) fn mend(messages: Vec<Message>) -> Vec<Message> {
    let mut mended: Vec<Message> = Vec::with_capacity(messages.len());
    let mut used_ids = HashSet::new();
    for mut message in messages {
        drop_blanks(&mut message);
        let open = open_calls(mended.last());
        match message.role {
            Role::Assistant => {
                tidy_reply(&mut message);
                message.content.retain(|part| match part {
                    Content::ToolCall(call) => {
                        !call.id.is_empty() && used_ids.insert(call.id.clone())
                    }
                    _ => true,
                });
                drop_last_thinking(&mut message);
                if is_only_reasoning(&message) {
                    continue;
                }
                match mended.last() {
                    None => continue,
                    Some(last) if last.role == Role::Assistant && open.is_empty() => {
                        mended.push(Message::user("(Nothing was said.)"));
                    }
                    Some(_) if !open.is_empty() => mended.push(unanswered(&open)),
                    Some(_) => {}
                }
                mended.push(message);
            }
            Role::User => {
                let mut results = Vec::new();
                let mut rest = Vec::new();
                for part in message.content {
                    match part {
                        Content::ToolResult(result) if open.contains(&result.call_id) => {
                            if !results
                                .iter()
                                .any(|known: &ToolResult| known.call_id == result.call_id)
                            {
                                results.push(result);
                            }
                        }
                        Content::ToolResult(_)
                        | Content::ToolCall(_)
                        | Content::Thinking { .. }
                        | Content::Opaque { .. } => {}
                        part => rest.push(part),
                    }
                }
                for id in &open {
                    if !results.iter().any(|result| &result.call_id == id) {
                        results.push(ToolResult::text(id, NOT_RUN, true));
                    }
                }
                let content: Vec<Content> = results
                    .into_iter()
                    .map(Content::ToolResult)
                    .chain(rest)
                    .collect();
                if content.is_empty() {
                    continue;
                }
                if mended.last().is_some_and(|last| last.role == Role::User) {
                    mended.push(Message::assistant(INTERRUPTED));
                }
                mended.push(Message {
                    role: Role::User,
                    content,
                    origin: None,
                });
            }
        }
    }
    let open = open_calls(mended.last());
    if !open.is_empty() {
        mended.push(unanswered(&open));
    }
    mended
}

fn open_calls(last: Option<&Message>) -> Vec<String> {
    last.into_iter()
        .flat_map(Message::tool_calls)
        .map(|call| call.id.clone())
        .collect()
}

fn unanswered(open: &[String]) -> Message {
    Message::tool_results(
        open.iter()
            .map(|id| ToolResult::text(id, NOT_RUN, true))
            .collect(),
    )
}

/// Brings a model's reply into the form that it has when it is read again, so that what is sent now
/// and what is sent later are the same bytes.
pub(crate) fn tidy_reply(message: &mut Message) {
    drop_blanks(message);
    message.content.retain(|part| {
        !matches!(
            part,
            Content::ToolResult(_) | Content::Context { .. } | Content::Image { .. }
        )
    });
    drop_last_thinking(message);
}

fn drop_blanks(message: &mut Message) {
    message.content.retain(|part| match part {
        Content::Text { text } | Content::Context { text } => !text.trim().is_empty(),
        _ => true,
    });
}

/// Thinking that nothing follows was cut off; providers refuse it as the end of a message.
fn drop_last_thinking(message: &mut Message) {
    while matches!(message.content.last(), Some(Content::Thinking { .. })) {
        message.content.pop();
    }
}

fn is_only_reasoning(message: &Message) -> bool {
    message
        .content
        .iter()
        .all(|part| matches!(part, Content::Thinking { .. } | Content::Opaque { .. }))
}

/// Tells whether a message counts for the length of a context: words of people and final answers do.
fn is_said(message: &Message) -> bool {
    match message.role {
        Role::User => message.results().next().is_none(),
        Role::Assistant => message.tool_calls().next().is_none(),
    }
}

/// Returns a message as it is stored. What is volatile stands apart from what was said.
pub(crate) fn to_stored(
    message: &Message,
    session: &SessionId,
    turn: Option<&TurnId>,
    author: Option<&str>,
) -> NewMessage {
    let context: Vec<&str> = message
        .content
        .iter()
        .filter_map(|part| match part {
            Content::Context { text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let blocks: Vec<&Content> = message
        .content
        .iter()
        .filter(|part| !matches!(part, Content::Context { .. }))
        .collect();
    let is_answer_of_tools = message.results().next().is_some();
    let text = message.text();
    let mut metadata = Map::new();
    if let Some(origin) = &message.origin {
        metadata.insert("origin".to_owned(), json!(origin));
    }
    NewMessage {
        id: MessageId::generate(),
        session: session.clone(),
        turn: turn.cloned(),
        role: match message.role {
            Role::Assistant => ash_memory::Role::Assistant,
            // Words said while tools ran stand behind the results; they are a person's.
            Role::User if is_answer_of_tools && text.is_empty() => ash_memory::Role::Tool,
            Role::User => ash_memory::Role::User,
        },
        blocks: json!(blocks),
        context: (!context.is_empty()).then(|| context.join("\n")),
        author: author.filter(|_| !text.is_empty()).map(str::to_owned),
        content: text,
        token_count: None,
        metadata,
    }
}

fn to_message(row: &StoredMessage) -> Message {
    let role = match row.role {
        ash_memory::Role::Assistant => Role::Assistant,
        ash_memory::Role::User | ash_memory::Role::Tool => Role::User,
    };
    let mut content: Vec<Content> = match &row.blocks {
        Value::Null => Vec::new(),
        blocks => serde_json::from_value(blocks.clone()).unwrap_or_else(|error| {
            tracing::warn!(%error, message = %row.id, "stored message not readable, its text is used");
            Vec::new()
        }),
    };
    if content.is_empty() && !row.content.is_empty() {
        // Imported messages have words only.
        content.push(Content::Text {
            text: row.content.clone(),
        });
    }
    if let Some(text) = row.context.clone() {
        let after_results = content
            .iter()
            .take_while(|part| matches!(part, Content::ToolResult(_)))
            .count();
        content.insert(after_results, Content::Context { text });
    }
    Message {
        role,
        content,
        origin: row
            .metadata
            .get("origin")
            .and_then(Value::as_str)
            .map(str::to_owned),
    }
}

#[cfg(test)]
mod tests;
