//! `--service` and `--fail-on`: which findings a command shows, and which make it fail. Pure.

use std::str::FromStr;

use anyhow::Context as _;
use glob::Pattern;
use tracer_model::{Body, Cause, Finding, Kind};

/// A `--service` glob.
#[derive(Clone, Debug)]
pub(super) struct ServiceGlob(Pattern);

impl FromStr for ServiceGlob {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pattern = Pattern::new(text)
            .context("not a valid glob; write for example `api*` or `shop/?pi`")?;
        Ok(Self(pattern))
    }
}

/// Whether a service of that name is selected.
pub(super) fn shows(globs: &[ServiceGlob], name: &str) -> bool {
    globs.is_empty() || globs.iter().any(|ServiceGlob(glob)| glob.matches(name))
}

/// Whether `finding` concerns a selected service; findings about the trace itself always pass.
pub(super) fn concerns(globs: &[ServiceGlob], finding: &Finding) -> bool {
    if globs.is_empty() {
        return true;
    }
    let names: [Option<&str>; 2] = match &finding.body {
        Body::Start(_) | Body::Mark(_) | Body::Lost(_) | Body::End(_) => return true,
        Body::Oom(death) | Body::Death(death) => [Some(&death.service.name), None],
        Body::ListenerDown(change) | Body::ListenerUp(change) => [Some(&change.service.name), None],
        Body::ConnectFailed(failure) => [
            Some(&failure.proxy.name),
            failure.upstream.service.as_deref(),
        ],
        Body::ConnectionCut(cut) => [
            Some(&cut.service.name),
            cut.peer.as_ref().map(|peer| &*peer.name),
        ],
        Body::RequestFailed(request) => [
            Some(&request.proxy.name),
            request
                .upstream
                .as_ref()
                .and_then(|upstream| upstream.service.as_deref()),
        ],
        Body::Incident(incident) => [Some(&incident.service.name), None],
    };
    names
        .into_iter()
        .flatten()
        .any(|name| globs.iter().any(|ServiceGlob(glob)| glob.matches(name)))
}

/// The `start` finding lists all running services: keeps the selected ones.
pub(super) fn retain_services(globs: &[ServiceGlob], finding: &mut Finding) {
    if let Body::Start(start) = &mut finding.body {
        let services = &mut start.services;
        services.retain(|running| shows(globs, &running.service.name));
    }
}

/// Whether `finding` is one of `kinds`. Clean deaths never count: stopping a service is not a
/// failure.
pub(super) fn fails(kinds: &[Kind], finding: &Finding) -> bool {
    let clean = matches!(&finding.body, Body::Death(death) if death.cause == Cause::Clean);
    !clean && kinds.contains(&finding.body.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_model::{
        ConnectError, ConnectFailure, End, Endpoint, Manager, Party, Service, Upstream, WallTime,
    };

    fn refused() -> Finding {
        let service = Service {
            name: "nginx.service".into(),
            manager: Manager::Systemd,
            evidence: "cgroup".into(),
        };
        let failure = ConnectFailure {
            proxy: service,
            process: Party {
                pid: 1,
                comm: "nginx".into(),
                service: None,
            },
            upstream: Upstream {
                address: Endpoint::unix(b"/run/api.sock"),
                service: Some("api.service".into()),
            },
            error: ConnectError::Refused,
            errno: None,
            count: 1,
            elapsed_ms: None,
            because: None,
        };
        finding(Body::ConnectFailed(Box::new(failure)))
    }

    fn finding(body: Body) -> Finding {
        Finding {
            v: 1,
            at: WallTime(0),
            body,
        }
    }

    #[test]
    fn both_sides_of_a_failed_connect_concern_it() {
        for (glob, want) in [
            ("nginx*", true),
            ("api.service", true),
            ("*.service", true),
            ("worker", false),
        ] {
            let globs = [glob.parse().unwrap()];
            assert_eq!(concerns(&globs, &refused()), want, "{glob}");
        }
        assert!(concerns(&[], &refused()));
    }

    #[test]
    fn findings_about_the_trace_pass_every_filter() {
        let globs = ["none".parse().unwrap()];
        assert!(concerns(&globs, &finding(Body::End(End::default()))));
    }

    #[test]
    fn only_the_chosen_kinds_fail() {
        assert!(fails(&[Kind::ConnectFailed], &refused()));
        assert!(!fails(&[Kind::Death, Kind::Oom], &refused()));
    }
}
