//! What happens next in a turn, as a plain function of what has happened.
//!
//! A [`Turn`] knows no clock, no network and no channel. Its driver asks [`Turn::next_step`], does
//! what it says, and tells the turn what came of it. After every call the messages of a turn that is
//! not waiting for tools form a history that every provider accepts.

use std::collections::{HashMap, HashSet};

use ash_llm::{Completion, Content, Message, Role, StopReason, ToolCall, ToolResult};

use crate::Outcome;
use crate::history::tidy_reply;

/// How often a turn may call the model, unless the settings say otherwise.
pub(crate) const STEP_LIMIT: u32 = 25;

const INTERRUPTED_CALL: &str = "not run: the turn was interrupted by the person";
const CUT_OFF_CALL: &str = "not run: the reply was cut off before it was complete, so its arguments \
     may be cut off too; ask again with less, for instance in smaller pieces";

/// One exchange: a person's words, and all that is done to answer them.
#[derive(Debug)]
pub(crate) struct Turn {
    messages: Vec<Message>,
    /// Where in `messages` the part begins that is not stored yet.
    unsaved: usize,
    /// Where in `messages` this turn begins.
    start: usize,
    steering: Vec<Content>,
    steps_left: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Model,
    /// The calls of the newest message, in its order, each decided or not.
    Approval(Vec<Pending>),
    Tools(Vec<Pending>),
    Finished(Outcome),
}

#[derive(Clone, Debug)]
struct Pending {
    call: ToolCall,
    /// Whether the owner is to be asked first.
    asks: bool,
    /// Set where the call is answered without being run.
    refused: Option<String>,
}

/// What a driver has to do next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    CallModel,
    /// Ask which of the calls may run; answered by [`Turn::on_decisions`].
    AskApproval(Vec<ToolCall>),
    /// Run the calls; answered by [`Turn::on_results`], one result a call, in any order.
    RunTools(Vec<ToolCall>),
    Finished(Outcome),
}

impl Turn {
    /// Begins a turn: `words` are new, `history` is stored.
    pub(crate) fn begin(history: Vec<Message>, words: Message, step_limit: u32) -> Self {
        let start = history.len();
        let mut messages = history;
        messages.push(words);
        Self {
            messages,
            unsaved: start,
            start,
            steering: Vec::new(),
            steps_left: step_limit,
            state: State::Model,
        }
    }

