//! The tracer's end of the control socket.
//!
//! A client is disconnected after two seconds, or when its request is longer than four kilobytes. At
//! most eight clients are served at a time; others wait in the socket's backlog. No client can make the
//! tracer wait or use more memory.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, process};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::protocol::{Answer, MAX_REQUEST, Request, clean_label};
use super::run_dir::{remove_if_stale, sockets};

/// How long a client may take for its request and its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many clients are served at a time.
const CLIENTS: usize = 8;
/// How many requests can wait for the tracer.
const QUEUE: usize = 16;

/// Why the control socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The run directory can't be created.
    #[error("cannot create the directory {path}: {error}")]
    Directory {
        /// Its path.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The socket can't be created.
    #[error("cannot listen on {path}: {error}")]
    Socket {
        /// Its path.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
}

/// A request, and the channel for its answer.
#[derive(Debug)]
pub struct Asked {
    /// The request.
    pub request: Request,
    /// Where to send the answer.
    pub answer: oneshot::Sender<Answer>,
}

impl Asked {
    /// The label, if the request is for a mark.
    pub fn mark(&self) -> Option<String> {
        match &self.request {
            Request::Mark { label } => Some(clean_label(label).unwrap_or_default()),
            Request::Status => None,
        }
    }
}

/// The control socket. Dropping this removes it.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens in `folder`, and removes the sockets that killed tracers left there. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// If the folder can't be created or written to.
    pub fn start(
        folder: &Path,
    ) -> Result<(Self, mpsc::Sender<Asked>, mpsc::Receiver<Asked>), ServerError> {
        if !folder.is_dir() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder
                .create(folder)
                .map_err(|error| ServerError::Directory {
                    path: folder.to_owned(),
                    error,
                })?;
        }
        for path in sockets(folder) {
            remove_if_stale(&path);
        }
        let path = folder.join(format!("{}.sock", process::id()));
        let listener = bind(&path).map_err(|error| ServerError::Socket {
            path: path.clone(),
            error,
        })?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let task = tokio::spawn(accept(listener, sender.clone()));
        Ok((Self { path, task }, sender, receiver))
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // If this fails, the socket is recognised as stale and removed later.
        let _ = fs::remove_file(&self.path);
    }
}

/// Creates a socket that only its own user can ever open: its mode is set before it has a name.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 16)?;
    UnixListener::from_std(StdListener::from(socket))
}

async fn accept(listener: UnixListener, sender: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((client, _)) = listener.accept().await else {
            // Most likely this process has run out of descriptors, which passes.
            tokio::time::sleep(PATIENCE).await;
            continue;
        };
        let sender = sender.clone();
        tokio::spawn(async move {
            // A client that is too slow or has disconnected gets no answer.
            let _ = timeout(PATIENCE, converse(client, sender)).await;
            drop(place);
        });
    }
}

async fn converse(mut client: UnixStream, sender: mpsc::Sender<Asked>) -> io::Result<()> {
    let (read, mut write) = client.split();
    let mut line = Vec::new();
    let most = MAX_REQUEST as u64 + 1;
    BufReader::new(read.take(most))
        .read_until(b'\n', &mut line)
        .await?;
    let answer = match Request::parse(&line) {
        Ok(request) => ask(request, &sender).await,
        Err(error) => Answer::Refused {
            why: error.to_string(),
        },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await
}

async fn ask(request: Request, sender: &mpsc::Sender<Asked>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let gone = || Answer::Refused {
        why: "the tracer is about to exit".to_owned(),
    };
    if sender.send(Asked { request, answer }).await.is_err() {
        return gone();
    }
    answered.await.unwrap_or_else(|_| gone())
}

#[cfg(test)]
mod tests;
