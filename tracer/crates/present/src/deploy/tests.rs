mod counts;

use std::sync::Arc;

use tracer_model::{
    Actor, Because, Comm, Endpoint, Exit, ExitStatus, LostEvents, MemoryInfo, Party, ProcessInfo,
    ProcessKey, Ring, SignalSent, TaskFacts, Upstream, What,
};

use super::affected::{MAX_DEATHS, MAX_NEW};
use super::model::{FAIL_ON, ListenerState};
use super::*;

const KILL: u32 = 9;
const TERM: u32 = 15;
/// The command.
const COMMAND: Pid = 100;
/// supervisord, which ran before.
const MANAGER: Pid = 50;
/// The worker that ran before.
const OLD: Pid = 60;
/// Its successor.
const NEW: Pid = 61;

fn key(pid: Pid) -> ProcessKey {
    ProcessKey {
        pid,
        start_ticks: u64::from(pid),
    }
}

fn task(pid: Pid, comm: &str) -> TaskFacts {
    TaskFacts {
        key: key(pid),
        comm: Comm::new(comm),
        ..TaskFacts::default()
    }
}

fn service(name: &str, manager: Manager) -> Service {
    Service {
        name: name.into(),
        manager,
        evidence: "test".into(),
    }
}

fn web() -> Service {
    service("web", Manager::Supervisor)
}

/// A deployment, played as if it were live; times are milliseconds.
struct Scene(Deployment);

impl Scene {
    /// The command starts at 1000 ms; the worker ran before.
    fn start() -> Self {
        let mut deployment = Deployment::new(["./deploy.sh", "web"]);
        deployment.belongs_to(&service("runner", Manager::Systemd));
        deployment.running(&[view(web(), &[OLD])]);
        deployment.command_started(COMMAND, ms(1000));
        let mut scene = Self(deployment);
        scene.forks(1000, 1, COMMAND);
        scene
    }

    fn see(&mut self, at: u64, what: What) {
        self.0.observe(&Observation { at: ms(at), what });
    }

    fn forks(&mut self, at: u64, parent: Pid, child: Pid) {
        let child = task(child, "sh");
        let parent = key(parent);
        self.see(at, What::Forked { child, parent });
    }

    /// A client of a manager runs under the command from `from` to `to`.
    fn client(&mut self, pid: Pid, from: u64, to: u64, args: &[&str]) {
        self.forks(from, COMMAND, pid);
        let task = task(pid, "client");
        let args = args.iter().map(|arg| Box::from(*arg)).collect();
        self.see(from, What::Executed { task, args });
        self.exits(to, pid, ExitStatus::Code(0), &[]);
    }

    fn exits(&mut self, at: u64, pid: Pid, status: ExitStatus, signals: &[SignalSent]) {
        let of = |kill: bool| {
            signals
                .iter()
                .copied()
                .find(|it| (it.signal == KILL) == kill)
                .map(Box::new)
        };
        let exit = Exit {
            task: task(pid, "node"),
            parent: key(1),
            status,
            peak_bytes: 0,
            oom_victim: false,
            oom_trigger: None,
            stop: of(false),
            other: of(true),
        };
        self.see(at, What::Exited(exit));
    }

    /// The worker dies, and its death is found.
    fn dies(
        &mut self,
        at: u64,
        pid: Pid,
        cause: Cause,
        status: ExitStatus,
        signals: &[SignalSent],
    ) {
        self.dies_of(web(), at, pid, cause, status, signals);
    }

    fn dies_of(
        &mut self,
        service: Service,
        at: u64,
        pid: Pid,
        cause: Cause,
        status: ExitStatus,
        signals: &[SignalSent],
    ) {
        self.exits(at, pid, status, signals);
        let death = Death {
            service,
            process: ProcessInfo {
                pid,
                ppid: 1,
                ns_pid: None,
                comm: "node".into(),
                cmdline: None,
                uid: 0,
                uptime_ms: 900,
            },
            cause,
            exit_code: None,
            signal: None,
            core_dumped: None,
            by: None,
            memory: MemoryInfo {
                peak_bytes: Some(80 << 20),
                limit_bytes: Some(128 << 20),
                ..MemoryInfo::default()
            },
            trigger: None,
            why: format!("died of {cause:?}"),
            incident: None,
        };
        self.find(at, Body::Death(Box::new(death)));
    }

    fn find(&mut self, at: u64, body: Body) {
        self.0.finding(&Finding {
            v: 1,
            at: wall(at),
            body,
        });
    }

    fn down(&mut self, at: u64) {
        self.find(at, Body::ListenerDown(listener(web(), 3000, None, None)));
    }

