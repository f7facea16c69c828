//! The settings file: where each key stands in it, and changing one without touching the rest.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use toml_edit::{Document, DocumentMut, Item, Table};

use crate::home::create_private_dir;
use crate::report::Problem;

/// A settings file as it was read.
#[derive(Clone, Debug)]
pub(crate) struct File {
    path: PathBuf,
    text: String,
    document: Document<String>,
}

impl File {
    /// Reads a file; `None` where there is none.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(Problem::fixable(
                format!("{}: the file is not UTF-8 text", path.display()),
            )
            .hint("save it as UTF-8")
            .into()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Parses the text of a file.
    pub(crate) fn parse(path: &Path, text: String) -> anyhow::Result<Self> {
        let document = Document::parse(text.clone()).map_err(|error| {
            let (line, column) = position(&text, error.span().map_or(0, |span| span.start));
            let message = error.message().trim().replace('\n', "; ");
            Problem::fixable(format!("{}:{line}:{column}: {message}", path.display()))
                .hint("the file is TOML: text stands in quotes, each key on a line of its own")
        })?;
        Ok(Self {
            path: path.to_owned(),
            text,
            document,
        })
    }

    /// Returns all values.
    pub(crate) fn values(&self) -> anyhow::Result<Value> {
        toml_edit::de::from_document(self.document.clone())
            .with_context(|| format!("cannot read {}", self.path.display()))
    }

    /// Returns the line that a key stands on, or the nearest table around it.
    pub(crate) fn line(&self, path: &[String]) -> Option<usize> {
        let mut table: &dyn toml_edit::TableLike = self.document.as_table();
        let mut found = None;
        for key in path {
            let Some((key, item)) = table.get_key_value(key) else {
                break;
            };
            if let Some(span) = key.span().or_else(|| item.span()) {
                found = Some(span.start);
            }
            match item.as_table_like() {
                Some(inner) => table = inner,
                None => break,
            }
        }
        found.map(|at| position(&self.text, at).0)
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the text as it was read.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the text without one key.
    pub(crate) fn without(&self, path: &[String]) -> anyhow::Result<String> {
        let mut document: DocumentMut = self.document.clone().into_mut();
        let (last, tables) = path.split_last().context("the key is empty")?;
        let mut table: Option<&mut dyn toml_edit::TableLike> = Some(document.as_table_mut());
        for key in tables {
            table = table
                .and_then(|table| table.get_mut(key))
                .and_then(Item::as_table_like_mut);
        }
        if let Some(table) = table {
            table.remove(last);
        }
        Ok(document.to_string())
    }

    /// Returns the text with one key changed; comments and order stay.
    pub(crate) fn with(&self, path: &[String], value: &Value) -> anyhow::Result<String> {
        let mut document: DocumentMut = self.document.clone().into_mut();
        let (last, tables) = path.split_last().context("the key is empty")?;
        // What stands below the last key belongs to it, not to a table that is added after it.
        let trailing = document.trailing().as_str().unwrap_or_default();
        let mut trailing = (!trailing.trim().is_empty()).then(|| format!("{trailing}\n"));
        document.set_trailing("");
        let mut table: &mut dyn toml_edit::TableLike = document.as_table_mut();
        for key in tables {
            let item = table.entry(key).or_insert_with(|| {
                let mut table = Table::new();
                // A table that only holds tables needs no heading of its own.
                table.set_implicit(true);
                if let Some(trailing) = trailing.take() {
                    table.decor_mut().set_prefix(trailing);
                }
                Item::Table(table)
            });
            table = item.as_table_like_mut().ok_or_else(|| {
                Problem::fixable(format!(
                    "{}: `{key}` is no table, so it can hold no `{last}`",
                    self.path.display()
                ))
            })?;
        }
        let mut new = toml_edit::ser::to_document(&serde_json::json!({ "value": value }))
            .context("this value cannot be written as TOML")?
            .remove("value")
            .and_then(|item| item.into_value().ok())
            .context("this value cannot be written as TOML")?;
        match table.get_mut(last) {
            Some(Item::Value(old)) => {
                *new.decor_mut() = old.decor().clone();
                *old = new;
            }
            Some(item) => *item = Item::Value(new),
            None => {
                table.insert(last, Item::Value(new));
            }
        }
        if let Some(trailing) = trailing {
            document.set_trailing(trailing.trim_end_matches('\n').to_owned() + "\n");
        }
        Ok(document.to_string())
    }
}

/// Replaces a file in one step, so that nobody ever reads half of it.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    // A link stays a link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = target.parent().context("the path has no directory")?;
    create_private_dir(directory)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let new = directory.join(format!(".{name}.{}.new", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(&new)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| match fs::metadata(&target) {
            Ok(old) => fs::set_permissions(&new, old.permissions()),
            Err(_) => Ok(()),
        })
        .and_then(|()| fs::rename(&new, &target));
    if written.is_err() {
        // The old file is as it was; the half-made one is nobody's.
        let _ = fs::remove_file(&new);
    }
    written.with_context(|| format!("cannot write {}", target.display()))
}

/// Returns line and column of a byte, from one.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    (
        line,
        String::from_utf8_lossy(&before[start..]).chars().count() + 1,
    )
}
