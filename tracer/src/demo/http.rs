//! The part of HTTP/1.0 that the demo needs. Every read is bounded in size and time.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How much of a request's or a response's head is read at most.
const MAX_HEAD_BYTES: u64 = 16 << 10;

/// Reads a request, and returns its path.
pub(super) fn read_request(stream: &TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(stream.take(MAX_HEAD_BYTES));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let path = first
        .split(' ')
        .nth(1)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a request line"))?
        .to_owned();
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    Ok(path)
}

/// Sends a response that closes the connection.
pub(super) fn respond(mut stream: &TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.0 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// Sends `GET path`, and returns the response's status. `limit` applies to the connect and to each
/// read.
pub(super) fn get(server: SocketAddr, path: &str, limit: Duration) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&server, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: demo.local\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_HEAD_BYTES)).read_line(&mut line)?;
    line.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a status line"))
}
