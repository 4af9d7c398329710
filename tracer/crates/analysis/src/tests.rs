//! Whole stories: observations in, findings out.

mod along;
mod forgotten;
mod holders;
mod order;
mod regained;
mod reuse;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tracer_model::{
    Actor, ClockAnchor, Comm, ConnectError, ConnectFailed, Endpoint, Exit, ExitStatus, FullCgroup,
    IncidentState, Kind, OomVictim, Pid, ProcessFacts, Session, SocketId, TaskFacts, WallTime,
};

use super::*;

const MS: u64 = 1_000_000;

pub(super) fn key(pid: Pid) -> ProcessKey {
    ProcessKey {
        pid,
        start_ticks: u64::from(pid),
    }
}

pub(super) fn task(pid: Pid, parent: Pid, comm: &str) -> TaskFacts {
    TaskFacts {
        key: key(pid),
        ppid: parent,
        cgroup: 7,
        comm: Comm::new(comm),
        ..TaskFacts::default()
    }
}

pub(super) fn process(pid: Pid, parent: Pid, comm: &str, unit: &str) -> What {
    What::Process(Box::new(ProcessFacts {
        task: task(pid, parent, comm),
        cgroup_path: Some(format!("/system.slice/{unit}").into()),
        netns: 1,
        ..ProcessFacts::default()
    }))
}

pub(super) fn at(ms: u64, what: What) -> Observation {
    Observation {
        at: Timestamp(100_000 * MS + ms * MS),
        what,
    }
}

pub(super) fn tcp(port: u16) -> Endpoint {
    Endpoint::tcp([127, 0, 0, 1].into(), port)
}

pub(super) fn up(socket: SocketId, pid: Pid) -> What {
    What::ListenerUp(Listener {
        socket,
        netns: 1,
        address: tcp(3000),
        holders: [key(pid)].into(),
    })
}

pub(super) fn down(socket: SocketId) -> What {
    What::ListenerDown {
        socket,
        netns: 1,
        address: tcp(3000),
        by: Actor::default(),
        exiting: true,
    }
}

pub(super) fn actor(pid: Pid, comm: &str) -> Actor {
    Actor {
        key: key(pid),
        tid: pid,
        comm: Comm::new(comm),
        uid: 0,
    }
}

pub(super) fn exit(pid: Pid, comm: &str, status: ExitStatus, oom_victim: bool) -> What {
    What::Exited(Exit {
        task: task(pid, 1, comm),
        parent: key(1),
        status,
        peak_bytes: 2_126_008_811,
        oom_victim,
        oom_trigger: None,
        stop: None,
        other: None,
    })
}

pub(super) const KILLED: ExitStatus = ExitStatus::Signal {
    signal: 9,
    core_dumped: false,
};

pub(super) fn refused(count: u64) -> What {
    What::ConnectFailed(Box::new(ConnectFailed {
        owner: actor(50, "nginx"),
        netns: 1,
        remote: tcp(3000),
        error: ConnectError::Refused,
        errno: 111,
        elapsed: Duration::ZERO,
        count,
    }))
}

pub(super) fn cut() -> What {
    What::ConnectionCut {
        owner: actor(60, "node"),
        netns: 1,
        local: tcp(3000),
        remote: tcp(41_000),
    }
}

pub(super) fn scan() -> Vec<Observation> {
    vec![
        at(
            0,
            What::Session(Box::new(Session {
                tracer_version: "0.1.0".into(),
                kernel: "6.12.0".into(),
                host: "vps".into(),
                clock: ClockAnchor {
                    boot: Timestamp(100_000 * MS),
                    wall: WallTime(1_700_000_000_000_000_000),
                },
                memory_bytes: 8 << 30,
                ..Session::default()
            })),
        ),
        at(
            0,
            What::Cgroup {
                id: 7,
                path: "/system.slice/api.service".into(),
                memory_limit_bytes: Some(2 << 30),
            },
        ),
        at(0, process(50, 1, "nginx", "nginx.service")),
        at(0, process(60, 1, "node", "api.service")),
        at(0, up(SocketId::Scanned(1), 60)),
        at(1, What::Armed),
    ]
}

pub(super) fn run(observations: &[Observation]) -> Vec<Finding> {
    let options = Options {
        own_netns: 1,
        ..Options::default()
    };
    let mut analysis = Analysis::new(Rules::none(), options);
    let mut findings = Vec::new();
    for observation in observations {
        analysis.observe(observation, &mut findings);
    }
    findings
}

