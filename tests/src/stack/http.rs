//! The client: plain HTTP/1.0 over TCP, so that nothing is retried behind the test's back.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// 200, 502 …
    pub status: u16,
    /// What follows the headers.
    pub body: String,
}

impl Answer {
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
/// Nothing answers there, not within 20 seconds, or not in HTTP.
pub fn get(port: u16, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    // In one piece, as clients send it.
    let request = format!("GET {path} HTTP/1.0\r\nHost: shop.test\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    let (Some(status), Some((_, body))) = (status, answer.split_once("\r\n\r\n")) else {
        return Err(io::Error::other(answer));
    };
    Ok(Answer {
        status,
        body: body.to_owned(),
    })
}

/// A request in a thread of its own, for those that take long.
pub fn get_meanwhile(port: u16, path: &str) -> JoinHandle<io::Result<Answer>> {
    let path = path.to_owned();
    thread::spawn(move || get(port, &path))
}
