//! A light HTTP client: kept-alive connections, with one request at a time on each.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Driven;

const CONNECTIONS: usize = 32;
const REQUEST: &[u8] = b"GET /api/orders/17?customer=4711 HTTP/1.1\r\nHost: shop.example\r\n\
                         User-Agent: bench\r\nAccept: */*\r\n\r\n";

/// Sends requests to a port for `time`; every response must have `status`.
pub fn drive(port: u16, status: u16, time: Duration) -> Result<Driven> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("connecting to nginx")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .context("setting a time-out")?;
        connections.push(stream);
    }
    let (first, rest) = connections.split_first_mut().context("no connections")?;
    let (answer, others) = (first_answer(first)?, rest.len() as u64);
    let wanted = format!("HTTP/1.1 {status} ");
    ensure!(
        answer.starts_with(wanted.as_bytes()),
        "nginx sent {:?} instead of {status}",
        String::from_utf8_lossy(&answer[..answer.len().min(32)])
    );
    // All responses are as long as the first: they differ only in the date.
    let mut buffer = vec![0; answer.len()];
    let began = Instant::now();
    let mut requests = 1;
    while began.elapsed() < time {
        for stream in &mut connections {
            stream.write_all(REQUEST).context("sending a request")?;
        }
        for stream in &mut connections {
            stream
                .read_exact(&mut buffer)
                .context("reading a response")?;
            ensure!(
                buffer.starts_with(wanted.as_bytes()),
                "nginx sent {:?}",
                String::from_utf8_lossy(&buffer[..32.min(buffer.len())])
            );
        }
        requests += others + 1;
    }
    Ok(Driven {
        count: requests,
        time: began.elapsed(),
    })
}

/// The first response: its headers and its body.
fn first_answer(stream: &mut TcpStream) -> Result<Vec<u8>> {
    stream.write_all(REQUEST).context("sending a request")?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let len = stream.read(&mut chunk).context("reading a response")?;
        ensure!(len > 0, "nginx closed the connection");
        answer.extend_from_slice(&chunk[..len]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((header, body)) = text.split_once("\r\n\r\n") {
            let declared: usize = header
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .context("nginx declared no length")?
                .parse()
                .context("the declared length")?;
            if body.len() >= declared {
                return Ok(answer);
            }
        }
    }
}
