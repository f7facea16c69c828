//! Setting up, and checking what was set up.

use std::os::unix::fs::PermissionsExt as _;

use ash_testkit::{FakeAnthropic, KEY, Reply};
use insta::assert_snapshot;

use crate::machine::Machine;

#[test]
fn init_makes_everything_without_asking() {
    let machine = Machine::new();
    assert_snapshot!(machine.seen(&["init", "--yes"]), @r#"
exit 0
--- stdout
wrote ~/.ash/config.toml
wrote SOUL.md, USER.md, TOOLS.md to ~/.ash/workspace
the database ~/.ash/memory.db is ready
no key is there: until ANTHROPIC_API_KEY or OPENAI_API_KEY is set in the environment, the built-in offline model answers from what you told it
`ash doctor` checks everything (`--online` asks the model too), `ash chat` begins
"#);
    for (name, mode) in [("", 0o700), ("config.toml", 0o600), ("memory.db", 0o600)] {
        let path = machine.home().join(name);
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o777,
            mode,
            "{name}"
        );
    }
    assert!(machine.home().join("workspace/SOUL.md").exists());
    assert_snapshot!(machine.config(), @r#"
# Settings of Ash. `ash config show` says where each value comes from, `ash config schema` what each
# may be. Keys are not kept here but in the environment.
"#);
    assert!(machine.seen(&["chat", "hello"]).starts_with("exit 0"));
}

#[test]
fn init_takes_the_provider_whose_key_is_there() {
    let machine = Machine::new();
    let mut command = machine.ash(&["init", "--yes"]);
    let seen = machine.transcript(command.env("OPENAI_API_KEY", "sk-secret"));
    assert!(
        !seen.contains("export") && !seen.contains("sk-secret"),
        "{seen}"
    );
    assert!(machine.config().contains("provider = \"openai\""));
    assert!(!machine.config().contains("sk-secret"));
}

#[test]
fn init_takes_flags() {
    let machine = Machine::new();
    let seen = machine.seen(&[
        "init",
        "--provider",
        "local",
        "--base-url",
        "http://localhost:11434/v1",
        "--model",
        "qwen3",
        "--api-key-env",
        "LOCAL_KEY",
    ]);
    assert!(seen.contains("export LOCAL_KEY=…"), "{seen}");
    assert_snapshot!(machine.config(), @r#"
# Settings of Ash. `ash config show` says where each value comes from, `ash config schema` what each
# may be. Keys are not kept here but in the environment.

[default_llm]
provider = "local"
model = "qwen3"

[providers.local]
kind = "openai"
base_url = "http://localhost:11434/v1"
api_key_env = "LOCAL_KEY"
"#);
}

#[test]
fn init_says_how_to_set_the_key() {
    let machine = Machine::new();
    let seen = machine.seen(&["init", "--provider", "anthropic"]);
    assert!(seen.contains("export ANTHROPIC_API_KEY=…"), "{seen}");
}

#[test]
fn init_leaves_settings_alone_unless_told() {
    let machine = Machine::new();
    let old = "# mine\ntimezone = \"UTC\" # always\n[default_llm]\nmodel = \"m\"\nprovider = \"openai\"\nmax_tokens = 9\n";
    machine.configure(old);
    assert_snapshot!(machine.seen(&["init", "--yes"]), @r#"
exit 1
--- stderr
error: ~/.ash/config.toml is there already
hint: --force changes the model in it; a copy of the old file is kept
"#);
    assert_eq!(machine.config(), old);
    let seen = machine.seen(&["init", "--provider", "anthropic", "--force"]);
    assert_snapshot!(seen, @r#"
exit 0
--- stdout
kept the old settings as ~/.ash/config.toml.old
wrote ~/.ash/config.toml
wrote SOUL.md, USER.md, TOOLS.md to ~/.ash/workspace
the database ~/.ash/memory.db is ready
next, put the key into the environment, for instance in ~/.profile:
  export ANTHROPIC_API_KEY=…
`ash doctor` checks everything (`--online` asks the model too), `ash chat` begins
"#);
    assert_snapshot!(machine.config(), @r#"
# mine
timezone = "UTC" # always
[default_llm]
provider = "anthropic"
max_tokens = 9
"#);
    assert_eq!(
        std::fs::read_to_string(machine.home().join("config.toml.old")).unwrap(),
        old
    );
}

#[test]
fn init_needs_somebody_to_answer_or_flags() {
    let machine = Machine::new();
    assert_snapshot!(machine.seen(&["init"]), @r#"
exit 1
--- stderr
error: nobody is here to answer questions
hint: give --provider (and --model), or --yes to take what the environment suggests
"#);
    assert_snapshot!(machine.seen(&["init", "--provider", "mistral"]), @r#"
exit 2
--- stderr
error: `mistral` is no built-in provider
hint: give its address by --base-url, or take anthropic, openai or offline
"#);
    assert!(!machine.home().exists());
}

#[test]
fn doctor_is_content_with_an_empty_machine() {
    let machine = Machine::new();
    assert_snapshot!(machine.seen(&["doctor"]), @r#"
exit 0
--- stdout
· home       ~/.ash is not there yet
             → `ash init` or the first `ash chat` makes it
· settings   there is no ~/.ash/config.toml: the defaults hold
· workspace  ~/.ash/workspace has no SOUL.md: the personality that Ash comes with is used
             → `ash init` writes the files, to be edited
· database   ~/.ash/memory.db is not there yet
· model      offline/offline, the built-in one that answers from what you told it
             → set ANTHROPIC_API_KEY or OPENAI_API_KEY, or run `ash init`
· sandbox    this version has none, and so no tool that runs commands
· telegram   this version does not speak to Telegram yet
"#);
    assert!(!machine.home().exists(), "looking must not make anything");
}

#[test]
fn doctor_finds_what_others_could_read() {
    let machine = Machine::new();
    machine.seen(&["init", "--yes"]);
    let open = |name: &str, mode| {
        let path = machine.home().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    assert!(machine.seen(&["doctor"]).starts_with("exit 0"));
    open("", 0o755);
    open("config.toml", 0o644);
    open("memory.db", 0o640);
    assert_snapshot!(machine.seen(&["doctor"]), @r#"
exit 1
--- stdout
✗ home       others can look into ~/.ash
             → chmod 700 ~/.ash
✗ settings   others can read ~/.ash/config.toml
             → chmod 600 ~/.ash/config.toml
✓ workspace  ~/.ash/workspace
✗ database   others can read ~/.ash/memory.db
             → chmod 600 ~/.ash/memory.db
✓ database   ~/.ash/memory.db is sound, at schema version 3
· backups    there is none yet
             → `ash db backup` makes one
· model      offline/offline, the built-in one that answers from what you told it
             → set ANTHROPIC_API_KEY or OPENAI_API_KEY, or run `ash init`
· sandbox    this version has none, and so no tool that runs commands
· telegram   this version does not speak to Telegram yet
"#);
}

#[test]
fn doctor_finds_wrong_settings_and_missing_keys() {
    let machine = Machine::new();
    machine.configure("[default_llm]\nprovider = \"openai\"\n");
    let seen = machine.seen(&["doctor"]);
    assert!(
        seen.starts_with("exit 1") && seen.contains("OPENAI_API_KEY"),
        "{seen}"
    );
    machine.configure("[default_llm]\nprovidr = \"openai\"\n");
    let found = machine.ash(&["doctor", "--json"]).output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["sound"], false);
    assert!(found.to_string().contains("default_llm.provider"));
}

#[tokio::test]
async fn doctor_asks_the_model_only_when_told() {
    let server = FakeAnthropic::start().await;
    let machine = Machine::new();
    let doctor = |arguments: &[&str]| {
        let mut command = machine.ash(&["doctor"]);
        command
            .args(arguments)
            .env("ANTHROPIC_API_KEY", KEY)
            .env("ANTHROPIC_BASE_URL", server.url());
        machine.transcript(&mut command)
    };
    let seen = doctor(&[]);
    assert!(seen.contains("not asked"), "{seen}");
    assert_eq!(server.requests().len(), 0);
    server.enqueue(Reply::text("ok"));
    let seen = doctor(&["--online"]);
    assert!(seen.contains("claude-sonnet-4-6 answers"), "{seen}");
    assert_eq!(server.violations(), Vec::<String>::new());
}
