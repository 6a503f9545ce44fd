//! The embedded DynamoDB: dynoxide, in this process, on an address of this
//! machine. It serves `campaigns serve` and the tests.

use std::{
    fs::{File, TryLockError},
    net::SocketAddr,
    path::Path,
};

use dynoxide::Database;
use tokio::{net::TcpListener, task::JoinHandle};

use super::CliError;

/// A running embedded DynamoDB. It ends with the process.
#[derive(Debug)]
pub struct Engine {
    address: SocketAddr,
    task: JoinHandle<Result<(), String>>,
    /// Held as long as the engine has the file.
    _lock: Option<File>,
}

impl Engine {
    /// Starts an engine on 127.0.0.1 that keeps its data in memory, or in a file.
    /// Port 0 picks a free port.
    ///
    /// # Errors
    /// [`CliError::Refused`] when the port is taken or the file is unreadable.
    pub async fn start(port: u16, data: Option<&Path>) -> Result<Self, CliError> {
        let listener = listen(port, "--dynamodb-port").await?;
        let address = listener.local_addr()?;
        let database = match data {
            None => Database::memory(),
            Some(file) => Database::new(&file_name(file)?),
        };
        let lock = data.map(|file| only_one(file, file)).transpose()?;
        let database = database.map_err(|error| {
            let file = data.map_or_else(|| "memory".into(), Path::to_string_lossy);
            CliError::Refused(format!("cannot keep data in {file}: {error}"))
        })?;
        let serve =
            dynoxide::server::serve_with_shutdown(listener, database, std::future::pending());
        Ok(Self {
            address,
            task: tokio::spawn(serve),
            _lock: lock,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Locks data for this process by a file: two engines over one file would each see half.
pub(super) fn only_one(data: &Path, file: &Path) -> Result<File, CliError> {
    let lock = File::open(file)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(CliError::Refused(format!(
            "{} is in use by another `campaigns serve`",
            data.display()
        ))),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Returns the name by which the engine opens a file. The engine gives some names a
/// special meaning (`:memory:`, `file:`), but none that begins with a directory.
fn file_name(file: &Path) -> Result<String, CliError> {
    let name = file.to_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| {
        let file = file.display();
        CliError::Refused(format!(
            "cannot keep data in '{file}': its name must be UTF-8 text"
        ))
    })?;
    Ok(if file.is_absolute() {
        name.to_owned()
    } else {
        format!("./{name}")
    })
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
