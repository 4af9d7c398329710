//! A finding as a row of the flat table that CSV and Parquet contain.
//!
//! `COLUMNS` is the only place with the names, types and meanings of columns. A test compares
//! `docs/report.md` with it.

use std::borrow::Cow;

use serde::Serialize;

use tracer_model::{
    Because, Body, ConnectFailure, Cut, Death, Endpoint, FailedRequest, Finding, Incident,
    ListenerChange, Party, Service, WallTime,
};

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    Time(WallTime),
}

/// What a column holds. Every cell may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// UTF-8.
    Text,
    /// 64 bits, signed.
    Int,
    /// 64 bits.
    Float,
    /// True or false.
    Bool,
    /// An instant: RFC 3339 in CSV, nanoseconds since 1970 UTC in Parquet.
    Time,
}

type Cell<'a> = Option<Value<'a>>;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Type,
    /// What its values mean.
    pub meaning: &'static str,
}

/// Declares the fields of a row and the table of columns in the same order.
macro_rules! columns {
    ($($name:ident: $kind:ident, $meaning:literal;)*) => {
        /// The columns, in order.
        pub const COLUMNS: &[Column] = &[
            $(Column { name: stringify!($name), kind: Type::$kind, meaning: $meaning },)*
        ];

        /// A finding as one flat row.
        #[derive(Debug, Default)]
        pub(super) struct Row<'a> {
            $($name: Cell<'a>,)*
        }

        impl<'a> Row<'a> {
            /// Its cells, in the order of [`COLUMNS`].
            pub(super) fn into_cells(self) -> impl Iterator<Item = Cell<'a>> {
                [$(self.$name,)*].into_iter()
            }
        }
    };
}

columns! {
    at: Time, "when it happened";
    kind: Text, "the kind of finding";
    service: Text, "the service; for failed connects and requests, the upstream's service";
    manager: Text, "the manager of that service";
    proxy: Text, "the proxy that could not connect or whose request failed";
    incident: Int, "the incident it belongs to";
    state: Text, "incident: `open` or `closed`";
    cause: Text, "the cause of death; for effects, the cause of the death that explains them";
    exit_code: Int, "exit status";
    signal: Text, "the signal that killed the process";
    core_dumped: Bool, "whether the process dumped core";
    pid: Int, "the process that died, now listens, or connected";
    ppid: Int, "its parent process";
    comm: Text, "its name";
    cmdline: Text, "its command line";
    uid: Int, "its user id";
    uptime_ms: Int, "how long it had been running";
    by_pid: Int, "the process that sent the signal";
    by_comm: Text, "that process's name";
    by_service: Text, "that process's service";
    trigger_pid: Int, "OOM: the process whose allocation triggered it";
    trigger_comm: Text, "that process's name";
    trigger_service: Text, "that process's service";
    peak_bytes: Int, "peak resident memory";
    anon_bytes: Int, "anonymous memory when the OOM killer chose it";
    limit_bytes: Int, "the memory limit";
    limit_cgroup: Text, "the cgroup that has this limit";
    address: Text, "the address that the service listens at, or that was connected to";
    netns: Int, "the network namespace, if not the tracer's own";
    peer: Text, "cut: the service at the other end";
    peer_address: Text, "cut: the address of the other end";
    error: Text, "how the connect or the request failed";
    errno: Text, "the errno, if `error` is `other`";
    count: Int, "how many connects, connections, requests or events the row stands for";
    elapsed_ms: Float, "time from connect() to its failure";
    client: Text, "the client's address";
    forwarded_for: Text, "the first address in X-Forwarded-For";
    method: Text, "the request's method";
    host: Text, "the request's Host; `start`: the machine's name";
    path: Text, "the request's path";
    status: Int, "the status that the client got";
    latency_ms: Float, "how long the request took";
    confidence: Text, "how sure it is that this is the upstream";
    evidence: Text, "the witnesses of the request, joined by `+`";
    because_pid: Int, "the process whose death explains it";
    because_after_ms: Float, "time from that death to this event";
    down_ms: Float, "how long the service was down";
    opened: Time, "incident: when it began";
    closed: Time, "incident: when the service recovered";
    deaths: Int, "incident, end: deaths";
    connects_failed: Int, "incident, end: failed connects";
    connections_cut: Int, "incident, end: cut connections";
    requests_failed: Int, "incident, end: failed requests";
    crash_loop: Bool, "incident: whether the service kept dying as it restarted";
    lost_in: Text, "lost: the ring buffer or file whose events were lost";
    since: Time, "lost: since when";
    sentence: Text, "the finding in words";
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn owned<'a>(text: String) -> Value<'a> {
    Value::Text(Cow::Owned(text))
}

fn int<'a>(number: impl TryInto<i64>) -> Value<'a> {
    Value::Int(number.try_into().unwrap_or(i64::MAX))
}

fn time<'a>(at: WallTime) -> Value<'a> {
    Value::Time(at)
}

/// The JSON name of an enum variant.
fn named<'a>(variant: &impl Serialize) -> Cell<'a> {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(name)) => Some(owned(name)),
        _ => None,
    }
}

