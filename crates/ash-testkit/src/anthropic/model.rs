//! What a model accepts, read from its name.

/// A model of the vendor, by family and version: they decide, so that new names need no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model<'a> {
    family: &'a str,
    version: (u32, u32),
}

impl<'a> Model<'a> {
    /// Reads `claude-opus-4-7`, `claude-sonnet-5`, `claude-3-5-haiku-20241022` and their like.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let mut family = None;
        let mut numbers = Vec::new();
        for word in name.strip_prefix("claude-")?.split('-') {
            if word.len() <= 2 && word.parse::<u32>().is_ok() {
                numbers.push(word.parse().ok()?);
            } else if family.is_none() && word.bytes().all(|byte| byte.is_ascii_lowercase()) {
                family = Some(word);
            }
        }
        Some(Self {
            family: family?,
            version: (*numbers.first()?, numbers.get(1).copied().unwrap_or(0)),
        })
    }

    fn is_opus_since(self, version: (u32, u32)) -> bool {
        self.family == "opus" && self.version >= version
    }

    fn is_newest_kind(self) -> bool {
        self.is_opus_since((5, 5))
            || matches!(self.family, "fable" | "mythos") && self.version >= (5, 1)
    }

    pub(super) fn refuses_sampling(self) -> bool {
        self.version >= (5, 0) || self.is_opus_since((4, 7))
    }

    pub(super) fn refuses_both_sampling(self) -> bool {
        self.version >= (4, 5)
    }

    pub(super) fn refuses_thinking_budget(self) -> bool {
        self.version >= (5, 0) || self.is_opus_since((4, 7))
    }

    pub(super) fn thinks_adaptively(self) -> bool {
        self.version >= (4, 6)
    }

    pub(super) fn thinks(self) -> bool {
        self.version >= (4, 0)
    }

    pub(super) fn thinks_between_tools(self) -> bool {
        self.version >= (5, 0)
    }

    pub(super) fn always_thinks(self) -> bool {
        self.is_newest_kind()
    }

    pub(super) fn hides_thinking(self) -> bool {
        self.version >= (5, 0) || self.is_opus_since((4, 7))
    }

    pub(super) fn refuses_forced_tools(self) -> bool {
        self.is_newest_kind()
    }

    pub(super) fn refuses_prefill(self) -> bool {
        self.version >= (4, 6)
    }

    pub(super) fn takes_effort(self, effort: &str) -> bool {
        match effort {
            "low" | "medium" | "high" => self.version >= (4, 6) || self.is_opus_since((4, 5)),
            "max" => self.version >= (4, 6),
            "xhigh" => self.version >= (5, 0) || self.is_opus_since((4, 7)),
            _ => false,
        }
    }

    pub(super) fn longest_answer(self) -> u64 {
        if self.version >= (4, 6) {
            128_000
        } else {
            64_000
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Model;

    #[test]
    fn names_are_read_by_family_and_version() {
        for (name, family, version) in [
            ("claude-opus-4-7", "opus", (4, 7)),
            ("claude-sonnet-5", "sonnet", (5, 0)),
            ("claude-haiku-4-5-20251001", "haiku", (4, 5)),
            ("claude-3-5-haiku-20241022", "haiku", (3, 5)),
            ("claude-sonnet-4-20250514", "sonnet", (4, 0)),
        ] {
            assert_eq!(
                Model::parse(name),
                Some(Model { family, version }),
                "{name}"
            );
        }
        for name in ["gpt-5", "claude-", "claude-sonnet", "claude-5"] {
            assert_eq!(Model::parse(name), None, "{name}");
        }
    }
}
