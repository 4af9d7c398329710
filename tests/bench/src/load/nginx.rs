//! The proxy under load: an nginx in its own folder and, like a service, in its own cgroup. Its
//! clients are outside.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use rustix::process::{Signal, set_parent_process_death_signal};
use tracer_tests::free_port;

pub struct Nginx {
    child: Child,
    folder: PathBuf,
    cgroup: PathBuf,
    port: u16,
}

impl Nginx {
    /// Starts it with an upstream that refuses connects, or without one.
    pub fn start(refused: bool) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("tracer-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let (port, nobody) = (free_port(), free_port());
        let answer = if refused {
            format!("proxy_pass http://127.0.0.1:{nobody};")
        } else {
            "return 200 \"ok\\n\";".to_owned()
        };
        let config = folder.join("nginx.conf");
        fs::write(
            &config,
            format!(
                "daemon off; user root; worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 100000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ {answer} }} }}
}}
"
            ),
        )
        .with_context(|| format!("writing {}", config.display()))?;
        let cgroup = unified()?.join(format!("tracer-bench-{}", std::process::id()));
        fs::create_dir_all(&cgroup).with_context(|| format!("making {}", cgroup.display()))?;
        let procs = cgroup.join("cgroup.procs");
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        // nginx stops when this program exits, however it does: it must not disturb later runs.
        // SAFETY: between fork and exec the child only makes system calls and writes a file; it
        // waits for no lock of the parent's other threads that glibc does not reset.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::TERM))?;
                fs::write(&procs, "0")
            })
        };
        let child = command
            .spawn()
            .context("starting nginx; `cargo xtask setup --tests` installs it")?;
        let nginx = Self {
            child,
            folder,
            cgroup,
            port,
        };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(nginx);
            }
            sleep(Duration::from_millis(50));
        }
        bail!("nginx does not listen on port {port}")
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers exit with it.
        let _ = Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
        // Fails for a moment, until the workers have exited.
        for _ in 0..100 {
            if fs::remove_dir(&self.cgroup).is_ok() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

/// The mount point of cgroup v2.
fn unified() -> Result<&'static Path> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .map(Path::new)
        .into_iter()
        .find(|root| root.join("cgroup.procs").exists() && root.join("cgroup.controllers").exists())
        .context("no cgroup v2 is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified")
}
