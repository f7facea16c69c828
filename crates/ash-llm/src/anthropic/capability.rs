//! What a model accepts, read from its name.
//!
//! Names are taken apart into family and version, so that tomorrow's model follows the newest rules
//! without a new line here. What differs was last checked in November 2026.

use crate::Thinking;

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing is said about it, and the model does not think.
    Silent,
    /// The model is told not to.
    Off,
    /// The model decides, within an effort; `None` leaves that to the model too.
    Adaptive(Option<&'static str>),
    /// The model may use so many tokens.
    Budget(u32),
}

impl Plan {
    /// Returns how many tokens thinking may take, on top of those of the answer.
    pub(super) fn tokens(self) -> u32 {
        match self {
            Self::Silent | Self::Off => 0,
            Self::Adaptive(Some("low")) => tokens(Thinking::Low),
            Self::Adaptive(Some("medium")) => tokens(Thinking::Medium),
            // Left alone, a model thinks with high effort.
            Self::Adaptive(_) => tokens(Thinking::High),
            Self::Budget(tokens) => tokens,
        }
    }
}

fn tokens(level: Thinking) -> u32 {
    match level {
        Thinking::Off => 0,
        Thinking::Low => 4096,
        Thinking::Medium => 8192,
        Thinking::High => 16384,
    }
}

/// What a name says about a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Capability {
    /// A model that is not Anthropic's.
    Foreign,
    /// One of Anthropic's.
    Claude { family: String, version: Version },
}

/// Major and minor. A name without one is an alias of the newest.
type Version = (u32, u32);
const NEWEST: Version = (u32::MAX, 0);

