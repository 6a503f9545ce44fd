//! Reads the campaign of a DELETE while its caller is authenticated, and looks at it only
//! after that.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{Either, MaybeDone, select},
};
use tokio::time::timeout;

use crate::{campaign::Campaign, table::TableError};

/// How long to wait for a read that is no longer needed, to keep its connection. A read
/// takes milliseconds.
const UNNEEDED_READ: Duration = Duration::from_millis(250);

/// A read of the campaign that may have finished.
pub(super) type Reading<'a, F> = Pin<&'a mut MaybeDone<F>>;

/// Awaits `first` while a read makes progress.
///
/// If `first` fails, the read is not needed, but is still awaited for a moment: dropping
/// a request closes its connection, and the next one would need a new TLS handshake.
pub(super) async fn alongside<T, E, F: Future>(
    first: impl Future<Output = Result<T, E>>,
    mut reading: Reading<'_, F>,
) -> Result<T, E> {
    let mut first = pin!(first);
    // If `first` ends at once, no read is needed, and none has begun.
    if let Some(first) = first.as_mut().now_or_never() {
        return first;
    }
    let first = match select(first, reading.as_mut()).await {
        Either::Left((first, _)) => first,
        Either::Right(((), first)) => first.await,
    };
    if first.is_err() {
        // Err: the read takes too long to be worth its connection.
        let _ = timeout(UNNEEDED_READ, reading).await;
    }
    first
}

/// Awaits a read, and returns what it found.
pub(super) async fn output<F>(mut reading: Reading<'_, F>) -> Result<Option<Campaign>, TableError>
where
    F: Future<Output = Result<Option<Campaign>, TableError>>,
{
    reading.as_mut().await;
    reading.take_output().unwrap_or(Ok(None))
}
