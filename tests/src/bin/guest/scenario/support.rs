//! What works on this kernel, with every rung that can be forced: `tracer doctor` must be content
//! with each (that compares what is read at offsets with /proc), and the hooks are told to the
//! host, which makes the table of supported kernels of them.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tracer_tests::binary;

use crate::systemd::systemctl;
use crate::tell;

/// What is forbidden to the tracer, best rungs first.
const WITHOUT: [&str; 6] = [
    "",
    "cast",
    "fentry",
    "fentry,kprobe",
    "fentry,kprobe,registers",
    "fentry,kprobe,kmsg",
];

pub fn run() {
    // Requests are followed where there is a proxy.
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
        tell(&format!("tell support {support}"));
    }
    systemctl(&["stop", "nginx.service"]);
}

/// Whether this kernel is from 6.2 on, where programs can read memory by plain loads.
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
