//! The style that a compiler does not check: which layer may import which, and how long a file may grow.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines that a file of the crate may have.
const LINES_MAX: usize = 450;

/// The layers: each may import those in later rows, none of the same row. What stands in no row is free to import
/// anything (the binary and the crate's root) and is imported by none.
const LAYERS: &[&[&str]] = &[
    &["server", "cli"],
    &["session"],
    &["command"],
    &["coordinator"],
    &["replica"],
    &["store", "peer"],
    &["config", "codec", "clock", "flush"],
    &["version"],
    &["ring"],
    &["time", "prefetch"],
    &["mutation"],
];

/// A layer that imports one of its own row or above, and why that is right.
const EXCEPTIONS: &[(&str, &str)] = &[
    // What the command line came to is how the server is started.
    ("server", "cli"),
];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The layer: the first folder below src, or the file there.
    fn layer(&self) -> String {
        let path = self.path.strip_prefix(root().join("src")).expect("below src");
        let first = path.iter().next().expect("a name").to_string_lossy().into_owned();
        first.trim_end_matches(".rs").to_owned()
    }

    /// The layers that it names, outside of comments: `crate::x` in whatever form.
    fn imports(&self) -> BTreeSet<String> {
        let code: String = self.text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let mut found = BTreeSet::new();
        for rest in code.split("crate::").skip(1) {
            match rest.strip_prefix('{') {
                None => drop(found.insert(word(rest))),
                Some(group) => found.extend(heads(group)),
            }
        }
        found
    }
}

/// The first word of each path in a group, up to its closing brace.
fn heads(group: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut heads = vec![word(group)];
    for (at, sign) in group.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|sign| sign.is_alphanumeric() || *sign == '_').collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `folder` of the package.
fn sources(folder: &str) -> Vec<Source> {
    let mut folders = vec![root().join(folder)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(!sources.is_empty(), "no files in {folder}");
    sources
}

fn row(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&layer))
}

/// One line per file that breaks a rule.
fn assert_none(offenders: &[String]) {
    assert!(offenders.is_empty(), "\n{}", offenders.join("\n"));
}

#[test]
fn a_layer_imports_only_layers_below_it() {
    let mut offenders = Vec::new();
    for source in sources("src") {
        let layer = source.layer();
        let Some(from) = row(&layer) else { continue };
        for import in source.imports() {
            let allowed = import == layer
                || row(&import).is_none_or(|to| to > from)
                || EXCEPTIONS.contains(&(layer.as_str(), import.as_str()));
            if !allowed {
                offenders.push(format!("{} ({layer}) imports {import}", source.path.display()));
            }
        }
    }
    assert_none(&offenders);
}

#[test]
fn every_module_of_the_crate_has_its_layer() {
    let free = ["lib", "main"];
    let unknown = |source: &Source| row(&source.layer()).is_none() && !free.contains(&source.layer().as_str());
    let offenders: Vec<_> = sources("src").iter().filter(|source| unknown(source)).map(Source::layer).collect();
    assert_none(&offenders);
}

#[test]
fn no_file_of_the_crate_is_too_long() {
    let length = |source: &Source| source.text.lines().count();
    let too_long = sources("src").into_iter().filter(|source| length(source) > LINES_MAX);
    assert_none(&too_long.map(|source| format!("{}: {}", source.path.display(), length(&source))).collect::<Vec<_>>());
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let silent = |source: &Source| !source.text.starts_with("//!");
    let all = sources("src").into_iter().chain(sources("tests"));
    assert_none(&all.filter(silent).map(|source| source.path.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn the_wall_clock_is_read_in_one_file() {
    let time = root().join("src/time.rs");
    let call = concat!("SystemTime", "::now");
    let all = sources("src").into_iter().chain(sources("tests"));
    let elsewhere = all.filter(|source| source.path != time && source.text.contains(call));
    assert_none(&elsewhere.map(|source| source.path.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    let all = sources("src").into_iter().chain(sources("tests"));
    let unfinished = all.filter(|source| marks.iter().any(|mark| source.text.contains(mark)));
    assert_none(&unfinished.map(|source| source.path.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn groups_of_imports_are_taken_apart() {
    assert_eq!(heads("ring::{Slot, NodeIndex}, time::UnixMs}; x, y"), ["ring", "time"]);
    assert_eq!(heads("codec}"), ["codec"]);
}
