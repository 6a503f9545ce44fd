//! The archive: what a deletion deletes, as objects in S3. This room alone talks to S3.
//!
//! A deletion has a folder of its own. `data/` has an object for each page that was read, and
//! one for the campaign item, in the format that DynamoDB imports; `manifest.json`, which is
//! put last, says that the archive is whole.

#[cfg(feature = "cli")]
mod bucket;
#[cfg(feature = "cli")]
mod contents;
mod lines;
mod object;
mod put;
#[cfg(feature = "cli")]
mod reader;
mod store;

#[cfg(feature = "cli")]
pub use self::{
    bucket::{Lifecycle, Place, Said},
    contents::{BadArchive, Contents, Folder},
    lines::write_line,
    reader::Read,
};
pub use self::{
    lines::{BadLine, Unwritable, read_lines, write_lines},
    object::{MANIFEST, Manifest, Object, campaign_key, data_folder, manifest_key},
    store::{ArchiveError, ArchiveStore},
};
