//! The documents name files that exist, and link to pages that exist.

use std::path::{Path, PathBuf};

const DOCUMENTS: [&str; 15] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "benches/README.md",
    "docs/archive.md",
    "docs/calling.md",
    "docs/decisions.md",
    "docs/deploying.md",
    "docs/events.md",
    "docs/operating.md",
    "docs/page.md",
    "docs/protocol.md",
    "docs/receipts.md",
    "docs/table.md",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The words of a text that are paths of this project: of sources and tests, and, in
/// the README's table of guarantees, of the folders of `tests/it`.
fn paths(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || "/_.-".contains(c);
    text.split(|c| !is_part(c))
        .filter(|word| word.contains('/'))
        .filter_map(|word| {
            let is_file = ["rs", "py", "json", "yaml", "mjs"]
                .iter()
                .any(|ending| Path::new(word).extension().is_some_and(|e| e == *ending));
            let (first, _) = word.split_once('/')?;
            let folder = match first {
                "src" | "tests" | "benches" | "events" | "docs" => "",
                "http" | "protocol" | "faults" | "cleanup" | "cli" | "deploy" | "harness" => {
                    "tests/it/"
                }
                _ => return None,
            };
            is_file.then(|| format!("{folder}{word}"))
        })
        .collect()
}

/// The targets of a text's links to other files.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|after| after.split([')', '#']).next())
        .filter(|link| !link.is_empty() && !link.contains("://"))
        .collect()
}

#[test]
fn every_file_that_a_document_names_exists() {
    let mut named = 0;
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for path in paths(&text) {
            // Made by hand, and not kept (docs/deploying.md).
            let exists = root().join(&path).exists() || root().join("src").join(&path).exists();
            assert!(exists, "{document} names {path}");
            named += 1;
        }
        let folder = root().join(document);
        for link in links(&text) {
            let target = folder.parent().unwrap().join(link);
            assert!(target.exists(), "{document} links to {link}");
            named += 1;
        }
    }
    assert!(named > 60, "{named}");
}
