//! Findings of one instant are reported in a fixed order, whatever the order of arrival.

use super::*;

const PORTS: [u16; 5] = [3009, 3003, 3006, 3001, 3008];
const IN_ORDER: [u16; 5] = [3001, 3003, 3006, 3008, 3009];

fn port(address: &Endpoint) -> u16 {
    match address {
        Endpoint::Tcp(address) => address.port(),
        Endpoint::Unix(_) => 0,
    }
}

#[test]
fn failed_connects_of_a_second_are_reported_in_order_of_upstream() {
    let mut all = scan();
    for round in 0..2 {
        for port in PORTS {
            let What::ConnectFailed(mut failed) = refused(1) else {
                unreachable!()
            };
            failed.remote = tcp(port);
            all.push(at(100 + round, What::ConnectFailed(failed)));
        }
    }
    all.push(at(2000, What::Tick));
    let ports: Vec<u16> = run(&all)
        .iter()
        .filter_map(|finding| match &finding.body {
            Body::ConnectFailed(failed) => Some(port(&failed.upstream.address)),
            _ => None,
        })
        .collect();
    assert_eq!(ports, [PORTS, IN_ORDER].concat());
}

#[test]
fn listeners_that_a_scan_does_not_find_are_reported_in_order_of_address() {
    let mut all = scan();
    for port in PORTS {
        let listener = Listener {
            socket: SocketId::Scanned(port.into()),
            netns: 1,
            address: tcp(port),
            holders: [key(60)].into(),
        };
        all.push(at(2, What::ListenerUp(listener)));
    }
    let nothing = What::ListenersScanned {
        netns: 1,
        unix: false,
        listeners: [].into(),
    };
    all.push(at(5000, nothing));
    let ports: Vec<u16> = run(&all)
        .iter()
        .filter_map(|finding| match &finding.body {
            Body::ListenerDown(down) => Some(port(&down.address)),
            _ => None,
        })
        .collect();
    assert_eq!(ports, [&[3000][..], &IN_ORDER].concat());
}
