//! What `tracer doctor` says of this kernel, for every rung that can be forced: told to the host,
//! which makes the table of supported kernels of it.

use std::process::Command;

use serde_json::Value;
use tracer_tests::binary;

use crate::tell;

/// What is forbidden to the tracer, best rungs first.
const WITHOUT: [&str; 4] = ["", "fentry", "fentry,kprobe", "fentry,kprobe,kmsg"];

pub fn run() {
    for without in WITHOUT {
        let output = Command::new(binary())
            .args(["doctor", "--json"])
            .env("TRACER_WITHOUT", without)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let checks: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text} {output:?}"));
        assert!(output.status.success(), "{text}");
        let topic = if without.is_empty() { "-" } else { without };
        tell(&format!("tell doctor:{topic} {checks}"));
    }
}
