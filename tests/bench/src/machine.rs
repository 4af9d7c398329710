//! A short description of the machine on which the numbers were measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Processors, kernel, and the hooks that are not on their best rung on this kernel.
pub fn described(tracer: &Path) -> Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let processors = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = vec![format!("{processors} × {model}, Linux {}", kernel.trim())];
    let lower = lower_rungs(tracer)?;
    parts.extend(lower.iter().map(|(hook, via)| format!("`{hook}` by {via}")));
    Ok(parts.join("; "))
}

/// Whether the results of connect() are observed on the last rung, which slows all system calls.
pub fn sees_connects_by_system_calls(tracer: &Path) -> Result<bool> {
    let lower = lower_rungs(tracer)?;
    Ok(lower
        .iter()
        .any(|(hook, via)| hook == "connect" && via.starts_with("tracepoint syscalls/")))
}

/// The hooks that are not on their best rung, and the rung of each.
fn lower_rungs(tracer: &Path) -> Result<Vec<(String, String)>> {
    let mut watch = Command::new(tracer);
    watch.args(["watch", "--json", "--for", "1s"]);
    let output = watch.output().context("starting the tracer")?;
    let first = output.stdout.split(|byte| *byte == b'\n').next();
    let start: Value =
        serde_json::from_slice(first.unwrap_or_default()).context("reading its `start`")?;
    let hooks = start["hooks"].as_array().context("reading its hooks")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(hooks
        .iter()
        .filter(|hook| hook["ok"] == true && hook["why"].is_string())
        .filter_map(|hook| Some((text(&hook["name"])?, text(&hook["via"])?)))
        .collect())
}
