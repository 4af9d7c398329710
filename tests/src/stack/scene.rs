//! A proxy in front of an application whose requests fail in every way, a client that keeps a
//! ledger of the failed requests, and a tracer whose findings are compared with the ledger.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::client::{Curl, Outcome};
use super::http;
use super::ledger::{Blame, Death, FailedRequest, Ledger, SECRET};
use super::proxy::{Kind, Listen, Proxy, Setup};
use super::supervisor::Supervisor;
use super::worker::{Address, Worker};
use crate::cgroup::MemoryCgroup;
use crate::patience::wait_until;
use crate::port::free_port;
use crate::tracer::Tracer;

/// Enough for node, and soon reached by a leak.
const LIMIT_BYTES: u64 = 128 << 20;

/// The time that a finding may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Time itself is tested: a finding that must not come would have come so long after the others.
const SETTLE: Duration = Duration::from_millis(1500);

/// One proxy in front of one application.
pub struct Scene {
    /// Name of the service, and part of all its paths.
    pub name: &'static str,
    /// The proxy.
    pub proxy: Proxy,
    /// The client.
    pub curl: Curl,
    /// The application; `None` while it is down, or when a manager runs it.
    pub worker: Option<Worker>,
    /// The same application on the other upstreams.
    pub others: Vec<Worker>,
    /// The failed requests that the client saw.
    pub ledger: Ledger,
    /// The configuration of the proxy.
    pub setup: Setup,
    tracer: Tracer,
    cgroup: Option<MemoryCgroup>,
    _supervisor: Option<Supervisor>,
    _folder: TempDir,
}

/// The kind of address on which the application listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// On a port.
    Tcp,
    /// On a unix socket.
    Unix,
}

impl Scene {
    /// Starts the application, the proxy with the setup that `adjust` makes, and the tracer.
    #[track_caller]
    pub fn start(
        name: &'static str,
        kind: Kind,
        upstream: Upstream,
        adjust: impl FnOnce(&mut Setup),
    ) -> Self {
        Self::start_with(name, kind, upstream, adjust, &[])
    }

    /// The same with additional arguments for the tracer.
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

    /// A scene whose application is restarted by supervisord.
    #[track_caller]
    pub fn supervised(name: &'static str, kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let address = Address::Tcp(port);
        let setup = Setup::before(&address);
        let command = Worker::command_line(name, &address);
        let supervisor = Supervisor::start(folder.path(), name, &command, port);
        wait_until("the application to listen", Duration::from_secs(15), || {
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

    /// A path of this scene, with a query that no finding may show.
    pub fn target(&self, rest: &str) -> String {
        format!("{}?token={SECRET}", self.path(rest))
    }

    /// The same without the query. It is unique, even if the same test runs twice at the same time.
    pub fn path(&self, rest: &str) -> String {
        format!("/{}/{}/{rest}", std::process::id(), self.name)
    }

    /// The address of the application.
    pub fn upstream(&self) -> &Address {
        &self.setup.upstreams[0]
    }

    /// Restarts the application. The tracer looks for unix listeners once a second, so this waits
    /// until it has found the listener; otherwise the next outage would belong to this one.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.worker.is_none());
        let address = self.upstream().clone();
        let text = address.to_string();
        let is_up = |it: &Value| it["kind"] == "listener_up" && it["address"] == text;
        let seen = self.tracer.watch_for(Duration::ZERO);
        let before = seen.iter().filter(|it| is_up(it)).count();
        self.worker = Some(Worker::start(self.name, &address, self.cgroup.as_ref()));
        if matches!(address, Address::Unix(_)) {
            let count = Cell::new(0);
            self.tracer
                .wait_for("the listener on the unix socket", LIMIT, |it| {
                    count.set(count.get() + usize::from(is_up(it)));
                    count.get() > before
                });
        }
    }

    /// The running application.
    #[track_caller]
    pub fn worker(&mut self) -> &mut Worker {
        self.worker.as_mut().unwrap()
    }

    /// Kills the application, and returns its pid.
    #[track_caller]
    pub fn kill(&mut self) -> u32 {
        self.worker.take().unwrap().kill()
    }

    /// Waits until the application exits by itself, and returns its pid.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> u32 {
        self.worker.take().unwrap().wait_for_exit()
    }

    /// Blames the application.
    pub fn blame(&self, because: Option<Death>) -> Blame {
        self.blame_on(0, because)
    }

    /// Blames the application on the upstream of this number.
    pub fn blame_on(&self, number: usize, because: Option<Death>) -> Blame {
        let address = self.setup.upstreams[number].to_string();
        Blame {
            upstream: Some((address, service(self.name, number))),
            because,
        }
    }

    /// The witness that sees the responses of the proxy, if there is one.
    pub fn answers_seen_by(&self) -> Vec<&'static str> {
        match (self.setup.listen, self.proxy.kind()) {
            (Listen::Plain | Listen::PlainV6, _) => vec!["http"],
            (Listen::Tls, kind) if kind.has_openssl() => vec!["tls"],
            (Listen::Tls | Listen::TlsHttp2, _) => vec![],
        }
    }

