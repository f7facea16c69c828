//! The Markdown files that make the agent somebody: SOUL.md, USER.md, TOOLS.md.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use include_dir::{Dir, include_dir};

static TEMPLATE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/workspace-template");

/// The most bytes of one file that go into a prompt.
const FILE_CAP: usize = 16 * 1024;

/// A directory with the files, or, without one, the template that Ash comes with.
#[derive(Debug, Default)]
pub struct Workspace {
    dir: Option<PathBuf>,
    cache: Mutex<Option<(Stamp, Identity)>>,
}

/// The texts of the files, as they go into the prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) soul: String,
    pub(crate) user: String,
    pub(crate) tools: String,
}

const FILES: [&str; 3] = ["SOUL.md", "USER.md", "TOOLS.md"];

/// When and how long each file was when it was read.
type Stamp = [Option<(SystemTime, u64)>; FILES.len()];

impl Workspace {
    /// Reads from `dir`; a file that is missing there counts as empty, but SOUL.md as the template's.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: Some(dir.into()),
            cache: Mutex::default(),
        }
    }

    /// Uses the template.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Writes the files of the template that `dir` lacks, and returns their names.
    pub fn create(dir: &Path) -> io::Result<Vec<String>> {
        std::fs::create_dir_all(dir)?;
        let mut written = Vec::new();
        for name in FILES {
            let path = dir.join(name);
            match std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)
            {
                Ok(mut file) => {
                    io::Write::write_all(&mut file, template(name).as_bytes())?;
                    written.push(name.to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Returns the texts, read again only where a file changed.
    pub(crate) fn identity(&self) -> Identity {
        let Some(dir) = &self.dir else {
            return Identity {
                soul: prompt_text(template("SOUL.md")),
                ..Identity::default()
            };
        };
        let stamp = FILES.map(|name| {
            let meta = std::fs::metadata(dir.join(name)).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        });
        let mut cache = self
            .cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*cache {
            Some((known, identity)) if *known == stamp => identity.clone(),
            _ => {
                let identity = read(dir);
                *cache = Some((stamp, identity.clone()));
                identity
            }
        }
    }
}

fn read(dir: &Path) -> Identity {
    let [soul, user, tools] = FILES.map(|name| match std::fs::read(dir.join(name)) {
        Ok(bytes) => Some(prompt_text(&String::from_utf8_lossy(&bytes))),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, file = name, "workspace file not readable");
            }
            None
        }
    });
    Identity {
        soul: soul.unwrap_or_else(|| prompt_text(template("SOUL.md"))),
        user: user.unwrap_or_default(),
        tools: tools.unwrap_or_default(),
    }
}

fn template(name: &str) -> &'static str {
    TEMPLATE
        .get_file(name)
        .and_then(|file| file.contents_utf8())
        .expect("the template holds the three files, which a test checks")
}

/// Leaves out HTML comments, which are for the person who edits the file, and caps the length.
fn prompt_text(markdown: &str) -> String {
    let mut rest = markdown;
    let mut text = String::with_capacity(markdown.len());
    while let Some(start) = rest.find("<!--") {
        text.push_str(&rest[..start]);
        rest = match rest[start..].find("-->") {
            Some(end) => &rest[start + end + 3..],
            None => "",
        };
    }
    text.push_str(rest);
    let text = text.trim();
    if text.len() <= FILE_CAP {
        return text.to_owned();
    }
    let cut = text.floor_char_boundary(FILE_CAP);
    format!(
        "{}\n(The rest of this file is too long and left out.)",
        &text[..cut]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_holds_the_three_files() {
        for name in FILES {
            assert!(!template(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_comments_stay_out() {
        let dir = tempfile::tempdir().unwrap();
        let written = Workspace::create(dir.path()).unwrap();
        assert_eq!(written, FILES);
        let workspace = Workspace::at(dir.path());
        assert!(!workspace.identity().soul.is_empty());
        std::fs::write(dir.path().join("SOUL.md"), "You are <!-- hidden -->Kim.").unwrap();
        assert_eq!(workspace.identity().soul, "You are Kim.");
    }

    #[test]
    fn creating_again_keeps_what_was_edited() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("USER.md"), "I am Mo.").unwrap();
        assert_eq!(
            Workspace::create(dir.path()).unwrap(),
            ["SOUL.md", "TOOLS.md"]
        );
        assert_eq!(Workspace::at(dir.path()).identity().user, "I am Mo.");
    }
}
