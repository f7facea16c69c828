//! Putting tool calls together from the pieces in which servers send them.
//!
//! The protocol says: pieces belong together by `index`, the first one has `id` and `name`. Servers
//! leave out the index, or the id, or send 0 for every call, or repeat the name in each piece, or
//! send the arguments as an object. All of these mean something, and none may crash or mix up calls.

use std::collections::HashSet;

use serde_json::Value;

use super::super::parse_arguments;
use crate::ToolCall;

/// More calls than this at once are no wish but a fault.
const MOST_CALLS: usize = 128;

/// The calls of one answer, in the order in which they began.
#[derive(Default)]
pub(super) struct Calls(Vec<Pieces>);

/// What has come of one call.
#[derive(Default)]
struct Pieces {
    index: Option<u64>,
    id: Option<String>,
    name: String,
    arguments: String,
}

/// One piece, as sent.
struct Piece<'a> {
    index: Option<u64>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    arguments: Option<String>,
}

impl Calls {
    /// Takes the pieces of one chunk, in its `tool_calls`.
    pub(super) fn add_all(&mut self, pieces: &[Value]) -> Result<(), String> {
        for (position, value) in pieces.iter().enumerate() {
            let mut piece = Piece::read(value);
            // Several without a number are told apart by their order.
            if piece.index.is_none() && piece.id.is_none() && pieces.len() > 1 {
                piece.index = u64::try_from(position).ok();
            }
            self.add(piece)?;
        }
        Ok(())
    }

    /// Takes the one call of the old form, in `function_call`.
    pub(super) fn add_single(&mut self, function: &Value) -> Result<(), String> {
        self.add(Piece {
            index: Some(0),
            id: None,
            ..Piece::of_function(function)
        })
    }

    fn add(&mut self, piece: Piece<'_>) -> Result<(), String> {
        let slot = match self.home_of(&piece) {
            Some(slot) => slot,
            None if self.0.len() == MOST_CALLS => {
                return Err(format!(
                    "the model makes more than {MOST_CALLS} tool calls at once"
                ));
            }
            None => {
                self.0.push(Pieces {
                    index: piece.index,
                    ..Pieces::default()
                });
                self.0.len() - 1
            }
        };
        self.0[slot].take(piece);
        Ok(())
    }

    /// Finds the call that a piece continues.
    fn home_of(&self, piece: &Piece<'_>) -> Option<usize> {
        let slot = match (piece.index, piece.id) {
            (Some(index), _) => self.0.iter().rposition(|call| call.index == Some(index))?,
            (None, Some(id)) => self
                .0
                .iter()
                .rposition(|call| call.id.as_deref() == Some(id))?,
            (None, None) => self.0.len().checked_sub(1)?,
        };
        self.0[slot].is_continued_by(piece).then_some(slot)
    }

    /// Returns the calls. Ids that are missing, or taken by another call, are replaced by `fresh` ones.
    pub(super) fn finish(
        self,
        taken: &mut HashSet<String>,
        fresh: &mut impl Iterator<Item = String>,
    ) -> Result<Vec<ToolCall>, String> {
        let begun = self.0.into_iter().filter(|call| !call.is_empty());
        begun
            .map(|call| {
                if call.name.is_empty() {
                    return Err("a tool call has no name".to_owned());
                }
                let arguments = parse_arguments(&call.arguments).ok_or_else(|| {
                    format!(
                        "the arguments of the call to {} are no JSON object",
                        call.name
                    )
                })?;
                let id = call.id.filter(|id| !taken.contains(id));
                let id = id
                    .or_else(|| fresh.find(|id| !taken.contains(id)))
                    .ok_or("no id is left")?;
                taken.insert(id.clone());
                Ok(ToolCall {
                    id,
                    name: call.name,
                    arguments,
                })
            })
            .collect()
    }
}

impl Pieces {
    fn is_empty(&self) -> bool {
        self.id.is_none() && self.name.is_empty() && self.arguments.is_empty()
    }

    /// Tells whether a piece with the same number is more of this call or the start of the next one.
    fn is_continued_by(&self, piece: &Piece<'_>) -> bool {
        if let (Some(own), Some(other)) = (self.id.as_deref(), piece.id)
            && own != other
            && !self.name.is_empty()
        {
            return false;
        }
        // Nothing can follow an object that is complete, unless it is sent again.
        let more = piece.arguments.as_deref().unwrap_or_default();
        let is_complete =
            || serde_json::from_str::<serde_json::Map<String, Value>>(&self.arguments).is_ok();
        more.trim().is_empty() || self.is_repeated_by(piece) || !is_complete()
    }

