//! Loads the kernel programs as planned, and attaches them: all that the main job needs, or
//! nothing. Optional hooks go down their ladder, and say why.

use std::io;

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::{FEntry, FExit, KProbe, Program, ProgramError, RawTracePoint, TracePoint};
use aya::{Btf, Ebpf, EbpfError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tracer_common::{Decisions, Layout};
use tracer_model::{Hierarchy, Hook};
use zerocopy::IntoBytes;

use super::embedded;
use super::facts::{INET_CONNECT, OOM_KILL, UNIX_CONNECT};
use super::http::Http;
use super::loader;
use super::patch::{self, Cast};
use super::plan::{BLIND_CONNECT, ConnectRung, Ladder, Plan, Refusal, ScopeRung, blind_without};
use super::skips::SECOND;
use super::tls::Tls;
use super::tracefs;
use super::verify;
use crate::settings::HttpMode;

/// The programs, as `build.rs` made them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));

/// The object for a kernel with this way of reading its memory, with second programs or without.
fn patched(cast: Option<Cast>, second_programs: bool) -> Vec<u64> {
    let mut words = vec![0; OBJECT.len().div_ceil(size_of::<u64>())];
    words.as_mut_bytes()[..OBJECT.len()].copy_from_slice(OBJECT);
    embedded::give_back(OBJECT);
    patch::patch(&mut words, cast);
    if !second_programs {
        patch::leave_out(words.as_mut_bytes(), SECOND);
    }
    words
}

/// Why tracing did not begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// It can't work on this machine.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The programs' object could not be brought into the kernel.
    #[error("loading the kernel programs: {what}{hint}")]
    Load {
        /// What failed on what.
        what: String,
        /// What to do; empty or starting with `; `.
        hint: &'static str,
    },
    /// One program could not be loaded or attached.
    #[error("kernel program {program}: {what}{hint}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What failed.
        what: String,
        /// What to do; empty or starting with `; `.
        hint: &'static str,
    },
    /// A map of the object is missing or can't be mapped.
    #[error("map {map}: {what}{hint}")]
    Map {
        /// Its name.
        map: &'static str,
        /// What failed.
        what: String,
        /// What to do; empty or starting with `; `.
        hint: &'static str,
    },
    /// The rings can't be waited for.
    #[error("waiting for the rings: {0}")]
    Wait(#[source] io::Error),
}

/// The raw tracepoint programs: hook, program, tracepoint.
const RAW_TRACEPOINTS: [(&str, &str, &str); 7] = [
    ("exit", "process_exit", "sched_process_exit"),
    ("tcp", "tcp_state", "inet_sock_set_state"),
    ("oom_mark", "oom_victim", "mark_victim"),
    ("signal", "signal_generate", "signal_generate"),
    ("exec", "process_exec", "sched_process_exec"),
    ("fork", "process_fork", "sched_process_fork"),
    ("cgroup", "cgroup_mkdir", "cgroup_mkdir"),
];

/// Their second programs, for events that the kernel skips the first for: hook, program, tracepoint.
const SECOND_PROGRAMS: [(&str, &str, &str); 5] = [
    ("exit", "process_exit_second", "sched_process_exit"),
    ("tcp", "tcp_state_second", "inet_sock_set_state"),
    ("signal", "signal_generate_second", "signal_generate"),
    ("exec", "process_exec_second", "sched_process_exec"),
    ("fork", "process_fork_second", "sched_process_fork"),
];

/// What runs in the kernel; everything is detached when this is dropped.
pub(super) struct Loaded {
    /// Keeps programs and links alive.
    pub(super) ebpf: Ebpf,
    /// Follows requests at proxies.
    pub(super) http: Http,
    /// The same inside TLS.
    pub(super) tls: Tls,
    tracepoints: Vec<tracefs::Attached>,
    pub(super) lost: PerCpuArray<MapData, u64>,
    /// Events that second programs made good, by what would have been lost.
    pub(super) made_good: PerCpuArray<MapData, u64>,
    /// Until when the reader looks by itself, CLOCK_BOOTTIME ns.
    pub(super) attentive: Array<MapData, u64>,
    pub(super) tcp_failures: HashMap<MapData, [u8; TCP_KEY], [u8; COUNT]>,
    pub(super) unix_failures: HashMap<MapData, [u8; UNIX_KEY], [u8; COUNT]>,
    pub(super) hooks: Vec<Hook>,
    pub(super) blind: Vec<String>,
    /// What the programs log.
    #[cfg(feature = "kernel-log")]
    pub(super) log: super::log::KernelLog,
    /// The rung of the ladder for the scope of OOM kills.
    pub(super) scope: ScopeRung,
}

