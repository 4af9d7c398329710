//! Identifies an incident within a report.

/// The session, counted from 1, and the incident's id: ids start again in every session.
pub(super) type IncidentKey = (usize, u64);
