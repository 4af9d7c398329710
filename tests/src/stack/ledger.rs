//! The failed requests that the client saw, compared with the findings.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::client::Outcome;

/// Part of every query that the tests send. No finding may contain it.
pub const SECRET: &str = "hunter2";

/// How many requests an incident lists in detail.
const LISTED: usize = 100;

/// The death behind a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// Pid of the process that died.
    pub pid: u32,
    /// Its cause as in findings: `oom_cgroup`.
    pub cause: &'static str,
}

/// An upstream that may have failed a request.
#[derive(Clone, Debug)]
pub struct Blame {
    /// Its address as in findings, and the service that listens there; if `None`, any upstream
    /// fits.
    pub upstream: Option<(String, String)>,
    /// The death that explains the failure, if one does.
    pub because: Option<Death>,
}

/// A failed request, and what its finding has to be.
#[derive(Clone, Debug)]
pub struct FailedRequest {
    /// The outcome that the client saw.
    pub outcome: Outcome,
    /// The failures that fit: one, or several if it depends on timing.
    pub failures: Vec<&'static str>,
    /// The upstreams that may have failed it.
    pub blame: Vec<Blame>,
    /// The witnesses that must be in its evidence.
    pub evidence: Vec<&'static str>,
    /// Whether one of them sees the status that the client saw.
    pub status_seen: bool,
}

/// The failed requests of one scene.
#[derive(Debug, Default)]
pub struct Ledger {
    failed: Vec<FailedRequest>,
}

impl Ledger {
    /// Adds one. Fails the test if the client saw it succeed.
    #[track_caller]
    pub fn add(&mut self, request: FailedRequest) {
        assert!(
            request.outcome.failed(),
            "did not fail: {:?}",
            request.outcome
        );
        self.failed.push(request);
    }

    /// The number of requests.
    pub fn len(&self) -> usize {
        self.failed.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.failed.is_empty()
    }

    /// Compares them with the `request_failed` findings about them: each request must be reported
    /// once and correctly, and no other. Checks the incidents among `all` findings too. Returns a
    /// line for each thing that is wrong.
    pub fn compare(&self, proxy: &str, findings: &[Value], all: &[Value]) -> String {
        let mut wrong = String::new();
        let mut reported: BTreeMap<(String, String), Vec<&Value>> = BTreeMap::new();
        for finding in findings {
            let text = |field: &str| finding[field].as_str().unwrap_or("?").to_owned();
            let key = (text("method"), text("path"));
            reported.entry(key).or_default().push(finding);
        }
        for request in &self.failed {
            let (method, path) = (
                request.outcome.method.clone(),
                request.outcome.path().to_owned(),
            );
            let found = reported.get_mut(&(method, path)).and_then(Vec::pop);
            let complaints = match found {
                None => vec!["not reported".to_owned()],
                Some(finding) => request.complaints(proxy, finding, all),
            };
            if !complaints.is_empty() {
                let outcome = &request.outcome;
                let _ = writeln!(
                    wrong,
                    "{} {} → {:?} {}",
                    outcome.method,
                    outcome.target,
                    outcome.status,
                    outcome.error.as_deref().unwrap_or("")
                );
                for complaint in complaints {
                    let _ = writeln!(wrong, "    {complaint}");
                }
                if let Some(finding) = found {
                    let _ = writeln!(wrong, "    in {finding}");
                }
            }
        }
        for finding in reported.into_values().flatten() {
            let _ = writeln!(
                wrong,
                "reported, but the client saw no such failure: {finding}"
            );
        }
        self.incidents(all, &mut wrong);
        for finding in all {
            if finding.to_string().contains(SECRET) {
                let _ = writeln!(wrong, "shows a query: {finding}");
            }
        }
        wrong
    }

