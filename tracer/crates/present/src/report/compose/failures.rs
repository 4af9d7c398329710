//! Failed requests that no incident explains, grouped by proxy, upstream, status and failure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tracer_model::{FailedRequest, Failure, WallTime};

use super::super::model::{Capped, FailureGroup};
use super::bounded::text;

/// How many groups are kept apart. The last one takes all requests that have no group of their own.
const MAX_GROUPS: usize = 64;

type Key = (String, Option<String>, Option<u16>, Failure);

#[derive(Debug)]
struct Group {
    count: u64,
    first: WallTime,
    last: WallTime,
}

/// The groups so far.
#[derive(Debug, Default)]
pub(super) struct Failures {
    groups: BTreeMap<Key, Group>,
}

impl Failures {
    /// Adds a request to its group.
    pub(super) fn push(&mut self, at: WallTime, request: &FailedRequest) {
        let upstream = request
            .upstream
            .as_ref()
            .map(|upstream| match &upstream.service {
                Some(service) => text(service),
                None => text(&upstream.address.to_string()),
            });
        let own = (
            text(&request.proxy.name),
            upstream,
            request.status,
            request.failure,
        );
        let full = self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&own);
        let key = if full {
            ("others".to_owned(), None, None, Failure::Unknown)
        } else {
            own
        };
        let group = self.groups.entry(key).or_insert(Group {
            count: 0,
            first: at,
            last: at,
        });
        group.count += request.count;
        group.last = at;
    }

    /// The groups, largest first.
    pub(super) fn finish(self) -> Capped<FailureGroup> {
        let mut items: Vec<FailureGroup> = self
            .groups
            .into_iter()
            .map(|((proxy, upstream, status, failure), group)| FailureGroup {
                proxy,
                upstream,
                status,
                failure,
                count: group.count,
                first: group.first,
                last: group.last,
            })
            .collect();
        items.sort_by_key(|group| Reverse(group.count));
        Capped { items, left_out: 0 }
    }
}
