//! What a guest says on its console, and what follows from it. Pure: lines and times in, decisions
//! out.
//!
//! A line that begins with [`MARK`] is the guest's agent speaking (`tests/src/bin/guest/agent.rs`
//! is its other side); everything else is the kernel, systemd, or a step's own output.

use std::time::Duration;

/// How the agent's lines begin.
pub(super) const MARK: &str = "@@vm ";

/// What no kernel says that will go on working. Stalls and lockups are made panics by the
/// kernel's command line.
const FATAL: [&str; 4] = [
    "Kernel panic - not syncing",
    "BUG: unable to handle",
    "Oops: ",
    "You are in emergency mode",
];

/// A guest that says nothing for this long hangs: the agent says something every 10 s.
pub(super) const SILENCE: Duration = Duration::from_secs(90);

/// How one step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its name in the plan.
    pub(crate) name: String,
    /// How long it took in the guest.
    pub(crate) took: Duration,
    /// Why it failed, if it did.
    pub(crate) failed: Option<String>,
    /// What it printed.
    pub(crate) output: Vec<String>,
}

/// Why a guest ended, or has to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The agent said that it is through with its plan.
    Done,
    /// The agent asks for the power to be cut.
    Cut,
    /// The kernel or systemd gave up.
    Fatal(String),
    /// Nothing was said for too long.
    Silent,
    /// It ran for longer than it may.
    Late,
    /// The emulator ended by itself.
    Gone,
}

/// A fact that a step reported for the host: `@@vm tell <topic> <text>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// What it is about.
    pub(crate) topic: String,
    /// The rest of the line.
    pub(crate) text: String,
}

/// What one guest has said so far.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// `uname -r`, once the agent runs.
    pub(crate) release: Option<String>,
    /// From power-on until the agent ran.
    pub(crate) booted: Option<Duration>,
    /// Steps that ended.
    pub(crate) steps: Vec<Step>,
    /// What steps told.
    pub(crate) told: Vec<Told>,
    /// The step that runs, since when, and what it printed.
    running: Option<(String, Duration, Vec<String>)>,
}

impl Transcript {
    /// Takes one line of the console, said `at` after power-on.
    pub(super) fn line(&mut self, at: Duration, line: &str) -> Option<End> {
        if let Some((_, said)) = line.split_once(MARK) {
            return self.agent(at, said.trim_end());
        }
        if FATAL.iter().any(|fatal| line.contains(fatal)) {
            return Some(End::Fatal(line.trim().to_owned()));
        }
        if let Some((_, _, output)) = &mut self.running {
            output.push(line.to_owned());
        }
        None
    }

    fn agent(&mut self, at: Duration, said: &str) -> Option<End> {
        let (verb, rest) = said.split_once(' ').unwrap_or((said, ""));
        match verb {
            "up" => {
                self.release = Some(rest.to_owned());
                self.booted = Some(at);
            }
            "begin" => self.running = Some((rest.to_owned(), at, Vec::new())),
            "pass" | "fail" => self.ended(verb == "pass", rest),
            "tell" => {
                let (topic, text) = rest.split_once(' ').unwrap_or((rest, ""));
                self.told.push(Told {
                    topic: topic.to_owned(),
                    text: text.to_owned(),
                });
            }
            "cut" => {
                // Nothing can be said after that: the step that asks for it is through.
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
        let why = words.next().unwrap_or("it did not say why");
        let output = self.running.take().map(|(_, _, output)| output);
        self.steps.push(Step {
            name: name.to_owned(),
            took: Duration::from_millis(ms),
            failed: (!passed).then(|| why.to_owned()),
            output: output.unwrap_or_default(),
        });
    }

    /// Goes on with what the next boot of the same guest said.
    pub(super) fn extend(&mut self, next: Self) {
        self.steps.extend(next.steps);
        self.told.extend(next.told);
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
    fn a_plan_is_followed_from_boot_to_its_end() {
        let mut transcript = Transcript::default();
        for line in [
            "[    0.0] Linux version 6.1.0",
            "@@vm up 6.1.0-50-cloud-amd64",
            "@@vm begin systemd",
            "test output",
            "@@vm tell doctor {\"a\": 1}",
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
        assert_eq!(transcript.told[0].topic, "doctor");
        assert_eq!(transcript.told[0].text, "{\"a\": 1}");
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
    fn a_panic_ends_the_guest_and_names_the_step() {
        let mut transcript = Transcript::default();
        transcript.line(AT, "@@vm begin global_oom");
        let end = transcript.line(AT, "[ 9.1] Kernel panic - not syncing: hung_task");
        assert!(matches!(end, Some(End::Fatal(why)) if why.contains("hung_task")));
        assert_eq!(transcript.interrupted(), Some("global_oom"));
    }

    #[test]
    fn an_agents_line_is_found_behind_what_the_kernel_began_to_say() {
        let mut transcript = Transcript::default();
        transcript.line(AT, "@@vm begin capture-write");
        let end = transcript.line(2 * AT, "[ 3.2] nvme: @@vm cut");
        assert_eq!(end, Some(End::Cut));
        let cut = &transcript.steps[0];
        assert_eq!(
            (cut.took, &cut.failed),
            (AT, &None),
            "it got what it asked for"
        );
    }

    #[test]
    fn two_boots_are_one_story() {
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
