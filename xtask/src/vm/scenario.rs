//! The plan of guests: which steps they run, and in which boot.
//!
//! The scenarios and their assertions are in `tests/src/bin/guest/`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::json;

/// The integration tests that need nothing but a kernel: names of files in `tests/tests/`.
pub(super) const NATIVE: [&str; 6] = ["process", "oom", "tcp", "unix", "listeners", "storms"];

/// Tests in those files that are left out. Some need network interfaces that Debian's cloud kernels
/// have only as modules, and guests have no modules. Unix listeners are found by scanning, and on a
/// slow machine a scan may find one before the event about its process arrives. The last test is
/// about the tracer's own memory, which the kernel does not affect, and takes a minute.
const LEFT_OUT: [&str; 5] = [
    "a_connect_that_its_caller_gives_up_is_a_timeout",
    "a_connect_that_nobody_answers_times_out",
    "a_neighbour_that_does_not_answer_is_unreachable_after_a_while",
    "a_unix_listener_comes_and_goes",
    "a_storm_of_processes_does_not_make_it_grow",
];

/// By how much integration tests multiply their deadlines in a guest.
const PATIENCE: &str = "8";

/// The program of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    /// A file of integration tests.
    Native(&'static str),
    /// A scenario in `tests/src/bin/guest/`.
    Scenario(&'static str),
}

/// One step in a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its name for `--scenario`.
    pub(crate) name: &'static str,
    runs: Runs,
    /// Kernel features that the tracer must not use.
    without: &'static str,
    /// Its time limit, emulated.
    limit_s: u64,
    /// The boot in which it runs: 1, or 2 after the power was cut.
    boot: u32,
    /// Whether it runs only if it is named, because what it waits for may not happen in time.
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

/// A scenario in the boot after the power was cut.
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

/// All steps in their order: those that can break later ones come last.
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

/// The steps of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan(Vec<Step>);

impl Plan {
    /// The steps called `names`: full names, or their part before the dash (`native`). Without names,
    /// all that need not be named.
    pub(crate) fn new(names: &[String]) -> Result<Self> {
        let matches = |name: &String, step: &Step| {
            step.name == name
                || step
                    .name
                    .split_once('-')
                    .is_some_and(|(kind, _)| kind == name)
        };
        for name in names {
            if !STEPS.iter().any(|step| matches(name, step)) {
                let known: Vec<_> = STEPS.iter().map(|step| step.name).collect();
                bail!("no scenario `{name}`; choose from {}", known.join(", "));
            }
        }
        let wanted = |step: &Step| match names {
            [] => !step.only_named,
            names => names.iter().any(|name| matches(name, step)),
        };
        Ok(Self(STEPS.into_iter().filter(wanted).collect()))
    }

    /// Whether a second boot follows, after the power is cut.
    pub(crate) fn boots_again(&self) -> bool {
        self.0.iter().any(|step| step.boot == 2)
    }

    /// Its steps.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The plan in the form that the agent reads.
    pub(super) fn json(&self) -> String {
        let steps: Vec<_> = self.0.iter().map(Step::json).collect();
        format!("{}\n", json!(steps))
    }
}

impl Step {
    fn json(&self) -> serde_json::Value {
        let (program, args) = match self.runs {
            // One at a time: the guest has only two processors.
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
    fn scenarios_are_chosen_by_name_or_kind_and_keep_their_order() {
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
    fn a_plan_has_the_program_and_the_variables_of_each_step() {
        let plan = Plan::new(&["kprobe-oom".to_owned()]).map(|plan| plan.json());
        let plan: serde_json::Value = plan
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        assert_eq!(plan[0]["program"], "deps/oom");
        assert_eq!(plan[0]["env"]["TRACER_WITHOUT"], "fentry");
    }
}
