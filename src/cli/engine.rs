//! The embedded DynamoDB: dynoxide, in this process, on an address of this
//! machine. It serves `campaigns serve` and the tests.

use std::{net::SocketAddr, path::Path};

use dynoxide::Database;
use tokio::{net::TcpListener, task::JoinHandle};

use super::CliError;

/// A running embedded DynamoDB. It ends with the process.
#[derive(Debug)]
pub struct Engine {
    address: SocketAddr,
    task: JoinHandle<Result<(), String>>,
}

impl Engine {
    /// Starts an engine on 127.0.0.1; in memory, or in a file. Port 0 takes a
    /// free one.
    ///
    /// # Errors
    /// [`CliError::Refused`] when the port is taken or the file is unreadable.
    pub async fn start(port: u16, data: Option<&Path>) -> Result<Self, CliError> {
        let listener = listen(port, "--dynamodb-port").await?;
        let address = listener.local_addr()?;
        let database = match data {
            None => Database::memory(),
            Some(file) => Database::new(&file.to_string_lossy()),
        };
        let database = database.map_err(|error| {
            let file = data.map_or_else(|| "memory".into(), Path::to_string_lossy);
            CliError::Refused(format!("cannot keep data in {file}: {error}"))
        })?;
        let serve =
            dynoxide::server::serve_with_shutdown(listener, database, std::future::pending());
        Ok(Self {
            address,
            task: tokio::spawn(serve),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens on a port of 127.0.0.1; `option` is the option that changes the port.
///
/// # Errors
/// [`CliError::Refused`] with what to do.
pub async fn listen(port: u16, option: &str) -> Result<TcpListener, CliError> {
    TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(|error| {
            CliError::Refused(format!(
                "cannot listen on 127.0.0.1:{port} ({error}): choose another port with {option}"
            ))
        })
}
