//! The bucket of one test: a local S3 over a directory of its own, with the fault layer
//! in front.

use std::{collections::HashMap, fs, ops::Deref, path::PathBuf};

use aws_sdk_s3::{
    Client, config::Builder, primitives::ByteStream, types::ChecksumAlgorithm::Sha256,
    types::ChecksumMode::Enabled,
};
use campaigns::{
    cli::local_s3::{BUCKET, LocalS3},
    sdk,
};
use uuid::Uuid;

use super::proxy::{Object, Proxy};

/// The bucket. To a test it is its proxy, so that faults are set as in `world.proxy`.
pub(crate) struct Bucket {
    pub(crate) directory: PathBuf,
    proxy: Proxy<Object>,
    server: LocalS3,
}

/// An object with its metadata.
#[derive(Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) bytes: Vec<u8>,
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: HashMap<String, String>,
}

impl Deref for Bucket {
    type Target = Proxy<Object>;

    fn deref(&self) -> &Self::Target {
        &self.proxy
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // Err: the test has put something else in its place.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Bucket {
    pub(crate) async fn start() -> Self {
        let name = format!("campaigns-s3-{}", Uuid::new_v4().simple());
        let directory = std::env::temp_dir().join(name);
        let server = LocalS3::start(0, &directory).await.unwrap();
        Self {
            proxy: Proxy::before(&server.endpoint_url()).await,
            directory,
            server,
        }
    }

    /// A client through the proxy.
    pub(crate) fn proxied(&self) -> Client {
        client(&self.url())
    }

    /// A client without faults in between.
    pub(crate) fn client(&self) -> Client {
        client(&self.server.endpoint_url())
    }

    /// Where it is, without faults in between.
    pub(crate) fn endpoint_url(&self) -> String {
        self.server.endpoint_url()
    }

    /// Puts other bytes into an object, with its metadata and their own checksum.
    pub(crate) async fn replace(&self, key: &str, bytes: &[u8]) {
        let stored = self.object(key).await.unwrap();
        let put = self.client().put_object().bucket(BUCKET).key(key);
        let put = put.checksum_algorithm(Sha256);
        let put = put.set_metadata(Some(stored.metadata));
        let body = ByteStream::from(bytes.to_vec());
        put.body(body).send().await.unwrap();
    }

    /// Removes an object, as S3 would not: its file.
    pub(crate) fn remove(&self, key: &str) {
        fs::remove_file(self.directory.join(BUCKET).join(key)).unwrap();
    }

    /// Changes the bytes of an object under its checksum.
    pub(crate) fn damage(&self, key: &str) {
        let file = self.directory.join(BUCKET).join(key);
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(file, bytes).unwrap();
    }

    /// The keys that begin with this prefix, without faults in between.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let client = self.client();
        let mut pages = client
            .list_objects_v2()
            .bucket(BUCKET)
            .prefix(prefix)
            .into_paginator()
            .send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let objects = page.unwrap().contents.unwrap_or_default();
            keys.extend(objects.into_iter().map(|object| object.key.unwrap()));
        }
        keys
    }

    /// An object, without faults in between; its checksum is checked.
    pub(crate) async fn object(&self, key: &str) -> Option<Stored> {
        let get = self.client().get_object().bucket(BUCKET).key(key);
        match get.checksum_mode(Enabled).send().await {
            Ok(got) => Some(Stored {
                content_type: got.content_type,
                metadata: got.metadata.unwrap_or_default(),
                bytes: got.body.collect().await.unwrap().to_vec(),
            }),
            Err(error) => {
                assert!(error.into_service_error().is_no_such_key(), "{key}");
                None
            }
        }
    }
}

/// A client of an endpoint on this machine.
pub(crate) fn client(url: &str) -> Client {
    let builder = Builder::from(&sdk::on_this_machine(url));
    Client::from_conf(builder.force_path_style(true).build())
}

/// Puts an object as the archive does; the code of the error, if it fails with one.
pub(crate) async fn put(client: &Client, key: &str, bytes: &[u8]) -> Result<(), String> {
    let put = client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .checksum_algorithm(Sha256)
        .content_type("application/gzip")
        .metadata("items", "7")
        .body(ByteStream::from(bytes.to_vec()))
        .send()
        .await;
    put.map(drop).map_err(code)
}

/// The code of a failed call's error, or what failed before there was one.
pub(crate) fn code<E>(error: aws_sdk_s3::error::SdkError<E>) -> String
where
    E: aws_sdk_s3::error::ProvideErrorMetadata,
{
    match error {
        aws_sdk_s3::error::SdkError::ServiceError(error) => {
            error.err().code().unwrap_or_default().to_owned()
        }
        aws_sdk_s3::error::SdkError::DispatchFailure(_) => "lost".to_owned(),
        aws_sdk_s3::error::SdkError::ResponseError(_) => "unreadable".to_owned(),
        aws_sdk_s3::error::SdkError::TimeoutError(_) => "timeout".to_owned(),
        _ => "unsent".to_owned(),
    }
}
