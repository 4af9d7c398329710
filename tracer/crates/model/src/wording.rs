//! The words for causes, failures and errors: one phrase for one thing, in every form of output.

use std::borrow::Cow;
use std::time::Duration;

use crate::connect::ConnectError;
use crate::death::Cause;
use crate::effect::Because;
use crate::quantity::duration;
use crate::request::Failure;

/// A cause as a label: `OOM, cgroup limit`.
pub const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::OomCgroup => "OOM, cgroup limit",
        Cause::OomGlobal => "OOM, machine out of memory",
        Cause::OomDaemon => "killed by an OOM daemon",
        Cause::Killed => "killed by a signal",
        Cause::Crash => "crashed",
        Cause::HeapLimit => "heap limit reached",
        Cause::Error => "exited with an error",
        Cause::Clean => "stopped",
        Cause::Unknown => "unknown cause",
    }
}

/// What happened to a service, to follow its name: `was killed at its memory limit`.
pub const fn what_happened(cause: Cause) -> &'static str {
    match cause {
        Cause::OomCgroup => "was killed at its memory limit",
        Cause::OomGlobal => "was killed because the machine ran out of memory",
        Cause::OomDaemon => "was killed by an OOM daemon",
        Cause::Killed => "was killed by a signal",
        Cause::Crash => "crashed",
        Cause::HeapLimit => "reached its heap limit",
        Cause::Error => "exited with an error",
        Cause::Clean => "was stopped",
        Cause::Unknown => "went down",
    }
}

/// Whether a process with this cause of death `died` or `stopped`.
pub const fn died_or_stopped(cause: Cause) -> &'static str {
    match cause {
        Cause::Clean => "stopped",
        _ => "died",
    }
}

/// How a request failed; None when the reason is not known. `death` is the cause of the death that
/// explains the failure, if one does.
pub fn failure(
    failure: Failure,
    status: Option<u16>,
    death: Option<Cause>,
) -> Option<Cow<'static, str>> {
    Some(match (failure, death) {
        (Failure::Cut | Failure::Reset, Some(cause)) => {
            format!("upstream {} mid-request", died_or_stopped(cause)).into()
        }
        (Failure::Cut, None) => "upstream closed the connection mid-request".into(),
        (Failure::Reset, None) => "upstream reset the connection mid-request".into(),
        (Failure::Answered, _) => match status {
            Some(status) => format!("the application returned {status}").into(),
            None => "the application returned an error".into(),
        },
        (Failure::Refused, _) => "connection refused".into(),
        (Failure::Timeout, _) => "upstream timed out".into(),
        (Failure::Unreachable, _) => "upstream unreachable".into(),
        (Failure::NoSocketFile, _) => "socket file missing".into(),
        (Failure::BacklogFull, _) => "listen backlog full".into(),
        (Failure::PermissionDenied, _) => "connect not permitted".into(),
        (Failure::NoLiveUpstreams, _) => "no live upstreams".into(),
        (Failure::ProxyClosed, _) => "the proxy closed the connection without a response".into(),
        (Failure::ProxyDied, _) => "the proxy died".into(),
        (Failure::ClientGone, _) => "the client disconnected".into(),
        (Failure::Unknown, _) => return None,
    })
}

/// The same for a table, whose cell is never empty: `reason unknown`.
pub fn failure_or_unknown(
    how: Failure,
    status: Option<u16>,
    death: Option<Cause>,
) -> Cow<'static, str> {
    failure(how, status, death).unwrap_or(Cow::Borrowed("reason unknown"))
}

/// The death or outage behind a failed request, to stand behind its failure in parentheses:
/// `3.53 ms earlier: OOM, cgroup limit`, `upstream died 4.37 ms earlier: OOM, cgroup limit`,
/// `not listening for 1.2 s`.
pub fn behind(failure: Failure, because: &Because) -> String {
    match failure {
        // The failure itself says who died.
        Failure::Cut | Failure::Reset | Failure::ProxyDied if because.cause.is_some() => {
            earlier(because)
        }
        _ if because.cause.is_none() => earlier(because),
        _ => behind_service("upstream", because),
    }
}

/// The same, with the service's name: `demo-api died 4.37 ms earlier: OOM, cgroup limit`,
/// `demo-api, not listening for 1.2 s`.
pub fn behind_service(service: &str, because: &Because) -> String {
    match because.cause {
        Some(cause) => format!("{service} {} {}", died_or_stopped(cause), earlier(because)),
        None => format!("{service}, {}", earlier(because)),
    }
}

/// `3.53 ms earlier: OOM, cgroup limit`; `not listening for 1.2 s` without a death.
fn earlier(because: &Because) -> String {
    let after = milliseconds(because.after_ms);
    match because.cause {
        Some(Cause::Clean) => format!("{after} earlier"),
        Some(known) => format!("{after} earlier: {}", cause(known)),
        None => format!("not listening for {after}"),
    }
}

