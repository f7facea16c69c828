//! `[sandbox]` of the configuration.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::Size;

/// What a person may set about the sandbox.
///
/// A value out of range is refused while it is read, so that whoever reads the file can name the key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which isolation is used.
    pub backend: Backend,
    /// The container image of the docker backend.
    #[serde(deserialize_with = "image")]
    pub image: String,
    /// How many seconds a command may run.
    #[serde(with = "seconds")]
    #[schemars(with = "u64", range(min = 1, max = 600))]
    pub timeout: Duration,
    /// How much memory a command and its children may use together, as in "512m"; at least 6m.
    #[serde(deserialize_with = "memory_limit")]
    #[schemars(with = "String", regex(pattern = "^[0-9]+[bkmgBKMG]$"))]
    pub memory_limit: Size,
    /// How many processors a command may use, in part or whole.
    #[serde(deserialize_with = "cpu_limit")]
    #[schemars(range(min = 0.01, max = 1024.0))]
    pub cpu_limit: f64,
    /// Whether commands are kept from the network.
    pub network_disabled: bool,
}

/// Which isolation commands run in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Docker where it is to be had, otherwise native, otherwise none.
    #[default]
    Auto,
    /// A container.
    Docker,
    /// Linux namespaces, without a daemon.
    Native,
    /// No isolation, and therefore no commands.
    None,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            image: "ash-sandbox:latest".to_owned(),
            timeout: Duration::from_mins(1),
            memory_limit: Size::mebibytes(512),
            cpu_limit: 1.0,
            network_disabled: true,
        }
    }
}

/// The least memory that container engines accept.
const LEAST_MEMORY: Size = Size::mebibytes(6);

fn image<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let image = String::deserialize(deserializer)?;
    // The engine judges the rest; this is what would read as something else than a name.
    if image.is_empty() || image.starts_with('-') || image.contains(char::is_whitespace) {
        return Err(Error::custom(format_args!(
            "{image:?} is not an image name"
        )));
    }
    Ok(image)
}

fn memory_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
    let size = Size::deserialize(deserializer)?;
    if size < LEAST_MEMORY {
        return Err(Error::custom(format_args!(
            "{size} is too little memory for any command: give at least {LEAST_MEMORY}"
        )));
    }
    Ok(size)
}

fn cpu_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let cpus = f64::deserialize(deserializer)?;
    if !(0.01..=1024.0).contains(&cpus) {
        return Err(Error::custom(format_args!(
            "{cpus} is out of range: give 0.01 to 1024 processors"
        )));
    }
    Ok(cpus)
}

mod seconds {
    use super::{Deserialize, Deserializer, Duration, Error, Serializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        // Signed, so that "-1" is told the range and not the type.
        let seconds = i64::deserialize(from)?;
        match u64::try_from(seconds) {
            Ok(seconds @ 1..=600) => Ok(Duration::from_secs(seconds)),
            _ => Err(Error::custom(format_args!(
                "{seconds} is out of range: give 1 to 600 seconds"
            ))),
        }
    }

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    #[test]
    fn an_empty_table_means_the_defaults() {
        assert_eq!(
            from_value::<Settings>(json!({})).unwrap(),
            Settings::default()
        );
        assert_eq!(
            to_value(Settings::default()).unwrap(),
            json!({
                "backend": "auto",
                "image": "ash-sandbox:latest",
                "timeout": 60,
                "memory_limit": "512m",
                "cpu_limit": 1.0,
                "network_disabled": true,
            })
        );
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        let settings = Settings {
            backend: Backend::Native,
            timeout: Duration::from_secs(5),
            cpu_limit: 0.5,
            ..Settings::default()
        };
        assert_eq!(
            from_value::<Settings>(to_value(&settings).unwrap()).unwrap(),
            settings
        );
    }

    #[test]
    fn a_wrong_value_is_told_what_would_be_right() {
        for (wrong, sentence) in [
            (
                json!({"timeout": 0}),
                "0 is out of range: give 1 to 600 seconds",
            ),
            (
                json!({"timeout": -1}),
                "-1 is out of range: give 1 to 600 seconds",
            ),
            (
                json!({"cpu_limit": 0}),
                "0 is out of range: give 0.01 to 1024 processors",
            ),
            (
                json!({"memory_limit": "5m"}),
                "5m is too little memory for any command: give at least 6m",
            ),
            (
                json!({"memory_limit": "512"}),
                "\"512\" is not a size: write a whole number above 0 and its unit b, k, m or g, as in \"512m\"",
            ),
            (
                json!({"image": "two words"}),
                "\"two words\" is not an image name",
            ),
            (
                json!({"backend": "chroot"}),
                "unknown variant `chroot`, expected one of `auto`, `docker`, `native`, `none`",
            ),
            (json!({"memory": "1g"}), "unknown field `memory`"),
        ] {
            let error = from_value::<Settings>(wrong).unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }

    #[test]
    fn the_schema_names_every_key_and_its_range() {
        let schema = schemars::schema_for!(Settings).to_value();
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let Value::Object(defaults) = to_value(Settings::default()).unwrap() else {
            panic!("settings are a table");
        };
        let mut known: Vec<&String> = defaults.keys().collect();
        known.sort();
        let mut keys = keys;
        keys.sort();
        assert_eq!(keys, known);
        assert_eq!(schema["properties"]["timeout"]["maximum"], 600);
        assert_eq!(schema["additionalProperties"], false);
    }
}