impl<'a> Row<'a> {
    /// The row of a finding.
    pub(super) fn of(finding: &'a Finding) -> Self {
        let mut row = Row {
            at: Some(time(finding.at)),
            kind: Some(Value::Text(finding.body.kind().as_str().into())),
            ..Self::default()
        };
        match &finding.body {
            Body::Start(start) => {
                row.host = Some(text(&start.host));
                let what = format!("tracer {} on Linux {}", start.version, start.kernel);
                row.sentence = Some(owned(what));
            }
            Body::Oom(death) | Body::Death(death) => row.death(death),
            Body::ListenerDown(change) | Body::ListenerUp(change) => row.listener(change),
            Body::ConnectFailed(failure) => row.connect_failed(failure),
            Body::ConnectionCut(cut) => row.cut(cut),
            Body::RequestFailed(request) => row.request(request),
            Body::Incident(incident) => row.incident(incident),
            Body::Mark(mark) => row.sentence = Some(text(&mark.label)),
            Body::Lost(lost) => {
                row.count = Some(int(lost.count));
                row.lost_in = named(&lost.ring);
                row.since = Some(time(lost.since));
            }
            Body::End(end) => {
                row.deaths = Some(int(end.deaths));
                row.connects_failed = Some(int(end.connects_failed));
                row.connections_cut = Some(int(end.connections_cut));
                row.requests_failed = Some(int(end.requests_failed));
            }
        }
        row
    }

    fn service(&mut self, service: &'a Service) {
        self.service = Some(text(&service.name));
        self.manager = Some(text(service.manager.as_str()));
    }

    fn process(&mut self, party: &'a Party) {
        self.pid = Some(int(party.pid));
        self.comm = Some(text(&party.comm));
    }

    fn place(&mut self, address: &Endpoint) {
        self.address = Some(owned(address.to_string()));
    }

    fn because(&mut self, because: &'a Because) {
        self.incident = Some(int(because.incident));
        self.cause = because.cause.and_then(|cause| named(&cause));
        self.because_pid = because.death.map(int);
        self.because_after_ms = Some(Value::Float(because.after_ms));
        self.sentence = Some(text(&because.sentence));
    }

