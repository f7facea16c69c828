//! What a model accepts, read from its name.

/// A model of the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// `gpt-4o`, `gpt-5.4-mini` and their like, by version.
    Gpt(u32, u32),
    /// `o3`, `o4-mini` and their like.
    O,
    /// Whatever a compatible server has loaded.
    Foreign,
}

impl Model {
    /// Reads a name of the vendor's own models.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if let Some(rest) = name.strip_prefix("gpt-") {
            let version = rest.split('-').next()?.trim_end_matches('o');
            let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
            return Some(Self::Gpt(major.parse().ok()?, minor.parse().ok()?));
        }
        let number = name.strip_prefix('o')?.split('-').next()?;
        number.parse::<u32>().ok().map(|_| Self::O)
    }

    pub(super) fn reasons(self) -> bool {
        match self {
            Self::Gpt(major, _) => major >= 5,
            Self::O => true,
            Self::Foreign => false,
        }
    }

    /// Whether Chat Completions refuses functions together with reasoning.
    pub(super) fn keeps_tools_to_responses(self) -> bool {
        matches!(self, Self::Gpt(major, minor) if (major, minor) >= (5, 4))
    }

    pub(super) fn takes_cache_breakpoints(self) -> bool {
        matches!(self, Self::Gpt(major, minor) if (major, minor) >= (5, 6))
    }
}

#[cfg(test)]
mod tests {
    use super::Model;

    #[test]
    fn names_are_read_by_version() {
        for (name, model) in [
            ("gpt-4o", Some(Model::Gpt(4, 0))),
            ("gpt-4o-mini-2024-07-18", Some(Model::Gpt(4, 0))),
            ("gpt-4.1", Some(Model::Gpt(4, 1))),
            ("gpt-5.4-mini", Some(Model::Gpt(5, 4))),
            ("gpt-6.1-sol", Some(Model::Gpt(6, 1))),
            ("o4-mini", Some(Model::O)),
            ("llama3", None),
            ("omni", None),
        ] {
            assert_eq!(Model::parse(name), model, "{name}");
        }
    }
}