pub(super) fn kinds(findings: &[Finding]) -> Vec<Kind> {
    findings.iter().map(|finding| finding.body.kind()).collect()
}

fn story() -> Vec<Observation> {
    let mut all = scan();
    all.extend([
        at(
            1000,
            What::OomVictim(Box::new(OomVictim {
                task: task(60, 1, "node"),
                trigger: actor(60, "node"),
                trigger_cgroup: 7,
                scope: None,
                full_cgroup: Some(FullCgroup {
                    id: 7,
                    limit_bytes: 2 << 30,
                    usage_bytes: 2 << 30,
                }),
                anon_bytes: Some(2_000_000_000),
                file_bytes: None,
            })),
        ),
        at(1001, exit(60, "node", KILLED, true)),
        at(1006, cut()),
        at(1006, cut()),
        at(1007, down(SocketId::Kernel(9))),
        at(1150, refused(1)),
        at(1160, refused(7)),
        at(2200, What::Tick),
        at(4000, process(61, 1, "node", "api.service")),
        at(4337, up(SocketId::Kernel(10), 61)),
        at(5000, What::End),
    ]);
    all
}

#[test]
fn an_outage_is_reported_from_the_oom_kill_to_the_recovery() {
    let findings = run(&story());
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| serde_json::to_string(finding).unwrap())
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    assert_eq!(
        kinds(&findings),
        [
            Kind::Start,
            Kind::Oom,
            Kind::Death,
            Kind::Incident,
            Kind::ConnectionCut,
            Kind::ListenerDown,
            Kind::ConnectFailed,
            Kind::ConnectFailed,
            Kind::ListenerUp,
            Kind::Incident,
            Kind::End,
        ]
    );
}

#[test]
fn a_shared_address_is_down_only_with_its_last_socket() {
    let mut all = scan();
    all.push(at(10, up(SocketId::Kernel(5), 60)));
    all.push(at(20, down(SocketId::Kernel(5))));
    assert_eq!(kinds(&run(&all)), [Kind::Start]);
    // No hook saw this socket: it is the scanned one.
    all.push(at(30, down(SocketId::Kernel(77))));
    assert_eq!(kinds(&run(&all))[1..], [Kind::ListenerDown, Kind::Incident]);
}

#[test]
fn a_process_that_exits_while_it_is_read_keeps_its_command_line() {
    let task = task(70, 1, "true");
    let args: Box<[Box<str>]> = ["/bin/true".into(), "quickly".into()].into();
    let mut all = scan();
    all.push(at(10, What::Executed { task, args }));
    // A zombie has no command line.
    all.push(at(11, process(70, 1, "true", "api.service")));
    all.push(at(12, exit(70, "true", KILLED, true)));
    let findings = run(&all);
    let cmdline = findings.iter().find_map(|finding| match &finding.body {
        Body::Death(death) => death.process.cmdline.as_deref(),
        _ => None,
    });
    assert_eq!(cmdline, Some("/bin/true quickly"));
}

#[test]
fn repeated_outages_become_one_crash_loop() {
    let mut all = scan();
    for round in 0..5u32 {
        let ms = 1000 + u64::from(round) * 2000;
        let socket = SocketId::Kernel(u64::from(round));
        all.extend([
            at(ms, exit(60 + round, "node", ExitStatus::Code(1), false)),
            at(ms + 1, down(socket)),
            at(ms + 500, process(61 + round, 1, "node", "api.service")),
            at(
                ms + 600,
                up(SocketId::Kernel(u64::from(round) + 1), 61 + round),
            ),
        ]);
    }
    all.push(at(60_000, What::Tick));
    let incidents: Vec<_> = run(&all)
        .into_iter()
        .filter_map(|finding| match finding.body {
            Body::Incident(incident) => Some((incident.id, incident.state, incident.crash_loop)),
            _ => None,
        })
        .collect();
    assert_eq!(
        incidents,
        [
            (1, IncidentState::Open, false),
            (1, IncidentState::Closed, false),
            (2, IncidentState::Open, false),
            (2, IncidentState::Closed, true),
        ]
    );
}

