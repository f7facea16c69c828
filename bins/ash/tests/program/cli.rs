//! What `ash` says about itself, and how it ends.

use insta::assert_snapshot;

use crate::machine::Machine;

#[test]
fn every_command_has_help() {
    let machine = Machine::new();
    let mut paths = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let seen = machine.seen(&arguments);
        // The help itself says which commands there are below.
        for name in commands(&seen) {
            let mut path = path.clone();
            path.push(name.to_owned());
            paths.push(path);
        }
        assert_snapshot!(format!("help_{}", path.join("_")), seen);
    }
}

/// Returns the names in the list of commands of a help text.
fn commands(help: &str) -> impl Iterator<Item = &str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty())
}

#[test]
fn without_a_command_and_a_terminal_there_is_help() {
    let machine = Machine::new();
    assert_eq!(machine.seen(&[]), machine.seen(&["--help"]));
    assert!(!machine.home().exists());
}

#[test]
fn the_version_is_told() {
    assert_eq!(
        Machine::new().seen(&["--version"]),
        format!("exit 0\n--- stdout\nash {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_exits_with_2() {
    let machine = Machine::new();
    assert_snapshot!(machine.seen(&["chta"]), @r#"
exit 2
--- stderr
error: unrecognized subcommand 'chta'

  tip: a similar subcommand exists: 'chat'

Usage: ash [OPTIONS] [COMMAND]

For more information, try '--help'.
"#);
    assert_snapshot!(machine.seen(&["chat", "--output", "xml", "hi"]), @r#"
exit 2
--- stderr
error: invalid value 'xml' for '--output <FORMAT>'
  [possible values: text, json, stream-json]

For more information, try '--help'.
"#);
    assert_snapshot!(machine.seen(&["config"]), @r#"
exit 2
--- stderr
Show and change settings

Usage: ash config [OPTIONS] <COMMAND>

Commands:
  show      Show every setting and where it comes from
  path      Print the path of the settings file
  get       Print one setting
  set       Change one setting in the file, keeping its comments
  validate  Check the settings
  schema    Print the JSON Schema of the settings

Options:
  -h, --help  Print help

Everywhere:
      --home <DIR>           Directory of settings, workspace and memory [default: ASH_HOME, else
                             ~/.ash]
  -v, --verbose...           Log more: once what happens, twice in detail, three times everything
      --log-format <FORMAT>  How the log is written [possible values: text, json]
      --log-file <FILE>      Append the log to a file instead of writing it to standard error
"#);
}

#[test]
fn without_any_home_it_says_what_to_set() {
    let machine = Machine::new();
    let mut command = machine.ash(&["config", "path"]);
    assert_snapshot!(machine.transcript(command.env_remove("HOME")), @r#"
exit 1
--- stderr
error: there is no home directory to keep things in
hint: set HOME or ASH_HOME, or give --home DIR
"#);
}

#[test]
fn every_shell_has_completions() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = machine.ash(&["completions", shell]).output().unwrap();
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("doctor"), "{shell}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let machine = Machine::new();
    for arguments in [
        vec!["completions", "zsh"],
        vec!["config", "schema"],
        vec!["--help"],
    ] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("ash"))
            .env_clear()
            .env("HOME", machine.person())
            .args(&arguments)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}
