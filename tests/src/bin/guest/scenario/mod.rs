//! The scenarios, one file each.

mod support;
mod systemd;

/// Plays one.
pub fn run(name: &str) {
    match name {
        "support" => support::run(),
        "systemd" => systemd::run(),
        _ => panic!("no scenario {name}"),
    }
}
