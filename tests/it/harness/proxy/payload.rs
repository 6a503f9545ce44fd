//! What is sent: bytes as a whole, or until the connection breaks.

use std::{io, time::Duration};

use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame};

pub(crate) type Payload = BoxBody<Bytes, io::Error>;

pub(crate) fn whole(bytes: Bytes) -> Payload {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// The first half, which is on its way before the connection breaks.
pub(crate) fn half(bytes: &Bytes) -> Payload {
    let first = bytes.slice(..bytes.len() / 2);
    let sent = stream::once(std::future::ready(Ok(Frame::data(first))));
    let broken = stream::once(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::other("broken by the fault layer"))
    });
    BodyExt::boxed(StreamBody::new(sent.chain(broken)))
}
