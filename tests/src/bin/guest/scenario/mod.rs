//! The scenarios, one file each.

mod container;
mod global_oom;
mod oom_daemon;
mod stops;
mod support;
mod systemd;

/// Plays one.
pub fn run(name: &str) {
    match name {
        "support" => support::run(),
        "systemd" => systemd::run(),
        "stops" => stops::run(),
        "container" => container::run(),
        "oom_daemon" => oom_daemon::run(),
        "global_oom" => global_oom::run(),
        _ => panic!("no scenario {name}"),
    }
}

/// A program for `python3 -c` that takes `mib` MiB at once and uses them, then sleeps.
fn hog(mib: u32) -> String {
    // Touching pages: copying would thrash for many seconds before the kernel gives up.
    format!(
        "import time; b = bytearray({mib} << 20); \
         [b.__setitem__(page, 1) for page in range(0, len(b), 4096)]; time.sleep(999)"
    )
}
