//! A client for plain HTTP/1.0 over TCP that retries nothing.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// A response.
#[derive(Debug)]
pub struct Response {
    /// 200, 502 …
    pub status: u16,
    /// The bytes after the headers.
    pub body: String,
}

impl Response {
    /// A field of the JSON in the body.
    #[track_caller]
    pub fn number(&self, field: &str) -> u64 {
        let body: Value = serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.body));
        body[field].as_u64().unwrap()
    }
}

/// One request to 127.0.0.1.
///
/// # Errors
///
/// No response came within 20 seconds, or it was not HTTP.
pub fn get(port: u16, path: &str) -> io::Result<Response> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    // In one segment, as clients send it.
    let request = format!("GET {path} HTTP/1.0\r\nHost: shop.test\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let response = String::from_utf8_lossy(&response);
    let status = response.split(' ').nth(1).and_then(|it| it.parse().ok());
    let (Some(status), Some((_, body))) = (status, response.split_once("\r\n\r\n")) else {
        return Err(io::Error::other(response));
    };
    Ok(Response {
        status,
        body: body.to_owned(),
    })
}

/// A request in another thread.
pub fn get_meanwhile(port: u16, path: &str) -> JoinHandle<io::Result<Response>> {
    let path = path.to_owned();
    thread::spawn(move || get(port, &path))
}
