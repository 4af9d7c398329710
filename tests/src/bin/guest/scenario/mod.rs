//! The scenarios, one file each.

mod capture;
mod container;
mod deploy;
mod earlyoom;
mod global_oom;
mod php_fpm;
mod stops;
mod support;
mod systemd;
mod systemd_oomd;
mod tls;

/// Plays one.
pub fn run(name: &str) {
    match name {
        "support" => support::run(),
        "systemd" => systemd::run(),
        "tls" => tls::run(),
        "php_fpm" => php_fpm::run(),
        "deploy" => deploy::run(),
        "stops" => stops::run(),
        "container" => container::run(),
        "earlyoom" => earlyoom::run(),
        "systemd_oomd" => systemd_oomd::run(),
        "global_oom" => global_oom::run(),
        "capture-write" => capture::write(),
        "capture-read" => capture::read(),
        _ => panic!("no scenario {name}"),
    }
}

/// A program for `python3 -c` that takes `mib` MiB and uses them, then sleeps.
fn hog(mib: u32) -> String {
    // In pieces: what is more than the machine has is refused in one. Touching pages: copying
    // would thrash for many seconds before the kernel gives up.
    format!(
        "import time; hoard = [bytearray(8 << 20) for _ in range({mib} // 8)]; \
         [piece.__setitem__(page, 1) for piece in hoard for page in range(0, 8 << 20, 4096)]; \
         time.sleep(999)"
    )
}