    /// An incident counts the requests that failed because of its deaths, and lists them.
    fn incidents(&self, all: &[Value], wrong: &mut String) {
        let mut failed: BTreeMap<u64, Vec<&Outcome>> = BTreeMap::new();
        for one in &self.failed {
            let [Blame { because, .. }] = &one.blame[..] else {
                // With two upstreams to blame, either incident may count it.
                return;
            };
            let death = because.and_then(|death| death_of(all, death.pid));
            if let Some(incident) = death.and_then(|death| death["incident"].as_u64()) {
                failed.entry(incident).or_default().push(&one.outcome);
            }
        }
        for (id, failed) in failed {
            let incident = all
                .iter()
                .rfind(|f| f["kind"] == "incident" && f["id"] == id)
                .unwrap_or(&Value::Null);
            let listed = incident["requests"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            let templates = incident["requests_by_template"].as_array();
            let templates = templates.into_iter().flatten();
            let counted: u64 = templates.filter_map(|it| it["count"].as_u64()).sum();
            let count = failed.len() as u64;
            let is_listed = |outcome: &&&Outcome| {
                let mut listed = listed.iter();
                listed.any(|it| it["path"] == outcome.path() && it["method"] == outcome.method)
            };
            let known = failed.iter().filter(is_listed).count();
            if incident["requests_failed"] != count
                || listed.len() != failed.len().min(LISTED)
                || (failed.len() <= LISTED && known != failed.len())
                || counted != count
            {
                let _ = writeln!(
                    wrong,
                    "{count} requests failed because of an incident ({known} of them listed): {incident}"
                );
            }
        }
    }
}

fn death_of(all: &[Value], pid: u32) -> Option<&Value> {
    all.iter()
        .find(|f| f["kind"] == "death" && f["process"]["pid"] == pid)
}

impl FailedRequest {
    fn complaints(&self, proxy: &str, finding: &Value, all: &[Value]) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut expect = |field: &str, seen: &Value, fits: bool, wanted: String| {
            if !fits {
                complaints.push(format!("{field} is {seen}, not {wanted}"));
            }
        };
        let status = self.outcome.status;
        let seen = &finding["status"];
        let fits = match seen.as_u64() {
            None => status.is_none() || !self.status_seen,
            seen => seen == status.map(u64::from),
        };
        expect("status", seen, fits, format!("{status:?}"));
        let seen = &finding["proxy"]["name"];
        expect("proxy", seen, seen == proxy, proxy.to_owned());
        let seen = &finding["count"];
        expect("count", seen, seen == 1, "1".to_owned());
        let seen = &finding["client"];
        let loopback = seen == "127.0.0.1" || seen == "::1";
        expect("client", seen, loopback, "the client's address".to_owned());
        let seen = &finding["failure"];
        let fits = self.failures.iter().any(|failure| seen == failure);
        expect("failure", seen, fits, self.failures.join(" or "));
        for witness in &self.evidence {
            let seen = &finding["evidence"];
            let fits = seen
                .as_array()
                .is_some_and(|it| it.iter().any(|one| one == witness));
            expect("evidence", seen, fits, format!("with {witness}"));
        }
        let blamed = self.blame.iter().any(|blame| blame.fits(finding, all));
        if !blamed {
            expect(
                "upstream, because",
                &serde_json::json!([finding["upstream"], finding["because"]]),
                false,
                format!("{:?}", self.blame),
            );
        }
        complaints
    }
}

