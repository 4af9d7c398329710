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

/// A program that hands requests to upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyKind {
    /// nginx, OpenResty, Tengine.
    Nginx,
    /// Apache httpd.
    Apache,
    /// HAProxy.
    Haproxy,
    /// Caddy.
    Caddy,
    /// Traefik.
    Traefik,
    /// Envoy.
    Envoy,
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
