//! OOM kills, cgroups, containers, and lost events.

use std::net::IpAddr;

use tracer_model::{
    self as model, ContainerFacts, Endpoint as Address, FullCgroup, OomReport, OomScope, Ring, What,
};

use super::message::{Unknown, Wire, all, list, optional, required, short, some, text};
use super::process::{Actor, Task};
use super::socket::{Endpoint, ip, read_ip};

/// [`OomScope`]: the machine, unless there is a `cgroup`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Scope {
    #[prost(message, optional, tag = "1")]
    cgroup: Option<ScopeCgroup>,
}

/// [`OomScope::Cgroup`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ScopeCgroup {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, optional, tag = "2")]
    path: Option<String>,
    #[prost(uint64, optional, tag = "3")]
    limit_bytes: Option<u64>,
}

impl Wire for Scope {
    type Model = OomScope;

    fn of(model: &OomScope) -> Self {
        let cgroup = match model {
            OomScope::Global => None,
            OomScope::Cgroup {
                id,
                path,
                limit_bytes,
            } => Some(ScopeCgroup {
                id: *id,
                path: text(path.as_deref()),
                limit_bytes: *limit_bytes,
            }),
        };
        Self { cgroup }
    }

    fn model(self) -> Result<OomScope, Unknown> {
        Ok(match self.cgroup {
            None => OomScope::Global,
            Some(ScopeCgroup {
                id,
                path,
                limit_bytes,
            }) => OomScope::Cgroup {
                id,
                path: path.map(Into::into),
                limit_bytes,
            },
        })
    }
}

/// [`FullCgroup`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Full {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    limit_bytes: u64,
    #[prost(uint64, tag = "3")]
    usage_bytes: u64,
}

impl Wire for Full {
    type Model = FullCgroup;

    fn of(model: &FullCgroup) -> Self {
        let FullCgroup {
            id,
            limit_bytes,
            usage_bytes,
        } = *model;
        Self {
            id,
            limit_bytes,
            usage_bytes,
        }
    }

    fn model(self) -> Result<FullCgroup, Unknown> {
        Ok(FullCgroup {
            id: self.id,
            limit_bytes: self.limit_bytes,
            usage_bytes: self.usage_bytes,
        })
    }
}

/// [`model::OomVictim`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OomVictim {
    #[prost(message, optional, tag = "1")]
    victim: Option<Task>,
    #[prost(message, optional, tag = "2")]
    trigger: Option<Actor>,
    #[prost(uint64, tag = "3")]
    trigger_cgroup: u64,
    #[prost(message, optional, tag = "4")]
    scope: Option<Scope>,
    #[prost(message, optional, tag = "5")]
    full_cgroup: Option<Full>,
    #[prost(uint64, optional, tag = "6")]
    anon_bytes: Option<u64>,
    #[prost(uint64, optional, tag = "7")]
    file_bytes: Option<u64>,
}

impl Wire for OomVictim {
    type Model = model::OomVictim;

    fn of(model: &model::OomVictim) -> Self {
        let model::OomVictim {
            task,
            trigger,
            trigger_cgroup,
            scope,
            full_cgroup,
            anon_bytes,
            file_bytes,
        } = model;
        Self {
            victim: some(task),
            trigger: some(trigger),
            trigger_cgroup: *trigger_cgroup,
            scope: scope.as_ref().map(Wire::of),
            full_cgroup: full_cgroup.as_ref().map(Wire::of),
            anon_bytes: *anon_bytes,
            file_bytes: *file_bytes,
        }
    }

    fn model(self) -> Result<model::OomVictim, Unknown> {
        Ok(model::OomVictim {
            task: required(self.victim)?,
            trigger: required(self.trigger)?,
            trigger_cgroup: self.trigger_cgroup,
            scope: optional(self.scope)?,
            full_cgroup: optional(self.full_cgroup)?,
            anon_bytes: self.anon_bytes,
            file_bytes: self.file_bytes,
        })
    }
}

/// [`OomReport`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OomReported {
    #[prost(uint32, tag = "1")]
    victim: u32,
    #[prost(string, tag = "2")]
    comm: String,
    #[prost(message, optional, tag = "3")]
    scope: Option<Scope>,
    #[prost(string, optional, tag = "4")]
    task_cgroup: Option<String>,
}

impl Wire for OomReported {
    type Model = OomReport;

    fn of(model: &OomReport) -> Self {
        let OomReport {
            victim,
            comm,
            scope,
            task_cgroup,
        } = model;
        Self {
            victim: *victim,
            comm: comm.to_string(),
            scope: some(scope),
            task_cgroup: text(task_cgroup.as_deref()),
        }
    }

