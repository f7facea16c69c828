//! `search_history`: what was said before, in this chat and in the others that this one may read.

use std::collections::HashSet;

use ash_core::{Arguments, Tool, ToolContext, ToolError, ToolOutput};
use ash_llm::ToolSpec;
use ash_memory::{Memory, MessageHit, MessageId, MessageQuery, Role, StoredMessage, TurnId};
use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

/// How many messages are returned unless the model asks for more or fewer.
const LIMIT: u32 = 8;
const MOST: u32 = 25;
/// How many messages of the turn itself may be among the best.
const OWN: usize = 4;
/// The most characters of one message.
const EXCERPT: usize = 600;

/// Finds messages by their words.
#[derive(Clone, Debug)]
pub struct SearchHistory {
    memory: Memory,
    timezone: TimeZone,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Words that the messages are likely to contain, in the language they were said in.
    query: String,
    /// Only messages from this day on, as YYYY-MM-DD.
    since: Option<String>,
    /// Only messages up to this day, as YYYY-MM-DD.
    until: Option<String>,
    /// How many messages to return, 8 if not given, 25 at most.
    limit: Option<u32>,
}

impl SearchHistory {
    /// Searches `memory` and tells times on the clock of `timezone`.
    pub fn new(memory: Memory, timezone: TimeZone) -> Self {
        Self { memory, timezone }
    }

    fn day(
        &self,
        text: Option<&str>,
        name: &str,
        end: bool,
    ) -> Result<Option<Timestamp>, ToolError> {
        let Some(text) = text else { return Ok(None) };
        let wrong = |_| ToolError::new(format!("`{name}` is {text:?}; give a day as YYYY-MM-DD"));
        let day: Date = text.parse().map_err(wrong)?;
        let day = if end {
            day.tomorrow().map_err(wrong)?
        } else {
            day
        };
        let start = day.to_zoned(self.timezone.clone()).map_err(wrong)?;
        Ok(Some(start.timestamp()))
    }

    fn line(&self, chat: &str, message: &StoredMessage) -> String {
        let at = message.created_at.to_zoned(self.timezone.clone());
        let speaker = match (message.role, &message.author) {
            (Role::Assistant, _) => "Ash",
            (Role::User | Role::Tool, Some(name)) => name,
            (Role::User | Role::Tool, None) => "you",
        };
        format!(
            "[{}] {speaker} in \"{chat}\": {}",
            at.strftime("%Y-%m-%d %H:%M"),
            excerpt(&message.content)
        )
    }

    fn render<'a>(&self, query: &str, hits: &'a [MessageHit], this_turn: &TurnId) -> String {
        if hits.is_empty() {
            return format!(
                "No message has words of {query:?}. Try other words, for instance names or synonyms."
            );
        }
        let mut text = String::from(
            "Found, best first (\"you\" is the person you talk with; indented: what was said just \
             before and after):\n",
        );
        // Neighbours of one hit are often hits themselves: each is worth one line, and that of a hit.
        let found: HashSet<&MessageId> = hits.iter().map(|hit| &hit.message.id).collect();
        let mut shown = HashSet::new();
        for hit in hits {
            if !shown.insert(&hit.message.id) {
                continue;
            }
            let chat = &hit.chat_id;
            let mut around = |message: &'a Option<StoredMessage>| match message {
                Some(message)
                    if message.turn.as_ref() != Some(this_turn) && shown.insert(&message.id) =>
                {
                    let indent = if found.contains(&message.id) {
                        ""
                    } else {
                        "  "
                    };
                    format!("{indent}{}\n", self.line(chat, message))
                }
                Some(_) | None => String::new(),
            };
            let (before, after) = (around(&hit.before), around(&hit.after));
            text.push_str(&before);
            text.push_str(&self.line(chat, &hit.message));
            text.push('\n');
            text.push_str(&after);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

#[async_trait]
impl Tool for SearchHistory {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "search_history".to_owned(),
            description: "Searches everything said in earlier conversations by words, and returns \
                          the messages with their dates. Use it when the person refers to something \
                          from before that you do not see."
                .to_owned(),
            parameters: crate::schema::<Search>(),
        }
    }

    async fn call(&self, ctx: &ToolContext, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let arguments: Search = crate::arguments(arguments)?;
        if arguments.query.trim().is_empty() {
            return Err(ToolError::new("`query` is empty; give words to search for"));
        }
        let limit = arguments.limit.unwrap_or(LIMIT).clamp(1, MOST) as usize;
        let query = MessageQuery {
            since: self.day(arguments.since.as_deref(), "since", false)?,
            until: self.day(arguments.until.as_deref(), "until", true)?,
            limit: limit + OWN,
            ..MessageQuery::new(&arguments.query, ctx.viewer.clone())
        };
        let mut hits = self.memory.search_messages(query).await.map_err(|error| {
            ToolError::new(format!("the history cannot be searched now: {error}"))
        })?;
        // What is said in this turn is the question, not an answer to it.
        hits.retain(|hit| hit.message.turn.as_ref() != Some(&ctx.turn));
        hits.truncate(limit);
        Ok(ToolOutput::text(self.render(
            &arguments.query,
            &hits,
            &ctx.turn,
        )))
    }
}

/// One line of a message, cut to a length that leaves room for others.
fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}
