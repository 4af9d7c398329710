//! A proxy in front of an application that fails in all ways, a client that keeps a ledger of what
//! it saw fail, and a tracer that is compared with it.

use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::client::{Curl, Outcome};
use super::ledger::{Blame, Death, Ledger, Lost, SECRET};
use super::proxy::{Kind, Proxy, Setup};
use super::worker::{Address, Worker};
use super::{Supervisor, http, wait_until};
use crate::{MemoryCgroup, Tracer, free_port};

/// Enough for node, and soon full.
const LIMIT_BYTES: u64 = 128 << 20;

/// Until a finding has come that is to come.
const LIMIT: Duration = Duration::from_secs(5);

/// After the last finding that was waited for: one that must not come would have by then.
const SETTLE: Duration = Duration::from_millis(1500);

/// One proxy before one application.
pub struct Scene {
    /// Name of the service, and first part of all its paths.
    pub name: &'static str,
    /// The proxy.
    pub proxy: Proxy,
    /// The client.
    pub curl: Curl,
    /// The application; none while it is dead, or when a manager runs it.
    pub worker: Option<Worker>,
    /// The same application on the further upstreams.
    pub others: Vec<Worker>,
    /// What the client saw fail.
    pub ledger: Ledger,
    /// What the proxy was started with.
    pub setup: Setup,
    tracer: Tracer,
    cgroup: Option<MemoryCgroup>,
    _supervisor: Option<Supervisor>,
    _folder: TempDir,
}

/// Where the application of a scene listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// On a port.
    Tcp,
    /// On a unix socket.
    Unix,
}

impl Scene {
    /// Starts all of it: the proxy as `adjust` makes it.
    #[track_caller]
    pub fn start(
        name: &'static str,
        kind: Kind,
        upstream: Upstream,
        adjust: impl FnOnce(&mut Setup),
    ) -> Self {
        Self::start_with(name, kind, upstream, adjust, &[])
    }

    /// The same with arguments for the tracer.
    #[track_caller]
    pub fn start_with(
        name: &'static str,
        kind: Kind,
        upstream: Upstream,
        adjust: impl FnOnce(&mut Setup),
        args: &[&str],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = match upstream {
            Upstream::Tcp => Address::Tcp(free_port()),
            Upstream::Unix => Address::Unix(folder.path().join("shop.sock")),
        };
        let mut setup = Setup::before(&address);
        adjust(&mut setup);
        let cgroup = MemoryCgroup::new(name, LIMIT_BYTES);
        let worker = Worker::start(name, &address, Some(&cgroup));
        let names: Vec<String> = (0..setup.upstreams.len())
            .map(|number| service(name, number))
            .collect();
        let others = (1..names.len())
            .map(|number| Worker::start(&names[number], &setup.upstreams[number], None))
            .collect();
        let proxy = Proxy::start(kind, folder.path(), &setup);
        let rules: Vec<String> = names
            .iter()
            .zip(&setup.upstreams)
            .map(|(name, upstream)| format!("shop\\.js {name} {}$", upstream.listen()))
            .collect();
        let services: Vec<(&str, &str)> = names
            .iter()
            .zip(&rules)
            .map(|(name, rule)| (&**name, &**rule))
            .collect();
        let tracer = Tracer::start_naming(&services, args);
        Self {
            name,
            curl: proxy.curl(),
            proxy,
            worker: Some(worker),
            others,
            ledger: Ledger::default(),
            setup,
            tracer,
            cgroup: Some(cgroup),
            _supervisor: None,
            _folder: folder,
        }
    }

    /// One whose application is started by supervisord, again and again.
    #[track_caller]
    pub fn supervised(name: &'static str, kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let address = Address::Tcp(port);
        let setup = Setup::before(&address);
        let command = Worker::command_line(name, &address);
        let supervisor = Supervisor::start(folder.path(), name, &command, port);
        wait_until("the application's start", Duration::from_secs(15), || {
            http::get(port, "/ok").ok()
        });
        let proxy = Proxy::start(kind, folder.path(), &setup);
        Self {
            name,
            curl: proxy.curl(),
            proxy,
            worker: None,
            others: Vec::new(),
            ledger: Ledger::default(),
            setup,
            tracer: Tracer::start::<&str>([]),
            cgroup: None,
            _supervisor: Some(supervisor),
            _folder: folder,
        }
    }

    /// A path of this scene, with a query that nobody may see.
    pub fn target(&self, rest: &str) -> String {
        format!("{}?token={SECRET}", self.path(rest))
    }

    /// The same without query. No other scene has it, not even of the same test run twice at once.
    pub fn path(&self, rest: &str) -> String {
        format!("/{}/{}/{rest}", std::process::id(), self.name)
    }

    /// Where the application listens.
    pub fn upstream(&self) -> &Address {
        &self.setup.upstreams[0]
    }

