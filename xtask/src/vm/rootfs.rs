//! The root file system of guests: a small Debian with systemd. It is made again whenever its
//! definition here changes.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::archive::{self, Apt};
use super::disk;
use super::guard::Workplace;
use super::mirrors::Mirrors;
use crate::run;

const SUITE: &str = "bookworm";

/// Packages: the system and what the scenarios need.
const PACKAGES: [&str; 11] = [
    "systemd",
    "systemd-sysv",
    "systemd-oomd",
    "nginx-light",
    "openssl",
    "php-fpm",
    "python3-minimal",
    "earlyoom",
    "procps",
    "iproute2",
    "util-linux",
];

/// Services that scenarios start themselves.
const NOT_AT_BOOT: [&str; 4] = [
    "nginx.service",
    "php8.2-fpm.service",
    "earlyoom.service",
    "systemd-oomd.service",
];

/// Units that a guest does not need. The terminals matter most: without udev, systemd waits 90 s for
/// their devices.
const MASKED: [&str; 37] = [
    "serial-getty@ttyS0.service",
    "getty@tty1.service",
    "getty.target",
    "getty-static.service",
    "systemd-logind.service",
    "systemd-random-seed.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-pcrphase.service",
    "systemd-pcrphase-sysinit.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "logrotate.timer",
    "phpsessionclean.timer",
    "systemd-tmpfiles-clean.timer",
    "systemd-journal-flush.service",
    "systemd-firstboot.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-kernel-debug.mount",
    "sys-fs-fuse-connections.mount",
    "kmod-static-nodes.service",
    "systemd-modules-load.service",
    "ldconfig.service",
    "systemd-journal-catalog-update.service",
    "systemd-hwdb-update.service",
    "systemd-machine-id-commit.service",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-binfmt.service",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-networkd.service",
    "systemd-networkd.socket",
];

/// Configuration files that are copied over the packages' own: path and text.
const FILES: [(&str, &str); 8] = [
    (
        "etc/systemd/system/vm.target",
        "[Unit]
Requires=multi-user.target
Wants=vm-agent.service
After=multi-user.target
",
    ),
    (
        "etc/systemd/system/vm-agent.service",
        "[Unit]
After=multi-user.target
DefaultDependencies=no

[Service]
Type=oneshot
TimeoutStartSec=infinity
OOMScoreAdjust=-900
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
ExecStartPre=/bin/mkdir -p /run/vm/programs /run/vm/data
ExecStartPre=/bin/mount -o ro LABEL=vmprograms /run/vm/programs
ExecStartPre=/bin/mount LABEL=vmdata /run/vm/data
ExecStart=/run/vm/programs/guest agent
",
    ),
    (
        "etc/systemd/system/vm-shell.target",
        "[Unit]
Requires=multi-user.target
Wants=vm-shell.service
After=multi-user.target
",
    ),
    (
        "etc/systemd/system/vm-shell.service",
        "[Unit]
After=multi-user.target
DefaultDependencies=no

[Service]
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
Environment=HOME=/root TERM=linux TRACER_BIN=/run/vm/programs/tracer
WorkingDirectory=/root
ExecStartPre=/bin/mkdir -p /run/vm/programs /run/vm/data
ExecStartPre=/bin/mount -o ro LABEL=vmprograms /run/vm/programs
ExecStartPre=/bin/mount LABEL=vmdata /run/vm/data
ExecStart=-/bin/bash -l
ExecStopPost=/bin/systemctl poweroff -ff
",
    ),
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("etc/hostname", "vm\n"),
    ("etc/hosts", "127.0.0.1 localhost vm\n::1 localhost\n"),
    ("etc/fstab", ""),
];

/// The root disk in `cache`, which is made if there is none with this definition.
pub(super) fn ready(cache: &Path, mirrors: &Mirrors) -> Result<PathBuf> {
    let image = cache.join(format!("root-{:016x}.img", definition()));
    if image.is_file() {
        return Ok(image);
    }
    println!("  build    the guests' root file system (mmdebstrap, {SUITE}; about a minute)");
    let workplace = Workplace::new(cache.join("root.new"))?;
    let work = workplace.path();
    let apt = Apt::new(&work.join("apt"), mirrors, SUITE)?;
    let overlay = work.join("overlay");
    write_files(&overlay).with_context(|| format!("writing {}", overlay.display()))?;
    let tree = work.join("tree");
    workplace
        .run(&bootstrap(&overlay, &tree, apt.mirror())?)
        .context("building the guests' root file system")?;
    let unfinished = work.join("root.img");
    disk::bootable(&workplace, &tree, &unfinished, 96)?;
    for old in fs::read_dir(cache)?.flatten() {
        let name = old.file_name();
        if name.to_string_lossy().starts_with("root-") && !is_recent(&old) {
            let _ = fs::remove_file(old.path());
        }
    }
    fs::rename(&unfinished, &image).with_context(|| format!("writing {}", image.display()))?;
    workplace.remove()?;
    Ok(image)
}

/// Whether another checkout may be using this disk.
fn is_recent(file: &fs::DirEntry) -> bool {
    const DAY: Duration = Duration::from_hours(24);
    let made = file.metadata().and_then(|metadata| metadata.modified());
    made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < DAY))
}

/// A number that changes with the definition of the root file system.
fn definition() -> u64 {
    let mut hasher = DefaultHasher::new();
    (SUITE, PACKAGES, NOT_AT_BOOT, MASKED, FILES).hash(&mut hasher);
    hasher.finish()
}

/// Writes the files that mmdebstrap copies over the packages' own.
fn write_files(overlay: &Path) -> Result<()> {
    for (name, text) in FILES {
        let path = overlay.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text)?;
    }
    for unit in MASKED {
        symlink("/dev/null", overlay.join("etc/systemd/system").join(unit))?;
    }
    Ok(())
}

/// The command that makes the file system in `tree`, to be run as root.
fn bootstrap(overlay: &Path, tree: &Path, mirror: &str) -> Result<Command> {
    let program = run::find("mmdebstrap")
        .context("mmdebstrap is not installed; run `cargo xtask setup --vm`")?;
    let overlay = overlay.display();
    let mut command = Command::new(program);
    command
        .args(["--quiet", "--mode=root", "--variant=minbase"])
        .args(["--skip=check/qemu", "--architectures=amd64"])
        .arg("--aptopt=APT::Install-Recommends \"false\"");
    for unread in ["doc", "man", "locale", "info"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{unread}/*"));
    }
    command
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(format!("--customize-hook=sync-in '{overlay}' /"))
        .arg(format!(
            "--customize-hook=chroot \"$1\" systemctl disable {}",
            NOT_AT_BOOT.join(" ")
        ))
        .arg(SUITE)
        .arg(tree)
        .arg(archive::source(mirror, SUITE));
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_only_copied_into_the_root() {
        for (name, _) in FILES {
            assert!(!name.starts_with('/') && !name.contains(".."), "{name}");
        }
        for unit in MASKED {
            assert!(!unit.contains('/'), "{unit}");
        }
    }
}
