//! An S3 bucket that takes its time for each put, and keeps nothing but what it has counted.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// How long a put takes. For requests below 512 KB the median is "in the tens of milliseconds"
/// (AWS whitepaper "Best Practices Design Patterns: Optimizing Amazon S3 Performance").
const PUT: Duration = Duration::from_millis(15);

/// What was put.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Puts {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// The items in all objects, as their metadata says.
    pub(crate) items: u64,
}

/// The bucket.
pub(crate) struct Bucket {
    url: String,
    puts: Arc<Mutex<Puts>>,
    task: JoinHandle<()>,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bucket {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let puts = Arc::<Mutex<Puts>>::default();
        let counted = puts.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let puts = counted.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| put(puts.clone(), request));
                    // A client that ends breaks its connection.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, puts, task }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn puts(&self) -> Puts {
        *self.puts.lock().unwrap()
    }
}

async fn put(
    puts: Arc<Mutex<Puts>>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    assert_eq!(head.method, "PUT");
    let body = body.collect().await?.to_bytes();
    tokio::time::sleep(PUT).await;
    let items = head.headers.get("x-amz-meta-items");
    let items = items.map_or(0, |items| items.to_str().unwrap().parse().unwrap());
    let mut puts = puts.lock().unwrap();
    puts.objects += 1;
    puts.bytes += body.len() as u64;
    puts.items += items;
    let answer = Response::builder().header("etag", "\"etag\"");
    Ok(answer.body(Empty::new()).unwrap())
}
