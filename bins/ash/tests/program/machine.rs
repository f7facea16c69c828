//! The program, called as a person calls it, on a machine where nothing is set up.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// A machine with an empty home directory.
pub(crate) struct Machine {
    directory: TempDir,
}

impl Machine {
    /// Makes one.
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Returns the person's home directory.
    pub(crate) fn person(&self) -> &Path {
        self.directory.path()
    }

    /// Returns Ash's own directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.person().join(".ash")
    }

    /// Writes the settings.
    pub(crate) fn configure(&self, text: &str) {
        std::fs::create_dir_all(self.home()).unwrap();
        std::fs::write(self.home().join("config.toml"), text).unwrap();
    }

    /// Returns the settings as they are written.
    pub(crate) fn config(&self) -> String {
        std::fs::read_to_string(self.home().join("config.toml")).unwrap()
    }

    /// Calls it, and reads what it prints as one JSON document.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.ash(arguments).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }

    /// Prepares a call.
    pub(crate) fn ash(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("ash"));
        command
            .env_clear()
            .env("HOME", self.person())
            .current_dir(self.person())
            .args(arguments);
        command
    }

    /// Calls it, and returns what was seen as one text: exit code, output, talk.
    pub(crate) fn seen(&self, arguments: &[&str]) -> String {
        self.transcript(&mut self.ash(arguments))
    }

    /// Runs a prepared call, and returns what was seen as one text.
    pub(crate) fn transcript(&self, command: &mut Command) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        let mut seen = format!("exit {}\n", status.code().expect("it ended by itself"));
        for (name, bytes) in [("stdout", stdout), ("stderr", stderr)] {
            let text = String::from_utf8(bytes).unwrap();
            if !text.is_empty() {
                seen = format!("{seen}--- {name}\n{text}");
            }
        }
        seen.replace(&*self.person().to_string_lossy(), "[PERSON]")
    }
}
