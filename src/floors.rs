//! Holds the source to its floors: reads the `use` lines and paths of every file
//! and fails if a room uses one above it, if rooms use each other in a cycle, or
//! if files inside a room do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The floors, from the top. A room uses its own floor and those below.
const FLOORS: [(&str, &[&str]); 6] = [
    ("ways in", &["bin", "cli", "lambda", "http"]),
    ("use cases", &["cleanup", "deletion"]),
    ("the stores", &["archive", "events", "receipts", "table"]),
    ("settings", &["telemetry", "config"]),
    (
        "values",
        &[
            "refusal",
            "campaign",
            "record",
            "counts",
            "auth",
            "idempotency",
            "rate_limit",
        ],
    ),
    ("plumbing", &["sdk", "metrics", "clock"]),
];

/// A module by its path from the crate, as `["deletion", "deleter", "pacer"]`.
type Module = Vec<String>;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn module(file: &Path) -> Module {
    let relative = file.strip_prefix(source()).unwrap().with_extension("");
    relative
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect()
}

/// Every module with the text of its file, without comments and unit tests.
fn sources() -> BTreeMap<Module, String> {
    let mut found = Vec::new();
    files(&source(), &mut found);
    found
        .into_iter()
        .filter(|file| !file.ends_with("lib.rs") && !file.ends_with("floors.rs"))
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim().starts_with("//"));
            (module(&file), lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

/// Splits the inside of a `{...}` group at its own commas.
fn parts(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    parts
}

/// The inside of the group that `text` begins with, braces excluded.
fn group(text: &str) -> &str {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[1..at];
        }
    }
    panic!("a group without an end: {text}");
}

fn expand(prefix: &[String], path: &str, found: &mut Vec<Module>) {
    let path = path.trim();
    if path.starts_with('{') {
        for part in parts(group(path)) {
            expand(prefix, part, found);
        }
        return;
    }
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let (name, rest) = path.split_at(end.unwrap_or(path.len()));
    let mut prefix = prefix.to_vec();
    match name {
        "" | "self" => {}
        "super" => drop(prefix.pop()),
        name => prefix.push(name.to_owned()),
    }
    match rest.strip_prefix("::") {
        Some(rest) => expand(&prefix, rest, found),
        None => found.push(prefix),
    }
}

/// Every path of this crate that the text of a module names.
fn paths(of: &Module, text: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for (keyword, base) in [
        ("crate::", Vec::new()),
        ("super::", of[..of.len() - 1].to_vec()),
        ("self::", of.clone()),
        ("campaigns::", Vec::new()),
    ] {
        for (at, _) in text.match_indices(keyword) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':')) {
                expand(&base, &text[at + keyword.len()..], &mut found);
            }
        }
    }
    found
}

/// What uses what: each module with the modules that it names, itself excluded.
fn uses() -> BTreeMap<Module, BTreeSet<Module>> {
    let sources = sources();
    let owner = |path: &Module| {
        (1..=path.len())
            .rev()
            .map(|length| path[..length].to_vec())
            .find(|module| sources.contains_key(module))
    };
    sources
        .iter()
        .map(|(module, text)| {
            let named = paths(module, text);
            let used = named.iter().filter_map(owner);
            (module.clone(), used.filter(|used| used != module).collect())
        })
        .collect()
}

fn floor(room: &str) -> usize {
    FLOORS
        .iter()
        .position(|(_, rooms)| rooms.contains(&room))
        .unwrap_or_else(|| panic!("src/{room} is on no floor: add it to FLOORS"))
}

/// A cycle of edges, if there is one.
fn circle<T: Ord + Clone>(edges: &BTreeMap<T, BTreeSet<T>>) -> Option<Vec<T>> {
    let mut left = edges.clone();
    // Whatever uses nothing that is left, or is used by nothing that is left, is in
    // no cycle.
    loop {
        let names: BTreeSet<T> = left.keys().cloned().collect();
        let used: BTreeSet<T> = left.values().flatten().cloned().collect();
        let before = left.len();
        left.retain(|name, uses| {
            used.contains(name) && uses.iter().any(|used| names.contains(used))
        });
        match left.len() {
            0 => return None,
            after if after == before => return Some(left.into_keys().collect()),
            _ => {}
        }
    }
}

#[test]
fn rooms_use_only_their_own_floor_and_those_below() {
    for (module, used) in uses() {
        let from = floor(&module[0]);
        for used in used {
            let to = floor(&used[0]);
            assert!(
                to >= from,
                "src/{}.rs (floor: {}) uses {} (floor: {}), which is above it",
                module.join("/"),
                FLOORS[from].0,
                used.join("::"),
                FLOORS[to].0,
            );
        }
    }
}

#[test]
fn no_rooms_use_each_other_in_a_cycle() {
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, used) in uses() {
        let used = used.into_iter().map(|used| used[0].clone());
        let others = used.filter(|room| *room != module[0]);
        rooms.entry(module[0].clone()).or_default().extend(others);
    }
    assert_eq!(circle(&rooms), None, "rooms that use each other");
}

#[test]
fn no_files_in_a_room_use_each_other_in_a_cycle() {
    let mut files = uses();
    for (module, used) in &mut files {
        // A file and its own children may use each other.
        used.retain(|used| !used.starts_with(module) && !module.starts_with(used));
    }
    assert_eq!(circle(&files), None, "files that use each other");
}

#[test]
fn nested_paths_are_read_to_the_last_name() {
    let of = vec!["a".to_owned(), "b".to_owned()];
    let text = "use super::{c::D, e::{F, g::H}};\nlet x = crate::i::j();";
    let found: Vec<String> = paths(&of, text)
        .iter()
        .map(|path| path.join("::"))
        .collect();
    assert_eq!(found, ["i::j", "a::c::D", "a::e::F", "a::e::g::H"]);
}
