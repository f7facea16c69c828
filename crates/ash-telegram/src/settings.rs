//! `[telegram]` of the configuration.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// What a person may set about Telegram.
///
/// A value that cannot be is refused while it is read, so that whoever reads the file can name the
/// key. The bot's token is a secret and comes from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Who may talk to Ash: "@username" or a numeric id each. Nobody when empty; the first is the
    /// owner.
    #[schemars(with = "Vec<String>")]
    pub allowed_users: Vec<AllowedUser>,
    /// The ids of the groups that Ash answers in; in any other it is silent, whoever speaks.
    #[schemars(with = "Vec<i64>")]
    pub allowed_groups: Vec<GroupId>,
    /// Where Telegram reaches Ash from outside; without it Ash asks Telegram for news.
    #[schemars(with = "Option<String>")]
    pub webhook_url: Option<WebAddress>,
    /// The Bot API server to talk to.
    #[schemars(with = "String")]
    pub api_url: WebAddress,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed_users: Vec::new(),
            allowed_groups: Vec::new(),
            webhook_url: None,
            api_url: WebAddress("https://api.telegram.org".to_owned()),
        }
    }
}

/// A person, as the list of allowed users names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedUser {
    /// By the id that Telegram gave them, which never changes.
    Id(u64),
    /// By the name they chose.
    Name(Username),
}

/// A Telegram user name, without its `@`.
///
/// Two that differ in case only are the same.
#[derive(Clone, Debug)]
pub struct Username(String);

impl Username {
    /// Returns the name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Username {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Username {}

impl<'de> Deserialize<'de> for AllowedUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = text.strip_prefix('@').filter(|name| {
            (4..=32).contains(&name.len())
                && name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        if let Some(name) = name {
            return Ok(Self::Name(Username(name.to_owned())));
        }
        text.parse()
            .ok()
            .filter(|id| *id > 0 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .map(Self::Id)
            .ok_or_else(|| {
                Error::custom(format_args!(
                    "{text:?} is no Telegram user: give \"@username\" or a numeric id, as in \"123456789\""
                ))
            })
    }
}

impl Serialize for AllowedUser {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for AllowedUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => write!(f, "@{}", name.0),
        }
    }
}

/// A group's id: below zero, as Telegram's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct GroupId(i64);

impl GroupId {
    /// Returns the id as Telegram writes it.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for GroupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = i64::deserialize(deserializer)?;
        if id >= 0 {
            return Err(Error::custom(format_args!(
                "{id} is no Telegram group: their ids are below zero, as in -1001234567890"
            )));
        }
        Ok(Self(id))
    }
}

/// An address that begins with `http://` or `https://`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct WebAddress(String);

impl WebAddress {
    /// Returns the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for WebAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let host = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        if host.is_none_or(|host| host.is_empty() || text.contains(char::is_whitespace)) {
            return Err(Error::custom(format_args!(
                "{text:?} is no web address: it begins with https:// or http://"
            )));
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn an_empty_table_allows_nobody() {
        let settings: Settings = from_value(json!({})).unwrap();
        assert_eq!(settings, Settings::default());
        assert!(settings.allowed_users.is_empty() && settings.allowed_groups.is_empty());
        assert_eq!(settings.api_url.as_str(), "https://api.telegram.org");
    }

    #[test]
    fn people_are_named_by_name_or_id() {
        let settings: Settings = from_value(json!({
            "allowed_users": ["@username", "123456789"],
            "allowed_groups": [-1_001_234_567_890_i64],
            "webhook_url": "https://...",
        }))
        .unwrap();
        let [AllowedUser::Name(name), AllowedUser::Id(id)] = &settings.allowed_users[..] else {
            panic!("one by name and one by id: {settings:?}");
        };
        assert_eq!(name.as_str(), "username");
        assert_eq!(*name, Username("UserName".to_owned()));
        assert_eq!(*id, 123_456_789);
        assert_eq!(settings.allowed_groups[0].get(), -1_001_234_567_890);
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        let shown = json!({
            "allowed_users": ["@username", "7"],
            "allowed_groups": [-5],
            "webhook_url": "https://example.org/hook",
            "api_url": "http://127.0.0.1:8081",
        });
        let settings: Settings = from_value(shown.clone()).unwrap();
        assert_eq!(to_value(settings).unwrap(), shown);
    }

    #[test]
    fn a_wrong_value_is_told_what_would_be_right() {
        let user = "is no Telegram user: give \"@username\" or a numeric id";
        for (wrong, sentence) in [
            (json!({"allowed_users": ["username"]}), user),
            (json!({"allowed_users": ["@a b"]}), user),
            (json!({"allowed_users": ["@abc"]}), user),
            (json!({"allowed_users": ["-5"]}), user),
            (json!({"allowed_users": ["+5"]}), user),
            (json!({"allowed_users": ["0"]}), user),
            (json!({"allowed_users": [5]}), "expected a string"),
            (
                json!({"allowed_groups": [5]}),
                "5 is no Telegram group: their ids are below zero",
            ),
            (
                json!({"webhook_url": "example.org"}),
                "\"example.org\" is no web address",
            ),
            (
                json!({"api_url": "https://"}),
                "\"https://\" is no web address",
            ),
            (json!({"api_url": "https://a b"}), "is no web address"),
            (json!({"allowed_user": []}), "unknown field `allowed_user`"),
        ] {
            let error = from_value::<Settings>(wrong).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}");
        }
    }
}
