//! The owner's word on a tool call.

use std::collections::HashSet;

use ash_llm::ToolCall;
use ash_memory::ApprovalId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Agent;

/// What the owner says when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This call may run.
    Once,
    /// This tool may run as long as the session lasts.
    Session,
    /// This call must not run.
    Deny,
}

/// What was decided in a session, and where decisions come in.
#[derive(Debug)]
pub(crate) struct Approvals {
    allowed: HashSet<String>,
    decisions: mpsc::Receiver<(ApprovalId, Decision)>,
}

impl Approvals {
    pub(crate) fn new(decisions: mpsc::Receiver<(ApprovalId, Decision)>) -> Self {
        Self {
            allowed: HashSet::new(),
            decisions,
        }
    }

    pub(crate) fn asks(&self, agent: &Agent, call: &ToolCall) -> bool {
        if self.allowed.contains(&call.name) {
            return false;
        }
        let listed = agent.settings().approve.contains(&call.name);
        agent
            .tools()
            .get(&call.name)
            .is_some_and(|tool| listed || tool.asks_owner())
    }

    pub(crate) fn allow(&mut self, tool: &str) {
        self.allowed.insert(tool.to_owned());
    }

    /// Waits for the answer to a question; there is none when the turn is cancelled. Where nobody is
    /// left who could answer, it is a no.
    pub(crate) async fn wait(
        &mut self,
        id: &ApprovalId,
        cancel: &CancellationToken,
    ) -> Option<Decision> {
        loop {
            // Dropping `recv` is safe: an answer stays in the queue until it is taken.
            tokio::select! {
                answer = self.decisions.recv() => match answer {
                    Some((asked, decision)) if asked == *id => return Some(decision),
                    Some(_) => {}
                    None => return Some(Decision::Deny),
                },
                () = cancel.cancelled() => return None,
            }
        }
    }
}
