//! What remains known of a process after so many others exited that it is forgotten.

use super::*;

/// The upstream service of a connect to port 3001, after `story` and a storm of exits.
fn upstream_after(story: Vec<Observation>) -> Option<String> {
    let mut all = scan();
    all.extend(story);
    all.extend(storm());
    let What::ConnectFailed(mut failed) = refused(1) else {
        unreachable!()
    };
    failed.remote = tcp(3001);
    all.push(at(1200, What::ConnectFailed(failed)));
    all.push(at(60_000, What::End));
    let findings = run(&all);
    let mut failures = findings.iter().filter_map(|finding| match &finding.body {
        Body::ConnectFailed(failure) => Some(failure.upstream.service.as_deref()),
        _ => None,
    });
    failures.next().unwrap().map(str::to_owned)
}

/// More short-lived commands than the number of exited processes that are kept.
fn storm() -> impl Iterator<Item = Observation> {
    (1000..3000).flat_map(|pid| {
        let child = task(pid, 1, "true");
        let parent = key(1);
        let exited = exit(pid, "true", ExitStatus::Code(0), false);
        [at(1050, What::Forked { child, parent }), at(1050, exited)]
    })
}

fn listens() -> What {
    What::ListenerUp(Listener {
        socket: SocketId::Kernel(77),
        netns: 1,
        address: tcp(3001),
        holders: [key(70)].into(),
    })
}

fn stops_listening() -> What {
    What::ListenerDown {
        socket: SocketId::Kernel(77),
        netns: 1,
        address: tcp(3001),
        by: Actor::default(),
        exiting: true,
    }
}

/// It listens before its facts are read.
fn starts() -> Vec<Observation> {
    let task = task(70, 1, "shop");
    vec![
        at(
            10,
            What::Executed {
                task,
                args: Box::default(),
            },
        ),
        at(11, listens()),
        at(12, process(70, 1, "shop", "shop.service")),
    ]
}

#[test]
fn a_listener_keeps_the_name_that_its_process_had_when_it_stopped() {
    let mut story = starts();
    story.push(at(20, stops_listening()));
    story.push(at(20, exit(70, "shop", KILLED, false)));
    assert_eq!(upstream_after(story).as_deref(), Some("shop.service"));
}

#[test]
fn a_listener_that_others_hold_keeps_the_name_of_the_process_that_exited() {
    let mut story = starts();
    story.push(at(20, exit(70, "shop", KILLED, false)));
    assert_eq!(upstream_after(story).as_deref(), Some("shop.service"));
}

#[test]
fn a_process_whose_exit_was_lost_is_reported_when_it_vanishes() {
    let mut all = scan();
    all.push(at(1000, What::Vanished(key(60))));
    // The exit was only late.
    all.push(at(1001, exit(60, "node", KILLED, false)));
    all.push(at(1002, down(SocketId::Kernel(9))));
    let findings = run(&all);
    let expected = [Kind::Start, Kind::Death, Kind::Incident, Kind::ListenerDown];
    assert_eq!(kinds(&findings), expected);
    let Body::Death(death) = &findings[1].body else {
        panic!("no death: {findings:?}");
    };
    let seen = (death.cause, death.exit_code, death.signal.as_deref());
    assert_eq!(seen, (Cause::Unknown, None, None));
    assert_eq!(death.why, "exited unseen, while events were lost");
}

#[test]
fn a_server_is_not_forgotten_before_its_sockets_close() {
    let mut all = scan();
    all.extend(starts());
    all.push(at(1000, exit(70, "shop", KILLED, false)));
    all.extend(storm());
    // Read again, it has no memory any more, and so no arguments.
    all.push(at(1100, process(70, 1, "shop", "other.service")));
    all.push(at(1200, stops_listening()));
    all.push(at(60_000, What::End));
    let findings = run(&all);
    let down = findings.iter().find_map(|finding| match &finding.body {
        Body::ListenerDown(down) => Some(down),
        _ => None,
    });
    let down = down.unwrap();
    assert_eq!(&*down.service.name, "shop.service");
    assert!(down.incident.is_some(), "its death is known");
}
