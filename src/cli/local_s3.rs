//! The local S3: one bucket over a directory, in this process, on an address of this
//! machine. It serves `campaigns serve` and the tests. `s3s` speaks the protocol and checks the
//! signatures; what an object is lives here, because `s3s-fs` stores an object before it
//! compares its checksum, and creates a bucket that is missing.

mod files;
mod objects;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::{
    HttpError, S3Result,
    auth::{S3Auth, SecretKey},
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{net::TcpListener, task::JoinHandle};

use self::{files::Files, objects::Objects};
use super::{
    CliError,
    engine::{listen, only_one},
};
use crate::sdk::LOCAL_KEY;

/// The one bucket.
pub const BUCKET: &str = "archive";

/// A running local S3. It ends with the process.
#[derive(Debug)]
pub struct LocalS3 {
    address: SocketAddr,
    task: JoinHandle<()>,
    /// Held as long as this server has the directory.
    _lock: std::fs::File,
}

impl LocalS3 {
    /// Starts a server on 127.0.0.1 that keeps its objects in this directory, which is
    /// created if it is missing, as is the bucket in it. It takes the credentials that
    /// [`crate::sdk::on_this_machine`] has. Port 0 picks a free port.
    ///
    /// # Errors
    /// [`CliError::Refused`] when the port is taken, or the directory cannot be used.
    pub async fn start(port: u16, directory: &Path) -> Result<Self, CliError> {
        let listener = listen(port, "--s3-port").await?;
        let address = listener.local_addr()?;
        let unusable = |error| {
            let directory = directory.display();
            CliError::Refused(format!("cannot keep an archive in {directory}: {error}"))
        };
        let files = Files::open(directory, BUCKET).map_err(unusable)?;
        let lock = only_one(directory, &files.lock_file())?;
        files.forget_unfinished().map_err(unusable)?;
        let mut builder = S3ServiceBuilder::new(Objects::new(Arc::new(files)));
        builder.set_auth(Local);
        let task = tokio::spawn(serve(listener, builder.build()));
        Ok(Self {
            address,
            task,
            _lock: lock,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for LocalS3 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The one key of this machine.
struct Local;

#[async_trait]
impl S3Auth for Local {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == LOCAL_KEY {
            Ok(SecretKey::from(LOCAL_KEY))
        } else {
            Err(s3_error!(InvalidAccessKeyId))
        }
    }
}

/// Serves until the future is dropped.
async fn serve(listener: TcpListener, service: S3Service) {
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // This connection broke, or too many are open: the others continue.
                tracing::warn!("a connection to the local S3 was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = service.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                // S3 completes a request whose sender has gone.
                let answer = tokio::spawn(hyper::service::Service::call(&service, request));
                async { answer.await.map_err(|e| HttpError::new(e.into()))? }
            });
            // A connection that breaks concerns its client alone.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}
