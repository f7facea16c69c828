//! The directory that everything is kept in, and the environment as it was at the start.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::report::Problem;

/// The environment variables, read once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the variables of the process. What is not text is left out.
    pub(crate) fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Returns a variable; one that is empty counts as not set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// Iterates over the variables that are set, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .keys()
            .filter_map(|name| Some((name.as_str(), self.get(name)?)))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// The directory that everything is kept in.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    root: PathBuf,
    person: Option<PathBuf>,
}

impl Home {
    /// Finds it: the flag, else `ASH_HOME`, else `~/.ash`.
    pub(crate) fn find(flag: Option<&Path>, environment: &Environment) -> anyhow::Result<Self> {
        let person = environment.get("HOME").map(PathBuf::from);
        let chosen = flag
            .map(Path::to_path_buf)
            .or_else(|| environment.get("ASH_HOME").map(PathBuf::from));
        let root = match (chosen, &person) {
            (Some(chosen), _) => expand(&chosen, person.as_deref())?,
            (None, Some(person)) => person.join(".ash"),
            (None, None) => {
                return Err(
                    Problem::fixable("there is no home directory to keep things in")
                        .hint("set HOME or ASH_HOME, or give --home DIR")
                        .into(),
                );
            }
        };
        let root = std::path::absolute(&root)
            .with_context(|| format!("cannot use {} as home", root.display()))?;
        Ok(Self { root, person })
    }

    /// Returns the directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of the settings.
    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// Returns the directory of what Ash keeps for itself.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Returns the directory of backups.
    pub(crate) fn backups(&self) -> PathBuf {
        self.root.join("backups")
    }

    /// Makes a path of the settings absolute: `~` is the person's home, relative is below ours.
    pub(crate) fn resolve(&self, path: &Path) -> anyhow::Result<PathBuf> {
        Ok(self.root.join(expand(path, self.person.as_deref())?))
    }

    /// Returns a path as a person writes it, with `~` where it fits.
    pub(crate) fn shown(&self, path: &Path) -> String {
        self.person
            .as_deref()
            .filter(|person| *person != Path::new("/"))
            .and_then(|person| path.strip_prefix(person).ok())
            .map_or_else(
                || path.display().to_string(),
                |rest| Path::new("~").join(rest).display().to_string(),
            )
    }

    /// Makes sure that the directory exists; nobody else may look inside.
    pub(crate) fn create(&self) -> anyhow::Result<()> {
        create_private_dir(&self.root)?;
        create_private_dir(&self.data())
    }
}

/// Creates a directory that only its owner may enter. One that exists is left as it is.
pub(crate) fn create_private_dir(path: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .with_context(|| format!("cannot create the directory {}", path.display()))
}

fn expand(path: &Path, person: Option<&Path>) -> anyhow::Result<PathBuf> {
    match (path.strip_prefix("~"), person) {
        (Ok(rest), Some(person)) => Ok(person.join(rest)),
        (Ok(_), None) => Err(Problem::fixable(format!(
            "`~` in {} has no meaning without HOME",
            path.display()
        ))
        .hint("set HOME, or write the path in full")
        .into()),
        (Err(_), _) => Ok(path.to_path_buf()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_flag_goes_before_the_variable_and_that_before_the_default() {
        let set = environment(&[("HOME", "/h"), ("ASH_HOME", "~/a")]);
        let bare = environment(&[("HOME", "/h"), ("ASH_HOME", " ")]);
        let root = |flag: Option<&str>, environment| {
            Home::find(flag.map(Path::new), environment)
                .unwrap()
                .root()
                .to_owned()
        };
        assert_eq!(root(Some("/f"), &set), Path::new("/f"));
        assert_eq!(root(None, &set), Path::new("/h/a"));
        assert_eq!(root(None, &bare), Path::new("/h/.ash"));
        assert!(Home::find(None, &environment(&[])).is_err());
    }

    #[test]
    fn paths_are_resolved_and_shown_the_way_people_write_them() {
        let home = Home::find(Some(Path::new("/x")), &environment(&[("HOME", "/h")])).unwrap();
        assert_eq!(home.resolve(Path::new("~/w")).unwrap(), Path::new("/h/w"));
        assert_eq!(home.resolve(Path::new("w")).unwrap(), Path::new("/x/w"));
        assert_eq!(home.resolve(Path::new("/w")).unwrap(), Path::new("/w"));
        assert_eq!(home.shown(Path::new("/h/w")), "~/w");
        assert_eq!(home.shown(Path::new("/hh/w")), "/hh/w");
    }
}
