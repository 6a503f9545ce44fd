//! Objects as files: `DIRECTORY/BUCKET/KEY` is an object, byte for byte, and
//! `DIRECTORY/.heads/BUCKET/KEY` what S3 keeps beside it. No name of a bucket begins
//! with a dot.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use s3s::{S3Error, S3Result, s3_error};
use serde::{Deserialize, Serialize};

const HEADS: &str = ".heads";
const INCOMING: &str = ".incoming";
const LOCK: &str = ".lock";

/// The longest name of a file, bytes (`NAME_MAX` of Linux and macOS).
const LONGEST_NAME: usize = 255;

/// What is encoded in the name of a file, so that any key is one.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// What S3 keeps beside the bytes of an object.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Head {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) metadata: HashMap<String, String>,
    /// The checksum that the object was put with, in base64.
    pub(super) sha256: Option<String>,
}

/// An object in a listing.
pub(super) struct Listed {
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

/// The directory.
pub(super) struct Files {
    directory: PathBuf,
    /// An object and its head are replaced and read together.
    together: RwLock<()>,
    puts: AtomicU64,
}

impl Files {
    /// Opens a directory with a bucket; creates what is missing.
    pub(super) fn open(directory: &Path, bucket: &str) -> io::Result<Self> {
        fs::create_dir_all(directory.join(bucket))?;
        fs::create_dir_all(directory.join(INCOMING))?;
        let files = Self {
            directory: directory.to_owned(),
            together: RwLock::default(),
            puts: AtomicU64::new(0),
        };
        fs::File::create(files.lock_file())?;
        Ok(files)
    }

    /// The file that a server locks as long as it has the directory.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.directory.join(LOCK)
    }

    /// Deletes what an earlier server has left half written.
    pub(super) fn forget_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.directory.join(INCOMING))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// Fails if there is no such bucket.
    pub(super) fn bucket(&self, bucket: &str) -> S3Result<PathBuf> {
        let path = self.directory.join(bucket);
        if path.is_dir() {
            Ok(path)
        } else {
            Err(s3_error!(NoSuchBucket))
        }
    }

    /// Puts an object as a whole or not at all; with `only_new`, only if there is none.
    pub(super) fn put(
        &self,
        (bucket, key): (&str, &str),
        bytes: &[u8],
        head: &Head,
        only_new: bool,
    ) -> S3Result<()> {
        let object = self.bucket(bucket)?.join(file_of(key)?);
        let beside = self.head_file(bucket, key)?;
        let put = self.puts.fetch_add(1, Ordering::Relaxed);
        let incoming = |kind| self.directory.join(INCOMING).join(format!("{put}.{kind}"));
        let (new_object, new_head) = (incoming("object"), incoming("head"));
        let replace = || {
            write(&new_object, bytes)?;
            write(&new_head, &serde_json::to_vec(head).map_err(internal)?)?;
            let _together = self.together.write();
            if only_new && object.exists() {
                return Err(s3_error!(PreconditionFailed));
            }
            // Listings show what has an object, so the head is there first.
            move_to(&new_head, &beside)?;
            move_to(&new_object, &object)
        };
        replace().inspect_err(|_| {
            // Err: they were not written, or have been moved.
            let _ = fs::remove_file(&new_object);
            let _ = fs::remove_file(&new_head);
        })
    }

    /// Returns an object with its bytes.
    pub(super) fn get(&self, bucket: &str, key: &str) -> S3Result<(Head, Vec<u8>, SystemTime)> {
        let object = self.bucket(bucket)?.join(file_of(key)?);
        let _together = self.together.read();
        let bytes = match fs::read(&object) {
            Ok(bytes) => bytes,
            Err(error) if is_no_object(&error) => return Err(s3_error!(NoSuchKey)),
            Err(error) => return Err(internal(error)),
        };
        let head = match fs::read(self.head_file(bucket, key)?) {
            Ok(head) => serde_json::from_slice(&head).map_err(internal)?,
            // The file was not put, but copied into the directory.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Head::default(),
            Err(error) => return Err(internal(error)),
        };
        let modified = fs::metadata(&object).and_then(|metadata| metadata.modified());
        Ok((head, bytes, modified.map_err(internal)?))
    }

    /// Returns the objects whose keys begin with this prefix, by key.
    pub(super) fn list(&self, bucket: &str, prefix: &str) -> S3Result<BTreeMap<String, Listed>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![(self.bucket(bucket)?, String::new())];
        while let Some((folder, parent)) = folders.pop() {
            for entry in fs::read_dir(folder).map_err(internal)? {
                let entry = entry.map_err(internal)?;
                let name = entry.file_name();
                let name = percent_decode_str(name.to_str().unwrap_or_default());
                let key = format!("{parent}{}", name.decode_utf8_lossy());
                let metadata = entry.metadata().map_err(internal)?;
                if metadata.is_dir() {
                    let key = key + "/";
                    if key.starts_with(prefix) || prefix.starts_with(&key) {
                        folders.push((entry.path(), key));
                    }
                } else if key.starts_with(prefix) {
                    let listed = Listed {
                        size: metadata.len(),
                        modified: metadata.modified().map_err(internal)?,
                    };
                    found.insert(key, listed);
                }
            }
        }
        Ok(found)
    }

    fn head_file(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        Ok(self.directory.join(HEADS).join(bucket).join(file_of(key)?))
    }
}

/// Returns the path of a key below its bucket.
fn file_of(key: &str) -> S3Result<PathBuf> {
    let parts = key.split('/').map(|part| {
        let mut name = utf8_percent_encode(part, ENCODED).to_string();
        if name.starts_with('.') {
            // `.` and `..` would be other folders.
            name.replace_range(..1, "%2E");
        }
        match name.len() {
            0 => Err(s3_error!(
                InvalidArgument,
                "a local key has no empty parts between slashes"
            )),
            1..=LONGEST_NAME => Ok(name),
            _ => Err(s3_error!(
                KeyTooLongError,
                "a part of a local key is a file's name: at most {LONGEST_NAME} bytes"
            )),
        }
    });
    parts.collect()
}

fn write(file: &Path, bytes: &[u8]) -> S3Result<()> {
    fs::write(file, bytes).map_err(internal)
}

fn move_to(from: &Path, to: &Path) -> S3Result<()> {
    let folder = to.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::rename(from, to)).map_err(internal)
}

/// Whether there is no object of a name: nothing, or a folder, or a file above it.
fn is_no_object(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
    )
}

/// A failure of this machine, as S3 answers its own.
pub(super) fn internal<E: std::error::Error>(error: E) -> S3Error {
    s3_error!(InternalError, "the local S3 failed: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leaves_its_bucket() {
        for (key, file) in [
            ("a/b.json.gz", "a/b.json.gz"),
            ("../b", "%2E./b"),
            ("a/./.b", "a/%2E/%2Eb"),
            ("ä#%\\ b", "%C3%A4%23%25%5C%20b"),
        ] {
            assert_eq!(file_of(key).unwrap(), Path::new(file), "{key}");
        }
        for key in ["", "/a", "a//b", "a/"] {
            assert_eq!(file_of(key).unwrap_err().code().as_str(), "InvalidArgument");
        }
        assert!(file_of(&"a".repeat(255)).is_ok());
        let too_long = file_of(&"a".repeat(256)).unwrap_err();
        assert_eq!(too_long.code().as_str(), "KeyTooLongError");
    }
}
