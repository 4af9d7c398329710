//! The memory story: how much memory the dead process used, of which limit, how fast it grew, and
//! whether earlier deaths were alike.

use tracer_model::quantity::bytes;
use tracer_model::{Cause, Death};

use super::super::formatting::{self, ms};
use super::super::model::{Alike, MemoryStory};
use super::history::used;
use super::statistics::median;

/// From this percentage of the limit on, memory may have contributed to the death.
const NEAR: u64 = 80;

/// None if nothing is known about its memory, or if neither cause nor limit relates to memory.
pub(super) fn story(death: &Death, alike: Option<&Alike>) -> Option<MemoryStory> {
    let memory = &death.memory;
    let used_bytes = used(memory)?;
    let percent = memory
        .limit_bytes
        .filter(|limit| *limit > 0)
        .map(|limit| u64::try_from(u128::from(used_bytes) * 100 / u128::from(limit)).unwrap_or(0));
    let by_memory = matches!(
        death.cause,
        Cause::OomCgroup | Cause::OomGlobal | Cause::OomDaemon | Cause::HeapLimit
    );
    let near = percent.is_some_and(|percent| percent >= NEAR);
    if !by_memory && memory.limit_bytes.is_none() {
        return None;
    }
    let mut sentences = Vec::new();
    let kind = match memory.anon_bytes {
        Some(_) => "anonymous memory",
        None => "resident memory at peak",
    };
    sentences.push(match (memory.limit_bytes, percent) {
        (Some(limit), Some(percent)) => format!(
            "It used {} of {kind}, {percent} % of the {} limit.",
            bytes(used_bytes),
            bytes(limit)
        ),
        _ => format!("It used {} of {kind}.", bytes(used_bytes)),
    });
    if by_memory {
        sentences.extend(growth(death, used_bytes, alike));
    } else if !near {
        sentences.push("Memory was not the cause.".to_owned());
    }
    Some(MemoryStory {
        used_bytes,
        peak_bytes: memory.peak_bytes,
        limit_bytes: memory.limit_bytes,
        limit_cgroup: memory.limit_cgroup.clone(),
        percent,
        sentences,
    })
}

/// How fast it got there, now and before earlier deaths.
fn growth(death: &Death, used_bytes: u64, alike: Option<&Alike>) -> Vec<String> {
    let lived = death.process.uptime_ms;
    let mut sentences = Vec::new();
    if lived >= 60_000 {
        let per_minute = u128::from(used_bytes) * 60_000 / u128::from(lived);
        let rate = u64::try_from(per_minute).unwrap_or(u64::MAX);
        sentences.push(format!(
            "It ran for {}, growing by {} per minute on average.",
            formatting::whole_ms(lived),
            bytes(rate)
        ));
    } else {
        // A rate over a few seconds would mean nothing.
        sentences.push(format!("It ran for {}.", formatting::whole_ms(lived)));
    }
    let Some(alike) = alike else { return sentences };
    let mut peaks: Vec<u64> = alike
        .latest
        .iter()
        .filter_map(|death| death.used_bytes)
        .collect();
    peaks.sort_unstable();
    if let (Some(least), Some(most)) = (peaks.first(), peaks.last()) {
        let range = if bytes(*least) == bytes(*most) {
            bytes(*most)
        } else {
            format!("{} to {}", bytes(*least), bytes(*most))
        };
        let before = match alike.latest.len() {
            1 => "The previous time".to_owned(),
            count => format!("The previous {count} times"),
        };
        sentences.push(format!("{before} it died at {range}."));
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let mut lifetimes: Vec<f64> = alike
        .latest
        .iter()
        .map(|death| death.uptime_ms as f64)
        .chain([lived as f64])
        .collect();
    if lifetimes.len() > 2
        && let Some(usual) = median(&mut lifetimes)
    {
        sentences.push(format!(
            "It usually dies {} after it starts; expect the next death then.",
            ms(usual)
        ));
    }
    sentences
}
