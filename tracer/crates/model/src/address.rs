//! Addresses of sockets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Serialize, Serializer};

/// Inode number of a network namespace, as in /proc/PID/ns/net; 0 when unknown.
pub type NetNs = u32;

/// The address of a TCP or unix stream socket.
///
/// Displayed and serialised as `127.0.0.1:3000`, `[::1]:3000`, `unix:/run/php/fpm.sock`,
/// `unix:@abstract`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// TCP; an IPv4-mapped IPv6 address is kept as IPv4.
    Tcp(SocketAddr),
    /// A unix socket's path; an abstract name starts with `@`.
    Unix(Box<str>),
}

impl Endpoint {
    /// A TCP endpoint, IPv4-mapped addresses reduced to IPv4.
    pub fn tcp(ip: IpAddr, port: u16) -> Self {
        Self::Tcp(SocketAddr::new(ip.to_canonical(), port))
    }

    /// From `sun_path`: up to the first NUL, or, when the first byte is NUL, an abstract name.
    pub fn unix(sun_path: &[u8]) -> Self {
        let text = match sun_path {
            [0, name @ ..] => {
                let mut text = String::from("@");
                text.push_str(&String::from_utf8_lossy(name).replace('\0', "@"));
                text
            }
            path => {
                let len = path.iter().position(|&b| b == 0).unwrap_or(path.len());
                String::from_utf8_lossy(&path[..len]).into_owned()
            }
        };
        Self::Unix(text.into())
    }

    /// The listeners that could accept a connect to `self`, most specific first: the address
    /// itself, then the wildcards of its port.
    pub fn candidates(&self) -> impl Iterator<Item = Self> {
        let any = |any: IpAddr| match self {
            // An IPv4 wildcard never accepts IPv6; an IPv6 wildcard usually accepts both.
            Self::Tcp(address) if any.is_ipv6() || address.is_ipv4() => {
                let candidate = Self::Tcp(SocketAddr::new(any, address.port()));
                (candidate != *self).then_some(candidate)
            }
            _ => None,
        };
        let v4 = any(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let v6 = any(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        [Some(self.clone()), v4, v6].into_iter().flatten()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Endpoint {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "127.0.0.1:3000, [::1]:3000, unix:/run/php/fpm.sock or unix:@abstract"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Endpoint {
        let address: SocketAddr = text.parse().unwrap();
        Endpoint::tcp(address.ip(), address.port())
    }

    #[test]
    fn endpoints_display_as_users_write_them() {
        assert_eq!(tcp("127.0.0.1:3000").to_string(), "127.0.0.1:3000");
        assert_eq!(tcp("[::1]:3000").to_string(), "[::1]:3000");
        assert_eq!(tcp("[::ffff:10.0.0.1]:80").to_string(), "10.0.0.1:80");
        assert_eq!(
            Endpoint::unix(b"/run/a.sock\0junk").to_string(),
            "unix:/run/a.sock"
        );
        assert_eq!(Endpoint::unix(b"\0name").to_string(), "unix:@name");
        assert_eq!(Endpoint::unix(b"/\xff").to_string(), "unix:/\u{fffd}");
    }

    #[test]
    fn wildcard_listeners_may_accept_a_connect() {
        let of = |text| {
            tcp(text)
                .candidates()
                .map(|candidate| candidate.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of("127.0.0.1:80"),
            ["127.0.0.1:80", "0.0.0.0:80", "[::]:80"]
        );
        assert_eq!(of("[::1]:80"), ["[::1]:80", "[::]:80"]);
        assert_eq!(of("0.0.0.0:80"), ["0.0.0.0:80", "[::]:80"]);
    }
}