    fn up(&mut self, at: u64, port: u16, pid: Pid, down_ms: Option<f64>) {
        self.find(
            at,
            Body::ListenerUp(listener(web(), port, Some(pid), down_ms)),
        );
    }

    /// A restart as it should be: supervisorctl, SIGTERM, no listener for 500 ms.
    fn good_restart(&mut self) {
        self.client(
            101,
            1100,
            1600,
            &["python3", "/usr/bin/supervisorctl", "restart", "web"],
        );
        self.asked_stop(1200);
        self.down(1200);
        self.up(1700, 3000, NEW, Some(500.0));
        self.0.running(&[view(web(), &[NEW])]);
    }

    fn asked_stop(&mut self, at: u64) {
        let signal = u8::try_from(TERM).unwrap();
        let status = ExitStatus::Signal {
            signal,
            core_dumped: false,
        };
        self.dies(
            at,
            OLD,
            Cause::Clean,
            status,
            &[sent(at, TERM, MANAGER, "supervisord")],
        );
    }

    /// The command succeeds at 2000 ms, and the grace ends at 5000.
    fn verdict(self) -> Verdict {
        self.verdict_with(CommandExit::ExitCode(0), &FAIL_ON)
    }

    fn verdict_with(mut self, end: CommandExit, fail_on: &[Kind]) -> Verdict {
        self.0.command_exited(end, ms(2000));
        self.find(5000, Body::End(tracer_model::End::default()));
        self.0.verdict(fail_on, ms(5000))
    }
}

fn ms(at: u64) -> Timestamp {
    Timestamp(at * 1_000_000)
}

fn wall(at: u64) -> WallTime {
    WallTime(i64::try_from(at).unwrap() * 1_000_000)
}

fn view(service: Service, pids: &[Pid]) -> ServiceView {
    ServiceView {
        service,
        role: None,
        pids: pids.to_vec(),
        listens: Vec::new(),
        limit_bytes: Some(128 << 20),
    }
}

fn listener(service: Service, port: u16, pid: Option<Pid>, down_ms: Option<f64>) -> ListenerChange {
    ListenerChange {
        service,
        address: Endpoint::tcp([127, 0, 0, 1].into(), port),
        netns: None,
        process: pid.map(|pid| Party {
            pid,
            comm: "node".into(),
            service: None,
        }),
        down_ms,
        incident: None,
    }
}

fn sent(at: u64, signal: u32, pid: Pid, comm: &str) -> SignalSent {
    SignalSent {
        at: ms(at),
        signal,
        code: 0,
        sender: Actor {
            key: key(pid),
            tid: pid,
            comm: Comm::new(comm),
            uid: 0,
        },
    }
}

fn killed() -> ExitStatus {
    ExitStatus::Signal {
        signal: 9,
        core_dumped: false,
    }
}

fn failed_request(because: &str) -> Body {
    Body::RequestFailed(Box::new(FailedRequest {
        proxy: service("nginx", Manager::Proxy),
        client: None,
        forwarded_for: None,
        method: Some("GET".into()),
        host: None,
        path: Some("/".into()),
        status: Some(502),
        latency_ms: None,
        count: 2,
        upstream: Some(Upstream {
            address: Endpoint::tcp([127, 0, 0, 1].into(), 3000),
            service: Some("web".into()),
        }),
        confidence: None,
        failure: Failure::Refused,
        because: Some(Because {
            incident: 1,
            death: None,
            cause: None,
            after_ms: 1.0,
            sentence: because.to_owned(),
        }),
        evidence: Vec::new(),
    }))
}

fn shown(verdict: &Verdict) -> String {
    let text = super::text(verdict, false);
    format!("{text}exit code {}\n", verdict.exit_code())
}

#[test]
fn a_restart_that_was_asked_for_and_worked_succeeds() {
    let mut scene = Scene::start();
    scene.good_restart();
    scene.0.memory(
        &web(),
        Memory {
            pid: NEW,
            peak_bytes: 64 << 20,
            limit_bytes: Some(128 << 20),
        },
    );
    let verdict = scene.verdict();
    assert_eq!(verdict.exit_code(), 0);
    insta::assert_snapshot!(shown(&verdict));
}