/// The rings, to be read.
pub(super) struct Rings {
    pub(super) deaths: RingBuf<MapData>,
    pub(super) traffic: RingBuf<MapData>,
}

pub(super) const TCP_KEY: usize = size_of::<tracer_common::record::ConnectFailureKey>();
pub(super) const UNIX_KEY: usize = size_of::<tracer_common::record::UnixConnectFailureKey>();
pub(super) const COUNT: usize = size_of::<tracer_common::record::ConnectFailures>();

pub(super) fn load(
    plan: &Plan,
    layout: &Layout,
    http: HttpMode,
) -> Result<(Loaded, Rings), StartError> {
    raise_memlock();
    let decisions = Decisions {
        cgroup_v1: u32::from(plan.cgroups == Hierarchy::MemoryV1),
        connect_returns: u32::from(!plan.connect.rungs.is_empty()),
        http: match http {
            HttpMode::Off => 0,
            HttpMode::Proxies => 1,
            HttpMode::All => 2,
        },
        second_programs: u32::from(plan.interruptible),
    };
    let mut options = loader::without_types();
    if http == HttpMode::Off {
        // Room for nobody's requests.
        for map in [
            "EXCHANGES",
            "TLS_EXCHANGES",
            "TLS_CONNECTIONS",
            "TLS_SESSIONS",
        ] {
            options.map_max_entries(map, 1);
        }
    }
    let object = patched(plan.cast, plan.interruptible);
    let mut ebpf = options
        .override_global("LAYOUT", layout.as_bytes(), true)
        .override_global("DECISIONS", decisions.as_bytes(), true)
        .load(object.as_bytes())
        .map_err(|error| load_error(&error))?;

    let rings = Rings {
        deaths: take(&mut ebpf, "DEATHS")?,
        traffic: take(&mut ebpf, "TRAFFIC")?,
    };
    let mut loaded = Loaded {
        lost: take(&mut ebpf, "LOST")?,
        made_good: take(&mut ebpf, "MADE_GOOD")?,
        attentive: take(&mut ebpf, "ATTENTIVE")?,
        tcp_failures: take(&mut ebpf, "CONNECT_FAILURES")?,
        unix_failures: take(&mut ebpf, "UNIX_CONNECT_FAILURES")?,
        http: Http::new(&mut ebpf, http)?,
        tls: Tls::default(),
        #[cfg(feature = "kernel-log")]
        log: super::log::open(&mut ebpf).map_err(|error| {
            let Failure(what, hint) = Failure::of(&error);
            StartError::Load { what, hint }
        })?,
        ebpf,
        tracepoints: Vec::new(),
        hooks: Vec::new(),
        blind: Vec::new(),
        scope: ScopeRung::Counters,
    };
    verify::ahead(&mut loaded.ebpf, &first_programs(plan));
    let mut btf = LazyBtf::default();
    // Before the state changes, so that what the one leaves to the other is seen.
    if let Err(why) = loaded.attach_connect(plan, &mut btf) {
        // The programs count on connect()'s return being seen: again, without.
        drop(loaded);
        let mut plan = plan.clone();
        plan.connect = Ladder {
            rungs: Vec::new(),
            why_not: why,
        };
        return load(&plan, layout, http);
    }
    loaded.attach(plan, &mut btf)?;
    Ok((loaded, rings))
}

