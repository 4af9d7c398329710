//! Refused connects to a loopback port, one after another.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail};
use tracer_tests::free_port;

use super::{Driven, repeat};

pub fn drive(time: Duration) -> Result<Driven> {
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    repeat(time, || match TcpStream::connect(nobody) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        other => bail!("{nobody} did not refuse: {other:?}"),
    })
}