impl Blame {
    fn fits(&self, finding: &Value, all: &[Value]) -> bool {
        let upstream = &finding["upstream"];
        let because = &finding["because"];
        let explained = match self.because {
            None => because.is_null(),
            Some(death) => {
                let incident = death_of(all, death.pid).map(|it| &it["incident"]);
                because["death"] == death.pid
                    && because["cause"] == death.cause
                    && incident == Some(&because["incident"])
                    && because["after_ms"].as_f64().is_some_and(|ms| ms >= 0.0)
            }
        };
        let named = self.upstream.as_ref().is_none_or(|(address, service)| {
            upstream["address"] == **address && upstream["service"] == **service
        });
        named && explained
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;

    fn ledger() -> Ledger {
        let now = Instant::now();
        let outcome = Outcome {
            method: "GET".to_owned(),
            target: format!("/a?token={SECRET}"),
            status: Some(502),
            error: None,
            began: now,
            ended: now,
        };
        let mut ledger = Ledger::default();
        ledger.add(FailedRequest {
            outcome,
            failures: vec!["cut"],
            blame: vec![Blame {
                upstream: Some(("127.0.0.1:1".to_owned(), "shop".to_owned())),
                because: Some(Death {
                    pid: 7,
                    cause: "killed",
                }),
            }],
            evidence: vec!["http"],
            status_seen: true,
        });
        ledger
    }

    /// The findings of a tracer that is right: the failed request, the death, the incident.
    fn findings() -> (Value, Value, Value) {
        let request = json!({
            "kind": "request_failed", "proxy": {"name": "nginx"}, "method": "GET", "path": "/a",
            "client": "127.0.0.1", "status": 502, "count": 1, "failure": "cut",
            "upstream": {"address": "127.0.0.1:1", "service": "shop"}, "evidence": ["http", "log"],
            "because": {"incident": 3, "death": 7, "cause": "killed", "after_ms": 0.5},
        });
        let death = json!({"kind": "death", "process": {"pid": 7}, "incident": 3});
        let incident = json!({
            "kind": "incident", "id": 3, "requests_failed": 1,
            "requests": [{"method": "GET", "path": "/a"}], "requests_by_template": [{"count": 1}],
        });
        (request, death, incident)
    }

    #[test]
    fn correct_findings_pass() {
        let (request, death, incident) = findings();
        let wrong = ledger().compare("nginx", &[request], &[death, incident]);
        assert_eq!(wrong, "");
    }

    #[test]
    fn each_wrong_field_is_noticed() {
        for (field, value) in [
            ("method", json!("POST")),
            ("path", json!("/b")),
            ("client", json!("192.0.2.1")),
            ("status", json!(500)),
            ("count", json!(2)),
            ("failure", json!("refused")),
            ("proxy", json!({"name": "caddy"})),
            (
                "upstream",
                json!({"address": "127.0.0.1:2", "service": "shop"}),
            ),
            ("upstream", json!({"address": "127.0.0.1:1"})),
            ("evidence", json!(["log"])),
            ("because", Value::Null),
            (
                "because",
                json!({"incident": 4, "death": 7, "cause": "killed", "after_ms": 0.5}),
            ),
            (
                "because",
                json!({"incident": 3, "death": 8, "cause": "killed", "after_ms": 0.5}),
            ),
            (
                "because",
                json!({"incident": 3, "death": 7, "cause": "error", "after_ms": 0.5}),
            ),
            (
                "because",
                json!({"incident": 3, "death": 7, "cause": "killed"}),
            ),
        ] {
            let (mut request, death, incident) = findings();
            request[field] = value;
            let wrong = ledger().compare("nginx", &[request], &[death, incident]);
            assert!(!wrong.is_empty(), "{field}");
        }
    }

    #[test]
    fn missing_double_miscounted_and_private_findings_are_noticed() {
        let (request, death, incident) = findings();
        let rest = [death.clone(), incident];
        let twice = [request.clone(), request.clone()];
        for (requests, all) in [
            (&[][..], &rest[..]),
            (&twice, &rest),
            (&twice[..1], &rest[..1]),
        ] {
            assert!(!ledger().compare("nginx", requests, all).is_empty());
        }
        let miscounted = json!({"kind": "incident", "id": 3, "requests_failed": 2});
        let private = json!({"note": format!("token={SECRET}")});
        for odd in [miscounted, private] {
            let all = [rest[0].clone(), rest[1].clone(), odd];
            let wrong = ledger().compare("nginx", &twice[..1], &all);
            assert!(!wrong.is_empty(), "{all:?}");
        }
    }
}