/// What is loaded first thing, if all goes well, and needs no type information for it.
fn first_programs(plan: &Plan) -> Vec<&'static str> {
    let connect: &[&str] = match plan.connect.rungs.first() {
        Some(ConnectRung::Kretprobe) => &["connect_kretprobe", "connect_kprobe"],
        Some(ConnectRung::SyscallExit) => &["connect_return"],
        Some(ConnectRung::Syscall) => &["connect_exit", "connect_enter"],
        Some(ConnectRung::Fexit) | None => &[],
    };
    let second: &[_] = if plan.interruptible {
        &SECOND_PROGRAMS
    } else {
        &[]
    };
    let raw = RAW_TRACEPOINTS
        .iter()
        .chain(second)
        .filter(|(_, _, tracepoint)| !plan.without.contains(tracepoint))
        .map(|&(_, program, _)| program);
    connect.iter().copied().chain(raw).collect()
}

impl Loaded {
    fn attach(&mut self, plan: &Plan, btf: &mut LazyBtf) -> Result<(), StartError> {
        for (name, program, tracepoint) in RAW_TRACEPOINTS {
            let mut hook = Hook {
                name: name.into(),
                via: Some(format!("raw_tracepoint {tracepoint}")),
                ok: true,
                why: None,
            };
            let outcome = if plan.without.contains(&tracepoint) {
                Err(Failure("the kernel has no such tracepoint".into(), ""))
            } else {
                self.attach_raw(program, tracepoint)
            };
            if let Err(Failure(what, hint)) = outcome {
                let Some(unseen) = blind_without(tracepoint) else {
                    return Err(StartError::Program {
                        program,
                        what,
                        hint,
                    });
                };
                self.blind.push(unseen.into());
                hook.ok = false;
                hook.why = Some(what);
            }
            self.hooks.push(hook);
        }
        if plan.interruptible {
            self.attach_second(plan);
        }
        self.attach_scope(plan, btf);
        Ok(())
    }

    /// Each after its first, so that the kernel runs it after that. Without one, what the kernel
    /// skips is lost, and told as such.
    fn attach_second(&mut self, plan: &Plan) {
        for (name, program, tracepoint) in SECOND_PROGRAMS {
            if plan.without.contains(&tracepoint) {
                continue;
            }
            if let Err(Failure(what, _)) = self.attach_raw(program, tracepoint)
                && let Some(hook) = self.hooks.iter_mut().find(|hook| hook.name == name)
            {
                hook.why = Some(format!("events may be skipped: {program}: {what}"));
            }
        }
    }

    fn attach_raw(&mut self, name: &str, tracepoint: &str) -> Result<(), Failure> {
        let program: &mut RawTracePoint = loaded(&mut self.ebpf, name)?;
        program
            .attach(tracepoint)
            .map_err(|error| Failure::of(&error))?;
        Ok(())
    }

    /// Takes the first rung that holds. When there were rungs and none held, tells why.
    fn attach_connect(&mut self, plan: &Plan, btf: &mut LazyBtf) -> Result<(), Vec<String>> {
        let mut why = plan.connect.why_not.clone();
        for &rung in &plan.connect.rungs {
            let outcome = match rung {
                ConnectRung::Fexit => self
                    .attach_fexit("unix_connect_fexit", UNIX_CONNECT, btf)
                    .and_then(|()| self.attach_fexit("inet_connect_fexit", INET_CONNECT, btf)),
                // The return first: an entry without one would only be remembered.
                ConnectRung::Kretprobe => self
                    .attach_kprobe("connect_kretprobe", &[UNIX_CONNECT, INET_CONNECT])
                    .and_then(|()| {
                        self.attach_kprobe("connect_kprobe", &[UNIX_CONNECT, INET_CONNECT])
                    }),
                ConnectRung::SyscallExit => {
                    self.attach_tracepoint("connect_return", "sys_exit_connect")
                }
                ConnectRung::Syscall => self
                    .attach_tracepoint("connect_exit", "sys_exit_connect")
                    .and_then(|()| self.attach_tracepoint("connect_enter", "sys_enter_connect")),
            };
            match outcome {
                Ok(()) => {
                    self.hooks.push(hook("connect", Some(rung.via()), &why));
                    return Ok(());
                }
                Err(Failure(what, _)) => {
                    why.push(format!("{}: {what}", rung.via()));
                    self.detach_connect();
                }
            }
        }
        if !plan.connect.rungs.is_empty() {
            return Err(why);
        }
        self.blind.push(BLIND_CONNECT.into());
        self.hooks.push(hook("connect", None, &why));
        Ok(())
    }

