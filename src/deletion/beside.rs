//! Two things at once, of which the first decides how long to wait.

use std::pin::{Pin, pin};

use futures_util::future::{Either, select};

/// Waits for `first` while `work` goes on; what `first` came to, and what `work`
/// came to if it was done by then. `work` can be waited for afterwards.
pub(super) async fn beside<F, W>(
    first: impl Future<Output = F>,
    work: &mut Pin<&mut impl Future<Output = W>>,
) -> (F, Option<W>) {
    match select(pin!(first), work).await {
        Either::Left((first, _)) => (first, None),
        Either::Right((done, first)) => (first.await, Some(done)),
    }
}
