//! Where finished deletions are announced: an event bus of EventBridge, or a file on this
//! machine. This room alone talks to EventBridge.

mod bridge;
#[cfg(feature = "cli")]
mod file;

use std::{fmt, sync::Arc};

use aws_config::SdkConfig;
use tokio::time::Instant;

use self::bridge::Bridge;
use crate::{record::Event, sdk::Cause};

/// Why an event was not put.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The bus refuses this event, and would again.
    #[error("the event bus refused the event: {0}")]
    Refused(Cause),
    /// The bus takes no event from here: it does not exist, or access is denied.
    #[error("the event bus is not accessible: {0}")]
    NoAccess(Cause),
    /// The bus did not acknowledge the event before the deadline; it may have taken it.
    #[error("the event bus gave no answer before the deadline: {0}")]
    NoAnswer(Cause),
}

impl EventError {
    /// Returns whether waiting helps.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NoAnswer(_))
    }
}

/// The bus, through one connection pool for the whole process, which is made when it is needed
/// first.
#[derive(Clone, Default)]
pub struct EventBus(Option<Arc<Target>>);

enum Target {
    Bridge(Box<Bridge>),
    #[cfg(feature = "cli")]
    File(file::EventFile),
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventBus").finish()
    }
}

impl EventBus {
    /// Returns the bus of this name, or none. Nothing is called yet.
    #[must_use]
    pub fn named(name: Option<String>, sdk: &SdkConfig) -> Self {
        let bridge = name.map(|name| Box::new(Bridge::new(sdk.clone(), name)));
        Self(bridge.map(|bridge| Arc::new(Target::Bridge(bridge))))
    }

    /// Returns a file in the place of a bus, which gets a line for each event.
    ///
    /// # Errors
    /// The file cannot be written.
    #[cfg(feature = "cli")]
    pub fn file(path: &std::path::Path) -> std::io::Result<Self> {
        let file = Target::File(file::EventFile::open(path)?);
        Ok(Self(Some(Arc::new(file))))
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Puts an event on the bus, again and again with the same bytes until it is acknowledged.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn put(&self, event: &Event, deadline: Instant) -> Result<(), EventError> {
        match self.0.as_deref() {
            None => Err(EventError::NoAccess(Cause::because("there is none here"))),
            Some(Target::Bridge(bridge)) => bridge.put(event, deadline).await,
            #[cfg(feature = "cli")]
            Some(Target::File(file)) => file.append(event),
        }
    }
}