    /// Takes back the half of a rung that held, so that nothing is seen twice.
    fn detach_connect(&mut self) {
        self.tracepoints.clear();
        for name in [
            "unix_connect_fexit",
            "inet_connect_fexit",
            "connect_kprobe",
            "connect_kretprobe",
            "connect_return",
            "connect_enter",
            "connect_exit",
        ] {
            // Fails when it was not loaded.
            let _ = match self.ebpf.program_mut(name) {
                Some(Program::FExit(program)) => program.unload(),
                Some(Program::KProbe(program)) => program.unload(),
                Some(Program::TracePoint(program)) => program.unload(),
                _ => Ok(()),
            };
        }
    }

    fn attach_scope(&mut self, plan: &Plan, btf: &mut LazyBtf) {
        let mut why = plan.scope.why_not.clone();
        for &rung in &plan.scope.rungs {
            let outcome = match rung {
                ScopeRung::Fentry => self.attach_fentry("oom_scope_fentry", OOM_KILL, btf),
                ScopeRung::Kprobe => self.attach_kprobe("oom_scope_kprobe", &[OOM_KILL]),
                ScopeRung::KernelLog | ScopeRung::Counters => Ok(()),
            };
            match outcome {
                Ok(()) => {
                    self.scope = rung;
                    self.hooks.push(hook("oom_scope", Some(rung.via()), &why));
                    return;
                }
                Err(Failure(what, _)) => why.push(format!("{}: {what}", rung.via())),
            }
        }
    }

    fn attach_fexit(
        &mut self,
        name: &str,
        function: &str,
        btf: &mut LazyBtf,
    ) -> Result<(), Failure> {
        let program: &mut FExit = program(&mut self.ebpf, name)?;
        program
            .load(function, btf.get()?)
            .map_err(|error| Failure::of(&error))?;
        program.attach().map_err(|error| Failure::of(&error))?;
        Ok(())
    }

    fn attach_fentry(
        &mut self,
        name: &str,
        function: &str,
        btf: &mut LazyBtf,
    ) -> Result<(), Failure> {
        let program: &mut FEntry = program(&mut self.ebpf, name)?;
        program
            .load(function, btf.get()?)
            .map_err(|error| Failure::of(&error))?;
        program.attach().map_err(|error| Failure::of(&error))?;
        Ok(())
    }

    fn attach_kprobe(&mut self, name: &str, functions: &[&str]) -> Result<(), Failure> {
        let program: &mut KProbe = loaded(&mut self.ebpf, name)?;
        for function in functions {
            program
                .attach(*function, 0)
                .map_err(|error| Failure::of(&error))?;
        }
        Ok(())
    }

    fn attach_tracepoint(&mut self, name: &str, tracepoint: &str) -> Result<(), Failure> {
        let program: &mut TracePoint = loaded(&mut self.ebpf, name)?;
        let fd = program.fd().map_err(|error| Failure::of(&error))?;
        let attached = tracefs::tracepoint_id("syscalls", tracepoint)
            .and_then(|id| tracefs::attach(std::os::fd::AsFd::as_fd(fd), id))
            .map_err(|error| Failure(error.to_string(), ""))?;
        self.tracepoints.push(attached);
        Ok(())
    }
}

/// The kernel's type information as aya reads it, read once, and only when needed.
#[derive(Default)]
struct LazyBtf(Option<Btf>);

impl LazyBtf {
    fn get(&mut self) -> Result<&Btf, Failure> {
        if self.0.is_none() {
            let btf = Btf::from_sys_fs().map_err(|error| Failure(error.to_string(), ""))?;
            self.0 = Some(btf);
        }
        self.0
            .as_ref()
            .ok_or_else(|| Failure("no type information".into(), ""))
    }
}