#[test]
fn a_unix_listener_is_down_with_its_last_holder_and_a_workers_death_takes_nothing_down() {
    let mut all = scan();
    all.truncate(5);
    all.extend([
        at(
            0,
            What::ListenerUp(Listener {
                socket: SocketId::Scanned(8),
                netns: 1,
                address: Endpoint::Unix("/run/api.sock".into()),
                holders: [key(60)].into(),
            }),
        ),
        at(1, What::Armed),
        at(
            10,
            What::Forked {
                child: task(61, 60, "node"),
                parent: key(60),
            },
        ),
        at(20, exit(61, "node", ExitStatus::Code(1), false)),
        at(200, What::Tick),
    ]);
    let findings = run(&all);
    assert_eq!(
        kinds(&findings),
        [Kind::Start, Kind::Death, Kind::Incident, Kind::Incident]
    );
    let Body::Incident(closed) = &findings[3].body else {
        panic!("no incident");
    };
    assert_eq!(
        (closed.state, closed.down_ms),
        (IncidentState::Closed, None)
    );
    all.push(at(300, exit(60, "node", ExitStatus::Code(1), false)));
    assert_eq!(
        kinds(&run(&all))[4..],
        [Kind::Death, Kind::Incident, Kind::ListenerDown]
    );
}

#[test]
fn a_server_that_probes_its_own_old_socket_is_not_reported() {
    let socket = Endpoint::Unix("/run/api.sock".into());
    let missing = |pid, comm| {
        What::ConnectFailed(Box::new(ConnectFailed {
            owner: actor(pid, comm),
            netns: 1,
            remote: socket.clone(),
            error: ConnectError::NoSocketFile,
            errno: 2,
            elapsed: Duration::ZERO,
            count: 1,
        }))
    };
    let mut all = scan();
    all.truncate(5);
    all.extend([
        at(
            0,
            What::ListenerUp(Listener {
                socket: SocketId::Scanned(8),
                netns: 1,
                address: socket.clone(),
                holders: [key(60)].into(),
            }),
        ),
        at(1, What::Armed),
        at(10, exit(60, "node", ExitStatus::Code(1), false)),
        at(20, process(61, 1, "node", "api.service")),
        at(30, missing(61, "node")),
    ]);
    let before = kinds(&run(&all));
    assert!(!before.contains(&Kind::ConnectFailed), "{before:?}");
    all.push(at(40, missing(50, "nginx")));
    let after = kinds(&run(&all));
    assert_eq!(after.last(), Some(&Kind::ConnectFailed));
}

