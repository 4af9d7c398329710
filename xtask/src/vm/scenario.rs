//! What happens in guests: which steps there are, and which guest boots for which of them.
//!
//! The scenarios themselves, and their assertions, are in `tests/src/bin/guest/`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::json;

/// The tests of the native suite that need nothing but a kernel: names of files in `tests/tests/`.
pub(super) const NATIVE: [&str; 6] = ["process", "oom", "tcp", "unix", "listeners", "storms"];

/// Tests of those files that are left out. Some need network interfaces which Debian's cloud
/// kernels have as modules: guests have none. A unix listener is found by looking, and a slow machine
/// may find it before it has heard of its process. The last one is about the tracer's own memory, on
/// which the kernel has no influence, and takes a minute.
const LEFT_OUT: [&str; 5] = [
    "a_connect_that_its_caller_gives_up_is_a_timeout",
    "a_connect_that_nobody_answers_times_out",
    "a_neighbour_that_does_not_answer_is_unreachable_after_a_while",
    "a_unix_listener_comes_and_goes",
    "a_storm_of_processes_does_not_make_it_grow",
];

/// How much longer native tests wait in a guest.
const PATIENCE: &str = "8";

/// What a step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    /// A file of the native suite.
    Native(&'static str),
    /// A scenario of the guests' own.
    Scenario(&'static str),
}

/// One thing to do in a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What `--scenario` calls it.
    pub(crate) name: &'static str,
    runs: Runs,
    /// Kernel features that the tracer is told to do without.
    without: &'static str,
    /// It may take this long, emulated.
    limit_s: u64,
    /// In which boot it runs: 1, or 2, after the power was cut.
    boot: u32,
    /// Whether it runs only when it is named: what it waits for is not sure to happen in time.
    only_named: bool,
}

const fn native(name: &'static str, file: &'static str, without: &'static str) -> Step {
    Step {
        name,
        runs: Runs::Native(file),
        without,
        limit_s: 600,
        boot: 1,
        only_named: false,
    }
}

const fn scenario(name: &'static str, limit_s: u64) -> Step {
    Step {
        name,
        runs: Runs::Scenario(name),
        without: "",
        limit_s,
        boot: 1,
        only_named: false,
    }
}

/// A scenario of the boot after the power was cut.
const fn after(name: &'static str, limit_s: u64) -> Step {
    Step {
        boot: 2,
        ..scenario(name, limit_s)
    }
}

const fn only_named(step: Step) -> Step {
    Step {
        only_named: true,
        ..step
    }
}

/// The steps, in the order in which a guest takes them: what endangers others comes last.
pub(crate) const STEPS: [Step; 24] = [
    scenario("support", 120),
    scenario("systemd", 240),
    scenario("tls", 240),
    scenario("php_fpm", 240),
    native("native-process", "process", ""),
    native("native-oom", "oom", ""),
    native("native-tcp", "tcp", ""),
    native("native-unix", "unix", ""),
    native("native-listeners", "listeners", ""),
    native("native-storms", "storms", ""),
    native("kprobe-unix", "unix", "fentry"),
    native("kprobe-oom", "oom", "fentry"),
    native("syscall-unix", "unix", "fentry,kprobe"),
    native("enter-unix", "unix", "fentry,kprobe,registers"),
    native("kmsg-oom", "oom", "fentry,kprobe"),
    native("counters-oom", "oom", "fentry,kprobe,kmsg"),
    scenario("deploy", 400),
    scenario("stops", 240),
    scenario("container", 180),
    scenario("earlyoom", 240),
    only_named(scenario("systemd_oomd", 240)),
    scenario("global_oom", 240),
    scenario("capture-write", 240),
    after("capture-read", 60),
];

/// What one guest does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan(Vec<Step>);

impl Plan {
    /// The steps that `names` ask for: a name, or its beginning up to a dash (`native`). Without
    /// names, all that need not be named.
    pub(crate) fn new(names: &[String]) -> Result<Self> {
        let asks = |name: &String, step: &Step| {
            step.name == name
                || step
                    .name
                    .split_once('-')
                    .is_some_and(|(kind, _)| kind == name)
        };
        for name in names {
            if !STEPS.iter().any(|step| asks(name, step)) {
                let known: Vec<_> = STEPS.iter().map(|step| step.name).collect();
                bail!("no scenario `{name}`; there are {}", known.join(", "));
            }
        }
        let wanted = |step: &Step| match names {
            [] => !step.only_named,
            names => names.iter().any(|name| asks(name, step)),
        };
        Ok(Self(STEPS.into_iter().filter(wanted).collect()))
    }

    /// Whether the power is cut, and another boot follows.
    pub(crate) fn boots_again(&self) -> bool {
        self.0.iter().any(|step| step.boot == 2)
    }

    /// Its steps.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// As the agent reads it.
    pub(super) fn json(&self) -> String {
        let steps: Vec<_> = self.0.iter().map(Step::json).collect();
        format!("{}\n", json!(steps))
    }
}

impl Step {
    fn json(&self) -> serde_json::Value {
        let (program, args) = match self.runs {
            // One at a time: two processors are emulated by two.
            Runs::Native(file) => {
                let skip = LEFT_OUT.iter().flat_map(|&test| ["--skip", test]);
                let args = ["--test-threads=1"].into_iter().chain(skip);
                (format!("deps/{file}"), args.collect())
            }
            Runs::Scenario(name) => ("guest".to_owned(), vec!["run", name]),
        };
        let mut env = BTreeMap::from([
            ("TRACER_BIN", "/run/vm/programs/tracer"),
            ("RUST_BACKTRACE", "0"),
            ("CI", "1"),
        ]);
        if matches!(self.runs, Runs::Native(_)) {
            env.insert("TRACER_TEST_PATIENCE", PATIENCE);
        }
        if !self.without.is_empty() {
            env.insert("TRACER_WITHOUT", self.without);
        }
        json!({
            "name": self.name,
            "program": program,
            "args": args,
            "env": env,
            "limit_s": self.limit_s,
            "boot": self.boot,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(asked: &[&str]) -> Option<Vec<&'static str>> {
        let asked: Vec<String> = asked.iter().map(|&name| name.to_owned()).collect();
        let plan = Plan::new(&asked).ok()?;
        Some(plan.steps().iter().map(|step| step.name).collect())
    }

    #[test]
    fn scenarios_are_asked_for_by_name_or_kind_and_keep_their_order() {
        assert_eq!(names(&["stops", "systemd"]), Some(vec!["systemd", "stops"]));
        assert_eq!(names(&["native"]).map(|it| it.len()), Some(NATIVE.len()));
        let by_default = STEPS.iter().filter(|step| !step.only_named).count();
        assert_eq!(names(&[]).map(|it| it.len()), Some(by_default));
        assert_eq!(
            names(&["capture"]),
            Some(vec!["capture-write", "capture-read"])
        );
        assert_eq!(names(&["sysv"]), None);
    }

    #[test]
    fn a_plan_tells_the_agent_what_to_run() {
        let plan = Plan::new(&["kprobe-oom".to_owned()]).map(|plan| plan.json());
        let plan: serde_json::Value = plan
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        assert_eq!(plan[0]["program"], "deps/oom");
        assert_eq!(plan[0]["env"]["TRACER_WITHOUT"], "fentry");
    }
}
