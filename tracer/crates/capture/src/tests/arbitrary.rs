//! Every observation round-trips.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::Union;
use tracer_model::*;

use super::super::frame::Kind;
use super::{Maker, observations, read};

type Boxed<T> = BoxedStrategy<T>;

fn text() -> Boxed<Box<str>> {
    "\\PC{0,12}".prop_map(Into::into).boxed()
}

fn texts() -> Boxed<Box<[Box<str>]>> {
    vec(text(), 0..4).prop_map(Into::into).boxed()
}

fn key() -> Boxed<ProcessKey> {
    any::<(u32, u64)>()
        .prop_map(|(pid, start_ticks)| ProcessKey { pid, start_ticks })
        .boxed()
}

fn comm() -> Boxed<Comm> {
    // Kernels before 6.x leave bytes of a previous, longer name after the NUL.
    prop_oneof![
        any::<[u8; 16]>().prop_map(Comm),
        "[a-z]{0,15}".prop_map(|name| Comm::new(&name)),
    ]
    .boxed()
}

fn task() -> Boxed<TaskFacts> {
    (key(), any::<(u32, u32, u32, u64)>(), comm())
        .prop_map(|(key, (ppid, ns_pid, uid, cgroup), comm)| TaskFacts {
            key,
            ppid,
            ns_pid,
            uid,
            cgroup,
            comm,
        })
        .boxed()
}

fn actor() -> Boxed<Actor> {
    (key(), any::<(u32, u32)>(), comm())
        .prop_map(|(key, (tid, uid), comm)| Actor {
            key,
            tid,
            comm,
            uid,
        })
        .boxed()
}

fn at() -> Boxed<Timestamp> {
    any::<u64>().prop_map(Timestamp).boxed()
}

fn elapsed() -> Boxed<Duration> {
    any::<u64>().prop_map(Duration::from_nanos).boxed()
}

fn endpoint() -> Boxed<Endpoint> {
    prop_oneof![
        any::<SocketAddr>().prop_map(Endpoint::Tcp),
        any::<([u16; 8], u16, u32, u32)>().prop_map(|(ip, port, flow, scope)| {
            Endpoint::Tcp(SocketAddrV6::new(ip.into(), port, flow, scope).into())
        }),
        text().prop_map(Endpoint::Unix),
    ]
    .boxed()
}

fn socket() -> Boxed<SocketId> {
    any::<(bool, u64)>()
        .prop_map(|(scanned, id)| {
            if scanned {
                SocketId::Scanned(id)
            } else {
                SocketId::Kernel(id)
            }
        })
        .boxed()
}

fn listener() -> Boxed<Listener> {
    (socket(), any::<u32>(), endpoint(), vec(key(), 0..3))
        .prop_map(|(socket, netns, address, holders)| Listener {
            socket,
            netns,
            address,
            holders: holders.into(),
        })
        .boxed()
}

fn clock() -> Boxed<ClockAnchor> {
    (at(), any::<i64>())
        .prop_map(|(boot, wall)| ClockAnchor {
            boot,
            wall: WallTime(wall),
        })
        .boxed()
}

fn hook() -> Boxed<Hook> {
    let maybe = || option::of("\\PC{0,12}");
    ("\\PC{0,12}", maybe(), any::<bool>(), maybe())
        .prop_map(|(name, via, ok, why)| Hook { name, via, ok, why })
        .boxed()
}

pub(super) fn session() -> Boxed<Session> {
    (
        (text(), text(), text(), text()),
        clock(),
        any::<(u32, u64)>(),
        vec(hook(), 0..3),
        vec("\\PC{0,12}", 0..3),
    )
        .prop_map(|(texts, clock, (page_bytes, memory_bytes), hooks, blind)| {
            let (tracer_version, kernel, host, boot_id) = texts;
            Session {
                tracer_version,
                kernel,
                host,
                boot_id,
                clock,
                page_bytes,
                memory_bytes,
                hooks,
                blind,
            }
        })
        .boxed()
}

