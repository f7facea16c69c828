//! How a turn can end.

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The model said all it wanted to say.
    Answered,
    /// The answer was cut off by the limit of tokens.
    CutOff,
    /// The model declined.
    Refused {
        /// The provider's reason, where it gave one.
        reason: Option<String>,
    },
    /// The turn used up its steps.
    StepLimit,
    /// The person interrupted.
    Interrupted,
    /// No answer could be had.
    Failed {
        /// Why, for the person.
        error: String,
        /// What the person can do.
        hint: String,
    },
}

impl Outcome {
    /// Returns the name that programs know the outcome by.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::CutOff => "cut_off",
            Self::Refused { .. } => "refused",
            Self::StepLimit => "step_limit",
            Self::Interrupted => "interrupted",
            Self::Failed { .. } => "failed",
        }
    }
}
