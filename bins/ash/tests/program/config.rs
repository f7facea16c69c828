//! Settings: where they come from, and how mistakes in them are told.

use insta::assert_snapshot;

use crate::machine::Machine;

/// The example of the design document, letter by letter.
const EXAMPLE: &str = r#"workspace = "~/.ash/workspace"

[default_llm]
provider = "anthropic"            # anthropic | openai | offline | a name under [providers]
model = "claude-sonnet-4-6"
temperature = 0.7                 # sent only where set, and dropped for models that refuse it
max_tokens = 4096

[fallback_llm]
provider = "openai"
model = "gpt-4o"

[telegram]
# bot_token from TELEGRAM_BOT_TOKEN
allowed_users = ["@username", "123456789"]   # empty = nobody; the first is the owner
webhook_url = "https://..."                  # optional; polling when absent

[sandbox]
image = "ash-sandbox:latest"
timeout = 60
memory_limit = "512m"
cpu_limit = 1.0
network_disabled = true

[server]
host = "127.0.0.1"
port = 8080
webhook_path = "/webhook"

[memory]
database_path = "~/.ash/memory.db"
embedding_model = "text-embedding-3-small"
max_context_messages = 20         # of people, and final answers; cut between turns, in jumps (at twice it, back to it)

[brave_search]
# api_key from BRAVE_SEARCH_API_KEY
"#;

