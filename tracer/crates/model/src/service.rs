//! What a process is for.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

/// An enum whose variants have names in findings: one row gives both.
macro_rules! named {
    ($(#[$about:meta])* pub enum $kind:ident {
        $($(#[$doc:meta])* $variant:ident = $name:literal,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
        pub enum $kind {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl $kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in findings.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(self.as_str())
            }
        }
    };
}

/// The same for an enum that is in captures: each row also has the variant's number there, which
/// never changes.
macro_rules! numbered {
    ($(#[$about:meta])* pub enum $kind:ident {
        $($(#[$doc:meta])* $variant:ident = $name:literal, $number:literal;)*
    }) => {
        named! {
            $(#[$about])*
            pub enum $kind {
                $($(#[$doc])* $variant = $name,)*
            }
        }

        impl $kind {
            /// Its number in captures; never 0.
            pub const fn number(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)*
                }
            }

            /// The variant with this number in captures; None when only a newer release knows it.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

named! {
    /// What starts and restarts a service.
    pub enum Manager {
        /// A `[[service]]` rule in tracer.toml.
        Config = "config",
        /// A systemd unit, of the system or of a user.
        Systemd = "systemd",
        /// A container engine: Docker, Podman, containerd, Kubernetes.
        Container = "container",
        /// A supervisord program.
        Supervisor = "supervisor",
        /// A pm2 app.
        Pm2 = "pm2",
        /// A service directory of runit.
        Runit = "runit",
        /// A service directory of s6.
        S6 = "s6",
        /// A PHP-FPM pool.
        PhpFpm = "php-fpm",
        /// An application server that names itself in its title: gunicorn, uwsgi, puma, sidekiq.
        AppServer = "app-server",
        /// A proxy nobody else manages: nginx, Apache, HAProxy, Caddy.
        Proxy = "proxy",
        /// An aaPanel site or project.
        Aapanel = "aapanel",
        /// An interpreter with a script, in a directory.
        Script = "script",
        /// Any other process, named by its executable.
        Process = "process",
    }
}

numbered! {
    /// A program that hands requests to upstreams.
    pub enum ProxyKind {
        /// nginx, OpenResty, Tengine.
        Nginx = "nginx", 1;
        /// Apache httpd.
        Apache = "apache", 2;
        /// HAProxy.
        Haproxy = "haproxy", 3;
        /// Caddy.
        Caddy = "caddy", 4;
        /// Traefik.
        Traefik = "traefik", 5;
        /// Envoy.
        Envoy = "envoy", 6;
    }
}

/// A named service, as a user would call it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct Service {
    /// `api.service`, `shop-api-1`, `worker`, `php-fpm/www`, `node worker.js in /var/www/app`.
    pub name: Arc<str>,
    /// What starts and restarts it.
    pub manager: Manager,
    /// What the name is based on: the cgroup path, the environment variable, the title.
    pub evidence: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_have_the_names_of_as_str() {
        for manager in Manager::ALL {
            assert_eq!(serde_json::to_value(manager).unwrap(), manager.as_str());
        }
        for kind in ProxyKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn a_proxy_has_one_number_in_captures() {
        for &kind in ProxyKind::ALL {
            assert_eq!(ProxyKind::from_number(kind.number()), Some(kind));
        }
        // Captures have 0 where the kind is not known.
        assert_eq!(ProxyKind::from_number(0), None);
    }
}
