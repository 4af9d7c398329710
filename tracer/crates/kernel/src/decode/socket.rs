//! Decodes the records of sockets: listeners that go up and down, connections that are cut.

use tracer_common::record::{CutRecord, ListenRecord};
use tracer_model::{Listener, SocketId, What};

use super::address::{local, remote};
use super::party::actor;

pub(super) fn listener_up(record: &ListenRecord) -> What {
    What::ListenerUp(Listener {
        socket: SocketId::Kernel(record.socket),
        netns: record.endpoints.netns,
        address: local(&record.endpoints),
        holders: Box::new([actor(&record.actor).key]),
    })
}

pub(super) fn listener_down(record: &ListenRecord) -> What {
    What::ListenerDown {
        socket: SocketId::Kernel(record.socket),
        netns: record.endpoints.netns,
        address: local(&record.endpoints),
        by: actor(&record.actor),
        exiting: record.exiting != 0,
    }
}

pub(super) fn cut(record: &CutRecord) -> What {
    What::ConnectionCut {
        owner: actor(&record.actor),
        netns: record.endpoints.netns,
        local: local(&record.endpoints),
        remote: remote(&record.endpoints),
    }
}
