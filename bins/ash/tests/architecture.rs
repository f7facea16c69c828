//! Holds the crates to the drawing in ARCHITECTURE.md: who may know whom, and what only one may know.
//!
//! Each rule is a function from what it looks at to what is wrong with it, and is tried on something
//! wrong as well as on the project.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item};

/// Never published, and used by tests alone.
const TESTKIT: &str = "ash-testkit";

/// What only one of our crates may use.
const ONLY_IN: [(&str, &str); 6] = [
    ("anyhow", "ash"),
    ("clap", "ash"),
    ("figment", "ash"),
    ("refinery", "ash-memory"),
    ("rusqlite", "ash-memory"),
    ("sqlite-vec", "ash-memory"),
];

/// How long a source file may be, its tests not counted.
const LONGEST_FILE: usize = 500;

/// How a library would learn what it is to be told.
const SURROUNDINGS: [&str; 5] = [
    "env::var",
    "env::args",
    "env::current_dir",
    "env::home_dir",
    "env::temp_dir",
];

/// Reads the table of ARCHITECTURE.md: each crate, and whom it may use.
fn drawing(architecture: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let names = |cell| str::split(cell, '`').filter(|name| name.starts_with("ash"));
    architecture
        .lines()
        .filter(|line| line.starts_with("| `ash"))
        .filter_map(|line| {
            let mut cells = line.split('|').skip(1);
            Some((names(cells.next()?).next()?, names(cells.next()?).collect()))
        })
        .collect()
}

/// Finds what the dependencies of our crates should not have, in the output of `cargo metadata`.
fn wrong_edges(metadata: &Value, drawing: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let packages = list(&metadata["packages"]);
    let ours: Vec<&str> = packages
        .iter()
        .map(|package| text(&package["name"]))
        .collect();
    for package in packages {
        let name = text(&package["name"]);
        let Some(allowed) = drawing.get(name) else {
            wrong.push(format!("{name} is not in the drawing"));
            continue;
        };
        if name == TESTKIT && package["publish"] != json!([]) {
            wrong.push(format!("{name} could be published"));
        }
        for dependency in list(&package["dependencies"]) {
            // A dependency of tests adds no edge: nobody who uses the crate gets it.
            if dependency["kind"] == "dev" {
                continue;
            }
            let used = text(&dependency["name"]);
            if ours.contains(&used) && !allowed.contains(used) {
                wrong.push(format!("{name} may not use {used}"));
            }
            for (only, owner) in ONLY_IN {
                if used == only && name != owner {
                    wrong.push(format!("{name} may not use {used}: only {owner} does"));
                }
            }
        }
    }
    wrong
}

/// Finds the dependencies in a crate's manifest that do not take their version from the workspace.
fn own_versions(manifest: &str) -> Vec<String> {
    let manifest: DocumentMut = manifest.parse().expect("cargo has read it");
    let targets = manifest.get("target").and_then(Item::as_table_like);
    let targets = targets
        .into_iter()
        .flat_map(|table| table.iter().map(|(_, item)| item));
    [manifest.as_item()]
        .into_iter()
        .chain(targets)
        .flat_map(|item| {
            ["dependencies", "dev-dependencies", "build-dependencies"]
                .into_iter()
                .filter_map(|kind| item.get(kind)?.as_table_like())
        })
        .flat_map(|table| table.iter())
        .filter(|(_, item)| item.get("workspace").and_then(Item::as_bool) != Some(true))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Returns a source file without the tests at its end.
fn without_tests(source: &str) -> Vec<&str> {
    let lines: Vec<&str> = source.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    lines[..tests.unwrap_or(lines.len())].to_vec()
}

/// Finds out whether a file is too long.
fn too_long(source: &str) -> Option<usize> {
    Some(without_tests(source).len()).filter(|lines| *lines > LONGEST_FILE)
}

/// Finds the lines where a library looks around instead of being told.
fn looks_around(source: &str) -> Vec<&str> {
    without_tests(source)
        .into_iter()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter(|line| SURROUNDINGS.iter().any(|call| line.contains(call)))
        .collect()
}

#[test]
fn crates_use_only_whom_they_may() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let drawing = drawing(&architecture);
    assert_eq!(
        drawing.len(),
        list(&metadata()["packages"]).len(),
        "{drawing:?}"
    );
    assert_eq!(wrong_edges(&metadata(), &drawing), [""; 0]);
}

#[test]
fn every_version_is_written_once() {
    for package in list(&metadata()["packages"]) {
        let manifest = text(&package["manifest_path"]);
        assert_eq!(
            own_versions(&read(Path::new(manifest))),
            [""; 0],
            "{manifest}"
        );
    }
}

#[test]
fn every_library_shows_how_it_is_used() {
    let metadata = metadata();
    let mut examples = Vec::new();
    for package in list(&metadata["packages"]) {
        let name = text(&package["name"]);
        if name == "ash" || name == TESTKIT {
            continue;
        }
        let targets = list(&package["targets"]);
        let of_kind = |kind| {
            targets
                .iter()
                .filter(move |target| target["kind"] == json!([kind]))
        };
        assert!(
            of_kind("example").next().is_some(),
            "{name} has a program in examples/"
        );
        examples.extend(of_kind("example").map(|target| text(&target["name"])));
        let library = of_kind("lib")
            .next()
            .expect("a crate under crates/ is a library");
        let source = read(Path::new(text(&library["src_path"])));
        assert!(
            source.contains("\n//! ```"),
            "{name} has an example in its documentation"
        );
    }
    // They share a directory once they are built.
    let names: BTreeSet<&str> = examples.iter().copied().collect();
    assert_eq!(names.len(), examples.len(), "{examples:?}");
}