#[test]
fn a_worker_that_keeps_dying_on_start_is_a_crash_loop() {
    let mut scene = Scene::start();
    scene.client(101, 1100, 1300, &["supervisorctl", "restart", "web"]);
    scene.asked_stop(1200);
    scene.down(1200);
    for round in 0..3 {
        // While the client runs and after it: nobody asks for an error exit.
        let at = 1250 + 700 * round;
        let pid = NEW + Pid::try_from(round).unwrap();
        scene.dies(at, pid, Cause::Error, ExitStatus::Code(1), &[]);
    }
    let verdict = scene.verdict();
    assert!(verdict.services[0].crash_loop);
    insta::assert_snapshot!(shown(&verdict));
}

#[test]
fn an_oom_kill_after_a_good_restart_fails_with_its_requests() {
    let mut scene = Scene::start();
    scene.good_restart();
    scene.dies(3000, NEW, Cause::OomCgroup, killed(), &[]);
    scene.down(3001);
    scene.find(
        3010,
        failed_request("web died 10 ms earlier: OOM, cgroup limit"),
    );
    scene.up(3800, 3000, NEW + 1, Some(799.0));
    let verdict = scene.verdict();
    insta::assert_snapshot!(shown(&verdict));
}

#[test]
fn a_listener_that_stays_down_fails_even_without_a_death() {
    let mut scene = Scene::start();
    scene.client(101, 1100, 1300, &["pm2", "restart", "web"]);
    scene.asked_stop(1200);
    scene.down(1200);
    let verdict = scene.verdict();
    assert_eq!(verdict.exit_code(), 3);
    insta::assert_snapshot!(shown(&verdict));
}

#[test]
fn only_a_process_of_the_command_can_ask_for_a_kill() {
    for (sender, comm, want) in [
        (COMMAND, "sh", true),
        (900, "sh", false),
        // A manager kills of its own accord.
        (MANAGER, "supervisord", false),
    ] {
        let mut scene = Scene::start();
        scene.dies(
            1500,
            OLD,
            Cause::Killed,
            killed(),
            &[sent(1500, KILL, sender, comm)],
        );
        let verdict = scene.verdict();
        assert_eq!(
            verdict.services[0].deaths[0].asked_for, want,
            "{comm} {sender}"
        );
        assert_eq!(verdict.exit_code(), if want { 0 } else { 3 }, "{comm}");
    }
}

#[test]
fn a_kill_after_an_ignored_stop_was_asked_for_and_says_so() {
    let mut scene = Scene::start();
    scene.client(
        101,
        1100,
        1200,
        &["systemctl", "--no-block", "restart", "web"],
    );
    let signals = [
        sent(1150, TERM, MANAGER, "supervisord"),
        // Long after the client exited.
        sent(91_150, KILL, MANAGER, "supervisord"),
    ];
    scene.dies(91_150, OLD, Cause::Killed, killed(), &signals);
    let verdict = scene.verdict();
    let death = &verdict.services[0].deaths[0];
    assert!(death.asked_for);
    assert_eq!(death.ignored.as_deref(), Some("SIGTERM"));
    assert!(shown(&verdict).contains("killed after its stop timed out: it ignored SIGTERM"));
}

#[test]
fn a_stop_by_the_manager_long_after_the_client_is_not_asked_for() {
    let mut scene = Scene::start();
    scene.client(101, 1100, 1200, &["supervisorctl", "restart", "web"]);
    let status = ExitStatus::Signal {
        signal: 15,
        core_dumped: false,
    };
    let signals = [sent(60_000, TERM, MANAGER, "supervisord")];
    scene.dies(60_000, OLD, Cause::Clean, status, &signals);
    let verdict = scene.verdict();
    assert!(!verdict.services[0].deaths[0].asked_for);
    assert_eq!(verdict.exit_code(), 0, "a clean stop is no failure");
}

#[test]
fn a_client_that_only_looks_asks_for_nothing() {
    let mut scene = Scene::start();
    scene.client(101, 1100, 1400, &["/usr/bin/systemctl", "status", "web"]);
    let signals = [sent(1200, KILL, MANAGER, "systemd")];
    scene.dies(1200, OLD, Cause::Killed, killed(), &signals);
    assert_eq!(scene.verdict().services[0].unexpected, 1);
}

#[test]
fn a_service_that_was_stopped_for_good_need_not_listen_again() {
    for (last, want) in [
        (&["supervisorctl", "stop", "web"], ListenerState::Stopped),
        (&["supervisorctl", "restart", "web"], ListenerState::NotBack),
        (
            &["systemctl", "stop", "web.service"],
            ListenerState::Stopped,
        ),
        (&["systemctl", "stop", "other"], ListenerState::NotBack),
        (&["sv", "down", "/etc/service/web/"], ListenerState::Stopped),
        (
            &["s6-svc", "-d", "/run/service/web"],
            ListenerState::Stopped,
        ),
        (
            &["s6-svc", "-r", "/run/service/web"],
            ListenerState::NotBack,
        ),
    ] {
        let mut scene = Scene::start();
        scene.client(101, 1100, 1300, last);
        scene.asked_stop(1200);
        scene.down(1200);
        let verdict = scene.verdict();
        assert_eq!(verdict.services[0].listeners[0].state, want, "{last:?}");
    }
}

