//! The owner of a listener that several processes hold.

use super::*;

/// After the highest pid, the kernel starts again with the lowest free one.
#[test]
fn the_oldest_holder_owns_a_listener_whatever_its_pid() {
    let first = ProcessKey {
        pid: 900,
        start_ticks: 10,
    };
    let second = ProcessKey {
        pid: 300,
        start_ticks: 20,
    };
    let runs = |key: ProcessKey, unit: &str| {
        let What::Process(mut facts) = process(key.pid, 1, "python3", unit) else {
            unreachable!()
        };
        facts.task.key = key;
        at(1, What::Process(facts))
    };
    let mut all = scan();
    all.push(runs(first, "shop.service"));
    all.push(runs(second, "helper.service"));
    all.push(at(
        2,
        What::ListenerUp(Listener {
            socket: SocketId::Kernel(77),
            netns: 1,
            address: tcp(3001),
            holders: [second, first].into(),
        }),
    ));
    let findings = run(&all);
    let up = findings.iter().find_map(|finding| match &finding.body {
        Body::ListenerUp(up) => Some(&*up.service.name),
        _ => None,
    });
    assert_eq!(up, Some("shop.service"));
}