/// One of the object's programs, as what it is, verified by the kernel.
pub(super) fn loaded<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, Failure>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    if let Some(program) = ebpf.program_mut(name) {
        verify::load(program).map_err(|error| Failure::of(&error))?;
    }
    program(ebpf, name)
}

/// One of the object's programs, as what it is.
fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, Failure>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| Failure("the object has no such program".into(), ""))?
        .try_into()
        .map_err(|error| Failure::of(&error))
}

fn hook(name: &str, via: Option<&str>, why: &[String]) -> Hook {
    Hook {
        name: name.into(),
        via: via.map(Into::into),
        ok: via.is_some(),
        why: (!why.is_empty()).then(|| why.join("; ")),
    }
}

/// One of the object's maps, as what it is.
pub(super) fn take<M>(ebpf: &mut Ebpf, map: &'static str) -> Result<M, StartError>
where
    M: TryFrom<aya::maps::Map, Error = MapError>,
{
    ebpf.take_map(map)
        .ok_or(MapError::InvalidName { name: map.into() })
        .and_then(M::try_from)
        .map_err(|error| {
            let Failure(what, hint) = Failure::of(&error);
            StartError::Map { map, what, hint }
        })
}

/// Up to 5.10, maps count against the limit on locked memory.
fn raise_memlock() {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    // Without the capability for it the present limit may still do; if not, creating a map fails
    // and says so.
    let _ = setrlimit(Resource::Memlock, unlimited);
}

const MEMLOCK: &str = "; the limit on locked memory is too low: raise it with `ulimit -l unlimited` \
                       (systemd: LimitMEMLOCK=infinity)";
const PERMISSION: &str =
    "; run as root outside of containers, with CAP_SYS_ADMIN or with CAP_BPF and CAP_PERFMON";

const REJECTED: &str = "; this kernel's verifier refused the program: please report it";

/// The verifier's last line that is not statistics.
fn verifier_reason(log: &str) -> &str {
    const STATISTICS: [&str; 3] = ["verification time", "stack depth", "processed "];
    log.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !STATISTICS.iter().any(|it| line.starts_with(it)))
        .unwrap_or("no reason given")
}

/// What failed, and what to do about it.
pub(super) struct Failure(pub(super) String, pub(super) &'static str);

impl Failure {
    /// Tells the whole chain of causes, without the verifier's pages.
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = String::new();
        let mut cause = Some(error);
        let mut os = None;
        let mut verifier = false;
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                os = io.raw_os_error();
            }
            let mut line = error.to_string();
            // The kernel's verifier explains itself at length; the last line holds the reason.
            if let Some((head, log)) = line.split_once("Verifier output:") {
                verifier = true;
                let head = head.trim_end_matches([' ', '.']);
                line = format!("{head}: {}", verifier_reason(log));
            }
            if !text.contains(&line) {
                if !text.is_empty() {
                    text.push_str(": ");
                }
                text.push_str(&line);
            }
            cause = error.source();
        }
        let limited = getrlimit(Resource::Memlock).current.is_some();
        let hint = match os {
            Some(libc::EACCES | libc::EINVAL) if verifier => REJECTED,
            Some(libc::EPERM | libc::ENOMEM) if limited => MEMLOCK,
            Some(libc::EPERM | libc::EACCES) => PERMISSION,
            Some(libc::ENOMEM) => "; the machine, or the cgroup this runs in, is out of memory",
            _ => "",
        };
        Self(text, hint)
    }
}

fn load_error(error: &EbpfError) -> StartError {
    let Failure(what, hint) = Failure::of(error);
    StartError::Load { what, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_second_programs_are_left_out_of_the_object() {
        let (with, without) = (patched(None, true), patched(None, false));
        let (with, without) = (with.as_bytes(), without.as_bytes());
        let differences = with.iter().zip(without).filter(|(one, other)| one != other);
        assert_eq!(differences.count(), SECOND_PROGRAMS.len());
    }
}
