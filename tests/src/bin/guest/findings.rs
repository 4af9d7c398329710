//! The tracer as an administrator runs it: as `tracer.service`, with its findings in a file.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tracer_tests::binary;

use crate::systemd::{PATIENCE, property, systemctl, unit};

const UNIT: &str = "tracer.service";
const FILE: &str = "/run/tracer.jsonl";

/// A running tracer.service.
pub struct TracerService {
    lines: BufReader<File>,
    /// The beginning of a line that is not complete yet.
    begun: String,
    seen: Findings,
}

/// The findings of a tracer. They are printed when the scenario fails.
#[derive(Default)]
pub struct Findings(Vec<Value>);

impl Deref for Findings {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.0
    }
}

impl Drop for Findings {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for finding in &self.0 {
                eprintln!("  {finding}");
            }
        }
    }
}

impl TracerService {
    /// Starts it and waits until its hooks are armed.
    #[track_caller]
    pub fn start() -> Self {
        if Path::new(FILE).exists() {
            fs::remove_file(FILE).unwrap();
        }
        unit(
            UNIT,
            &format!(
                "[Service]\nType=exec\nExecStart={} watch --json\nStandardOutput=file:{FILE}\n\
                 StandardError=tty\nTTYPath=/dev/console\n",
                binary().display()
            ),
        );
        // A tracer that a failed scenario left behind writes to the removed file.
        systemctl(&["restart", UNIT]);
        let mut tracer = Self {
            lines: BufReader::new(File::open(FILE).unwrap()),
            begun: String::new(),
            seen: Findings::default(),
        };
        tracer.wait_for("start", |finding| finding["kind"] == "start");
        tracer
    }

    /// Waits for the first finding that fits; it may have come already.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut at = 0;
        loop {
            self.read();
            while let Some(finding) = self.seen.get(at) {
                if fits(finding) {
                    return finding.clone();
                }
                at += 1;
            }
            assert!(
                Instant::now() < until,
                "not found within {PATIENCE:?}: {what}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the death of a process.
    #[track_caller]
    pub fn death_of(&mut self, pid: u32) -> Value {
        self.wait_for(&format!("death of {pid}"), |finding| {
            finding["kind"] == "death" && finding["process"]["pid"] == pid
        })
    }

    /// Stops the service, which must have run until now, and returns all findings.
    #[track_caller]
    pub fn stop(mut self) -> Findings {
        assert_eq!(property(UNIT, "ActiveState"), "active", "the tracer exited");
        assert_eq!(property(UNIT, "NRestarts"), "0");
        systemctl(&["stop", UNIT]);
        self.wait_for("end", |finding| finding["kind"] == "end");
        assert_eq!(property(UNIT, "Result"), "success");
        self.seen
    }

    /// Reads the findings that were written since the last call.
    fn read(&mut self) {
        while self.lines.read_line(&mut self.begun).unwrap() > 0 {
            if !self.begun.ends_with('\n') {
                return;
            }
            let finding = serde_json::from_str(&self.begun)
                .unwrap_or_else(|error| panic!("not a line of JSON ({error}): {}", self.begun));
            tracer_tests::schema::check(&finding);
            self.seen.0.push(finding);
            self.begun.clear();
        }
    }
}

/// Findings of one kind about one service.
pub fn about<'a>(findings: &'a [Value], kind: &str, service: &str) -> Vec<&'a Value> {
    let fits = |one: &&Value| one["kind"] == kind && one["service"]["name"] == service;
    findings.iter().filter(fits).collect()
}

/// The only finding of one kind about one service.
#[track_caller]
pub fn only<'a>(findings: &'a [Value], kind: &str, service: &str) -> &'a Value {
    let found = about(findings, kind, service);
    let [one] = found[..] else {
        panic!("{} findings `{kind}` about {service}", found.len());
    };
    one
}
