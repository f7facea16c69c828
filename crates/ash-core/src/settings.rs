//! What a person may want to change about the agent.

use ash_llm::Thinking;

use crate::turn::STEP_LIMIT;

/// How an agent works. Plain data; where the values come from is the program's business.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most tokens of one reply.
    pub max_tokens: u32,
    /// Sent only where set.
    pub temperature: Option<f32>,
    /// How much the model thinks.
    pub thinking: Option<Thinking>,
    /// How many messages of people, and final answers, a model sees at least; at twice as many the
    /// oldest turns are left out until so many are left.
    pub max_context_messages: usize,
    /// How often one turn may call the model.
    pub step_limit: u32,
    /// The tools that run only after the owner said so.
    pub approve: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_tokens: 4096,
            temperature: None,
            thinking: None,
            max_context_messages: 20,
            step_limit: STEP_LIMIT,
            approve: Vec::new(),
        }
    }
}
