//! nginx in front of PHP-FPM on a unix socket, as Debian configures them: a script leaks, its
//! worker is OOM-killed at the limit of the unit, and the master starts another worker.

use std::fs;

use serde_json::Value;
use tracer_tests::stack::http::get;

use super::systemd::{site, wait_for_answer};
use crate::findings::{Findings, TracerService, only};
use crate::systemd::{systemctl, unit};

const UNIT: &str = "php8.2-fpm.service";
const SOCKET: &str = "unix:/run/php/php8.2-fpm.sock";
/// The pool of Debian's configuration.
const POOL: &str = "php-fpm/www";

pub fn run() {
    stack();
    let mut tracer = TracerService::start();
    let answer = get(80, "/leak.php").unwrap();
    assert_eq!(answer.status, 502, "{answer:?}");
    tracer.wait_for("the failed request", |finding| {
        finding["kind"] == "request_failed" && finding["path"] == "/leak.php"
    });
    wait_for_answer(200);
    let findings = tracer.stop();
    systemctl(&["stop", "nginx.service", UNIT]);
    let death = death(&findings);
    let request = findings
        .iter()
        .find(|one| one["kind"] == "request_failed" && one["path"] == "/leak.php");
    let request = request.unwrap();
    assert_eq!(request["status"], 502, "{request}");
    assert_eq!(request["upstream"]["address"], SOCKET, "{request}");
    assert_eq!(request["because"]["cause"], "oom_cgroup", "{request}");
    assert_eq!(
        request["because"]["death"], death["process"]["pid"],
        "{request}"
    );
}

fn stack() {
    let script = |name: &str, text: &str| fs::write(format!("/srv/{name}.php"), text).unwrap();
    script("index", "<?php echo \"ok\\n\";");
    script(
        "leak",
        "<?php ini_set('memory_limit', '-1'); $hoard = str_repeat('x', 256 << 20); echo \"ok\\n\";",
    );
    unit(
        "php8.2-fpm.service.d/limit.conf",
        "[Service]\nMemoryMax=64M\nMemorySwapMax=0\nOOMPolicy=continue\n",
    );
    site(&format!(
        "server {{
    listen 127.0.0.1:80 default_server;
    location / {{
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME /srv$fastcgi_script_name;
        fastcgi_index index.php;
        fastcgi_pass {SOCKET};
    }}
}}
"
    ));
    systemctl(&["restart", "nginx.service", UNIT]);
    wait_for_answer(200);
}

fn death(findings: &Findings) -> &Value {
    let death = only(findings, "death", POOL);
    assert_eq!(death["cause"], "oom_cgroup", "{death}");
    assert_eq!(death["signal"], "SIGKILL", "{death}");
    assert_eq!(death["memory"]["limit_bytes"], 64 << 20, "{death}");
    let cgroup = format!("/system.slice/{UNIT}");
    assert_eq!(death["memory"]["limit_cgroup"], cgroup, "{death}");
    death
}
