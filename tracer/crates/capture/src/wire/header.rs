//! The header with the machine, and gaps.

use tracer_analysis::Options;
use tracer_model::{self as model, ClockAnchor, Timestamp, WallTime};

use super::message::{Unknown, Wire, all, list, required, some};
use crate::format;

/// [`ClockAnchor`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Clock {
    #[prost(uint64, tag = "1")]
    boot_ns: u64,
    #[prost(sint64, tag = "2")]
    wall_ns: i64,
}

impl Wire for Clock {
    type Model = ClockAnchor;

    fn of(model: &ClockAnchor) -> Self {
        let ClockAnchor { boot, wall } = *model;
        Self {
            boot_ns: boot.0,
            wall_ns: wall.0,
        }
    }

    fn model(self) -> Result<ClockAnchor, Unknown> {
        Ok(ClockAnchor {
            boot: Timestamp(self.boot_ns),
            wall: WallTime(self.wall_ns),
        })
    }
}

/// [`model::Hook`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Hook {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, optional, tag = "2")]
    via: Option<String>,
    #[prost(bool, tag = "3")]
    ok: bool,
    #[prost(string, optional, tag = "4")]
    why: Option<String>,
}

impl Wire for Hook {
    type Model = model::Hook;

    fn of(model: &model::Hook) -> Self {
        let model::Hook { name, via, ok, why } = model;
        Self {
            name: name.clone(),
            via: via.clone(),
            ok: *ok,
            why: why.clone(),
        }
    }

    fn model(self) -> Result<model::Hook, Unknown> {
        let Self { name, via, ok, why } = self;
        Ok(model::Hook { name, via, ok, why })
    }
}

/// [`model::Session`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Session {
    #[prost(string, tag = "1")]
    tracer_version: String,
    #[prost(string, tag = "2")]
    kernel: String,
    #[prost(string, tag = "3")]
    host: String,
    #[prost(string, tag = "4")]
    boot_id: String,
    #[prost(message, optional, tag = "5")]
    clock: Option<Clock>,
    #[prost(uint32, tag = "6")]
    page_bytes: u32,
    #[prost(uint64, tag = "7")]
    memory_bytes: u64,
    #[prost(message, repeated, tag = "8")]
    hooks: Vec<Hook>,
    #[prost(string, repeated, tag = "9")]
    blind: Vec<String>,
}

impl Wire for Session {
    type Model = model::Session;

    fn of(model: &model::Session) -> Self {
        let model::Session {
            tracer_version,
            kernel,
            host,
            boot_id,
            clock,
            page_bytes,
            memory_bytes,
            hooks,
            blind,
        } = model;
        Self {
            tracer_version: tracer_version.to_string(),
            kernel: kernel.to_string(),
            host: host.to_string(),
            boot_id: boot_id.to_string(),
            clock: some(clock),
            page_bytes: *page_bytes,
            memory_bytes: *memory_bytes,
            hooks: all(hooks),
            blind: blind.clone(),
        }
    }

    fn model(self) -> Result<model::Session, Unknown> {
        Ok(model::Session {
            tracer_version: self.tracer_version.into(),
            kernel: self.kernel.into(),
            host: self.host.into(),
            boot_id: self.boot_id.into(),
            clock: required(self.clock)?,
            page_bytes: self.page_bytes,
            memory_bytes: self.memory_bytes,
            hooks: list(self.hooks)?,
            blind: self.blind,
        })
    }
}

/// The user's rules.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Rules {
    #[prost(string, tag = "1")]
    file: String,
    #[prost(string, tag = "2")]
    text: String,
}

/// [`format::Header`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Header {
    #[prost(fixed64, tag = "1")]
    session: u64,
    #[prost(uint32, tag = "2")]
    file: u32,
    #[prost(message, optional, tag = "3")]
    machine: Option<Session>,
    #[prost(message, optional, tag = "4")]
    rules: Option<Rules>,
    #[prost(bool, tag = "5")]
    all: bool,
    #[prost(uint32, tag = "6")]
    own_netns: u32,
    #[prost(uint32, tag = "7")]
    own_pid: u32,
}

impl Wire for Header {
    type Model = format::Header;

    fn of(model: &format::Header) -> Self {
        let format::Header {
            session,
            file,
            machine,
            rules,
            options:
                Options {
                    all,
                    own_netns,
                    own_pid,
                },
        } = model;
        Self {
            session: *session,
            file: *file,
            machine: some(machine),
            rules: rules.as_ref().map(|(file, text)| Rules {
                file: file.to_string(),
                text: text.to_string(),
            }),
            all: *all,
            own_netns: *own_netns,
            own_pid: *own_pid,
        }
    }

    fn model(self) -> Result<format::Header, Unknown> {
        Ok(format::Header {
            session: self.session,
            file: self.file,
            machine: required(self.machine)?,
            rules: self
                .rules
                .map(|Rules { file, text }| (file.into(), text.into())),
            options: Options {
                all: self.all,
                own_netns: self.own_netns,
                own_pid: self.own_pid,
            },
        })
    }
}

/// [`format::Gap`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Gap {
    #[prost(uint64, tag = "1")]
    at_ns: u64,
    #[prost(uint64, tag = "2")]
    observations: u64,
    #[prost(string, tag = "3")]
    why: String,
}

impl Wire for Gap {
    type Model = format::Gap;

    fn of(model: &format::Gap) -> Self {
        let format::Gap {
            at,
            observations,
            why,
        } = model;
        Self {
            at_ns: at.0,
            observations: *observations,
            why: why.to_string(),
        }
    }

    fn model(self) -> Result<format::Gap, Unknown> {
        Ok(format::Gap {
            at: Timestamp(self.at_ns),
            observations: self.observations,
            why: self.why.into(),
        })
    }
}
