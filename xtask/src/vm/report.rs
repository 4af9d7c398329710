//! Results: of each guest when it ends, and one table of all guests at the end.

use std::time::Duration;

use super::kernels::Kernel;
use super::protocol::{End, Step};
use super::qemu::Ended;

/// How many lines of a failed step's output are shown.
const LINES: usize = 60;

/// The result of one kernel's guest.
pub(crate) struct Outcome {
    /// The kernel.
    pub(crate) kernel: Kernel,
    /// The guest.
    pub(crate) ended: Ended,
    /// The planned steps.
    pub(crate) planned: Vec<&'static str>,
}

impl Outcome {
    /// Whether every planned step passed.
    pub(crate) fn passed(&self) -> bool {
        self.planned
            .iter()
            .all(|name| self.step(name).is_some_and(|step| step.failed.is_none()))
            && self.ended.end == End::Done
    }

    fn step(&self, name: &str) -> Option<&Step> {
        let mut steps = self.ended.transcript.steps.iter();
        steps.find(|step| step.name == name)
    }

    /// The result of one step, for the table.
    fn cell(&self, name: &str) -> String {
        match self.step(name) {
            Some(step) if step.failed.is_none() => seconds(step.took),
            Some(_) => "FAILED".to_owned(),
            None if self.planned.contains(&name) => "NOT RUN".to_owned(),
            None => String::new(),
        }
    }

    /// The failed steps with their output; if the guest ended too early, also the end of its
    /// console.
    pub(crate) fn describe(&self, console: &[String]) -> String {
        let transcript = &self.ended.transcript;
        let booted = transcript.booted.map_or(0.0, |it| it.as_secs_f64());
        let release = transcript.release.as_deref();
        let mut lines = vec![format!(
            "kernel {} ({}): {} in {:.0} s, booted in {booted:.0} s",
            self.kernel.series.name,
            release.unwrap_or(&self.kernel.version),
            if self.passed() { "passed" } else { "FAILED" },
            self.ended.took.as_secs_f64(),
        )];
        let indented = |line: &String| format!("     {line}");
        for step in &transcript.steps {
            let Some(why) = &step.failed else { continue };
            lines.push(format!("---- {} failed: {why}", step.name));
            let skipped = step.output.len().saturating_sub(LINES);
            lines.extend(step.output[skipped..].iter().map(indented));
        }
        if self.ended.end != End::Done {
            let during = transcript.interrupted().unwrap_or("no step");
            let why = why(&self.ended.end);
            lines.push(format!("---- the guest ended during {during}: {why}"));
            lines.push("---- the end of its console:".to_owned());
            lines.extend(console.iter().map(indented));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

fn why(end: &End) -> String {
    match end {
        End::Done => "its plan is finished".to_owned(),
        End::Cut => "it asked for a power cut".to_owned(),
        End::Fatal(line) => line.clone(),
        End::Silent => "no output for 90 s".to_owned(),
        End::Late => "time limit exceeded".to_owned(),
        End::Gone => "the emulator exited".to_owned(),
    }
}

/// The table of all kernels: one row per step, one column per kernel.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for outcome in outcomes {
        for name in &outcome.planned {
            if !names.contains(name) {
                names.push(name);
            }
        }
    }
    let row = |name: &str, cells: Vec<String>| {
        let begun = format!("{name:<20}");
        let line = cells
            .iter()
            .fold(begun, |line, cell| format!("{line}{cell:>12}"));
        format!("{line}\n")
    };
    let cells = |cell: &dyn Fn(&Outcome) -> String| outcomes.iter().map(cell).collect();
    let mut text = row("", cells(&|it| it.kernel.series.name.to_owned()));
    for name in names {
        text.push_str(&row(name, cells(&|it| it.cell(name))));
    }
    let whole = cells(&|it| seconds(it.ended.took));
    text.push_str(&row("the whole guest", whole));
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