    /// Continues a turn that a crash cut short: `history` ends with a user message, `start` is where
    /// the turn began in it.
    pub(crate) fn resume(history: Vec<Message>, start: usize, step_limit: u32) -> Self {
        let used = history[start..]
            .iter()
            .filter(|message| message.role == Role::Assistant)
            .count();
        Self {
            unsaved: history.len(),
            start,
            messages: history,
            steering: Vec::new(),
            steps_left: step_limit.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX)),
            state: State::Model,
        }
    }

    /// Returns what is to be done now.
    pub(crate) fn next_step(&self) -> Step {
        match &self.state {
            State::Model => Step::CallModel,
            State::Approval(pending) => Step::AskApproval(calls(pending, |entry| entry.asks)),
            State::Tools(pending) => {
                Step::RunTools(calls(pending, |entry| entry.refused.is_none()))
            }
            State::Finished(outcome) => Step::Finished(outcome.clone()),
        }
    }

    /// Returns the conversation as the model is to see it.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Returns the messages that are to be stored before the next step is taken.
    pub(crate) fn unsaved(&self) -> &[Message] {
        &self.messages[self.unsaved..]
    }

    /// Notes that [`Turn::unsaved`] is stored.
    pub(crate) fn saved(&mut self) {
        self.unsaved = self.messages.len();
    }

    /// Returns the answer: all that the model said in this turn without going on to a tool.
    pub(crate) fn answer(&self) -> String {
        let said: Vec<String> = self.messages[self.start..]
            .iter()
            .filter(|message| message.role == Role::Assistant)
            .filter(|message| message.tool_calls().next().is_none())
            .map(Message::text)
            .collect();
        said.join("\n\n")
    }

    /// Takes words said while the turn runs; the model reads them at its next call.
    pub(crate) fn steer(&mut self, words: impl IntoIterator<Item = Content>) {
        self.steering.extend(words);
    }

    /// Takes the model's answer. `asks` tells which calls need the owner's word.
    pub(crate) fn on_completion(
        &mut self,
        completion: Completion,
        asks: impl Fn(&ToolCall) -> bool,
    ) {
        debug_assert!(matches!(self.state, State::Model));
        let Completion { message, stop, .. } = completion;
        let mut message = self.with_unique_call_ids(message);
        tidy_reply(&mut message);
        self.steps_left = self.steps_left.saturating_sub(1);
        if let StopReason::Refused { reason } = stop {
            message
                .content
                .retain(|part| !matches!(part, Content::ToolCall(_)));
            let said = reason.as_deref().unwrap_or("no reason was given");
            self.close(message, &format!("(The model declined: {said}.)"));
            self.finish(Outcome::Refused { reason });
            return;
        }
        let calls: Vec<ToolCall> = message.tool_calls().cloned().collect();
        if !calls.is_empty() {
            self.messages.push(message);
            if stop.is_cut_off() {
                // A cut-off reply may hold cut-off arguments, so none of its calls may run.
                self.answer_all(&calls, CUT_OFF_CALL);
            } else if self.steps_left == 0 {
                self.answer_all(&calls, "not run: this turn has used up its steps");
            } else {
                let pending: Vec<Pending> = calls
                    .into_iter()
                    .map(|call| Pending {
                        asks: asks(&call),
                        refused: None,
                        call,
                    })
                    .collect();
                self.state = if pending.iter().any(|entry| entry.asks) {
                    State::Approval(pending)
                } else {
                    State::Tools(pending)
                };
            }
            return;
        }
        match stop {
            StopReason::Length | StopReason::ContextFull => {
                self.close(message, "(The answer was cut off before it began.)");
                self.finish(Outcome::CutOff);
            }
            // Ash asks for no tool that runs at the provider, so a pause has nothing to wait for.
            StopReason::End
            | StopReason::ToolUse
            | StopReason::Pause
            | StopReason::Refused { .. } => {
                self.close(message, "(The model gave no answer.)");
                self.finish(Outcome::Answered);
            }
        }
    }

    /// Takes the owner's decisions: the ids of calls that must not run, each with what the model is
    /// told.
    pub(crate) fn on_decisions(&mut self, mut denied: HashMap<String, String>) {
        let State::Approval(pending) = &mut self.state else {
            debug_assert!(false, "no approval was asked for");
            return;
        };
        let mut pending = std::mem::take(pending);
        for entry in &mut pending {
            entry.refused = denied.remove(&entry.call.id);
        }
        let all_refused = pending.iter().all(|entry| entry.refused.is_some());
        self.state = State::Tools(pending);
        if all_refused {
            self.on_results(Vec::new());
        }
    }

    /// Takes what the tools said. A call without a result is answered as lost.
    pub(crate) fn on_results(&mut self, results: Vec<ToolResult>) {
        let State::Tools(pending) = &mut self.state else {
            debug_assert!(false, "no tools were running");
            return;
        };
        let pending = std::mem::take(pending);
        let mut by_id: HashMap<String, ToolResult> = results
            .into_iter()
            .map(|result| (result.call_id.clone(), result))
            .collect();
        let results = pending
            .into_iter()
            .map(|Pending { call, refused, .. }| match refused {
                Some(why) => ToolResult::text(call.id, why, true),
                None => by_id
                    .remove(&call.id)
                    .unwrap_or_else(|| ToolResult::text(call.id, "the tool was lost", true)),
            })
            .collect();
        self.push_results(results);
    }

    /// Ends the turn because the person said so. `partial` is what the model had said so far.
    pub(crate) fn stop(&mut self, partial: &str) {
        self.end(partial, "(Interrupted.)", Outcome::Interrupted);
    }

    /// Ends the turn because no answer can be had.
    pub(crate) fn fail(&mut self, partial: &str, error: String, hint: String) {
        let note = format!("(No answer: {error}.)");
        self.end(partial, &note, Outcome::Failed { error, hint });
    }

    fn end(&mut self, partial: &str, note: &str, outcome: Outcome) {
        match &mut self.state {
            State::Finished(_) => return,
            State::Approval(pending) | State::Tools(pending) => {
                let results = std::mem::take(pending)
                    .into_iter()
                    .map(|entry| ToolResult::text(entry.call.id, INTERRUPTED_CALL, true))
                    .collect();
                self.push_results(results);
            }
            State::Model => {}
        }
        let text = if partial.trim().is_empty() {
            note.to_owned()
        } else {
            format!("{}\n\n{note}", partial.trim_end())
        };
        self.messages.push(Message::assistant(text));
        if self.push_steering() {
            self.messages.push(Message::assistant(note));
        }
        self.state = State::Finished(outcome);
    }

    fn push_steering(&mut self) -> bool {
        let content = std::mem::take(&mut self.steering);
        let any = !content.is_empty();
        if any {
            self.messages.push(Message {
                role: Role::User,
                content,
                origin: None,
            });
        }
        any
    }

    /// Finishes, unless words came in that the model has not read.
    fn finish(&mut self, outcome: Outcome) {
        if !self.push_steering() {
            self.state = State::Finished(outcome);
        } else if self.steps_left == 0 {
            self.out_of_steps();
        } else {
            self.state = State::Model;
        }
    }

    fn answer_all(&mut self, calls: &[ToolCall], why: &str) {
        let results = calls
            .iter()
            .map(|call| ToolResult::text(&call.id, why, true))
            .collect();
        self.push_results(results);
    }

    /// Puts the results, and after them the steering words, into one user message.
    fn push_results(&mut self, results: Vec<ToolResult>) {
        let mut message = Message::tool_results(results);
        message.content.append(&mut self.steering);
        self.messages.push(message);
        if self.steps_left == 0 {
            self.out_of_steps();
        } else {
            self.state = State::Model;
        }
    }

    fn out_of_steps(&mut self) {
        self.messages.push(Message::assistant(
            "(I stopped here: this took more steps than one turn may have. Say \"go on\" to continue.)",
        ));
        self.state = State::Finished(Outcome::StepLimit);
    }

    /// Adds the last message of a turn; a person always gets some words.
    fn close(&mut self, mut message: Message, otherwise: &str) {
        if message.text().trim().is_empty() {
            message
                .content
                .retain(|part| !matches!(part, Content::Text { .. }));
            message.content.push(Content::Text {
                text: otherwise.to_owned(),
            });
        }
        self.messages.push(message);
    }

    /// Some servers number the calls of each reply from zero; a conversation needs every id once.
    fn with_unique_call_ids(&self, mut message: Message) -> Message {
        if message.tool_calls().next().is_none() {
            return message;
        }
        let mut taken: HashSet<String> = self
            .messages
            .iter()
            .flat_map(Message::tool_calls)
            .map(|call| call.id.clone())
            .collect();
        for part in &mut message.content {
            if let Content::ToolCall(call) = part {
                let wished = if call.id.is_empty() { "call" } else { &call.id };
                let mut id = wished.to_owned();
                let mut n = 2;
                while !taken.insert(id.clone()) {
                    id = format!("{wished}_{n}");
                    n += 1;
                }
                call.id = id;
            }
        }
        message
    }
}

fn calls(pending: &[Pending], which: impl Fn(&Pending) -> bool) -> Vec<ToolCall> {
    pending
        .iter()
        .filter(|entry| which(entry))
        .map(|entry| entry.call.clone())
        .collect()
}

#[cfg(test)]
mod tests;