    /// Whether a witness sees the status of the response: none looks into HTTP/2, and the error
    /// logs of nginx and Apache do not have it.
    fn status_seen(&self) -> bool {
        !self.answers_seen_by().is_empty() || self.proxy.kind().logs_whole_requests()
    }

    /// Notes a request that failed because of the application.
    #[track_caller]
    pub fn note_failure(
        &mut self,
        outcome: Outcome,
        failures: &[&'static str],
        because: Option<Death>,
    ) {
        let blame = vec![self.blame(because)];
        self.note_failure_of(outcome, failures, blame);
    }

    /// The same with one of several upstreams to blame.
    #[track_caller]
    pub fn note_failure_of(
        &mut self,
        outcome: Outcome,
        failures: &[&'static str],
        blame: Vec<Blame>,
    ) {
        let mut evidence = self.answers_seen_by();
        let logged = if self.proxy.kind().logs_whole_requests() {
            // They log after the response, sometimes too late for the finding.
            evidence.is_empty()
        } else {
            !failures.contains(&"answered")
        };
        if logged {
            evidence.push("log");
        }
        self.ledger.add(FailedRequest {
            outcome,
            failures: failures.to_vec(),
            blame,
            evidence,
            status_seen: self.status_seen(),
        });
    }

    /// Notes one of many simultaneous failures: the log may be read too late to be evidence.
    #[track_caller]
    pub fn note_storm_failure(
        &mut self,
        outcome: Outcome,
        failures: &[&'static str],
        because: Option<Death>,
    ) {
        self.ledger.add(FailedRequest {
            outcome,
            failures: failures.to_vec(),
            blame: vec![self.blame(because)],
            evidence: self.answers_seen_by(),
            status_seen: self.status_seen(),
        });
    }

    /// Notes a request without a response.
    #[track_caller]
    pub fn note_no_response(&mut self, outcome: Outcome, failure: &'static str, blame: Blame) {
        self.ledger.add(FailedRequest {
            outcome,
            failures: vec![failure],
            blame: vec![blame],
            evidence: self.answers_seen_by(),
            status_seen: self.status_seen(),
        });
    }

    /// Notes a truncated response: only the log shows it.
    #[track_caller]
    pub fn note_truncated(&mut self, outcome: Outcome, blame: Blame) {
        self.ledger.add(FailedRequest {
            outcome,
            failures: vec!["cut", "reset"],
            blame: vec![blame],
            evidence: vec!["log"],
            status_seen: false,
        });
    }

    /// Sends requests that must succeed.
    #[track_caller]
    pub fn fine(&self, what: &str) {
        for outcome in [
            self.curl.get(&self.target(&format!("{what}/ok/1"))),
            self.curl.post(&self.target(&format!("{what}/ok/2")), "a=1"),
        ] {
            assert!(!outcome.failed(), "{outcome:?}\n{}", self.proxy.log());
        }
    }

    /// Makes requests fail in every way, one after another, with successful ones in between.
    #[track_caller]
    pub fn all_ways(&mut self) {
        // A request on a kept connection that closes is retried on a new one, which may be refused.
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
        self.note_failure(open.join().unwrap(), cut, Some(death));
        self.refusals("kill", death);

        self.restart();
        self.fine("again");
        let outcome = self.curl.get(&self.target("memory/leak"));
        let death = Death {
            pid: self.wait_for_exit(),
            cause: "oom_cgroup",
        };
        self.note_failure(outcome, cut, Some(death));
        self.refusals("memory", death);

        self.restart();
        let outcome = self.curl.post(&self.target("exit/exit1"), "order=7");
        let death = Death {
            pid: self.wait_for_exit(),
            cause: "error",
        };
        self.note_failure(outcome, cut, Some(death));
        self.refusals("exit", death);

        // No death explains the next failures.
        self.restart();
        self.fine("back");
        for number in 0..2 {
            let outcome = self.curl.get(&self.target(&format!("{number}/answer500")));
            assert_eq!(outcome.status, Some(500));
            // Without a witness of the final status, the proxy may have retried successfully.
            if self.status_seen() {
                self.note_failure(outcome, &["answered"], None);
            }
        }
        let outcome = self.curl.get(&self.target("timeout/hang"));
        self.note_failure(outcome, &["timeout"], None);
        self.fine("last");
    }

    /// Sends requests while nothing listens.
    #[track_caller]
    fn refusals(&mut self, what: &str, death: Death) {
        let get = self.curl.get(&self.target(&format!("{what}/ok/1")));
        self.note_failure(get, &["refused"], Some(death));
        let post = self.curl.post(&self.target(&format!("{what}/ok/2")), "a=1");
        self.note_failure(post, &["refused"], Some(death));
    }

    /// Whether a `request_failed` is about this scene: by its path, else by its upstream. One with
    /// neither may be.
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

    /// Waits for the findings, and a while for ones that must not come, and compares them with the
    /// ledger.
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
        // When the tracer stops, it reports the final state of open incidents.
        let (ours, ledger) = (self.ours(), std::mem::take(&mut self.ledger));
        let log = self.proxy.log();
        let run = self.tracer.stop();
        let wrong = ledger.compare(proxy, &ours, &run.findings);
        assert!(wrong.is_empty(), "{wrong}\nThe proxy's log:\n{log}");
        let late = self.setup.log_every_ms.is_none();
        let logs = [Kind::Haproxy, Kind::Traefik, Kind::Envoy];
        if logs.contains(&self.proxy.kind()) && !late && !ledger.is_empty() {
            let logged = |finding: &Value| {
                let evidence = finding["evidence"].as_array().unwrap();
                evidence.iter().any(|witness| witness == "log")
            };
            assert!(
                ours.iter().any(logged),
                "its log is no evidence of any failure:\n{log}"
            );
        }
        assert!(!run.stderr.contains(SECRET), "{}", run.stderr);
        run.findings
    }

    /// Stops the tracer without comparing, and returns all findings.
    #[track_caller]
    pub fn stop(self) -> Vec<Value> {
        let run = self.tracer.stop();
        assert!(!run.stderr.contains(SECRET), "{}", run.stderr);
        run.findings
    }

    fn ours(&mut self) -> Vec<Value> {
        let all = self.tracer.watch_for(Duration::ZERO).to_vec();
        all.into_iter().filter(|it| self.is_ours(it)).collect()
    }

    /// Waits for a finding that the ledger does not cover.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.tracer.wait_for(what, LIMIT, fits)
    }
}

/// The service name of the application on the upstream of this number.
fn service(name: &str, number: usize) -> String {
    match number {
        0 => name.to_owned(),
        _ => format!("{name}-{number}"),
    }
}