#[test]
fn a_service_that_moved_to_another_port_has_recovered() {
    let mut scene = Scene::start();
    scene.client(101, 1100, 1300, &["supervisorctl", "restart", "web"]);
    scene.asked_stop(1200);
    scene.down(1200);
    scene.up(1700, 3001, NEW, None);
    let verdict = scene.verdict();
    assert_eq!(verdict.services[0].listeners[0].state, ListenerState::Moved);
    assert_eq!(verdict.exit_code(), 0);
}

#[test]
fn processes_of_the_command_and_transient_programs_are_not_judged() {
    let mut scene = Scene::start();
    let own = service("runner", Manager::Systemd);
    scene.forks(1100, COMMAND, 110);
    scene.dies_of(own, 1200, 110, Cause::Crash, killed(), &[]);
    let passing = service("python3", Manager::Process);
    scene.dies_of(passing, 1300, 300, Cause::Crash, killed(), &[]);
    let verdict = scene.verdict();
    assert_eq!(verdict.services, []);
    assert_eq!(verdict.exit_code(), 0);
}

#[test]
fn the_exit_code_is_the_commands_own_if_it_failed() {
    for (end, want) in [
        (CommandExit::ExitCode(7), 7),
        (CommandExit::Signal(2), 130),
        (CommandExit::Signal(15), 143),
        (CommandExit::ExitCode(0), 3),
    ] {
        let mut scene = Scene::start();
        scene.dies(1500, OLD, Cause::Crash, killed(), &[]);
        assert_eq!(scene.verdict_with(end, &FAIL_ON).exit_code(), want);
    }
}

#[test]
fn only_the_kinds_that_were_chosen_fail() {
    for (kinds, want) in [
        (&[Kind::Death][..], 3),
        (&[Kind::ListenerDown, Kind::RequestFailed], 0),
        (&[Kind::Lost], 3),
        (&[Kind::Incident, Kind::Oom], 0),
    ] {
        let mut scene = Scene::start();
        scene.dies(1500, OLD, Cause::Crash, killed(), &[]);
        let lost = LostEvents {
            ring: Ring::Traffic,
            count: 3,
            since: wall(0),
        };
        scene.find(1600, Body::Lost(lost));
        let verdict = scene.verdict_with(CommandExit::ExitCode(0), kinds);
        assert_eq!(verdict.exit_code(), want, "{kinds:?}");
        assert_eq!(verdict.events_lost, 3);
    }
}

#[test]
fn what_happened_before_the_command_is_not_judged() {
    let mut deployment = Deployment::new(["true"]);
    let down = Body::ListenerDown(listener(web(), 3000, None, None));
    deployment.finding(&Finding {
        v: 1,
        at: wall(900),
        body: down,
    });
    deployment.command_started(COMMAND, ms(1000));
    deployment.command_exited(CommandExit::ExitCode(0), ms(1100));
    let verdict = deployment.verdict(&FAIL_ON, ms(2000));
    assert_eq!(verdict.exit_code(), 0);
    insta::assert_snapshot!(shown(&verdict));
}

#[test]
fn names_from_outside_cannot_reach_the_terminal_or_the_page() {
    let mut scene = Scene::start();
    let evil: Arc<str> = "w\u{1b}[2J<script>\n::error::".into();
    let service = Service {
        name: evil,
        ..web()
    };
    let mut change = listener(service, 3000, None, None);
    change.address = Endpoint::unix(b"/run/\x1b[31m<b>.sock");
    scene.find(1500, Body::ListenerDown(change));
    let verdict = scene.verdict();
    let text = shown(&verdict);
    assert!(!text.contains('\u{1b}') && text.lines().all(|line| !line.starts_with("::")));
    let mut report = crate::report::Composer::new().finish();
    report.deployment = Some(Box::new(verdict));
    for format in [crate::report::Format::Md, crate::report::Format::Html] {
        let options = crate::report::Options {
            format,
            colour: false,
            zone: jiff::tz::TimeZone::UTC,
        };
        let mut out = Vec::new();
        crate::report::write(&report, &options, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains('\u{1b}') && !out.contains("<script>\\n") && !out.contains("<b>"));
    }
}