    /// Starts the application again. The tracer looks for unix listeners once a second: so long
    /// this waits for it, or what follows would be part of the same outage.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.worker.is_none());
        let address = self.upstream().clone();
        let text = address.to_string();
        let is_up = |it: &Value| it["kind"] == "listener_up" && it["address"] == text;
        let count = |all: &[Value]| all.iter().filter(|it| is_up(it)).count();
        let before = count(self.tracer.watch_for(Duration::ZERO));
        self.worker = Some(Worker::start(self.name, &address, self.cgroup.as_ref()));
        if matches!(address, Address::Unix(_)) {
            let until = Instant::now() + LIMIT;
            while count(self.tracer.watch_for(Duration::from_millis(20))) == before {
                assert!(Instant::now() < until, "{text} did not come back");
            }
        }
    }

    /// The application that runs.
    #[track_caller]
    pub fn worker(&mut self) -> &mut Worker {
        self.worker.as_mut().unwrap()
    }

    /// Ends the application's life from outside; gives the pid.
    #[track_caller]
    pub fn kill(&mut self) -> u32 {
        self.worker.take().unwrap().kill()
    }

    /// Waits for the application's end by itself; gives the pid.
    #[track_caller]
    pub fn ended(&mut self) -> u32 {
        self.worker.take().unwrap().end()
    }

    /// The application as the one to blame.
    pub fn blame(&self, because: Option<Death>) -> Blame {
        self.blame_on(0, because)
    }

    /// The application on the upstream of this number as the one to blame.
    pub fn blame_on(&self, number: usize, because: Option<Death>) -> Blame {
        let address = self.setup.upstreams[number].to_string();
        Blame {
            upstream: Some((address, service(self.name, number))),
            because,
        }
    }

    /// The witness that sees the proxy's answers, if one does.
    pub fn answers_seen_by(&self) -> Vec<&'static str> {
        use super::proxy::Listen;
        match (self.setup.listen, self.proxy.kind()) {
            (Listen::Plain | Listen::PlainV6, _) => vec!["http"],
            (Listen::Tls, kind) if kind.has_openssl() => vec!["tls"],
            (Listen::Tls | Listen::TlsHttp2, _) => vec![],
        }
    }

    /// Whether a witness tells the answer's status: nobody looks into HTTP/2, and the error logs of
    /// nginx and Apache don't say.
    fn tells_status(&self) -> bool {
        !self.answers_seen_by().is_empty() || self.proxy.kind().logs_whole_requests()
    }

    /// Notes a request that the application failed.
    #[track_caller]
    pub fn lost(&mut self, outcome: Outcome, failures: &[&'static str], because: Option<Death>) {
        let blame = vec![self.blame(because)];
        self.lost_to(outcome, failures, blame);
    }

    /// The same with one of several to blame.
    #[track_caller]
    pub fn lost_to(&mut self, outcome: Outcome, failures: &[&'static str], blame: Vec<Blame>) {
        let mut evidence = self.answers_seen_by();
        let logged = if self.proxy.kind().logs_whole_requests() {
            // They write the line after the answer, at times too late for it to be waited for.
            evidence.is_empty()
        } else {
            !failures.contains(&"answered")
        };
        if logged {
            evidence.push("log");
        }
        self.ledger.add(Lost {
            outcome,
            failures: failures.to_vec(),
            blame,
            evidence,
            told_status: self.tells_status(),
        });
    }

    /// Notes one of many at a time: a log may be read too late to be told as evidence.
    #[track_caller]
    pub fn lost_in_storm(
        &mut self,
        outcome: Outcome,
        failures: &[&'static str],
        because: Option<Death>,
    ) {
        self.ledger.add(Lost {
            outcome,
            failures: failures.to_vec(),
            blame: vec![self.blame(because)],
            evidence: self.answers_seen_by(),
            told_status: self.tells_status(),
        });
    }

    /// Notes a request that ended without an answer.
    #[track_caller]
    pub fn gone(&mut self, outcome: Outcome, failure: &'static str, blame: Blame) {
        self.ledger.add(Lost {
            outcome,
            failures: vec![failure],
            blame: vec![blame],
            evidence: self.answers_seen_by(),
            told_status: self.tells_status(),
        });
    }

    /// Notes a request whose answer began well and did not end: only the log tells.
    #[track_caller]
    pub fn cut_short(&mut self, outcome: Outcome, blame: Blame) {
        self.ledger.add(Lost {
            outcome,
            failures: vec!["cut", "reset"],
            blame: vec![blame],
            evidence: vec!["log"],
            told_status: false,
        });
    }

    /// Requests that succeed.
    #[track_caller]
    pub fn fine(&self, what: &str) {
        for outcome in [
            self.curl.get(&self.target(&format!("{what}/ok/1"))),
            self.curl.post(&self.target(&format!("{what}/ok/2")), "a=1"),
        ] {
            assert!(!outcome.failed(), "{outcome:?}\n{}", self.proxy.log());
        }
    }

    /// Every way of a proxied request to fail, one after the other; healthy ones in between.
    #[track_caller]
    pub fn all_ways(&mut self) {
        // A kept connection that ends is tried again on a new one: that is refused then.
        let cut: &[&'static str] = if self.setup.keep_alive {
            &["cut", "reset", "refused"]
        } else {
            &["cut", "reset"]
        };
        self.fine("first");

        let open = self.curl.get_meanwhile(&self.target("kill/slow"));
        let path = self.path("kill/slow");
        self.worker().wait_for("slow", &path);
        let death = Death {
            pid: self.kill(),
            cause: "killed",
        };
        self.lost(open.join().unwrap(), cut, Some(death));
        self.refusals("kill", death);

        self.restart();
        self.fine("again");
        let outcome = self.curl.get(&self.target("memory/leak"));
        let death = Death {
            pid: self.ended(),
            cause: "oom_cgroup",
        };
        self.lost(outcome, cut, Some(death));
        self.refusals("memory", death);

        self.restart();
        let outcome = self.curl.post(&self.target("exit/exit1"), "order=7");
        let death = Death {
            pid: self.ended(),
            cause: "error",
        };
        self.lost(outcome, cut, Some(death));
        self.refusals("exit", death);

        // What fails now is no death's fault.
        self.restart();
        self.fine("back");
        for number in 0..2 {
            let outcome = self.curl.get(&self.target(&format!("{number}/answer500")));
            assert_eq!(outcome.status, Some(500));
            // Where nobody tells the final status, the proxy may as well have tried again.
            if self.tells_status() {
                self.lost(outcome, &["answered"], None);
            }
        }
        let outcome = self.curl.get(&self.target("timeout/hang"));
        self.lost(outcome, &["timeout"], None);
        self.fine("last");
    }

    /// Requests while nothing listens.
    #[track_caller]
    fn refusals(&mut self, what: &str, death: Death) {
        let get = self.curl.get(&self.target(&format!("{what}/ok/1")));
        self.lost(get, &["refused"], Some(death));
        let post = self.curl.post(&self.target(&format!("{what}/ok/2")), "a=1");
        self.lost(post, &["refused"], Some(death));
    }

    /// Whether a `request_failed` is about this scene: by path, else by upstream, and when it has
    /// neither, it may be.
    pub fn is_ours(&self, finding: &Value) -> bool {
        if finding["kind"] != "request_failed" {
            return false;
        }
        match (&finding["path"], &finding["upstream"]["address"]) {
            (Value::String(path), _) => path.starts_with(&self.path("")),
            (_, Value::String(address)) => {
                let mut ours = self.setup.upstreams.iter();
                ours.any(|upstream| upstream.to_string() == *address)
            }
            _ => true,
        }
    }

    /// Waits for what is to be found, and a little for what is not, and compares.
    #[track_caller]
    pub fn check(mut self) -> Vec<Value> {
        let until = Instant::now() + LIMIT;
        loop {
            let count = self.ours().len();
            if count >= self.ledger.len() || Instant::now() > until {
                break;
            }
            self.tracer.watch_for(Duration::from_millis(50));
        }
        self.tracer.watch_for(SETTLE);
        let proxy = self.proxy.kind().name();
        // The tracer's end closes the accounts of incidents.
        let (ours, ledger) = (self.ours(), std::mem::take(&mut self.ledger));
        let log = self.proxy.log();
        let ended = self.tracer.stop();
        let wrong = ledger.compare(proxy, &ours, &ended.findings);
        assert!(wrong.is_empty(), "{wrong}\nThe proxy's log:\n{log}");
        let late = self.setup.log_every_ms.is_none();
        let logs = [Kind::Haproxy, Kind::Traefik, Kind::Envoy];
        if logs.contains(&self.proxy.kind()) && !late && !ledger.is_empty() {
            let logged = |finding: &Value| {
                let evidence = finding["evidence"].as_array().unwrap();
                evidence.iter().any(|witness| witness == "log")
            };
            assert!(ours.iter().any(logged), "its log told of nothing:\n{log}");
        }
        assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
        ended.findings
    }

    /// Ends the tracer without a look at the ledger; gives all that it found.
    #[track_caller]
    pub fn end(self) -> Vec<Value> {
        let ended = self.tracer.stop();
        assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
        ended.findings
    }

    fn ours(&mut self) -> Vec<Value> {
        let all = self.tracer.watch_for(Duration::ZERO).to_vec();
        all.into_iter().filter(|it| self.is_ours(it)).collect()
    }

    /// A finding that is to come: for what the ledger can't tell.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.tracer.wait_for(what, LIMIT, fits)
    }
}

/// The name of the application on the upstream of this number.
fn service(name: &str, number: usize) -> String {
    match number {
        0 => name.to_owned(),
        _ => format!("{name}-{number}"),
    }
}
