//! Attaches the kernel programs as planned: every hook that tracing cannot do without, or none at
//! all. Optional hooks go down their ladder and keep why.

mod connect;
mod ladder;
mod oom_scope;
mod program;

use aya::Ebpf;
use aya::maps::{Array, MapData, RingBuf};
use tracer_common::Layout;
use tracer_model::Hook;

use self::ladder::hook;
use self::program::{LazyBtf, attach_raw_tracepoint};
use super::connect_counters::ConnectCounters;
use super::error::{Failure, StartError};
use super::hooks::{BLIND_CONNECT, RAW_TRACEPOINTS};
use super::http::Http;
use super::losses::Losses;
use super::object::{self, take_map};
use super::plan::{Ladder, Plan, ScopeRung};
use super::settings::HttpMode;
use super::tls::Tls;
use super::tracefs;
use super::verify;

/// The hooks that are attached, and the maps of their programs. Everything is detached when this is
/// dropped.
pub(super) struct Armed {
    /// Keeps programs and links alive.
    pub(super) ebpf: Ebpf,
    /// Follows requests at proxies.
    pub(super) http: Http,
    /// Follows requests inside TLS at proxies.
    pub(super) tls: Tls,
    /// Attached to system calls' tracepoints.
    tracepoints: Vec<tracefs::Attached>,
    /// Lost events.
    pub(super) losses: Losses,
    /// Until when the reader looks without being woken, CLOCK_BOOTTIME ns.
    pub(super) attentive: Array<MapData, u64>,
    /// Failed connects, counted in the kernel.
    pub(super) connect_counters: ConnectCounters,
    /// How each hook is attached, or why it is not.
    pub(super) hooks: Vec<Hook>,
    /// What cannot be seen, in words.
    pub(super) blind: Vec<String>,
    /// What the programs log.
    #[cfg(feature = "kernel-log")]
    pub(super) log: super::log::KernelLog,
    /// How the scope of OOM kills is found out.
    pub(super) scope: ScopeRung,
}

/// The ring buffers that the programs send records to.
pub(super) struct Rings {
    pub(super) deaths: RingBuf<MapData>,
    pub(super) traffic: RingBuf<MapData>,
}

/// Loads and attaches all that is planned.
pub(super) fn attach(
    plan: &Plan,
    layout: &Layout,
    http: HttpMode,
) -> Result<(Armed, Rings), StartError> {
    let mut ebpf = object::open(plan, layout, http)?;
    let rings = Rings {
        deaths: take_map(&mut ebpf, "DEATHS")?,
        traffic: take_map(&mut ebpf, "TRAFFIC")?,
    };
    let mut armed = Armed {
        losses: Losses::new(&mut ebpf)?,
        attentive: take_map(&mut ebpf, "ATTENTIVE")?,
        connect_counters: ConnectCounters::new(&mut ebpf)?,
        http: Http::new(&mut ebpf, http)?,
        tls: Tls::default(),
        #[cfg(feature = "kernel-log")]
        log: super::log::open(&mut ebpf).map_err(|error| StartError::Load(Failure::of(&error)))?,
        ebpf,
        tracepoints: Vec::new(),
        hooks: Vec::new(),
        blind: Vec::new(),
        scope: ScopeRung::Counters,
    };
    verify::ahead(&mut armed.ebpf, &first_programs(plan));
    let mut btf = LazyBtf::default();
    // Before the hook on TCP states, which leaves some failures to this one.
    if let Err(why) = armed.attach_connect(plan, &mut btf) {
        // The loaded programs rely on this hook: load them again for tracing without it.
        drop((armed, rings));
        let mut plan = plan.clone();
        plan.connect = Ladder {
            rungs: Vec::new(),
            why_not: why,
        };
        return attach(&plan, layout, http);
    }
    armed.attach_raw_tracepoints(plan)?;
    if plan.interruptible {
        armed.attach_second_programs(plan);
    }
    armed.attach_oom_scope(plan, &mut btf);
    Ok((armed, rings))
}

/// The programs that are attached first when nothing fails, of those that the kernel can verify
/// without being given a function's type.
fn first_programs(plan: &Plan) -> Vec<&'static str> {
    let connect = plan.connect.rungs.first();
    let connect = connect.map_or(&[][..], |&rung| connect::programs(rung));
    let raw = || {
        let present = |tracepoint| !plan.without.contains(&tracepoint);
        let hooks = RAW_TRACEPOINTS.iter();
        hooks.filter(move |hook| present(hook.tracepoint))
    };
    let second = raw().filter_map(|hook| hook.second.filter(|_| plan.interruptible));
    connect
        .iter()
        .copied()
        .chain(raw().map(|hook| hook.program))
        .chain(second)
        .collect()
}

impl Armed {
    /// Attaches the hook on the result of connect(). When there are rungs and none works, returns
    /// why.
    fn attach_connect(&mut self, plan: &Plan, btf: &mut LazyBtf) -> Result<(), Vec<String>> {
        match connect::attach(&mut self.ebpf, &plan.connect, btf) {
            Ok(taken) => {
                self.tracepoints = taken.links;
                let via = Some(taken.rung.via());
                self.hooks.push(hook("connect", via, &taken.why));
            }
            Err(why) if plan.connect.rungs.is_empty() => {
                self.blind.push(BLIND_CONNECT.into());
                self.hooks.push(hook("connect", None, &why));
            }
            Err(why) => return Err(why),
        }
        Ok(())
    }

    fn attach_raw_tracepoints(&mut self, plan: &Plan) -> Result<(), StartError> {
        for raw in &RAW_TRACEPOINTS {
            let mut hook = Hook {
                name: raw.hook.into(),
                via: Some(format!("raw_tracepoint {}", raw.tracepoint)),
                ok: true,
                why: None,
            };
            let outcome = if plan.without.contains(&raw.tracepoint) {
                Err(Failure::new("the kernel has no such tracepoint"))
            } else {
                attach_raw_tracepoint(&mut self.ebpf, raw.program, raw.tracepoint)
            };
            if let Err(failure) = outcome {
                let Some(unseen) = raw.blind else {
                    return Err(StartError::Program {
                        program: raw.program,
                        failure,
                    });
                };
                self.blind.push(unseen.into());
                hook.ok = false;
                hook.why = Some(failure.what);
            }
            self.hooks.push(hook);
        }
        Ok(())
    }

    /// Attaches second programs, all after the first ones so that the kernel runs them later. Where
    /// this fails, the events that the kernel skips are lost, and counted as lost.
    fn attach_second_programs(&mut self, plan: &Plan) {
        for raw in &RAW_TRACEPOINTS {
            let Some(second) = raw.second else { continue };
            if plan.without.contains(&raw.tracepoint) {
                continue;
            }
            if let Err(failure) = attach_raw_tracepoint(&mut self.ebpf, second, raw.tracepoint)
                && let Some(hook) = self.hooks.iter_mut().find(|hook| hook.name == raw.hook)
            {
                hook.why = Some(format!(
                    "the kernel may skip events: {second}: {}",
                    failure.what
                ));
            }
        }
    }

    fn attach_oom_scope(&mut self, plan: &Plan, btf: &mut LazyBtf) {
        if let Ok(taken) = oom_scope::attach(&mut self.ebpf, &plan.scope, btf) {
            self.scope = taken.rung;
            let via = Some(taken.rung.via());
            self.hooks.push(hook("oom_scope", via, &taken.why));
        }
    }
}
