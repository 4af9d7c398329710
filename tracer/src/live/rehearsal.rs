//! Dry-runs an outage once after the start, so that the code that reports one is resident before
//! memory is locked. Otherwise that code would have to be read from the disk when the machine has
//! run out of memory, and the report would come after the outage.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tracer_analysis::rules::Rules;
use tracer_analysis::{Analysis, Options};
use tracer_model::{
    Actor, Comm, ConnectError, ConnectFailed, Endpoint, Exit, ExitStatus, Finding, Listener, NetNs,
    Observation, OomScope, OomVictim, ProcessFacts, ProcessKey, SIGKILL, SocketId, TaskFacts,
    Timestamp, What,
};
use tracer_present::{Sink, TimeZone};

const INIT: ProcessKey = key(1);
const WORKER: ProcessKey = key(2);
const PROXY: ProcessKey = key(3);
const NEXT_WORKER: ProcessKey = key(4);
const NETNS: NetNs = 1;
const CGROUP: u64 = 1;
const SECOND: u64 = 1_000_000_000;

/// Runs the dry run; its findings go nowhere.
pub(super) fn play() {
    let mut analysis = Analysis::new(Rules::none(), Options::default());
    let mut text = Sink::text(io::sink(), false, TimeZone::system());
    let mut json = Sink::json(io::sink());
    let mut findings: Vec<Finding> = Vec::new();
    for (seconds, what) in story() {
        let at = Timestamp(seconds * SECOND);
        analysis.observe(&Observation { at, what }, &mut findings);
        for finding in findings.drain(..) {
            // A sink accepts everything.
            let _ = text.finding(&finding);
            let _ = json.finding(&finding);
        }
    }
}

/// A worker behind a proxy is OOM-killed, and comes back.
fn story() -> Vec<(u64, What)> {
    let victim = OomVictim {
        task: task(WORKER, "node"),
        trigger: actor(WORKER, "node"),
        trigger_cgroup: CGROUP,
        scope: Some(OomScope::Cgroup {
            id: CGROUP,
            path: None,
            limit_bytes: Some(64 << 20),
        }),
        full_cgroup: None,
        anon_bytes: Some(60 << 20),
        file_bytes: None,
    };
    let exit = Exit {
        task: task(WORKER, "node"),
        parent: INIT,
        status: ExitStatus::Signal {
            signal: SIGKILL,
            core_dumped: false,
        },
        peak_bytes: 60 << 20,
        oom_victim: true,
        oom_trigger: Some(Box::new(actor(WORKER, "node"))),
        stop: None,
        other: None,
    };
    let down = What::ListenerDown {
        socket: SocketId::Kernel(1),
        netns: NETNS,
        address: upstream(),
        by: actor(WORKER, "node"),
        exiting: true,
    };
    let refused = ConnectFailed {
        owner: actor(PROXY, "nginx"),
        netns: NETNS,
        remote: upstream(),
        error: ConnectError::Refused,
        errno: 111,
        elapsed: Duration::from_micros(100),
        count: 1,
    };
    let cut = What::ConnectionCut {
        owner: actor(WORKER, "node"),
        netns: NETNS,
        local: upstream(),
        remote: Endpoint::tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_000),
    };
    vec![
        (1, What::Session(Box::default())),
        (1, process(WORKER, "node", "api.service")),
        (1, process(PROXY, "nginx", "nginx.service")),
        (1, listens(SocketId::Kernel(1), WORKER)),
        (1, What::Armed),
        (2, What::OomVictim(Box::new(victim))),
        (2, What::Exited(exit)),
        (2, cut),
        (2, down),
        (2, What::ConnectFailed(Box::new(refused))),
        (3, What::Tick),
        (
            4,
            What::Forked {
                child: task(NEXT_WORKER, "node"),
                parent: INIT,
            },
        ),
        (4, process(NEXT_WORKER, "node", "api.service")),
        (4, listens(SocketId::Kernel(2), NEXT_WORKER)),
        (6, What::Tick),
        (7, What::End),
    ]
}

const fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start_ticks: 1,
    }
}

fn task(key: ProcessKey, comm: &str) -> TaskFacts {
    TaskFacts {
        key,
        ppid: INIT.pid,
        ns_pid: key.pid,
        uid: 0,
        cgroup: CGROUP,
        comm: Comm::new(comm),
    }
}

fn actor(key: ProcessKey, comm: &str) -> Actor {
    Actor {
        key,
        tid: key.pid,
        comm: Comm::new(comm),
        uid: 0,
    }
}

fn process(key: ProcessKey, comm: &str, unit: &str) -> What {
    What::Process(Box::new(ProcessFacts {
        task: task(key, comm),
        args: [comm.into()].into(),
        cgroup_path: Some(format!("/system.slice/{unit}").into()),
        ..ProcessFacts::default()
    }))
}

fn upstream() -> Endpoint {
    Endpoint::tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000)
}

fn listens(socket: SocketId, holder: ProcessKey) -> What {
    What::ListenerUp(Listener {
        socket,
        netns: NETNS,
        address: upstream(),
        holders: [holder].into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_model::Body;

    #[test]
    fn it_goes_through_all_that_an_outage_is() {
        let mut analysis = Analysis::new(Rules::none(), Options::default());
        let mut findings = Vec::new();
        for (seconds, what) in story() {
            let at = Timestamp(seconds * SECOND);
            analysis.observe(&Observation { at, what }, &mut findings);
        }
        let reported = |fits: fn(&Body) -> bool| findings.iter().any(|one| fits(&one.body));
        assert!(reported(|body| matches!(body, Body::Death(_))));
        assert!(reported(|body| matches!(body, Body::ConnectFailed(_))));
        assert!(reported(
            |body| matches!(body, Body::Incident(incident) if incident.closed.is_some())
        ));
        play();
    }
}