fn process() -> Boxed<ProcessFacts> {
    (
        (task(), texts(), any::<u32>(), any::<Option<u64>>()),
        (option::of(text()), option::of(text()), option::of(text())),
        (option::of(text()), option::of(text())),
        vec((text(), text()), 0..3),
    )
        .prop_map(|(first, paths, (user, limit_cgroup), env)| {
            let (task, args, netns, memory_limit_bytes) = first;
            let (exe, cwd, cgroup_path) = paths;
            ProcessFacts {
                task,
                args,
                exe,
                cwd,
                cgroup_path,
                env: env.into(),
                netns,
                user: user.map(|user| (*user).into()),
                memory_limit_bytes,
                memory_limit_cgroup: limit_cgroup,
            }
        })
        .boxed()
}

fn signal() -> Boxed<SignalSent> {
    (at(), any::<(u32, i32)>(), actor())
        .prop_map(|(at, (signal, code), sender)| SignalSent {
            at,
            signal,
            code,
            sender,
        })
        .boxed()
}

fn exit() -> Boxed<Exit> {
    let status = prop_oneof![
        any::<u8>().prop_map(ExitStatus::Code),
        any::<(u8, bool)>().prop_map(|(signal, core_dumped)| ExitStatus::Signal {
            signal,
            core_dumped
        }),
    ];
    (
        (task(), key(), status, any::<(u64, bool)>()),
        option::of(actor().prop_map(Box::new)),
        option::of(signal().prop_map(Box::new)),
        option::of(signal().prop_map(Box::new)),
    )
        .prop_map(
            |((task, parent, status, (peak_bytes, oom_victim)), oom_trigger, stop, other)| Exit {
                task,
                parent,
                status,
                peak_bytes,
                oom_victim,
                oom_trigger,
                stop,
                other,
            },
        )
        .boxed()
}

fn scope() -> Boxed<OomScope> {
    prop_oneof![
        Just(OomScope::Global),
        (any::<(u64, Option<u64>)>(), option::of(text())).prop_map(|((id, limit_bytes), path)| {
            OomScope::Cgroup {
                id,
                path,
                limit_bytes,
            }
        }),
    ]
    .boxed()
}

fn oom_victim() -> Boxed<OomVictim> {
    (
        (task(), actor(), any::<u64>()),
        option::of(scope()),
        any::<Option<(u64, u64, u64)>>(),
        any::<(Option<u64>, Option<u64>)>(),
    )
        .prop_map(
            |((task, trigger, trigger_cgroup), scope, full, (anon_bytes, file_bytes))| OomVictim {
                task,
                trigger,
                trigger_cgroup,
                scope,
                full_cgroup: full.map(|(id, limit_bytes, usage_bytes)| FullCgroup {
                    id,
                    limit_bytes,
                    usage_bytes,
                }),
                anon_bytes,
                file_bytes,
            },
        )
        .boxed()
}

fn connect_error() -> Boxed<ConnectError> {
    proptest::sample::select(vec![
        ConnectError::Refused,
        ConnectError::Timeout,
        ConnectError::Unreachable,
        ConnectError::Reset,
        ConnectError::NoSocketFile,
        ConnectError::BacklogFull,
        ConnectError::PermissionDenied,
        ConnectError::NoLocalPort,
        ConnectError::Other,
    ])
    .boxed()
}

fn connect_failed() -> Boxed<ConnectFailed> {
    (
        (actor(), endpoint(), connect_error(), elapsed()),
        any::<(u32, u32, u64)>(),
    )
        .prop_map(
            |((owner, remote, error, elapsed), (netns, errno, count))| ConnectFailed {
                owner,
                netns,
                remote,
                error,
                errno,
                elapsed,
                count,
            },
        )
        .boxed()
}

fn container() -> Boxed<ContainerFacts> {
    (
        (text(), text(), text()),
        option::of((text(), text())),
        vec(any::<IpAddr>(), 0..3),
        vec(any::<(SocketAddr, u16)>(), 0..3),
    )
        .prop_map(
            |((id, name, engine), compose, addresses, published)| ContainerFacts {
                id,
                name,
                engine,
                compose,
                addresses: addresses.into(),
                published: published.into(),
            },
        )
        .boxed()
}

fn request() -> Boxed<Request> {
    (text(), text(), option::of(text()), option::of(text()))
        .prop_map(|(method, target, host, forwarded_for)| Request {
            method: method_name(&method),
            target,
            host,
            forwarded_for,
        })
        .boxed()
}