    fn is_repeated_by(&self, piece: &Piece<'_>) -> bool {
        piece.id.is_some()
            && self.id.as_deref() == piece.id
            && piece.arguments.as_ref() == Some(&self.arguments)
    }

    fn take(&mut self, piece: Piece<'_>) {
        let is_repeated = self.is_repeated_by(&piece);
        // The first ones stand. Adding to them would double what servers repeat.
        if self.id.is_none() {
            self.id = piece.id.map(str::to_owned);
        }
        if self.name.is_empty() {
            piece.name.unwrap_or_default().clone_into(&mut self.name);
        }
        if let Some(arguments) = piece.arguments.filter(|_| !is_repeated) {
            self.arguments.push_str(&arguments);
        }
    }
}

impl<'a> Piece<'a> {
    fn read(value: &'a Value) -> Self {
        let function = value.get("function").unwrap_or(value);
        let id = value
            .get("id")
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty());
        Self {
            index: value.get("index").and_then(Value::as_u64),
            id,
            ..Self::of_function(function)
        }
    }

    fn of_function(function: &'a Value) -> Self {
        let name = function
            .get("name")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty());
        let arguments = match function.get("arguments") {
            Some(Value::String(text)) => Some(text.clone()),
            Some(object @ Value::Object(_)) => Some(object.to_string()),
            Some(_) | None => None,
        };
        Self {
            index: None,
            id: None,
            name,
            arguments,
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    /// Shows what becomes of chunks, each a list of pieces.
    fn assembled(chunks: &[Value]) -> String {
        assembled_among(chunks, &[])
    }

    fn assembled_among(chunks: &[Value], taken: &[&str]) -> String {
        let mut calls = Calls::default();
        for chunk in chunks {
            if let Err(error) = calls.add_all(chunk.as_array().unwrap()) {
                return error;
            }
        }
        let mut taken = taken.iter().map(|id| (*id).to_owned()).collect();
        match calls.finish(&mut taken, &mut (1..).map(|n| format!("fresh_{n}"))) {
            Ok(calls) => calls
                .iter()
                .map(|call| {
                    format!(
                        "{} {} {}",
                        call.id,
                        call.name,
                        Value::Object(call.arguments.clone())
                    )
                })
                .collect::<Vec<_>>()
                .join("\n"),
            Err(error) => error,
        }
    }

    fn piece(index: u64, id: &str, name: &str, arguments: &str) -> Value {
        json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }

    fn more(index: u64, arguments: &str) -> Value {
        json!({"index": index, "function": {"arguments": arguments}})
    }

    #[test]
    fn pieces_with_an_index_belong_together() {
        let chunks = [
            json!([piece(0, "a", "read", "")]),
            json!([more(0, "{\"path\":")]),
            json!([piece(1, "b", "list", ""), more(0, "\"x\"}")]),
            json!([more(1, "{}")]),
        ];
        assert_snapshot!(assembled(&chunks), @r#"
        a read {"path":"x"}
        b list {}
        "#);
    }

    #[test]
    fn a_new_id_under_the_same_index_is_a_new_call() {
        let chunks = [
            json!([piece(0, "a", "read", "{\"n\":1}")]),
            json!([piece(0, "b", "read", "{\"n\":2}")]),
        ];
        assert_snapshot!(assembled(&chunks), @r#"
        a read {"n":1}
        b read {"n":2}
        "#);
        let chunks = [
            json!([piece(0, "a", "read", "")]),
            json!([piece(0, "b", "list", "")]),
            json!([more(0, "{\"n\":2}")]),
        ];
        assert_snapshot!(assembled(&chunks), @r#"
        a read {}
        b list {"n":2}
        "#);
    }

    #[test]
    fn whole_calls_under_the_same_index_without_ids_are_several() {
        let chunks = [
            json!([piece(0, "", "read", "{\"n\":1}")]),
            json!([piece(0, "", "read", "{\"n\":2}")]),
        ];
        assert_snapshot!(assembled(&chunks), @r#"
        fresh_1 read {"n":1}
        fresh_2 read {"n":2}
        "#);
    }

    #[test]
    fn without_an_index_the_id_tells() {
        let chunks = [
            json!([{"id": "a", "function": {"name": "read", "arguments": "{"}}]),
            json!([{"id": "b", "function": {"name": "list", "arguments": ""}}]),
            json!([{"id": "a", "function": {"arguments": "}"}}]),
        ];
        assert_snapshot!(assembled(&chunks), @r#"
        a read {}
        b list {}
        "#);
    }

    #[test]
    fn without_an_index_and_an_id_the_order_tells() {
        let chunks = [
            json!([{"function": {"name": "read", "arguments": "{\"n\":"}}, {"function": {"name": "list", "arguments": "{}"}}]),
            json!([{"function": {"arguments": "1}"}}, {"function": {"arguments": ""}}]),
        ];
        assert_snapshot!(assembled(&chunks), @r#"
        fresh_1 read {"n":1}
        fresh_2 list {}
        "#);
        let chunks = [
            json!([{"function": {"name": "read", "arguments": "{\"n\":"}}]),
            json!([{"function": {"arguments": "1}"}}]),
            json!([{"function": {"name": "list", "arguments": "{\"n\":"}}]),
            json!([{"function": {"arguments": "2}"}}]),
        ];
        assert_snapshot!(assembled(&chunks), @r#"
        fresh_1 read {"n":1}
        fresh_2 list {"n":2}
        "#);
    }

    #[test]
    fn a_missing_or_taken_id_is_replaced() {
        let chunks = [json!([
            piece(0, "", "read", "{}"),
            piece(1, "old", "read", "{}"),
            piece(2, "new", "read", "{}"),
            piece(3, "new", "list", "{}")
        ])];
        assert_snapshot!(assembled_among(&chunks, &["old", "fresh_2"]), @r#"
        fresh_1 read {}
        fresh_3 read {}
        new read {}
        fresh_4 list {}
        "#);
    }

    #[test]
    fn a_repeated_name_is_not_doubled() {
        let chunks = [
            json!([piece(0, "a", "read", "{\"n\"")]),
            json!([piece(0, "a", "read", ":1}")]),
            json!([piece(0, "a", "read", "")]),
        ];
        assert_snapshot!(assembled(&chunks), @r#"a read {"n":1}"#);
    }

    #[test]
    fn a_name_may_come_late() {
        let chunks = [
            json!([piece(0, "a", "", "")]),
            json!([piece(0, "", "read", "{}")]),
        ];
        assert_snapshot!(assembled(&chunks), @"a read {}");
    }

    #[test]
    fn arguments_that_are_sent_again_count_once() {
        let chunks = [
            json!([piece(0, "a", "read", "{\"n\":1}")]),
            json!([piece(0, "a", "read", "{\"n\":1}")]),
        ];
        assert_snapshot!(assembled(&chunks), @r#"a read {"n":1}"#);
    }

    #[test]
    fn arguments_may_be_an_object_a_string_in_a_string_or_nothing() {
        let chunks = [json!([
            {"index": 0, "id": "a", "function": {"name": "read", "arguments": {"n": 1}}},
            {"index": 1, "id": "b", "function": {"name": "read", "arguments": "\"{\\\"n\\\":2}\""}},
            {"index": 2, "id": "c", "function": {"name": "read", "arguments": null}},
            {"index": 3, "id": "d", "function": {"name": "read", "arguments": "null"}},
            {"index": 4, "id": "e", "name": "read"},
        ])];
        assert_snapshot!(assembled(&chunks), @r#"
        a read {"n":1}
        b read {"n":2}
        c read {}
        d read {}
        e read {}
        "#);
    }

    #[test]
    fn a_huge_index_costs_nothing() {
        let chunks = [
            json!([piece(u64::MAX, "a", "read", "{}"), {"index": -1, "id": "b", "function": {"name": "list"}}]),
        ];
        assert_snapshot!(assembled(&chunks), @r#"
        a read {}
        b list {}
        "#);
    }

    #[test]
    fn calls_that_make_no_sense_are_refused() {
        assert_snapshot!(assembled(&[json!([piece(0, "a", "", "{}")])]), @"a tool call has no name");
        assert_snapshot!(assembled(&[json!([piece(0, "a", "read", "{\"n\":")])]), @"the arguments of the call to read are no JSON object");
        assert_snapshot!(assembled(&[json!([piece(0, "a", "read", "[1]")])]), @"the arguments of the call to read are no JSON object");
        let flood: Vec<Value> = (0..200).map(|n| piece(n, "", "read", "{}")).collect();
        assert_snapshot!(assembled(&[flood.into()]), @"the model makes more than 128 tool calls at once");
        assert_snapshot!(assembled(&[json!([{}, null, 7, {"index": 0}])]), @"");
    }
}