#[test]
fn the_example_is_valid_as_it_stands() {
    let machine = Machine::new();
    machine.configure(EXAMPLE);
    assert_snapshot!(machine.seen(&["config", "validate"]), @r#"
exit 0
--- stdout
[PERSON]/.ash/config.toml is valid
`telegram` has no effect yet: this version does not have what it is for
`sandbox` has no effect yet: this version does not have what it is for
`server` has no effect yet: this version does not have what it is for
`memory.embedding_model` has no effect yet: this version does not have what it is for
"#);
}

#[test]
fn the_example_file_is_valid_and_says_the_defaults() {
    let machine = Machine::new();
    let defaults = machine.seen(&["config", "get", "sandbox"]);
    machine.configure(include_str!("../../../../config.example.toml"));
    assert!(machine.seen(&["config", "validate"]).starts_with("exit 0"));
    assert_eq!(machine.seen(&["config", "get", "sandbox"]), defaults);
}

#[test]
fn without_a_file_the_defaults_hold() {
    let machine = Machine::new();
    assert_snapshot!(machine.seen(&["config", "show"]), @r#"
exit 0
--- stdout
SETTING                      VALUE                           SOURCE
brave_search.base_url        (not set)                       default
default_llm                  (not set)                       default
fallback_llm                 (not set)                       default
limits.steps                 25                              default
memory.database_path         [PERSON]/.ash/memory.db  default
memory.embedding_model       text-embedding-3-small          default
memory.max_context_messages  20                              default
sandbox.backend              auto                            default
sandbox.cpu_limit            1.0                             default
sandbox.image                ash-sandbox:latest              default
sandbox.memory_limit         512m                            default
sandbox.network_disabled     true                            default
sandbox.timeout              60                              default
server.host                  127.0.0.1                       default
server.port                  8080                            default
server.shutdown_timeout      20                              default
server.webhook_path          /webhook                        default
telegram.allowed_groups      []                              default
telegram.allowed_users       []                              default
telegram.api_url             https://api.telegram.org        default
telegram.webhook_url         (not set)                       default
timezone                     auto                            default
workspace                    [PERSON]/.ash/workspace  default
ANTHROPIC_API_KEY            (not set)                       environment, for anthropic
OPENAI_API_KEY               (not set)                       environment, for openai
TELEGRAM_BOT_TOKEN           (not set)                       environment, for telegram
BRAVE_SEARCH_API_KEY         (not set)                       environment, for brave_search
"#);
    assert_snapshot!(machine.seen(&["config", "validate"]), @r#"
exit 0
--- stdout
there is no [PERSON]/.ash/config.toml: the defaults hold
"#);
    assert!(!machine.home().exists(), "reading must not make anything");
}

#[test]
fn every_value_names_its_source() {
    let machine = Machine::new();
    machine.configure("[default_llm]\nprovider = \"openai\"\nmodel = \"a\"\n\n[server]\nport = 1\nhost = \"::1\"\n");
    let mut command = machine.ash(&["config", "show"]);
    command
        .env("ASH_SERVER__PORT", "2")
        .env("ASH_DEFAULT_LLM__MODEL", "5")
        .env("ASH_TELEGRAM__ALLOWED_USERS", "@friend, 12")
        .env(
            "OPENAI_BASE_URL",
            "http://me:secret-password@localhost:1/v1",
        )
        .env("OPENAI_API_KEY", "sk-secret-key");
    let seen = machine.transcript(&mut command);
    assert!(!seen.contains("secret-"), "{seen}");
    let lines: Vec<&str> = seen
        .lines()
        .filter(|line| !line.ends_with("default"))
        .collect();
    assert_snapshot!(lines.join("\n"), @r#"
exit 0
--- stdout
SETTING                      VALUE                           SOURCE
default_llm.model            5                               environment variable ASH_DEFAULT_LLM__MODEL
default_llm.provider         openai                          config.toml:2
providers.openai.base_url    http://***@localhost:1/v1       environment variable OPENAI_BASE_URL
server.host                  ::1                             config.toml:7
server.port                  2                               environment variable ASH_SERVER__PORT
telegram.allowed_users       ["@friend","12"]                environment variable ASH_TELEGRAM__ALLOWED_USERS
ANTHROPIC_API_KEY            (not set)                       environment, for anthropic
OPENAI_API_KEY               (set)                           environment, for openai
TELEGRAM_BOT_TOKEN           (not set)                       environment, for telegram
BRAVE_SEARCH_API_KEY         (not set)                       environment, for brave_search
"#);
}

#[test]
fn show_as_json_is_one_document() {
    let machine = Machine::new();
    machine.configure("[server]\nport = 1\n");
    let output = machine
        .ash(&["config", "show", "--json"])
        .env("ASH_TIMEZONE", "UTC")
        .output()
        .unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["settings"]["server.port"]["value"], 1);
    assert_eq!(shown["settings"]["server.port"]["source"]["line"], 2);
    assert_eq!(
        shown["settings"]["timezone"]["source"]["name"],
        "ASH_TIMEZONE"
    );
    assert_eq!(shown["secrets"]["OPENAI_API_KEY"]["set"], false);
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_place() {
    for (name, text) in [
        (
            "unknown_key",
            "[default_llm]\nprovider = \"openai\"\nmodel = \"m\"\nmodle = \"m\"",
        ),
        ("unknown_section", "[sandbx]\ntimeout = 1"),
        ("key_in_the_wrong_place", "max_tokens = 5"),
        ("nothing_like_it", "zzz = 5"),
        ("wrong_type", "[server]\nport = \"8080\""),
        ("date", "timezone = 2026-01-01"),
        ("out_of_range", "[sandbox]\ntimeout = 9000"),
        ("negative", "[server]\nport = -1"),
        ("choice", "[sandbox]\nbackend = \"dokcer\""),
        ("refused_by_its_type", "[sandbox]\nmemory_limit = \"1m\""),
        (
            "missing",
            "[providers.local]\nbase_url = \"http://localhost\"",
        ),
        ("list_item", "[telegram]\nallowed_users = [\"@anna\", true]"),
        ("secret", "[telegram]\nbot_token = \"123:topsecret\""),
        ("time_zone", "timezone = \"Europe/Brelin\""),
        ("syntax", "[server]\nport = = 1"),
        ("twice", "[server]\nport = 1\nport = 2"),
        (
            "several",
            "a = 1\n[memory]\nmax_context_messages = 0\n[server]\nhots = 1",
        ),
    ] {
        let machine = Machine::new();
        machine.configure(text);
        let seen = machine.seen(&["config", "validate"]);
        assert!(!seen.contains("topsecret"));
        insta::assert_snapshot!(format!("mistake_{name}"), seen);
    }
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    for (variable, value, text) in [
        (
            "ASH_SERVR__PORT",
            "1",
            "exit 1\n--- stderr\nerror: environment variable ASH_SERVR__PORT: `servr` is not a setting\nhint: did you mean `server`?\n",
        ),
        (
            "ASH_SERVER__PORT",
            "many",
            "exit 1\n--- stderr\nerror: environment variable ASH_SERVER__PORT: `server.port` must be a whole number, not text\nhint: `ash config schema` says what each setting may be\n",
        ),
    ] {
        let machine = Machine::new();
        let seen = machine.transcript(machine.ash(&["config", "validate"]).env(variable, value));
        assert_eq!(seen, text);
    }
}

#[test]
fn the_home_and_what_is_empty_are_no_settings() {
    let machine = Machine::new();
    let other = machine.person().join("other");
    let mut command = machine.ash(&["config", "path"]);
    command.env("ASH_HOME", &other).env("ASH_TIMEZONE", "");
    assert_eq!(
        machine.transcript(&mut command),
        "exit 0\n--- stdout\n[PERSON]/other/config.toml\n"
    );
    let mut command = machine.ash(&["config", "path", "--home", "here"]);
    command.env("ASH_HOME", &other);
    assert_eq!(
        machine.transcript(&mut command),
        "exit 0\n--- stdout\n[PERSON]/here/config.toml\n"
    );
    let mut command = machine.ash(&["config", "validate"]);
    command.env("ASH_HOME", &other).env("ASH_TIMEZONE", "");
    assert!(machine.transcript(&mut command).starts_with("exit 0"));
}

#[test]
fn set_keeps_comments_and_order() {
    let machine = Machine::new();
    machine.configure(EXAMPLE);
    for (key, value) in [
        ("server.port", "9000"),
        ("telegram.allowed_users", "@friend,42"),
        ("timezone", "UTC"),
        ("sandbox.backend", "native"),
        ("limits.steps", "7"),
    ] {
        assert_eq!(machine.seen(&["config", "set", key, value]), "exit 0\n");
    }
    let text = std::fs::read_to_string(machine.home().join("config.toml")).unwrap();
    assert_snapshot!(text);
    assert_eq!(
        machine.seen(&["config", "get", "telegram.allowed_users"]),
        "exit 0\n--- stdout\n[\"@friend\",\"42\"]\n"
    );
}

#[test]
fn set_makes_a_private_file_where_there_is_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    assert_eq!(
        machine.seen(&["config", "set", "timezone", "UTC"]),
        "exit 0\n"
    );
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&machine.home()), 0o700);
    assert_eq!(mode(&machine.home().join("config.toml")), 0o600);
    assert_eq!(
        std::fs::read_to_string(machine.home().join("config.toml")).unwrap(),
        "timezone = \"UTC\"\n"
    );
}

#[test]
fn set_refuses_what_would_not_load_and_leaves_the_file_alone() {
    let machine = Machine::new();
    machine.configure("[server]\nport = 1\n");
    assert_snapshot!(machine.seen(&["config", "set", "server.port", "99999"]), @r#"
exit 1
--- stderr
error: [PERSON]/.ash/config.toml:2: `server.port` is 99999, but must be from 0 to 65535
hint: `ash config schema` says what each setting may be
"#);
    assert_snapshot!(machine.seen(&["config", "set", "server.prot", "9"]), @r#"
exit 1
--- stderr
error: `server.prot` is not a setting
hint: did you mean `server.port`?
"#);
    assert_snapshot!(machine.seen(&["config", "set", "server", "9"]), @r#"
exit 1
--- stderr
error: [PERSON]/.ash/config.toml:1: `server` must be a table, not a number
hint: `ash config schema` says what each setting may be
"#);
    let text = std::fs::read_to_string(machine.home().join("config.toml")).unwrap();
    assert_eq!(text, "[server]\nport = 1\n");
}

#[test]
fn set_says_when_something_else_wins() {
    let machine = Machine::new();
    let mut command = machine.ash(&["config", "set", "server.port", "9"]);
    assert_snapshot!(machine.transcript(command.env("ASH_SERVER__PORT", "5")), @r#"
exit 0
--- stderr
note: environment variable ASH_SERVER__PORT overrides `server.port` just now
"#);
}

#[test]
fn a_link_to_the_settings_stays_a_link() {
    let machine = Machine::new();
    machine.configure("");
    let real = machine.person().join("dotfiles.toml");
    std::fs::rename(machine.home().join("config.toml"), &real).unwrap();
    std::os::unix::fs::symlink(&real, machine.home().join("config.toml")).unwrap();
    assert_eq!(
        machine.seen(&["config", "set", "timezone", "UTC"]),
        "exit 0\n"
    );
    assert_eq!(
        std::fs::read_to_string(real).unwrap(),
        "timezone = \"UTC\"\n"
    );
}

#[test]
fn the_schema_describes_every_setting() {
    let machine = Machine::new();
    let output = machine.ash(&["config", "schema"]).output().unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut bare = Vec::new();
    describe(&schema, &schema, "", &mut bare);
    assert_eq!(bare, Vec::<String>::new(), "settings without a description");
}

fn describe(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    path: &str,
    bare: &mut Vec<String>,
) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    for (key, schema) in properties {
        let path = format!("{path}/{key}");
        if schema["description"].as_str().is_none_or(str::is_empty) {
            bare.push(path.clone());
        }
        for part in [
            Some(schema),
            schema["anyOf"].get(0),
            schema.get("additionalProperties"),
        ] {
            let name = part
                .and_then(|part| part["$ref"].as_str())
                .and_then(|name| name.strip_prefix("#/$defs/"));
            if let Some(name) = name {
                describe(root, &root["$defs"][name], &path, bare);
            }
        }
    }
}