#[test]
fn one_file_knows_figment() {
    let knowing = root().join("bins/ash/src/config.rs");
    for path in rust_files(&["crates", "bins"]) {
        let is_this = path.ends_with("bins/ash/tests/architecture.rs");
        if !is_this && path != knowing {
            assert!(!read(&path).contains("figment"), "{}", path.display());
        }
    }
}

#[test]
fn libraries_are_told_and_do_not_look_around() {
    for path in rust_files(&["crates"]) {
        if has_part(&path, "src") && !has_part(&path, TESTKIT) {
            assert_eq!(looks_around(&read(&path)), [""; 0], "{}", path.display());
        }
    }
}

#[test]
fn no_source_file_is_too_long() {
    for path in rust_files(&["crates", "bins"]) {
        if !["tests", "tests.rs", "benches"]
            .into_iter()
            .any(|part| has_part(&path, part))
        {
            assert_eq!(too_long(&read(&path)), None, "{}", path.display());
        }
    }
}

#[test]
fn the_drawing_is_read_from_its_table() {
    let table = "\
| crate | may use |
|---|---|
| `ash-llm` | | `ash-core`? |
| `ash` | `ash-llm`, `ash-core` |
`ash-tools`
";
    let crates = [
        ("ash-llm", BTreeSet::new()),
        ("ash", BTreeSet::from(["ash-core", "ash-llm"])),
    ];
    assert_eq!(drawing(table), BTreeMap::from(crates));
}

#[test]
fn the_rule_of_edges_finds_each_kind_of_wrong_edge() {
    let package =
        |name: &str, dependencies: Value| json!({ "name": name, "dependencies": dependencies });
    let metadata = json!({ "packages": [
        package("ash-llm", json!([
            { "name": "ash-memory", "kind": null },
            { "name": "ash-testkit", "kind": "dev" },
            { "name": "serde", "kind": null },
        ])),
        package("ash-memory", json!([
            { "name": "ash-llm", "kind": null },
            { "name": "rusqlite", "kind": null },
            { "name": "ash-testkit", "kind": "build" },
        ])),
        package("ash-core", json!([
            { "name": "anyhow", "kind": null },
            { "name": "rusqlite", "kind": "dev" },
            { "name": "ash-telegram", "kind": null, "optional": true },
        ])),
        package("ash-telegram", json!([])),
        package("ash-extra", json!([])),
        package("ash-testkit", json!([])),
    ]});
    assert_eq!(
        wrong_edges(
            &metadata,
            &drawing(
                "| `ash-llm` | |\n| `ash-memory` | `ash-llm` |\n| `ash-core` | `ash-memory` |\n\
                 | `ash-telegram` | `ash-core` |\n| `ash-testkit` | |"
            )
        ),
        [
            "ash-llm may not use ash-memory",
            "ash-memory may not use ash-testkit",
            "ash-core may not use anyhow: only ash does",
            "ash-core may not use ash-telegram",
            "ash-extra is not in the drawing",
            "ash-testkit could be published",
        ]
    );
}

#[test]
fn the_rule_of_versions_finds_them_in_every_table() {
    let manifest = r#"
        [dependencies]
        serde.workspace = true
        tokio = { workspace = true, features = ["net"] }
        bytes = "1"
        ash-llm = { path = "../ash-llm" }
        [dev-dependencies]
        insta = { version = "1", features = ["json"] }
        [build-dependencies.cc]
        version = "1"
        [target.'cfg(unix)'.dependencies]
        libc = "0.2"
    "#;
    assert_eq!(
        own_versions(manifest),
        ["bytes", "ash-llm", "insta", "cc", "libc"]
    );
}

#[test]
fn the_rule_of_length_counts_all_but_the_tests() {
    let code = "code();\n".repeat(LONGEST_FILE);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
    assert_eq!(too_long(&format!("{code}{tests}")), None);
    assert_eq!(
        too_long(&format!("{code}one_more();\n{tests}")),
        Some(LONGEST_FILE + 1)
    );
    // A test module of its own file ends nothing.
    let apart = format!("#[cfg(test)]\nmod tests;\n{code}");
    assert_eq!(too_long(&apart), Some(LONGEST_FILE + 2));
}

#[test]
fn the_rule_of_surroundings_reads_code_alone() {
    let source = "\
// as env::var would
let home = std::env::var_os(\"HOME\");
#[cfg(test)]
mod tests {
    let temp = std::env::temp_dir();
}
";
    assert_eq!(
        looks_around(source),
        ["let home = std::env::var_os(\"HOME\");"]
    );
}

fn root() -> PathBuf {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR"));
    bin.ancestors()
        .nth(2)
        .expect("bins/ash lies two levels deep")
        .to_owned()
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs this test, so it can run again");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

fn rust_files(under: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories: Vec<PathBuf> = under.iter().map(|name| root().join(name)).collect();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the project") {
            let entry = entry.expect("a file of the project");
            let kind = entry.file_type().expect("a file of the project");
            if kind.is_dir() {
                directories.push(entry.path());
            } else if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "rs")
            {
                files.push(entry.path());
            }
        }
    }
    files
}

fn has_part(path: &Path, part: &str) -> bool {
    let path = path.strip_prefix(root()).expect("a file of the project");
    path.iter().any(|name| name == part)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file of the project")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("cargo writes a list here")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo writes a text here")
}
