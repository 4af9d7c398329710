//! The scenarios, one file each.

mod capture;
mod container;
mod deploy;
mod earlyoom;
mod global_oom;
mod hog;
mod php_fpm;
mod stops;
mod support;
mod systemd;
mod systemd_oomd;
mod tls;

/// Runs a scenario.
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
