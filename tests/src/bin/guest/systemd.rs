//! Units for the scenarios, and systemctl.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tracer_tests::wait_until;

/// Scenarios usually wait for seconds. But an emulated guest beside another that thrashes once
/// stood still for more than a minute.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Writes a unit or a drop-in (`nginx.service.d/limit.conf`) that lasts until the next boot.
pub fn unit(name: &str, text: &str) {
    let path = Path::new("/run/systemd/system").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    systemctl(&["daemon-reload"]);
}

/// Runs systemctl; it must succeed.
#[track_caller]
pub fn systemctl(args: &[&str]) {
    let output = Command::new("systemctl").args(args).output().unwrap();
    assert!(
        output.status.success(),
        "systemctl {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A property of a unit.
pub fn property(unit: &str, name: &str) -> String {
    let output = Command::new("systemctl")
        .args(["show", "--value", "-p", name, unit])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits until a unit is in this state (`active`, `failed`, `inactive`).
#[track_caller]
pub fn wait_for_state(unit: &str, state: &str) {
    wait_until(&format!("{unit} {state}"), PATIENCE, || {
        (property(unit, "ActiveState") == state).then_some(())
    });
}

/// The main process of a unit.
#[track_caller]
pub fn main_pid(unit: &str) -> u32 {
    property(unit, "MainPID").parse().unwrap()
}
