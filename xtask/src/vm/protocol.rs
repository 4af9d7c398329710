//! Reads a guest's console and decides when the guest is finished or has failed. Pure: lines and
//! times in, decisions out.
//!
//! Lines with [`PREFIX`] come from the guest's agent (`tests/src/bin/guest/agent.rs`); all others come
//! from the kernel, systemd, or a step.

use std::time::Duration;

/// How the agent's lines begin.
pub(super) const PREFIX: &str = "@@vm ";

/// Messages after which a guest can't go on. The kernel's command line turns stalls and lockups into
/// panics.
const FATAL: [&str; 4] = [
    "Kernel panic - not syncing",
    "BUG: unable to handle",
    "Oops: ",
    "You are in emergency mode",
];

/// A guest without output for this long hangs: the agent prints a line every 10 s.
pub(super) const SILENCE: Duration = Duration::from_secs(90);

/// The result of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its name in the plan.
    pub(crate) name: String,
    /// How long it took, by the clock of the guest.
    pub(crate) took: Duration,
    /// Why it failed, if it did.
    pub(crate) failed: Option<String>,
    /// What it printed.
    pub(crate) output: Vec<String>,
}

/// Why a guest ended or has to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The agent has finished its plan.
    Done,
    /// The agent wants its power cut.
    Cut,
    /// The kernel or systemd failed.
    Fatal(String),
    /// There was no output for too long.
    Silent,
    /// It exceeded its time limit.
    Late,
    /// The emulator exited.
    Gone,
}

/// A fact that a step reports to the host: `@@vm fact <topic> <text>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// Its kind.
    pub(crate) topic: String,
    /// The rest of the line.
    pub(crate) text: String,
}

/// The console of one guest so far.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// `uname -r`, once the agent runs.
    pub(crate) release: Option<String>,
    /// From power-on until the agent ran.
    pub(crate) booted: Option<Duration>,
    /// Finished steps.
    pub(crate) steps: Vec<Step>,
    /// Facts that steps reported.
    pub(crate) facts: Vec<Fact>,
    /// The running step: its name, start and output.
    running: Option<(String, Duration, Vec<String>)>,
}

impl Transcript {
    /// Takes one line of the console, printed at time `at` after power-on.
    pub(super) fn line(&mut self, at: Duration, line: &str) -> Option<End> {
        if let Some((_, message)) = line.split_once(PREFIX) {
            return self.agent(at, message.trim_end());
        }
        if FATAL.iter().any(|fatal| line.contains(fatal)) {
            return Some(End::Fatal(line.trim().to_owned()));
        }
        if let Some((_, _, output)) = &mut self.running {
            output.push(line.to_owned());
        }
        None
    }

    fn agent(&mut self, at: Duration, message: &str) -> Option<End> {
        let (verb, rest) = message.split_once(' ').unwrap_or((message, ""));
        match verb {
            "up" => {
                self.release = Some(rest.to_owned());
                self.booted = Some(at);
            }
            "begin" => self.running = Some((rest.to_owned(), at, Vec::new())),
            "pass" | "fail" => self.ended(verb == "pass", rest),
            "fact" => {
                let (topic, text) = rest.split_once(' ').unwrap_or((rest, ""));
                self.facts.push(Fact {
                    topic: topic.to_owned(),
                    text: text.to_owned(),
                });
            }
            "cut" => {
                // The step gets what it asked for, but can report nothing after that.
                if let Some((name, since, output)) = self.running.take() {
                    self.steps.push(Step {
                        name,
                        took: at.saturating_sub(since),
                        failed: None,
                        output,
                    });
                }
                return Some(End::Cut);
            }
            "done" => return Some(End::Done),
            _ => {}
        }
        None
    }

    /// `rest` is `<milliseconds> <name>` and, after a failure, ` <why>`.
    fn ended(&mut self, passed: bool, rest: &str) {
        let mut words = rest.splitn(3, ' ');
        let ms = words.next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let name = words.next().unwrap_or_default();
        let why = words.next().unwrap_or("no reason given");
        let output = self.running.take().map(|(_, _, output)| output);
        self.steps.push(Step {
            name: name.to_owned(),
            took: Duration::from_millis(ms),
            failed: (!passed).then(|| why.to_owned()),
            output: output.unwrap_or_default(),
        });
    }

    /// Appends the console of the next boot of the same guest.
    pub(super) fn extend(&mut self, next: Self) {
        self.steps.extend(next.steps);
        self.facts.extend(next.facts);
        self.running = next.running;
    }

    /// The step that was running when the guest ended.
    pub(crate) fn interrupted(&self) -> Option<&str> {
        self.running.as_ref().map(|(name, ..)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::from_secs(7);

    #[test]
    fn a_guest_is_followed_from_boot_to_the_end_of_its_plan() {
        let mut transcript = Transcript::default();
        for line in [
            "[    0.0] Linux version 6.1.0",
            "@@vm up 6.1.0-50-cloud-amd64",
            "@@vm begin systemd",
            "test output",
            "@@vm fact doctor {\"a\": 1}",
            "@@vm alive",
            "@@vm pass 12500 systemd",
            "@@vm begin stops",
            "it broke",
            "@@vm fail 900 stops exit status: 101",
        ] {
            assert_eq!(transcript.line(AT, line), None, "{line}");
        }
        assert_eq!(transcript.release.as_deref(), Some("6.1.0-50-cloud-amd64"));
        assert_eq!(transcript.booted, Some(AT));
        assert_eq!(transcript.facts[0].topic, "doctor");
        assert_eq!(transcript.facts[0].text, "{\"a\": 1}");
        let [systemd, stops] = &transcript.steps[..] else {
            unreachable!("{transcript:?}")
        };
        assert_eq!(systemd.took, Duration::from_millis(12_500));
        assert_eq!(systemd.failed, None);
        assert_eq!(systemd.output, ["test output"]);
        assert_eq!(stops.failed.as_deref(), Some("exit status: 101"));
        assert_eq!(stops.output, ["it broke"]);
        assert_eq!(transcript.interrupted(), None);
        assert_eq!(transcript.line(AT, "@@vm done"), Some(End::Done));
    }

    #[test]
    fn a_panic_ends_the_guest_and_interrupts_the_running_step() {
        let mut transcript = Transcript::default();
        transcript.line(AT, "@@vm begin global_oom");
        let end = transcript.line(AT, "[ 9.1] Kernel panic - not syncing: hung_task");
        assert!(matches!(end, Some(End::Fatal(why)) if why.contains("hung_task")));
        assert_eq!(transcript.interrupted(), Some("global_oom"));
    }

    #[test]
    fn a_line_of_the_agent_is_found_after_the_beginning_of_a_kernel_message() {
        let mut transcript = Transcript::default();
        transcript.line(AT, "@@vm begin capture-write");
        let end = transcript.line(2 * AT, "[ 3.2] nvme: @@vm cut");
        assert_eq!(end, Some(End::Cut));
        let cut = &transcript.steps[0];
        assert_eq!(
            (cut.took, &cut.failed),
            (AT, &None),
            "a step that asks for a power cut passes"
        );
    }

    #[test]
    fn two_boots_make_one_transcript() {
        let boot = |name: &str| {
            let mut transcript = Transcript::default();
            transcript.line(AT, &format!("@@vm begin {name}"));
            transcript.line(AT, &format!("@@vm pass 10 {name}"));
            transcript
        };
        let mut transcript = boot("capture-write");
        transcript.extend(boot("capture-read"));
        let names: Vec<_> = transcript.steps.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["capture-write", "capture-read"]);
    }
}