fn http() -> Boxed<HttpExchange> {
    let witness = proptest::sample::select(vec![Witness::Http, Witness::Tls, Witness::Log]);
    let side = proptest::sample::select(vec![Side::Inbound, Side::Outbound]);
    let end = prop_oneof![
        any::<u16>().prop_map(HttpEnd::Status),
        Just(HttpEnd::Closed),
        Just(HttpEnd::Died),
        Just(HttpEnd::PeerClosed),
        Just(HttpEnd::PeerReset),
    ];
    (
        (witness, side, actor(), any::<u32>(), at(), end),
        (option::of(endpoint()), option::of(endpoint())),
        option::of(request()),
        option::of((
            at(),
            endpoint(),
            option::of(prop_oneof![
                Just(Ok(())),
                connect_error().prop_map(Err::<(), _>)
            ]),
        )),
    )
        .prop_map(|(first, (local, remote), request, connected)| {
            let (witness, side, actor, netns, began, end) = first;
            HttpExchange {
                witness,
                side,
                actor,
                netns,
                local,
                remote,
                request,
                began,
                end,
                connected: connected.map(|(at, remote, result)| Connected { at, remote, result }),
            }
        })
        .boxed()
}

fn failure() -> Boxed<Failure> {
    proptest::sample::select(vec![
        Failure::Refused,
        Failure::Timeout,
        Failure::Unreachable,
        Failure::NoSocketFile,
        Failure::BacklogFull,
        Failure::PermissionDenied,
        Failure::Cut,
        Failure::Reset,
        Failure::NoLiveUpstreams,
        Failure::Answered,
        Failure::ProxyClosed,
        Failure::ProxyDied,
        Failure::ClientGone,
        Failure::Unknown,
    ])
    .boxed()
}

fn log_entry() -> Boxed<LogEntry> {
    let format = option::of(proptest::sample::select(ProxyKind::ALL));
    let phase = proptest::sample::select(vec![
        Phase::Connecting,
        Phase::Waiting,
        Phase::Answering,
        Phase::Unknown,
    ]);
    (
        (key(), format, failure(), phase),
        any::<(Option<u32>, Option<u32>, Option<u64>)>(),
        any::<(Option<IpAddr>, Option<u16>, Option<bool>, Option<u16>)>(),
        (option::of(request()), option::of(endpoint())),
        (
            option::of(text()),
            option::of(elapsed()),
            any::<Option<i64>>(),
        ),
    )
        .prop_map(
            |(first, numbers, client, (request, upstream), (upstream_name, elapsed, ended))| {
                let (proxy, format, failure, phase) = first;
                let (pid, tid, connection) = numbers;
                let (client, client_port, http1, status) = client;
                LogEntry {
                    proxy,
                    format,
                    pid,
                    tid,
                    connection,
                    client,
                    client_port,
                    request,
                    http1,
                    upstream,
                    upstream_name,
                    status,
                    failure,
                    phase,
                    elapsed,
                    ended: ended.map(WallTime),
                }
            },
        )
        .boxed()
}

fn ring() -> Boxed<Ring> {
    proptest::sample::select(vec![
        Ring::Deaths,
        Ring::Traffic,
        Ring::Connecting,
        Ring::Requests,
        Ring::KernelLog,
        Ring::ProxyLog,
        Ring::Capture,
    ])
    .boxed()
}

