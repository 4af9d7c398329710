//! Starts the worker, its supervisor and the proxy, and removes them again.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tracer_model::Endpoint;

use super::cgroup::MemoryCgroup;
use super::children::loopback;
use super::error::DemoError;
use super::facts::StackFacts;
use super::names::{PROXY_COMMAND, PROXY_SERVICE, WORKER_COMMAND, WORKER_SERVICE};
use super::scenario::{self, ClientLog};
use super::stopper::Stopper;

/// The worker's memory limit.
const LIMIT_BYTES: u64 = 64 << 20;

/// The supervisor restarts the worker this long after its death.
const RESTART_DELAY: Duration = Duration::from_secs(2);

/// How often a child's state is checked.
const POLL: Duration = Duration::from_millis(10);

/// How long the proxy may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The ports to choose from, below the range of ephemeral ports.
const PORTS: Range<u16> = 17_300..27_300;

/// Which proxy stands in front of the worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// nginx if it is installed, else the built-in proxy.
    #[default]
    Auto,
    /// nginx.
    Nginx,
    /// The built-in proxy.
    BuiltIn,
}

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The proxy.
    pub proxy: ProxyChoice,
    /// The executable with the hidden subcommands; by default the running one.
    pub executable: Option<PathBuf>,
}

/// A worker behind a proxy. Dropping this stops its processes and removes its cgroup and files.
#[derive(Debug)]
pub struct Stack {
    facts: StackFacts,
    proxy_address: SocketAddr,
    stopper: Stopper,
    supervisor: Supervisor,
    proxy: Proxy,
    // Fields are dropped in order: these two after the processes above have exited.
    _cgroup: Arc<MemoryCgroup>,
    _dir: Option<TempDir>,
}

impl Stack {
    /// Starts the stack, and waits until a request through the proxy is answered with 200.
    pub fn start(options: &Options) -> Result<Self, DemoError> {
        let executable = match &options.executable {
            Some(path) => path.clone(),
            None => std::env::current_exe().map_err(|source| DemoError::File {
                action: "find",
                path: "/proc/self/exe".into(),
                source,
            })?,
        };
        let worker_port = free_port()?;
        let proxy_port = free_port()?;
        let own_pid = std::process::id();
        let name = format!("tracer-demo-worker-{own_pid}-{worker_port}");
        let cgroup = Arc::new(MemoryCgroup::create(&name, LIMIT_BYTES)?);
        let supervisor = Supervisor::start(WorkerSpec {
            executable: executable.clone(),
            port: worker_port,
            cgroup: Arc::clone(&cgroup),
        })?;
        let (proxy, dir, proxy_program) = match nginx(options.proxy)? {
            Some(nginx) => {
                let dir = TempDir::create(&format!("tracer-demo-{own_pid}-{proxy_port}"))?;
                let child = start_nginx(&nginx, &dir.0, proxy_port, worker_port)?;
                (child, Some(dir), nginx.display().to_string())
            }
            None => (
                start_built_in(&executable, proxy_port, worker_port)?,
                None,
                PROXY_SERVICE.to_owned(),
            ),
        };
        let stack = Self {
            facts: StackFacts {
                service: WORKER_SERVICE,
                worker_pid: supervisor.state.pid.load(Ordering::Relaxed),
                worker: Endpoint::Tcp(loopback(worker_port)),
                proxy: Endpoint::Tcp(loopback(proxy_port)),
                proxy_program,
                limit_bytes: LIMIT_BYTES,
            },
            proxy_address: loopback(proxy_port),
            stopper: Stopper::default(),
            supervisor,
            proxy: Proxy(proxy),
            _cgroup: cgroup,
            _dir: dir,
        };
        scenario::wait_until_ready(stack.proxy_address, &stack.stopper)?;
        Ok(stack)
    }

    /// Facts about the stack.
    pub fn facts(&self) -> &StackFacts {
        &self.facts
    }

    /// A handle that ends [`Stack::run_incident`] early.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Has the worker OOM-killed under load, and waits until it is back, at most 30 s.
    pub fn run_incident(&mut self) -> Result<ClientLog, DemoError> {
        let exchanges = scenario::run(self.proxy_address, &self.stopper)?;
        let signal = self.supervisor.state.signal.load(Ordering::Relaxed);
        Ok(ClientLog {
            exchanges,
            worker_signal: (signal != 0).then_some(signal),
            restarted_pid: self.supervisor.state.pid.load(Ordering::Relaxed),
        })
    }

    /// The pid of the proxy's main process.
    pub fn proxy_pid(&self) -> u32 {
        self.proxy.0.id()
    }
}

/// How to start a worker.
#[derive(Debug)]
struct WorkerSpec {
    executable: PathBuf,
    port: u16,
    cgroup: Arc<MemoryCgroup>,
}

