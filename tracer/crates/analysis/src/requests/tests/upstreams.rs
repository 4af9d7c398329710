//! Which upstream a request was meant for, and how sure that is.

use tracer_model::{Confidence, Connected};

use super::*;
use crate::tests::task;

#[test]
fn what_another_process_of_the_proxy_met_is_a_guess_where_the_worker_is_not_known() {
    let worker = What::Forked {
        child: task(51, 50, "nginx"),
        parent: key(50),
    };
    let other = fails_to_connect(actor(51, "nginx"), 3000, ConnectError::Refused);
    let told = |by: Actor| {
        let exchange = HttpExchange {
            actor: by,
            ..inbound(1099, "/", 5000, HttpEnd::Status(502))
        };
        one(&story([
            machine(true, false, false),
            vec![at(10, worker.clone())],
            dies(),
            vec![at(1100, other.clone()), at(1101, http(exchange))],
        ]))
    };
    // The kernel sent for the proxy while something else ran.
    let request = told(actor(99, "kworker"));
    assert_eq!(request.confidence, Some(Confidence::Guess));
    assert_eq!(death(&request), Some(60));
    // This worker met nothing.
    let request = told(actor(50, "nginx"));
    assert_eq!((request.confidence, death(&request)), (None, None));
}

#[test]
fn where_a_connect_succeeded_somebody_listened_whatever_is_believed() {
    let told = |result| {
        let mut exchange = inbound(1099, "/", 5000, HttpEnd::Status(500));
        exchange.connected = Some(Connected {
            at: when(1099),
            remote: tcp(3000),
            result,
        });
        one(&story([
            machine(true, false, false),
            dies(),
            vec![at(1101, http(exchange))],
        ]))
    };
    let request = told(Some(Ok(())));
    assert_eq!(
        (request.failure, death(&request)),
        (Failure::Answered, None)
    );
    let request = told(Some(Err(ConnectError::Refused)));
    assert_eq!(
        (request.failure, death(&request)),
        (Failure::Refused, Some(60))
    );
}

#[test]
fn a_full_backlog_is_nobodys_death() {
    let request = one(&story([
        machine(true, true, false),
        dies(),
        vec![
            at(1101, line(nginx("/", Failure::BacklogFull, Some(3000)))),
            at(1101, status(1099, "/", 5000, 502)),
        ],
    ]));
    assert_eq!(
        (request.failure, death(&request)),
        (Failure::BacklogFull, None)
    );
}

#[test]
fn where_the_thread_connected_to_is_likely_the_upstream() {
    let mut exchange = inbound(1099, "/a", 5000, HttpEnd::Status(500));
    exchange.connected = Some(Connected {
        at: when(1099),
        remote: tcp(3000),
        result: None,
    });
    let answered = one(&story([
        machine(true, true, false),
        vec![at(1101, http(exchange.clone()))],
    ]));
    assert_eq!(answered.failure, Failure::Answered);
    assert_eq!(answered.confidence, Some(Confidence::Likely));
    // Its refusal is counted in the kernel, not told yet: nothing listens there.
    let refused = one(&story([
        machine(true, true, false),
        dies(),
        vec![at(1101, http(exchange))],
    ]));
    assert_eq!(refused.failure, Failure::Refused);
    assert_eq!(death(&refused), Some(60));
}

#[test]
fn a_death_after_the_failure_is_not_its_cause_however_late_it_is_told() {
    let findings = story([
        machine(true, false, true),
        dies(),
        vec![
            at(1010, refused()),
            at(1011, status(1009, "/a", 4000, 502)),
            // Its successor ends before it listens, while the proxy's log is still waited for.
            at(1020, process(61, 1, "node", "api.service")),
            at(1050, exit(61, "node", ExitStatus::Code(1), false)),
        ],
    ]);
    assert_eq!(death(&one(&findings)), Some(60));
}