/// One strategy for each kind of observation.
pub(super) fn kinds() -> Vec<Boxed<What>> {
    let listeners = || vec(listener(), 0..3);
    vec![
        session().prop_map(|it| What::Session(Box::new(it))).boxed(),
        clock().prop_map(What::Clock).boxed(),
        process().prop_map(|it| What::Process(Box::new(it))).boxed(),
        (task(), key())
            .prop_map(|(child, parent)| What::Forked { child, parent })
            .boxed(),
        (task(), texts())
            .prop_map(|(task, args)| What::Executed { task, args })
            .boxed(),
        exit().prop_map(What::Exited).boxed(),
        oom_victim()
            .prop_map(|it| What::OomVictim(Box::new(it)))
            .boxed(),
        (any::<u32>(), text(), scope(), option::of(text()))
            .prop_map(|(victim, comm, scope, task_cgroup)| {
                What::OomReported(Box::new(OomReport {
                    victim,
                    comm,
                    scope,
                    task_cgroup,
                }))
            })
            .boxed(),
        listener().prop_map(What::ListenerUp).boxed(),
        (socket(), any::<(u32, bool)>(), endpoint(), actor())
            .prop_map(
                |(socket, (netns, exiting), address, by)| What::ListenerDown {
                    socket,
                    netns,
                    address,
                    by,
                    exiting,
                },
            )
            .boxed(),
        (any::<(u32, bool)>(), listeners())
            .prop_map(|((netns, unix), listeners)| What::ListenersScanned {
                netns,
                unix,
                listeners: listeners.into(),
            })
            .boxed(),
        connect_failed()
            .prop_map(|it| What::ConnectFailed(Box::new(it)))
            .boxed(),
        (actor(), any::<u32>(), endpoint(), endpoint())
            .prop_map(|(owner, netns, local, remote)| What::ConnectionCut {
                owner,
                netns,
                local,
                remote,
            })
            .boxed(),
        (any::<(u64, Option<u64>)>(), text())
            .prop_map(|((id, memory_limit_bytes), path)| What::Cgroup {
                id,
                path,
                memory_limit_bytes,
            })
            .boxed(),
        container()
            .prop_map(|it| What::Container(Box::new(it)))
            .boxed(),
        http().prop_map(|it| What::Http(Box::new(it))).boxed(),
        (endpoint(), any::<(u32, u16, u64)>())
            .prop_map(|(local, (netns, status, count))| {
                What::HttpCounted(Box::new(HttpCounted {
                    netns,
                    local,
                    status,
                    count,
                }))
            })
            .boxed(),
        log_entry()
            .prop_map(|it| What::ProxyLog(Arc::new(it)))
            .boxed(),
        any::<u64>().prop_map(What::LogLinesUnread).boxed(),
        text().prop_map(What::Mark).boxed(),
        key().prop_map(What::Vanished).boxed(),
        (key(), any::<(bool, bool, bool)>())
            .prop_map(|(proxy, (http, tls, log))| {
                What::Witnesses(Witnesses {
                    proxy,
                    http,
                    tls,
                    log,
                })
            })
            .boxed(),
        hook().prop_map(|hook| What::Hook(Box::new(hook))).boxed(),
        (ring(), any::<u64>())
            .prop_map(|(ring, count)| What::Lost { ring, count })
            .boxed(),
        Just(What::Armed).boxed(),
        Just(What::Tick).boxed(),
        Just(What::End).boxed(),
    ]
}

pub(super) fn stream() -> Boxed<Vec<Observation>> {
    let observation = (at(), Union::new(kinds())).prop_map(|(at, what)| Observation { at, what });
    vec(observation, 0..20).boxed()
}

proptest! {
    #[test]
    fn any_stream_round_trips(stream in stream()) {
        let bytes = Maker::new().blocks(Kind::Events, &stream).bytes;
        if stream.is_empty() {
            prop_assert!(bytes.is_empty());
        } else {
            prop_assert_eq!(observations(&read(&bytes).unwrap()), stream);
        }
    }

    #[test]
    fn any_stream_can_be_replayed(stream in stream()) {
        let items = stream.into_iter().map(super::Item::Observation);
        let (lines, _) = super::replay(items);
        for line in lines {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
        }
    }

    #[test]
    fn any_header_round_trips(
        machine in session(),
        numbers: (u64, u32, bool, u32, u32),
        rules in option::of((text(), text())),
    ) {
        let (session, file, all, own_netns, own_pid) = numbers;
        let options = tracer_analysis::Options { all, own_netns, own_pid };
        let header = super::Header { session, file, machine, rules, options };
        let items = read(&Maker::new().header(&header).bytes).unwrap();
        prop_assert_eq!(items, vec![super::Item::Header(Box::new(header))]);
    }

    #[test]
    fn any_bytes_can_be_read_to_their_end(bytes in vec(any::<u8>(), 0..400), framed: bool) {
        let bytes = if framed {
            Maker::new().frame(Kind::Events, &bytes).bytes
        } else {
            bytes
        };
        let _ = read(&bytes);
    }
}
