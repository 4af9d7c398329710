//! Runtimes that abort at a memory limit of their own: V8.
//!
//! V8 aborts (SIGABRT; SIGTRAP in some builds) when its old space is full, which looks like a
//! crash. The peak distinguishes it: within reach of the heap's limit.

use tracer_model::quantity::bytes;
use tracer_model::{Cause, ProcessFacts, SignalName};

use super::conclusion::{Tail, Verdict};
use super::evidence::Evidence;

const TRAP: u32 = 5;
const ABRT: u32 = 6;
const GIB: u64 = 1 << 30;

/// The heap limit of a node process: the configured one, else V8's default. None when it is not node.
pub fn heap_limit(facts: &ProcessFacts, memory_bytes: u64) -> Option<u64> {
    let program = facts
        .exe
        .as_deref()
        .or(facts.args.first().map(|arg| &**arg))
        .unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    if !matches!(name, "node" | "nodejs") && facts.task.comm.as_bytes() != b"node" {
        return None;
    }
    let configured = facts
        .args
        .iter()
        .flat_map(|arg| arg.split_whitespace())
        .chain(
            facts
                .env("NODE_OPTIONS")
                .into_iter()
                .flat_map(str::split_whitespace),
        )
        .find_map(|option| {
            let option = option.strip_prefix("--max")?.replace('_', "-");
            option.strip_prefix("-old-space-size=")?.parse::<u64>().ok()
        });
    match configured {
        Some(mib) => mib.checked_mul(1 << 20),
        None => default_heap(memory_bytes.min(facts.memory_limit_bytes.unwrap_or(u64::MAX))),
    }
}

/// V8's default on 64 bits: a quarter of the memory it may use, at most 2 GiB, or 4 GiB when there
/// are 15 GiB or more. None when the memory is not known.
pub fn default_heap(memory_bytes: u64) -> Option<u64> {
    let cap = if memory_bytes >= 15 * GIB { 4 } else { 2 } * GIB;
    (memory_bytes != 0).then(|| (memory_bytes / 4).min(cap))
}

pub(super) fn verdict(signal: u32, evidence: &Evidence) -> Option<Verdict> {
    let limit = evidence.heap_limit_bytes?;
    let raised = match signal {
        ABRT => evidence
            .stop
            .as_ref()
            .is_none_or(|sent| sent.signal != ABRT || sent.by_itself()),
        TRAP => true,
        _ => false,
    };
    // Above the limit there is only what is outside the old space: code, stacks, buffers.
    if !raised || evidence.peak_bytes < limit / 5 * 4 {
        return None;
    }
    let limit = bytes(limit);
    Some(Verdict::new(
        Cause::HeapLimit,
        format!(
            "aborted by V8 ({}): its heap limit is about {limit}, peak {}",
            SignalName(signal),
            bytes(evidence.peak_bytes)
        ),
        Tail::Up,
        format!("V8 heap limit (about {limit})"),
    ))
}