    fn model(self) -> Result<OomReport, Unknown> {
        Ok(OomReport {
            victim: self.victim,
            comm: self.comm.into(),
            scope: required(self.scope)?,
            task_cgroup: self.task_cgroup.map(Into::into),
        })
    }
}

/// [`What::Cgroup`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Cgroup {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    path: String,
    #[prost(uint64, optional, tag = "3")]
    memory_limit_bytes: Option<u64>,
}

impl Cgroup {
    pub(super) fn of(id: u64, path: &str, memory_limit_bytes: Option<u64>) -> Self {
        Self {
            id,
            path: path.to_owned(),
            memory_limit_bytes,
        }
    }

    pub(super) fn model(self) -> What {
        What::Cgroup {
            id: self.id,
            path: self.path.into(),
            memory_limit_bytes: self.memory_limit_bytes,
        }
    }
}

/// A Compose project and service.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Compose {
    #[prost(string, tag = "1")]
    project: String,
    #[prost(string, tag = "2")]
    service: String,
}

/// A published port.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Published {
    #[prost(message, optional, tag = "1")]
    host: Option<Endpoint>,
    #[prost(uint32, tag = "2")]
    port: u32,
}

impl Wire for Published {
    type Model = (std::net::SocketAddr, u16);

    fn of((host, port): &Self::Model) -> Self {
        Self {
            host: Some(Endpoint::of(&Address::Tcp(*host))),
            port: (*port).into(),
        }
    }

    fn model(self) -> Result<Self::Model, Unknown> {
        match required(self.host)? {
            Address::Tcp(host) => Ok((host, short("port", self.port)?)),
            Address::Unix(_) => Err(Unknown("host")),
        }
    }
}

/// [`ContainerFacts`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    engine: String,
    #[prost(message, optional, tag = "4")]
    compose: Option<Compose>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    addresses: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "6")]
    published: Vec<Published>,
}

impl Wire for Container {
    type Model = ContainerFacts;

    fn of(model: &ContainerFacts) -> Self {
        let ContainerFacts {
            id,
            name,
            engine,
            compose,
            addresses,
            published,
        } = model;
        Self {
            id: id.to_string(),
            name: name.to_string(),
            engine: engine.to_string(),
            compose: compose.as_ref().map(|(project, service)| Compose {
                project: project.to_string(),
                service: service.to_string(),
            }),
            addresses: addresses.iter().copied().map(ip).collect(),
            published: all(published),
        }
    }

    fn model(self) -> Result<ContainerFacts, Unknown> {
        let addresses: Result<Box<[IpAddr]>, Unknown> =
            self.addresses.iter().map(|bytes| read_ip(bytes)).collect();
        Ok(ContainerFacts {
            id: self.id.into(),
            name: self.name.into(),
            engine: self.engine.into(),
            compose: self
                .compose
                .map(|Compose { project, service }| (project.into(), service.into())),
            addresses: addresses?,
            published: list(self.published)?,
        })
    }
}

/// [`What::Lost`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Lost {
    #[prost(enumeration = "LostWhere", tag = "1")]
    ring: i32,
    #[prost(uint64, tag = "2")]
    count: u64,
}

/// [`Ring`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum LostWhere {
    Unspecified = 0,
    Deaths = 1,
    Traffic = 2,
    Connecting = 3,
    Requests = 4,
    KernelLog = 5,
    ProxyLog = 6,
    Capture = 7,
}

impl Lost {
    pub(super) fn of(ring: Ring, count: u64) -> Self {
        let ring = match ring {
            Ring::Deaths => LostWhere::Deaths,
            Ring::Traffic => LostWhere::Traffic,
            Ring::Connecting => LostWhere::Connecting,
            Ring::Requests => LostWhere::Requests,
            Ring::KernelLog => LostWhere::KernelLog,
            Ring::ProxyLog => LostWhere::ProxyLog,
            Ring::Capture => LostWhere::Capture,
        };
        Self {
            ring: ring.into(),
            count,
        }
    }

    pub(super) fn model(self) -> Result<model::What, Unknown> {
        let ring = match self.ring() {
            LostWhere::Unspecified => return Err(Unknown("ring")),
            LostWhere::Deaths => Ring::Deaths,
            LostWhere::Traffic => Ring::Traffic,
            LostWhere::Connecting => Ring::Connecting,
            LostWhere::Requests => Ring::Requests,
            LostWhere::KernelLog => Ring::KernelLog,
            LostWhere::ProxyLog => Ring::ProxyLog,
            LostWhere::Capture => Ring::Capture,
        };
        Ok(What::Lost {
            ring,
            count: self.count,
        })
    }
}
