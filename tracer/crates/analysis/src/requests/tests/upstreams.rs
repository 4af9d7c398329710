//! The upstream of a request, and how sure it is.

use tracer_model::{Confidence, Connected};

use super::*;
use crate::tests::task;

#[test]
fn the_failed_connect_of_another_process_is_a_guess_if_the_worker_is_unknown() {
    let worker = What::Forked {
        child: task(51, 50, "nginx"),
        parent: key(50),
    };
    let other = fails_to_connect(actor(51, "nginx"), 3000, ConnectError::Refused);
    let report = |by: Actor| {
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
    // The kernel sent for the proxy while another process ran.
    let request = report(actor(99, "kworker"));
    assert_eq!(request.confidence, Some(Confidence::Guess));
    assert_eq!(death(&request), Some(60));
    // No connect of this worker failed.
    let request = report(actor(50, "nginx"));
    assert_eq!((request.confidence, death(&request)), (None, None));
}

/// The return of a unix listener is seen late, but the success of a connect at once.
#[test]
fn a_successful_connect_proves_a_listener_even_if_none_is_known() {
    let report = |result| {
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
    let request = report(Some(Ok(())));
    assert_eq!(
        (request.failure, death(&request)),
        (Failure::Answered, None)
    );
    let request = report(Some(Err(ConnectError::Refused)));
    assert_eq!(
        (request.failure, death(&request)),
        (Failure::Refused, Some(60))
    );
}

#[test]
fn a_full_backlog_is_not_explained_by_a_death() {
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
fn the_address_that_the_thread_connected_to_is_likely_the_upstream() {
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
    // The kernel has counted its refusal but not sent it yet: nothing listens there.
    let refused = one(&story([
        machine(true, true, false),
        dies(),
        vec![at(1101, http(exchange))],
    ]));
    assert_eq!(refused.failure, Failure::Refused);
    assert_eq!(death(&refused), Some(60));
}

#[test]
fn a_death_after_the_failure_does_not_explain_it_even_if_the_report_is_late() {
    let findings = story([
        machine(true, false, true),
        dies(),
        vec![
            at(1010, refused()),
            at(1011, status(1009, "/a", 4000, 502)),
            // Its successor dies before it listens, while the request still waits for its log line.
            at(1020, process(61, 1, "node", "api.service")),
            at(1050, exit(61, "node", ExitStatus::Code(1), false)),
        ],
    ]);
    assert_eq!(death(&one(&findings)), Some(60));
}
