//! What a process is for.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

/// What starts and restarts a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// A `[[service]]` rule in tracer.toml.
    Config,
    /// A systemd unit, of the system or of a user.
    Systemd,
    /// A container engine: Docker, Podman, containerd, Kubernetes.
    Container,
    /// A supervisord program.
    Supervisor,
    /// A pm2 app.
    Pm2,
    /// A PHP-FPM pool.
    PhpFpm,
    /// An application server that names itself in its title: gunicorn, uwsgi, puma, sidekiq.
    AppServer,
    /// A proxy nobody else manages: nginx, Apache, HAProxy, Caddy.
    Proxy,
    /// An aaPanel site or project.
    Aapanel,
    /// An interpreter with a script, in a directory.
    Script,
    /// Any other process, named by its executable.
    Process,
}

/// Makes [`ProxyKind`] of one row for each proxy: its number in captures, which stays its own for
/// ever, and its name.
macro_rules! proxy_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $number:literal, $name:literal;)+) => {
        /// A program that hands requests to upstreams.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
        pub enum ProxyKind {
            $(
                $(#[doc = $doc])+
                #[serde(rename = $name)]
                $kind,
            )+
        }

        impl ProxyKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// The name that is shown: `haproxy`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// The number that captures have for it; never 0.
            pub const fn number(self) -> i32 {
                match self {
                    $(Self::$kind => $number,)+
                }
            }

            /// The proxy with this number in captures; None: a newer release has it.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$kind),)+
                    _ => None,
                }
            }
        }
    };
}

proxy_kinds! {
    /// nginx, OpenResty, Tengine.
    Nginx = 1, "nginx";
    /// Apache httpd.
    Apache = 2, "apache";
    /// HAProxy.
    Haproxy = 3, "haproxy";
    /// Caddy.
    Caddy = 4, "caddy";
    /// Traefik.
    Traefik = 5, "traefik";
    /// Envoy.
    Envoy = 6, "envoy";
}

/// A named service, as a user would call it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct Service {
    /// `api.service`, `shop-api-1`, `worker`, `php-fpm/www`, `node worker.js in /var/www/app`.
    pub name: Arc<str>,
    /// What starts and restarts it.
    pub manager: Manager,
    /// What told so: the cgroup path, the environment variable, the title.
    pub evidence: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_one_number_and_one_name_everywhere() {
        for &kind in ProxyKind::ALL {
            assert_eq!(ProxyKind::from_number(kind.number()), Some(kind));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{}\"", kind.as_str()));
        }
        // Captures have 0 where the kind is not known.
        assert_eq!(ProxyKind::from_number(0), None);
    }
}
