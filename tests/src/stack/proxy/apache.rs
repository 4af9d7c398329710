//! Apache with `mod_proxy_http`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::setup::{Listen, Setup, TIMEOUT_S};
use crate::stack::installed::program;
use crate::stack::worker::Address;

/// The folders in which distributions install the modules.
const MODULES: [&str; 3] = [
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
];

#[track_caller]
pub(super) fn prepare(
    folder: &Path,
    config: &Path,
    setup: &Setup,
    address: SocketAddr,
) -> (String, Command) {
    let modules = MODULES.map(PathBuf::from);
    let modules = modules
        .iter()
        .find(|path| path.is_dir())
        .expect("Apache's modules are not installed: run `cargo xtask setup --tests`");
    let mut text = String::new();
    for name in [
        "mpm_event",
        "authz_core",
        "unixd",
        "proxy",
        "proxy_http",
        "ssl",
        "http2",
    ] {
        // Some builds contain some of them.
        writeln!(
            text,
            "<IfModule !{name}_module>\nLoadModule {name}_module {}/mod_{name}.so\n</IfModule>",
            modules.display()
        )
        .unwrap();
    }
    let [Address::Tcp(upstream)] = setup.upstreams[..] else {
        panic!("not written for {:?}", setup.upstreams);
    };
    let tls = if setup.tls() {
        "SSLEngine on\nSSLCertificateFile cert.pem\nSSLCertificateKeyFile key.pem"
    } else {
        ""
    };
    let protocols = if setup.listen == Listen::TlsHttp2 {
        "h2 http/1.1"
    } else {
        "http/1.1"
    };
    let at = folder.display();
    write!(
        text,
        "ServerRoot {at}
DefaultRuntimeDir {at}
PidFile httpd.pid
ServerName shop.test
User #65534
Group #65534
StartServers 1
ServerLimit 2
ThreadsPerChild 25
MaxRequestWorkers 50
ErrorLog error.log
Listen {address}
Protocols {protocols}
{tls}
ProxyPass / http://127.0.0.1:{upstream}/ retry=0 disablereuse={} timeout={TIMEOUT_S} connectiontimeout={TIMEOUT_S}
",
        if setup.keep_alive { "off" } else { "on" }
    )
    .unwrap();
    let debian = modules.starts_with("/usr/lib/apache2");
    let mut command = Command::new(program(if debian { "apache2" } else { "httpd" }));
    command.arg("-f").arg(config).arg("-DFOREGROUND");
    (text, command)
}