    fn death(&mut self, death: &'a Death) {
        let process = &death.process;
        self.service(&death.service);
        self.incident = death.incident.map(int);
        self.cause = named(&death.cause);
        self.exit_code = death.exit_code.map(int);
        self.signal = death.signal.as_deref().map(text);
        self.core_dumped = death.core_dumped.map(Value::Bool);
        self.pid = Some(int(process.pid));
        self.ppid = Some(int(process.ppid));
        self.comm = Some(text(&process.comm));
        self.cmdline = process.cmdline.as_deref().map(text);
        self.uid = Some(int(process.uid));
        self.uptime_ms = Some(int(process.uptime_ms));
        if let Some(by) = &death.by {
            self.by_pid = Some(int(by.pid));
            self.by_comm = Some(text(&by.comm));
            self.by_service = by.service.as_deref().map(text);
        }
        if let Some(trigger) = &death.trigger {
            self.trigger_pid = Some(int(trigger.pid));
            self.trigger_comm = Some(text(&trigger.comm));
            self.trigger_service = trigger.service.as_deref().map(text);
        }
        self.peak_bytes = death.memory.peak_bytes.map(int);
        self.anon_bytes = death.memory.anon_bytes.map(int);
        self.limit_bytes = death.memory.limit_bytes.map(int);
        self.limit_cgroup = death.memory.limit_cgroup.as_deref().map(text);
        self.sentence = Some(text(&death.why));
    }

    fn listener(&mut self, change: &'a ListenerChange) {
        self.service(&change.service);
        self.incident = change.incident.map(int);
        self.place(&change.address);
        self.netns = change.netns.map(int);
        self.down_ms = change.down_ms.map(Value::Float);
        if let Some(process) = &change.process {
            self.process(process);
        }
    }

    fn connect_failed(&mut self, failure: &'a ConnectFailure) {
        self.proxy = Some(text(&failure.proxy.name));
        self.service = failure.upstream.service.as_deref().map(text);
        self.process(&failure.process);
        self.place(&failure.upstream.address);
        self.error = named(&failure.error);
        self.errno = failure.errno.as_deref().map(text);
        self.count = Some(int(failure.count));
        self.elapsed_ms = failure.elapsed_ms.map(Value::Float);
        if let Some(because) = &failure.because {
            self.because(because);
        }
    }

    fn cut(&mut self, cut: &'a Cut) {
        self.service(&cut.service);
        self.incident = cut.incident.map(int);
        self.pid = Some(int(cut.pid));
        self.place(&cut.address);
        self.peer = cut.peer.as_ref().map(|peer| text(&peer.name));
        self.peer_address = Some(owned(cut.peer_address.to_string()));
        self.count = Some(int(cut.count));
    }

    fn request(&mut self, request: &'a FailedRequest) {
        self.proxy = Some(text(&request.proxy.name));
        if let Some(upstream) = &request.upstream {
            self.service = upstream.service.as_deref().map(text);
            self.place(&upstream.address);
        }
        self.error = named(&request.failure);
        self.count = Some(int(request.count));
        self.client = request.client.as_deref().map(text);
        self.forwarded_for = request.forwarded_for.as_deref().map(text);
        self.method = request.method.as_deref().map(text);
        self.host = request.host.as_deref().map(text);
        self.path = request.path.as_deref().map(text);
        self.status = request.status.map(int);
        self.latency_ms = request.latency_ms.map(Value::Float);
        self.confidence = request.confidence.and_then(|it| named(&it));
        let witnesses = serde_json::to_value(&request.evidence).unwrap_or_default();
        let names = witnesses.as_array().into_iter().flatten();
        let names: Vec<&str> = names.filter_map(|name| name.as_str()).collect();
        self.evidence = Some(owned(names.join("+")));
        if let Some(because) = &request.because {
            self.because(because);
        }
    }

    fn incident(&mut self, incident: &'a Incident) {
        self.service(&incident.service);
        self.incident = Some(int(incident.id));
        self.state = named(&incident.state);
        self.cause = named(&incident.cause);
        self.down_ms = incident.down_ms.map(Value::Float);
        self.opened = Some(time(incident.opened));
        self.closed = incident.closed.map(time);
        self.deaths = Some(int(incident.deaths));
        self.connects_failed = Some(int(incident.connects_failed));
        self.connections_cut = Some(int(incident.connections_cut));
        self.requests_failed = Some(int(incident.requests_failed));
        self.crash_loop = Some(Value::Bool(incident.crash_loop));
        self.sentence = Some(text(&incident.summary));
    }
}
