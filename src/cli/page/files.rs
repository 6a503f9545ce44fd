//! The page's files, part of the program: nothing is read from the disk or fetched from elsewhere.

use std::{io::Write, sync::LazyLock};

use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;

/// A file of the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    /// The path at which it is served.
    path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! file {
    ($name:literal, $content_type:expr) => {
        file!($name, $content_type, concat!("/page/", $name))
    };
    ($name:literal, $content_type:expr, $path:expr) => {
        File {
            path: $path,
            content_type: $content_type,
            text: include_str!(concat!("web/", $name)),
        }
    };
}

const FILES: &[File] = &[
    file!("index.html", HTML, "/"),
    file!("style.css", CSS),
    file!("icon.svg", SVG),
    file!("api.js", SCRIPT),
    file!("bars.js", SCRIPT),
    file!("campaign.js", SCRIPT),
    file!("campaigns.js", SCRIPT),
    file!("deletion.js", SCRIPT),
    file!("deletions.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("main.js", SCRIPT),
    file!("receipt.js", SCRIPT),
    file!("reference.js", SCRIPT),
    file!("text.js", SCRIPT),
    file!("try.js", SCRIPT),
];

/// The files, compressed once: over a forwarded port they are a third as large.
static COMPRESSED: LazyLock<Vec<(&str, Bytes)>> = LazyLock::new(|| {
    let each = FILES.iter().filter_map(|file| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail; if it did, the file would be sent as it is.
        encoder.write_all(file.text.as_bytes()).ok()?;
        Some((file.path, Bytes::from(encoder.finish().ok()?)))
    });
    each.collect()
});

/// Returns the file at a path.
pub(super) fn at(path: &str) -> Option<File> {
    FILES.iter().find(|file| file.path == path).copied()
}

impl File {
    /// Returns the file in gzip.
    pub(super) fn compressed(self) -> Option<Bytes> {
        let mut all = COMPRESSED.iter();
        all.find(|(path, _)| *path == self.path)
            .map(|(_, bytes)| bytes.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The most bytes that all files may have, as they are and as they are sent.
    const LIMITS: [usize; 2] = [100_000, 60_000];

    #[test]
    fn every_file_of_the_folder_is_served_and_small() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/page/web");
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let mut served: Vec<_> = FILES
            .iter()
            .map(|file| match file.path {
                "/" => "index.html",
                path => path.strip_prefix("/page/").unwrap(),
            })
            .collect();
        served.sort_unstable();
        assert_eq!(names, served);
        let bytes: usize = FILES.iter().map(|file| file.text.len()).sum();
        let sent: usize = FILES.iter().map(|it| it.compressed().unwrap().len()).sum();
        println!("{bytes} bytes, {sent} in gzip");
        assert!(bytes <= LIMITS[0] && sent <= LIMITS[1], "{bytes}, {sent}");
    }

    #[test]
    fn no_file_has_inline_code_or_markup_from_text() {
        let html = at("/").unwrap().text;
        for forbidden in [" style=", " onclick=", " onload=", "javascript:", "<style"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        for line in html.lines().filter(|line| line.contains("<script")) {
            assert!(line.contains("src=\"/page/"), "{line}");
        }
        for file in FILES {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "localStorage",
            ] {
                assert!(!file.text.contains(forbidden), "{}: {forbidden}", file.path);
            }
        }
    }
}
