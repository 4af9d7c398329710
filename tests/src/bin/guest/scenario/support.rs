//! What works on this kernel, on every rung that can be forced: `tracer doctor`, which compares
//! what the hooks read with /proc, must succeed on each, and the host gets the hooks for the table
//! of supported kernels.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tracer_tests::binary;

use crate::host;
use crate::systemd::systemctl;

/// The kernel features that the tracer does without, best rungs first.
const WITHOUT: [&str; 6] = [
    "",
    "cast",
    "fentry",
    "fentry,kprobe",
    "fentry,kprobe,registers",
    "fentry,kprobe,kmsg",
];

pub fn run() {
    // Requests are only observed where a proxy runs.
    systemctl(&["start", "nginx.service"]);
    for without in WITHOUT {
        let doctor = tracer(&["doctor", "--json"], without);
        let said = String::from_utf8_lossy(&doctor.stdout);
        assert!(doctor.status.success(), "without {without:?}:\n{said}");
        let checks: Vec<Value> = serde_json::from_str(&said).unwrap();
        for name in ["self-check", "http", "tls"] {
            let fits = |one: &&Value| one["name"] == name && one["status"] == "ok";
            assert!(checks.iter().any(|one| fits(&one)), "no {name}: {said}");
        }
        let reads = checks.iter().find(|one| one["name"] == "reads");
        let by = reads.and_then(|one| one["detail"].as_str()).unwrap_or("");
        let loads = by.starts_with("kernel memory is read by plain loads");
        let can = has_cast() && !without.contains("cast");
        assert_eq!(loads, can, "without {without:?}: {by}");
        let watch = tracer(&["watch", "--json", "--for", "1s"], without);
        let said = String::from_utf8_lossy(&watch.stdout);
        let start = said.lines().next().unwrap_or_default();
        let start: Value = serde_json::from_str(start)
            .unwrap_or_else(|error| panic!("{error}: {start} {watch:?}"));
        let support = json!({
            "without": without,
            "hooks": start["hooks"],
            "blind": start["blind"],
        });
        host::send(&format!("fact support {support}"));
    }
    systemctl(&["stop", "nginx.service"]);
}

/// Whether this is kernel 6.2 or newer, where programs can read memory by plain loads.
fn has_cast() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let mut next = || numbers.next().unwrap().unwrap();
    (next(), next()) >= (6, 2)
}

fn tracer(args: &[&str], without: &str) -> Output {
    Command::new(binary())
        .args(args)
        .env("TRACER_WITHOUT", without)
        .output()
        .unwrap()
}
