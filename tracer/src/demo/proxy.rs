//! The proxy for machines without nginx, `tracer demo-proxy --port PORT --upstream PORT`. It forwards
//! one request per connection, and answers 502 if the upstream fails.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::children::{exit_with_parent, loopback, port, serve};
use super::error::ChildError;
use super::http;

const USAGE: &str = "demo-proxy --port PORT --upstream PORT";

/// The upstream is on loopback, so a slower connect is stuck.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the upstream may take; longer than the worker's slowest answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// Runs the proxy until it is killed.
pub fn run(args: &[OsString]) -> Result<(), ChildError> {
    let listen = port(args, "--port").ok_or(ChildError::Usage(USAGE))?;
    let upstream = port(args, "--upstream").ok_or(ChildError::Usage(USAGE))?;
    exit_with_parent();
    let upstream = loopback(upstream);
    serve(loopback(listen), move |client| {
        let path = http::read_request(client)?;
        match forward(client, &path, upstream) {
            Ok(()) => Ok(()),
            Err(error) => http::respond(client, "502 Bad Gateway", &format!("{error}\n")),
        }
    })
}

/// Forwards the answer. After an error, nothing has been sent to the client yet.
fn forward(mut client: &TcpStream, path: &str, upstream: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect_timeout(&upstream, CONNECT_TIMEOUT)?;
    server.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    write!(server, "GET {path} HTTP/1.0\r\nHost: demo.local\r\n\r\n")?;
    let mut first = [0; 4096];
    let read = server.read(&mut first)?;
    if read == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the upstream closed the connection without a response",
        ));
    }
    // From here on the client has part of the response: a failure can only truncate it.
    let _ = client
        .write_all(&first[..read])
        .and_then(|()| io::copy(&mut server, &mut client));
    let _ = client.shutdown(Shutdown::Both);
    Ok(())
}