#[test]
fn a_listener_that_closes_long_after_its_owners_death_belongs_to_the_same_incident() {
    let mut all = scan();
    all.extend([
        at(1000, exit(60, "node", KILLED, false)),
        // The kernel takes this long to free a large process before it closes its sockets.
        at(2500, What::Tick),
        at(3000, down(SocketId::Kernel(9))),
        at(4000, process(61, 1, "node", "api.service")),
        at(4500, up(SocketId::Kernel(10), 61)),
        at(5000, What::End),
    ]);
    let incidents: Vec<_> = run(&all)
        .into_iter()
        .filter_map(|finding| match finding.body {
            Body::Incident(incident) => Some((incident.id, incident.state, incident.down_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(
        incidents,
        [
            (1, IncidentState::Open, None),
            (1, IncidentState::Closed, Some(1500.0))
        ]
    );
}

#[test]
fn aggregated_failures_are_reported_before_the_listener_is_up_again() {
    let mut all = scan();
    all.extend([
        at(1000, exit(60, "node", KILLED, false)),
        at(1001, down(SocketId::Kernel(9))),
        at(1010, refused(1)),
        at(1020, refused(4)),
        at(1500, up(SocketId::Kernel(10), 61)),
        at(1700, What::Tick),
    ]);
    let findings = run(&all);
    let counts: Vec<_> = findings
        .iter()
        .filter_map(|finding| match &finding.body {
            Body::ConnectFailed(failure) => Some(failure.count),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [1, 4]);
    assert_eq!(
        kinds(&findings)[5..],
        [Kind::ConnectFailed, Kind::ListenerUp, Kind::Incident]
    );
}

#[test]
fn failures_right_after_the_recovery_are_not_blamed_on_the_closed_incident() {
    let mut all = scan();
    all.extend([
        at(1000, exit(60, "node", KILLED, false)),
        at(1001, down(SocketId::Kernel(9))),
        at(1010, refused(1)),
        at(1400, process(61, 1, "node", "api.service")),
        at(1500, up(SocketId::Kernel(10), 61)),
        at(1550, down(SocketId::Kernel(10))),
        at(1560, refused(2)),
        at(4000, What::End),
    ]);
    let blamed = |finding: Finding| match finding.body {
        Body::ConnectFailed(failure) => failure.because.map(|why| (why.incident, why.death)),
        _ => None,
    };
    let blamed: Vec<_> = run(&all).into_iter().filter_map(blamed).collect();
    assert_eq!(blamed, [(1, Some(60)), (2, None)]);
}

#[test]
fn a_listener_whose_port_was_freed_is_found_by_its_socket() {
    let down_without_port = |socket| What::ListenerDown {
        socket,
        netns: 1,
        address: tcp(0),
        by: Actor::default(),
        exiting: false,
    };
    let mut all = scan();
    all.extend([
        at(10, down(SocketId::Scanned(1))),
        at(20, up(SocketId::Kernel(9), 50)),
        at(30, down_without_port(SocketId::Kernel(8))),
    ]);
    let before = run(&all).len();
    all.push(at(40, down_without_port(SocketId::Kernel(9))));
    all.push(at(50, up(SocketId::Kernel(10), 60)));
    let findings = run(&all);
    let changes: Vec<_> = findings[before..]
        .iter()
        .filter_map(|finding| match &finding.body {
            Body::ListenerDown(change) | Body::ListenerUp(change) => {
                Some((finding.body.kind(), &*change.service.name))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        changes,
        [
            (Kind::ListenerDown, "nginx.service"),
            (Kind::ListenerUp, "api.service")
        ]
    );
}

#[test]
fn a_death_names_the_trigger_of_the_oom_kill_even_if_the_victim_event_was_lost() {
    let mut all = scan();
    let What::Exited(mut exit) = exit(60, "node", KILLED, true) else {
        panic!("no exit");
    };
    exit.oom_trigger = Some(Box::new(actor(50, "nginx")));
    all.push(at(1000, What::Exited(exit)));
    let findings = run(&all);
    let Body::Death(death) = &findings[1].body else {
        panic!("no death: {findings:?}");
    };
    assert_eq!(death.trigger.as_ref().map(|trigger| trigger.pid), Some(50));
}

fn any_event() -> impl Strategy<Value = What> {
    let status = prop_oneof![
        Just(KILLED),
        Just(ExitStatus::Code(0)),
        Just(ExitStatus::Code(1)),
        Just(ExitStatus::from_wait_status(0x8b)),
    ];
    let socket = prop_oneof![
        (0..4u64).prop_map(SocketId::Kernel),
        (0..4u64).prop_map(SocketId::Scanned)
    ];
    prop_oneof![
        (50..70u32, 1..70u32).prop_map(|(pid, ppid)| process(pid, ppid, "node", "api.service")),
        (50..70u32, 50..70u32).prop_map(|(pid, parent)| What::Forked {
            child: task(pid, parent, "node"),
            parent: key(parent)
        }),
        (50..70u32).prop_map(|pid| What::Executed {
            task: task(pid, 1, "node"),
            args: ["node".into()].into()
        }),
        (50..70u32, status, any::<bool>())
            .prop_map(|(pid, status, oom)| exit(pid, "node", status, oom)),
        (socket.clone(), 50..70u32).prop_map(|(socket, pid)| up(socket, pid)),
        socket.prop_map(down),
        (1..100u64).prop_map(refused),
        Just(cut()),
        Just(What::Tick),
        Just(What::ListenersScanned {
            netns: 1,
            unix: false,
            listeners: [].into()
        }),
    ]
}

proptest! {
    #[test]
    fn any_order_of_events_keeps_the_invariants(
        events in prop::collection::vec((0..20_000u64, any_event()), 0..120)
    ) {
        let mut all = scan();
        all.extend(events.into_iter().map(|(ms, what)| at(ms, what)));
        all.push(at(30_000, What::End));
        let findings = run(&all);
        prop_assert_eq!(&findings, &run(&all));
        let mut open = BTreeMap::new();
        let (mut failures, mut cuts) = (0, 0);
        for finding in &findings {
            match &finding.body {
                Body::Incident(incident) if incident.state == IncidentState::Closed => {
                    prop_assert_eq!(open.remove(&incident.service.name), Some(incident.id));
                }
                Body::Incident(incident) => {
                    let other = open.insert(incident.service.name.clone(), incident.id);
                    prop_assert!(other.is_none_or(|id| id == incident.id));
                }
                Body::ConnectFailed(failure) => failures += failure.count,
                Body::ConnectionCut(cut) => cuts += cut.count,
                Body::End(end) => {
                    prop_assert_eq!(end.connects_failed, failures);
                    prop_assert_eq!(end.connections_cut, cuts);
                    prop_assert_eq!(end.incidents_open, open.len() as u64);
                }
                _ => {}
            }
        }
    }
}
