//! The cause of a death: one verdict from the evidence, with the sentence a tired person can act
//! on. Pure: everything it may use is in [`Evidence`].

mod conclusion;
mod evidence;
mod heap;
mod oom;
mod oom_facts;
mod sent;
mod signal;

use std::borrow::Cow;

pub use conclusion::Verdict;
pub use evidence::Evidence;
pub use heap::{default_heap, heap_limit};
pub use oom_facts::{OomFacts, Scope};
pub use sent::{SenderKind, Sent, sender_kind};

use tracer_model::{Cause, ExitStatus, SignalName};

pub use super::managers::SenderFacts;
use conclusion::Tail;

/// The verdict.
pub fn verdict(evidence: &Evidence) -> Verdict {
    match evidence.status {
        None => Verdict::new(
            Cause::Unknown,
            "exited unseen, while events were lost",
            Tail::Nothing,
            "exited unseen",
        ),
        Some(ExitStatus::Code(code)) => exited(code, evidence),
        Some(ExitStatus::Signal {
            signal,
            core_dumped,
        }) => {
            let signal = u32::from(signal);
            if signal == sent::KILL
                && let Some(oom) = &evidence.oom
            {
                return oom::verdict(oom);
            }
            heap::verdict(signal, evidence)
                .unwrap_or_else(|| signal::verdict(signal, core_dumped, evidence))
        }
    }
}

fn exited(code: u8, evidence: &Evidence) -> Verdict {
    let asked = evidence.asked();
    let conventional = asked.is_some_and(|stop| u32::from(code) == 128 + stop.signal);
    match (code, asked) {
        (0, Some(stop)) => Verdict::new(
            Cause::Clean,
            format!("{} ({}), exited cleanly", stop.stopped(), stop.name()),
            Tail::Nothing,
            stop.stopped(),
        ),
        (0, None) => Verdict::new(Cause::Clean, "exited cleanly", Tail::Up, "exited cleanly"),
        (code, Some(stop)) if stop.manager().is_some() || conventional => Verdict::new(
            Cause::Clean,
            format!("{} ({}), exited with {code}", stop.stopped(), stop.name()),
            Tail::Nothing,
            stop.stopped(),
        ),
        (code, _) => {
            let reported = match code {
                126 => Cow::from(": its command could not be executed"),
                127 => ": a command was not found".into(),
                129..=159 => {
                    let signal = SignalName(u32::from(code) - 128);
                    format!(": a child or wrapper reported {signal}").into()
                }
                _ => "".into(),
            };
            Verdict::new(
                Cause::Error,
                format!("exit status {code}{reported}"),
                Tail::Up,
                format!("exit status {code}"),
            )
        }
    }
}

#[cfg(test)]
mod tests;