impl Capability {
    /// Reads a name in any of the styles of Anthropic and the clouds that resell it, such as
    /// `claude-opus-4-1-20250805` or `us.anthropic.claude-3-7-sonnet@20250219`.
    pub(super) fn of(model: &str) -> Self {
        let model = model.to_ascii_lowercase();
        let Some(at) = model.find("claude") else {
            return Self::Foreign;
        };
        let words = model[at + "claude".len()..]
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty());
        let mut family = None;
        let mut numbers = Vec::new();
        for word in words {
            match word.parse::<u32>() {
                // Longer numbers are dates.
                Ok(number) if word.len() <= 2 => {
                    if numbers.len() < 2 {
                        numbers.push(number);
                    }
                }
                // A date, or the revision that a cloud adds, ends what describes the model.
                _ if word.starts_with(|c: char| c.is_ascii_digit())
                    || !numbers.is_empty() && family.is_some() =>
                {
                    break;
                }
                _ => {
                    family.get_or_insert_with(|| word.to_owned());
                }
            }
        }
        let version = match numbers[..] {
            [] => NEWEST,
            [major] => (major, 0),
            [major, minor, ..] => (major, minor),
        };
        Self::Claude {
            family: family.unwrap_or_default(),
            version,
        }
    }

    /// Tells whether the model accepts a temperature.
    pub(super) fn accepts_temperature(&self) -> bool {
        match self {
            Self::Foreign => true,
            Self::Claude { family, version } => {
                *version < (4, 7) || family != "opus" && *version < (5, 0)
            }
        }
    }

    /// Returns how many tokens a reply may take for an answer of so many and the thoughts before it, as
    /// far as the model can talk at all.
    pub(super) fn longest(&self, answer: u32, plan: Plan) -> u32 {
        let most = match self {
            Self::Claude { family, version } if family == "opus" && *version < (4, 5) => 32_000,
            Self::Claude { .. } | Self::Foreign => 64_000,
        };
        answer.saturating_add(plan.tokens()).min(most.max(answer))
    }

    /// Decides how the model is told to think as much as is wanted, or as near to it as it can.
    pub(super) fn plan(&self, wanted: Option<Thinking>) -> Plan {
        let (family, version) = match self {
            Self::Claude { family, version } => (family.as_str(), *version),
            // Whoever imitates the protocol knows its older form, if any.
            Self::Foreign => {
                return match wanted {
                    None => Plan::Silent,
                    Some(Thinking::Off) => Plan::Off,
                    Some(level) => Plan::Budget(tokens(level)),
                };
            }
        };
        let thinks_unless_told = version >= (5, 0);
        let can_be_told_not_to = version < (5, 1) && !matches!(family, "fable" | "mythos");
        if version < (3, 7) {
            return Plan::Silent;
        }
        match wanted {
            // Saying so keeps the words of thinking coming: by default newer models withhold them,
            // and a person would look at silence.
            None if thinks_unless_told => Plan::Adaptive(None),
            None => Plan::Silent,
            Some(Thinking::Off) if !thinks_unless_told => Plan::Silent,
            Some(Thinking::Off) if can_be_told_not_to => Plan::Off,
            Some(level) if version < (4, 6) => Plan::Budget(tokens(level)),
            Some(Thinking::Off | Thinking::Low) => Plan::Adaptive(Some("low")),
            Some(Thinking::Medium) => Plan::Adaptive(Some("medium")),
            Some(Thinking::High) => Plan::Adaptive(Some("high")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart_into_family_and_version() {
        for (name, family, version) in [
            ("claude-sonnet-4-6", "sonnet", (4, 6)),
            ("claude-opus-5-5", "opus", (5, 5)),
            ("claude-fable-5", "fable", (5, 0)),
            ("claude-haiku-4-5-20251001", "haiku", (4, 5)),
            ("claude-opus-4-20250514", "opus", (4, 0)),
            ("claude-opus-4-1-20250805", "opus", (4, 1)),
            ("claude-3-5-sonnet-20241022", "sonnet", (3, 5)),
            ("claude-3-7-sonnet-latest", "sonnet", (3, 7)),
            ("claude-3-haiku-20240307", "haiku", (3, 0)),
            ("claude-2.1", "", (2, 1)),
            ("claude-instant-1.2", "instant", (1, 2)),
            ("anthropic/claude-sonnet-4.6", "sonnet", (4, 6)),
            ("anthropic/claude-sonnet-4.6:beta", "sonnet", (4, 6)),
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "sonnet",
                (4, 5),
            ),
            ("anthropic.claude-opus-4-6-v1", "opus", (4, 6)),
            ("claude-sonnet-4-5@20250929", "sonnet", (4, 5)),
            ("Claude-Sonnet-12-3", "sonnet", (12, 3)),
            ("claude-mythos-preview", "mythos", NEWEST),
            ("claude-sonnet", "sonnet", NEWEST),
            ("claude", "", NEWEST),
            ("claude-99999999999999999999", "", NEWEST),
        ] {
            let family = family.to_owned();
            assert_eq!(
                Capability::of(name),
                Capability::Claude { family, version },
                "{name}"
            );
        }
        for name in ["", "qwen3-4b", "gpt-4o", "c"] {
            assert_eq!(Capability::of(name), Capability::Foreign);
        }
    }

    #[test]
    fn a_temperature_is_refused_by_the_newer_models() {
        for (name, accepts) in [
            ("claude-3-5-sonnet-20241022", true),
            ("claude-haiku-4-5", true),
            ("claude-opus-4-6", true),
            ("claude-sonnet-4-6", true),
            ("claude-sonnet-4-9", true),
            ("claude-opus-4-7", false),
            ("claude-sonnet-5", false),
            ("claude-haiku-5-5", false),
            ("claude-mythos-preview", false),
            ("qwen3", true),
        ] {
            assert_eq!(
                Capability::of(name).accepts_temperature(),
                accepts,
                "{name}"
            );
        }
    }

    #[test]
    fn thoughts_get_tokens_on_top_of_the_answer_as_far_as_the_model_can_talk() {
        for (name, answer, level, expected) in [
            ("claude-haiku-4-5", 4096, None, 4096),
            ("claude-haiku-4-5", 4096, Some(Thinking::High), 20480),
            ("claude-haiku-4-5", 60_000, Some(Thinking::High), 64_000),
            ("claude-opus-4-1", 30_000, Some(Thinking::Low), 32_000),
            ("claude-opus-5-5", 100_000, Some(Thinking::Low), 100_000),
            ("claude-opus-5-5", u32::MAX, Some(Thinking::Low), u32::MAX),
        ] {
            let model = Capability::of(name);
            assert_eq!(model.longest(answer, model.plan(level)), expected, "{name}");
        }
    }

    #[test]
    fn thinking_is_asked_for_as_each_model_wants_it() {
        use Plan::{Adaptive, Budget, Off, Silent};
        for (name, unset, off, low, high) in [
            ("claude-3-5-haiku-latest", Silent, Silent, Silent, Silent),
            (
                "claude-3-7-sonnet-latest",
                Silent,
                Silent,
                Budget(4096),
                Budget(16384),
            ),
            (
                "claude-haiku-4-5",
                Silent,
                Silent,
                Budget(4096),
                Budget(16384),
            ),
            (
                "claude-opus-4-5",
                Silent,
                Silent,
                Budget(4096),
                Budget(16384),
            ),
            (
                "claude-sonnet-4-6",
                Silent,
                Silent,
                Adaptive(Some("low")),
                Adaptive(Some("high")),
            ),
            (
                "claude-opus-4-8",
                Silent,
                Silent,
                Adaptive(Some("low")),
                Adaptive(Some("high")),
            ),
            (
                "claude-sonnet-5",
                Adaptive(None),
                Off,
                Adaptive(Some("low")),
                Adaptive(Some("high")),
            ),
            (
                "claude-opus-5",
                Adaptive(None),
                Off,
                Adaptive(Some("low")),
                Adaptive(Some("high")),
            ),
            (
                "claude-opus-5-5",
                Adaptive(None),
                Adaptive(Some("low")),
                Adaptive(Some("low")),
                Adaptive(Some("high")),
            ),
            (
                "claude-fable-5",
                Adaptive(None),
                Adaptive(Some("low")),
                Adaptive(Some("low")),
                Adaptive(Some("high")),
            ),
            (
                "claude-mythos-preview",
                Adaptive(None),
                Adaptive(Some("low")),
                Adaptive(Some("low")),
                Adaptive(Some("high")),
            ),
            ("qwen3", Silent, Off, Budget(4096), Budget(16384)),
        ] {
            let model = Capability::of(name);
            assert_eq!(model.plan(None), unset, "{name}");
            assert_eq!(model.plan(Some(Thinking::Off)), off, "{name}");
            assert_eq!(model.plan(Some(Thinking::Low)), low, "{name}");
            assert_eq!(model.plan(Some(Thinking::High)), high, "{name}");
        }
    }
}