/// Why `service` did not respond, as a sentence: `api.service died 145 ms earlier: OOM (cgroup limit
/// 2.0 GiB)`, `api.service stopped by systemd 145 ms earlier`. `after` is the time since the death;
/// without a death, since the service is down. `summary` is the cause in detail.
pub fn explanation(service: &str, death: Option<Cause>, after: Duration, summary: &str) -> String {
    let after = duration(after);
    match death {
        Some(Cause::Clean) => format!("{service} {summary} {after} earlier"),
        Some(_) => format!("{service} died {after} earlier: {summary}"),
        None => format!("{service}, not listening for {after}"),
    }
}

/// Why a connect failed.
pub const fn connect_error(error: ConnectError) -> &'static str {
    match error {
        ConnectError::Refused => "connection refused",
        ConnectError::Timeout => "connection timed out",
        ConnectError::Unreachable => "unreachable",
        ConnectError::Reset => "connection reset",
        ConnectError::NoSocketFile => "socket file missing",
        ConnectError::BacklogFull => "listen backlog full",
        ConnectError::PermissionDenied => "connect not permitted",
        ConnectError::NoLocalPort => "no free local port",
        ConnectError::Other => "connect failed",
    }
}

/// A number of milliseconds as a duration: `3.53 ms`, `1.2 s`.
pub fn milliseconds(ms: f64) -> String {
    duration(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default())
}

/// `37 requests failed`.
pub fn requests_failed(count: u64) -> String {
    counted(count, "request failed", "requests failed")
}

/// `3 connections cut`.
pub fn connections_cut(count: u64) -> String {
    counted(count, "connection cut", "connections cut")
}

/// `12 connects failed`: all errors, not only refusals.
pub fn connects_failed(count: u64) -> String {
    counted(count, "connect failed", "connects failed")
}

/// `1 request`, `37 requests`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn because(cause: Option<Cause>) -> Because {
        Because {
            incident: 1,
            death: Some(700),
            cause,
            after_ms: 3.53,
            sentence: String::new(),
        }
    }

    #[test]
    fn a_request_that_was_in_flight_is_explained_by_the_death() {
        let oom = because(Some(Cause::OomCgroup));
        let stopped = because(Some(Cause::Clean));
        let phrase = |what, death| failure(what, Some(502), death).unwrap();
        assert_eq!(phrase(Failure::Cut, oom.cause), "upstream died mid-request");
        assert_eq!(
            behind(Failure::Cut, &oom),
            "3.53 ms earlier: OOM, cgroup limit"
        );
        assert_eq!(
            phrase(Failure::Reset, stopped.cause),
            "upstream stopped mid-request"
        );
        assert_eq!(behind(Failure::Reset, &stopped), "3.53 ms earlier");
        assert_eq!(
            phrase(Failure::Cut, None),
            "upstream closed the connection mid-request"
        );
    }

    #[test]
    fn a_refused_connection_names_the_death_before_it() {
        let oom = because(Some(Cause::OomCgroup));
        assert_eq!(
            behind(Failure::Refused, &oom),
            "upstream died 3.53 ms earlier: OOM, cgroup limit"
        );
        assert_eq!(
            behind_service("demo-api", &because(None)),
            "demo-api, not listening for 3.53 ms"
        );
        assert_eq!(
            behind_service("demo-api", &because(Some(Cause::Clean))),
            "demo-api stopped 3.53 ms earlier"
        );
    }

    #[test]
    fn an_outage_without_a_death_says_how_long_nothing_listened() {
        let absent = because(None);
        assert_eq!(
            behind(Failure::Refused, &absent),
            "not listening for 3.53 ms"
        );
        assert_eq!(behind(Failure::Cut, &absent), "not listening for 3.53 ms");
    }

    #[test]
    fn the_death_of_the_proxy_is_not_blamed_on_its_upstream() {
        let oom = because(Some(Cause::OomCgroup));
        assert_eq!(
            failure(Failure::ProxyDied, None, oom.cause).unwrap(),
            "the proxy died"
        );
        assert_eq!(
            behind(Failure::ProxyDied, &oom),
            "3.53 ms earlier: OOM, cgroup limit"
        );
    }

    #[test]
    fn an_explanation_names_the_service_and_the_cause_in_detail() {
        let sentence =
            |death, summary| explanation("api.service", death, Duration::from_millis(145), summary);
        assert_eq!(
            sentence(Some(Cause::OomCgroup), "OOM (cgroup limit 2.0 GiB)"),
            "api.service died 145 ms earlier: OOM (cgroup limit 2.0 GiB)"
        );
        assert_eq!(
            sentence(Some(Cause::Clean), "stopped by systemd"),
            "api.service stopped by systemd 145 ms earlier"
        );
        assert_eq!(
            sentence(None, "stopped listening"),
            "api.service, not listening for 145 ms"
        );
    }

    #[test]
    fn an_answer_of_the_application_names_its_status() {
        let phrase = |status| failure(Failure::Answered, status, None).unwrap();
        assert_eq!(phrase(Some(500)), "the application returned 500");
        assert_eq!(phrase(None), "the application returned an error");
        assert_eq!(failure(Failure::Unknown, Some(502), None), None);
        assert_eq!(
            failure_or_unknown(Failure::Unknown, Some(502), None),
            "reason unknown"
        );
    }
}
