//! `[server]` of the configuration.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// What a person may set about the daemon's HTTP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The address to listen at. Whoever reaches it may ask whether Ash is well.
    #[serde(deserialize_with = "host")]
    pub host: String,
    /// The port to listen at; 0 takes any that is free.
    pub port: u16,
    /// Where Telegram's webhook arrives.
    #[serde(deserialize_with = "webhook_path")]
    pub webhook_path: String,
    /// How many seconds a daemon that is told to stop may take to finish what it does.
    #[serde(deserialize_with = "shutdown_timeout")]
    #[schemars(range(max = 600))]
    pub shutdown_timeout: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8080,
            webhook_path: "/webhook".to_owned(),
            shutdown_timeout: 20,
        }
    }
}

impl Settings {
    /// Returns how long a daemon that is told to stop may take.
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_secs(self.shutdown_timeout)
    }
}

fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let host = String::deserialize(deserializer)?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(Error::custom(format_args!(
            "{host:?} is no address: give a name or a number, as in \"127.0.0.1\""
        )));
    }
    Ok(host)
}

/// What else the daemon answers, now or in a version to come.
const TAKEN: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/api"];

fn webhook_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = String::deserialize(deserializer)?;
    // Nothing that would have to be escaped in an address, or is a pattern to the router.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    if path.len() < 2 || !path.starts_with('/') || !path.bytes().all(is_plain) {
        return Err(Error::custom(format_args!(
            "{path:?} is no path: it begins with \"/\", followed by letters, digits and -_.~"
        )));
    }
    let taken = |other: &str| {
        path.strip_prefix(other)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if let Some(other) = TAKEN.into_iter().find(|other| taken(other)) {
        return Err(Error::custom(format_args!(
            "{path:?} is taken: {other} is something else"
        )));
    }
    Ok(path)
}

fn shutdown_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    if seconds > 600 {
        return Err(Error::custom(format_args!(
            "{seconds} is too long: give up to 600 seconds"
        )));
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn an_empty_table_listens_at_loopback() {
        let settings: Settings = from_value(json!({})).unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(
            to_value(settings).unwrap(),
            json!({
                "host": "127.0.0.1",
                "port": 8080,
                "webhook_path": "/webhook",
                "shutdown_timeout": 20,
            })
        );
    }

    #[test]
    fn what_can_be_is_accepted() {
        for right in [
            json!({"host": "::1", "port": 0, "webhook_path": "/hook/a-b_c.d~", "shutdown_timeout": 0}),
            json!({"host": "localhost", "webhook_path": "/healthzy", "shutdown_timeout": 600}),
        ] {
            let settings: Settings = from_value(right.clone()).unwrap();
            assert!(
                settings.shutdown_timeout() <= Duration::from_mins(10),
                "{right}"
            );
        }
    }

    #[test]
    fn a_wrong_value_is_told_what_would_be_right() {
        for (wrong, sentence) in [
            (json!({"host": ""}), "\"\" is no address"),
            (json!({"host": "http://x"}), "\"http://x\" is no address"),
            (json!({"port": 65536}), "expected u16"),
            (json!({"webhook_path": "hook"}), "\"hook\" is no path"),
            (json!({"webhook_path": "/"}), "\"/\" is no path"),
            (json!({"webhook_path": "/{hook}"}), "\"/{hook}\" is no path"),
            (json!({"webhook_path": "/readyz"}), "\"/readyz\" is taken"),
            (
                json!({"webhook_path": "/api/hook"}),
                "\"/api/hook\" is taken: /api is",
            ),
            (
                json!({"shutdown_timeout": 601}),
                "601 is too long: give up to 600 seconds",
            ),
            (json!({"prot": 1}), "unknown field `prot`"),
        ] {
            let error = from_value::<Settings>(wrong).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}");
        }
    }
}
