//! What a model of `OpenAI` can do, read from its name.
//!
//! Names are compared by version, so that the next model of a family needs no new line here.

use crate::Thinking;

/// What has to be known of a model before it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ability {
    /// Whether it thinks before it answers. Such models refuse a temperature and count their
    /// thoughts as output.
    pub(super) reasons: bool,
    /// Whether it may reason, whatever its name: nothing is known of the models of other servers.
    pub(super) may_reason: bool,
    /// Whether it refuses to be told in Chat Completions how much to think while it has tools.
    pub(super) keeps_effort_from_tools: bool,
    /// The effort that comes closest to not thinking.
    least_effort: &'static str,
}

impl Ability {
    /// Looks at a model's name. Routers put a vendor before it: `openai/gpt-6`.
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let series_o = name
            .strip_prefix('o')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let is_older =
            gpt_version(name).is_some_and(|version| version < (5, 0)) || name.starts_with("gpt-4o");
        let version = gpt_version(name).filter(|version| *version >= (5, 0));
        // `gpt-5-chat` is the one of its family that does not reason.
        let talks_at_once = is_older || (version.is_some() && name.contains("-chat"));
        let reasons = series_o || (version.is_some() && !talks_at_once);
        let least_effort = match version {
            Some((5, 0)) => "minimal",
            // Later large models refuse to do without.
            Some((5, _) | (6, 0))
                if !["-pro", "-codex", "-astra"]
                    .iter()
                    .any(|kind| name.contains(kind)) =>
            {
                "none"
            }
            Some((6, 1)) if name.contains("-terra") => "none",
            Some(_) => "low",
            None if series_o => "low",
            None => "none",
        };
        Self {
            reasons,
            may_reason: !talks_at_once,
            keeps_effort_from_tools: version >= Some((5, 4)),
            least_effort,
        }
    }

    /// Adds room for thoughts to the length of an answer: they count as output too, and an answer
    /// must not be cut off because of them.
    pub(super) fn output_tokens(self, answer: u32, thinking: Option<Thinking>) -> u32 {
        let thoughts = match thinking {
            _ if !self.reasons => 0,
            Some(Thinking::Off) if self.least_effort == "none" => 0,
            Some(Thinking::Off | Thinking::Low) => 4_096,
            Some(Thinking::Medium) | None => 16_384,
            Some(Thinking::High) => 32_768,
        };
        answer.saturating_add(thoughts)
    }

    /// Puts a wish in the words of the protocol.
    pub(super) fn effort(self, thinking: Thinking) -> &'static str {
        match thinking {
            Thinking::Off => self.least_effort,
            Thinking::Low => "low",
            Thinking::Medium => "medium",
            Thinking::High => "high",
        }
    }
}

/// Reads `gpt-6.1-terra` as (6, 1). `gpt-4o` and `gpt-oss` have no version in this sense.
fn gpt_version(name: &str) -> Option<(u32, u32)> {
    let version = name.strip_prefix("gpt-")?.split('-').next()?;
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abilities_follow_from_the_name() {
        let cases = [
            ("gpt-4o", false, "none"),
            ("gpt-4o-mini", false, "none"),
            ("gpt-4.1", false, "low"),
            ("gpt-oss-120b", false, "none"),
            ("llama3", false, "none"),
            ("olmo-2", false, "none"),
            ("", false, "none"),
            ("o3", true, "low"),
            ("o4-mini", true, "low"),
            ("gpt-5", true, "minimal"),
            ("gpt-5-chat-latest", false, "minimal"),
            ("gpt-5.4-nano", true, "none"),
            ("gpt-5.5-pro", true, "low"),
            ("gpt-6-sol", true, "none"),
            ("gpt-6-astra", true, "low"),
            ("gpt-6.1-terra", true, "none"),
            ("gpt-6.2-sol", true, "low"),
            ("openai/gpt-7", true, "low"),
        ];
        for (name, reasons, least_effort) in cases {
            let ability = Ability::of(name);
            assert_eq!(ability.reasons, reasons, "{name}");
            if reasons {
                assert_eq!(ability.effort(Thinking::Off), least_effort, "{name}");
            }
        }
        assert_eq!(Ability::of("o3").effort(Thinking::High), "high");
        let may = [
            "gpt-4o",
            "gpt-4.1-mini",
            "gpt-5-chat-latest",
            "llama3",
            "gpt-oss-20b",
        ];
        let may = may.map(|name| Ability::of(name).may_reason);
        assert_eq!(may, [false, false, false, true, true]);
        assert!(!Ability::of("gpt-5.2").keeps_effort_from_tools);
        assert!(Ability::of("gpt-5.4").keeps_effort_from_tools);
    }

    #[test]
    fn thoughts_get_room_of_their_own() {
        let room = |model: &str, thinking| Ability::of(model).output_tokens(100, thinking);
        assert_eq!(room("gpt-4o", Some(Thinking::High)), 100);
        assert_eq!(room("gpt-6-sol", Some(Thinking::Off)), 100);
        assert_eq!(room("gpt-6.2-sol", Some(Thinking::Off)), 4_196);
        assert_eq!(room("gpt-6.2-sol", None), 16_484);
        assert_eq!(Ability::of("o3").output_tokens(u32::MAX, None), u32::MAX);
    }
}
