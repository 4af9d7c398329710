//! A tracer's totals, counted from its own findings. Pure.

use std::collections::BTreeMap;

use tracer_model::{Body, Finding, IncidentState, Kind, WallTime, printable};

use super::protocol::{MAX_INCIDENTS, OpenIncident, Status};

/// The totals so far.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    since: Option<WallTime>,
    hooks: (usize, usize),
    counts: BTreeMap<Kind, u64>,
    open: BTreeMap<u64, OpenIncident>,
    lost: u64,
}

impl Standing {
    /// Counts a finding.
    pub fn finding(&mut self, finding: &Finding) {
        *self.counts.entry(finding.body.kind()).or_default() += 1;
        match &finding.body {
            Body::Start(start) => {
                self.since = Some(finding.at);
                let armed = start.hooks.iter().filter(|hook| hook.ok).count();
                self.hooks = (armed, start.hooks.len());
            }
            Body::Incident(incident) if incident.state == IncidentState::Closed => {
                self.open.remove(&incident.id);
            }
            Body::Incident(incident) if self.open.len() < MAX_INCIDENTS => {
                let short = |text: &str| -> String { printable(text).chars().take(200).collect() };
                let open = OpenIncident {
                    id: incident.id,
                    service: short(&incident.service.name),
                    summary: short(&incident.summary),
                    opened: incident.opened.to_string(),
                };
                self.open.insert(incident.id, open);
            }
            Body::Lost(lost) => self.lost = self.lost.saturating_add(lost.count),
            _ => {}
        }
    }

    /// A status with everything that findings contain; the other fields are left at their defaults.
    pub fn status(&self) -> Status {
        Status {
            since: self.since.map(|at| at.to_string()),
            hooks_armed: self.hooks.0,
            hooks: self.hooks.1,
            findings: self
                .counts
                .iter()
                .map(|(kind, count)| (kind.as_str().to_owned(), *count))
                .collect(),
            incidents_open: self.open.values().cloned().collect(),
            events_lost: self.lost,
            ..Status::default()
        }
    }
}
