//! PHP-FPM: pools, by the title of their workers, and the master that starts and stops those.

use tracer_model::{Manager, Service};

use super::profile::{Advice, ManagerKind, Profile, SenderName};
use super::{aapanel, systemd};
use crate::candidate::{Candidate, basename, named};

/// Its profile.
pub(super) const PROFILE: Profile = Profile {
    by_own_evidence: Some(service),
    sender: |facts| {
        (facts.is_parent && facts.comm.starts_with("php-fpm"))
            .then_some(SenderName::Only("the PHP-FPM master"))
    },
    kill_means: Some("request_terminate_timeout, or it ignored its stop"),
    // With process_control_timeout at its default, the master does not wait.
    kill_completes_stop: true,
    advice: Advice {
        at_cgroup_limit: Some(|_| {
            "lower pm.max_children or memory_limit: together they exceed the cgroup's limit"
                .to_owned()
        }),
        when_memory_is_short: Some(|_| "lower pm.max_children".to_owned()),
        ..Advice::NONE
    },
    ..Profile::new(ManagerKind::Of(Manager::PhpFpm))
};

/// The pool of a worker, the unit of a master, or `php-fpm` for one without.
fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let title = candidate.title();
    let fpm = installation(candidate.facts.exe.as_deref().unwrap_or_default(), title);
    let unit = systemd::unit(candidate);
    let Some(role) = title.strip_prefix("php-fpm: ") else {
        // A master has no title until it has read its configuration.
        let program = candidate.program();
        return (unit.is_none() && is_program(&program))
            .then(|| named(&fpm, Manager::PhpFpm, &format!("program {program}")))
            .flatten();
    };
    if let Some(pool) = role.strip_prefix("pool ") {
        let evidence = match unit {
            Some(unit) => format!("title {title:?} in {}", unit.name),
            None => format!("title {title:?}"),
        };
        return named(
            &format!("{fpm}/{}", pool.trim()),
            Manager::PhpFpm,
            &evidence,
        );
    }
    if unit.is_some_and(|unit| unit.name != aapanel::UNIT) {
        return None;
    }
    named(&fpm, Manager::PhpFpm, &format!("title {title:?}"))
}

/// `php-fpm`, or `php-fpm-74` for aaPanel's `/www/server/php/74`, where the version is in no name:
/// from the executable, else from the configuration file in the master's title.
fn installation(exe: &str, title: &str) -> String {
    let version = [exe, title].iter().find_map(|text| {
        let (_, rest) = text.split_once("/www/server/php/")?;
        let version = rest.split('/').next()?;
        let digits = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
        digits.then_some(version)
    });
    match version {
        Some(version) => format!("php-fpm-{version}"),
        None => "php-fpm".to_owned(),
    }
}

/// Whether a program is PHP's process manager: `php-fpm`, `php-fpm8.1`, `php8.1-fpm`.
fn is_program(path: &str) -> bool {
    let name = basename(path);
    name.starts_with("php-fpm") || (name.starts_with("php") && name.ends_with("-fpm"))
}
