//! A file in the place of a bus, for the local server: a line of JSON for each event, with the
//! members that a rule of EventBridge matches.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::EventError;
use crate::{record::Event, sdk::Cause};

/// The file, open for appending.
#[derive(Debug)]
pub(super) struct EventFile(Mutex<File>);

impl EventFile {
    /// Opens the file, which is made if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Mutex::new(file)))
    }

    /// Appends an event. It is on the disk before it counts as sent.
    pub(super) fn append(&self, event: &Event) -> Result<(), EventError> {
        let line = format!(
            "{{\"source\":\"{}\",\"detail-type\":\"{}\",\"detail\":{}}}\n",
            Event::SOURCE,
            Event::DETAIL_TYPE,
            event.detail,
        );
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // In one write, so that a line is whole or not there.
        let written = file
            .write_all(line.as_bytes())
            .and_then(|()| file.sync_data());
        written.map_err(|error| EventError::NoAnswer(Cause::because(&error.to_string())))
    }
}
