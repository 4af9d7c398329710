//! Storms: which requests keep their details, and which are only counted.

use tracer_model::HttpCounted;

use super::*;

fn counted(count: u64, status: u16) -> What {
    What::HttpCounted(Box::new(HttpCounted {
        netns: 1,
        local: tcp(80),
        status,
        count,
    }))
}

#[test]
fn counted_requests_are_reported_once_a_second_with_their_explanation() {
    let findings = story([
        machine(true, true, true),
        dies(),
        vec![
            at(1100, refused()),
            at(1200, counted(300, 502)),
            at(1300, counted(200, 502)),
            at(1300, counted(7, 500)),
            at(2300, What::Tick),
            at(2400, counted(1, 502)),
            back(2500),
        ],
    ]);
    let all = failed(&findings);
    let reported: Vec<_> = all
        .iter()
        .map(|request| (request.status, request.count, death(request)))
        .collect();
    assert_eq!(
        reported,
        [
            (Some(500), 7, None),
            (Some(502), 500, Some(60)),
            (Some(502), 1, None)
        ]
    );
    assert_eq!(all[1].failure, Failure::Refused);
    assert_eq!(all[1].method, None);
    assert_eq!(closed(&findings).requests_failed, 500);
    let end = end(&findings);
    assert_eq!(end.requests_failed, 508);
    let ranks: Vec<_> = end
        .losses
        .iter()
        .map(|loss| {
            (
                &*loss.service.name,
                loss.requests_failed,
                loss.because_of_deaths,
            )
        })
        .collect();
    assert_eq!(ranks, [("api.service", 500, 500), ("nginx.service", 8, 0)]);
}

#[test]
fn the_line_of_a_counted_request_is_not_a_second_request() {
    for counted_first in [true, false] {
        let mut all = machine(true, true, true);
        let seen = [line(haproxy("/a", 5000, 503)), counted(2, 503)];
        let gap = if counted_first { 0 } else { 1500 };
        all.push(at(1100, seen[0].clone()));
        all.push(at(1100 + gap, seen[1].clone()));
        all.push(at(2200 + gap, What::Tick));
        all.push(at(9000, What::End));
        let findings = run(&all);
        assert_eq!(end(&findings).requests_failed, 2, "{counted_first}");
        let sum: u64 = failed(&findings).iter().map(|request| request.count).sum();
        assert_eq!(sum, 2);
    }
}

#[test]
fn an_incident_lists_its_first_requests_and_counts_all_by_template() {
    let mut all = machine(true, true, false);
    all.extend(dies());
    all.push(at(1099, refused()));
    for number in 0..250u16 {
        let path = match number % 5 {
            0 => "/".to_owned(),
            _ => format!("/api/orders/{number}"),
        };
        all.push(at(1100, refused()));
        all.push(at(1100, status(1099, &path, 5000 + number, 502)));
    }
    all.push(back(1500));
    all.push(at(2000, What::End));
    let findings = run(&all);
    assert_eq!(failed(&findings).len(), 250);
    let incident = closed(&findings);
    assert_eq!(incident.requests_failed, 250);
    assert_eq!(incident.requests.len(), 100);
    let templates: Vec<_> = incident
        .requests_by_template
        .iter()
        .map(|lost| (lost.template.as_deref(), lost.status, lost.count))
        .collect();
    assert_eq!(
        templates,
        [
            (Some("/api/orders/{n}"), Some(502), 200),
            (Some("/"), Some(502), 50)
        ]
    );
}

#[test]
fn more_requests_than_the_tables_hold_are_all_reported() {
    let mut all = machine(true, true, true);
    for number in 0..6000u16 {
        all.push(at(1100, status(1099, "/a", number, 502)));
    }
    let early = failed(&run(&all)).len();
    assert_eq!(early, 6000 - 4096);
    all.push(at(1300, What::End));
    assert_eq!(failed(&run(&all)).len(), 6000);
}

#[test]
fn unparsed_lines_are_counted() {
    let findings = story([
        machine(true, true, true),
        vec![
            at(10, What::LogLinesUnread(3)),
            at(11, What::LogLinesUnread(4)),
        ],
    ]);
    assert_eq!(end(&findings).log_lines_unread, 7);
}