impl WorkerSpec {
    fn spawn(&self) -> Result<Child, DemoError> {
        let mut command = Command::new(&self.executable);
        command
            .args([WORKER_COMMAND, "--port", &self.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0);
        let procs: File = self.cgroup.procs_file()?;
        // SAFETY: between fork and exec, the closure only calls write() on an open descriptor. It takes
        // no lock and allocates nothing.
        unsafe {
            command.pre_exec(move || (&procs).write_all(b"0"));
        }
        spawn(&mut command)
    }
}

/// What the supervising thread shares with the stack.
#[derive(Debug, Default)]
struct SupervisorState {
    stop: AtomicBool,
    /// The worker that runs now, or that ran last.
    pid: AtomicU32,
    /// The signal that killed the first worker; 0 while it runs.
    signal: AtomicI32,
}

/// The thread that restarts the worker.
#[derive(Debug)]
struct Supervisor {
    state: Arc<SupervisorState>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    fn start(spec: WorkerSpec) -> Result<Self, DemoError> {
        let first = spec.spawn()?;
        let state = Arc::new(SupervisorState::default());
        state.pid.store(first.id(), Ordering::Relaxed);
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || supervise(&spec, first, &shared));
        Ok(Self {
            state,
            thread: Some(thread),
        })
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // An error means that the thread panicked: then there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// Keeps a worker running until `stop` is set, then kills it.
fn supervise(spec: &WorkerSpec, mut worker: Child, state: &SupervisorState) {
    loop {
        let status = loop {
            if state.stop.load(Ordering::Relaxed) {
                let _ = worker.kill().and_then(|()| worker.wait());
                return;
            }
            match worker.try_wait() {
                Ok(None) => thread::sleep(POLL),
                Ok(Some(status)) => break status,
                Err(_) => return,
            }
        };
        let signal = status.signal().unwrap_or(0);
        let _ = state
            .signal
            .compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
        let died = Instant::now();
        while died.elapsed() < RESTART_DELAY {
            if state.stop.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(POLL);
        }
        match spec.spawn() {
            Ok(next) => worker = next,
            // The scenario then reports that the worker did not come back.
            Err(_) => return,
        }
        state.pid.store(worker.id(), Ordering::Relaxed);
    }
}

/// The proxy's process. Dropping this stops it.
#[derive(Debug)]
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        stop(&mut self.0);
    }
}

/// Asks a child to stop, and kills its process group if it doesn't: nginx has a worker, too.
fn stop(child: &mut Child) {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return;
    };
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    let _ = kill_process(pid, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < STOP_LIMIT {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(POLL);
    }
    let _ = kill_process_group(pid, Signal::KILL);
    let _ = child.wait();
}

fn start_built_in(executable: &Path, port: u16, upstream: u16) -> Result<Child, DemoError> {
    spawn(
        Command::new(executable)
            .args([PROXY_COMMAND, "--port", &port.to_string()])
            .args(["--upstream", &upstream.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0),
    )
}

fn start_nginx(nginx: &Path, dir: &Path, port: u16, upstream: u16) -> Result<Child, DemoError> {
    let config = dir.join("nginx.conf");
    fs::write(&config, nginx_conf(dir, port, upstream)).map_err(|source| DemoError::File {
        action: "write",
        path: config.clone(),
        source,
    })?;
    spawn(
        Command::new(nginx)
            .arg("-p")
            .arg(dir)
            .arg("-c")
            .arg(&config)
            .args(["-e", "error.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0),
    )
}

fn nginx_conf(dir: &Path, port: u16, upstream: u16) -> String {
    let dir = dir.display();
    format!(
        "daemon off;\nmaster_process on;\nworker_processes 1;\n\
         pid \"{dir}/nginx.pid\";\nerror_log \"{dir}/error.log\" error;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n  access_log off;\n\
         \x20 client_body_temp_path \"{dir}/body\";\n  proxy_temp_path \"{dir}/proxy\";\n\
         \x20 fastcgi_temp_path \"{dir}/fastcgi\";\n  uwsgi_temp_path \"{dir}/uwsgi\";\n\
         \x20 scgi_temp_path \"{dir}/scgi\";\n\
         \x20 server {{\n    listen 127.0.0.1:{port};\n\
         \x20   location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_read_timeout 8s; }}\n\
         \x20 }}\n}}\n"
    )
}

/// The nginx to use, if any.
fn nginx(choice: ProxyChoice) -> Result<Option<PathBuf>, DemoError> {
    if choice == ProxyChoice::BuiltIn {
        return Ok(None);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|dir| dir.join("nginx"))
        .find(|file| file.is_absolute() && file.is_file());
    match found {
        None if choice == ProxyChoice::Nginx => Err(DemoError::NoNginx),
        found => Ok(found),
    }
}

fn spawn(command: &mut Command) -> Result<Child, DemoError> {
    command.spawn().map_err(|source| DemoError::Spawn {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}

/// A free port on 127.0.0.1 that no outgoing connection will use. A process never gets the same port
/// twice, and simultaneous demos start searching at different ports.
fn free_port() -> Result<u16, DemoError> {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let first = usize::try_from(std::process::id()).unwrap_or(0) * 2;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    loop {
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        let Some(port) = PORTS.clone().nth((first + taken) % PORTS.len()) else {
            return Err(DemoError::NoPort(last));
        };
        if taken >= PORTS.len() {
            return Err(DemoError::NoPort(last));
        }
        match TcpListener::bind(loopback(port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
}

/// A private directory. Dropping this removes it.
#[derive(Debug)]
struct TempDir(PathBuf);

impl TempDir {
    fn create(name: &str) -> Result<Self, DemoError> {
        let path = std::env::temp_dir().join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map(|()| Self(path.clone()))
            .map_err(|source| DemoError::File {
                action: "create",
                path,
                source,
            })
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // On failure the files stay in /tmp, which the system cleans up.
        let _ = fs::remove_dir_all(&self.0);
    }
}
