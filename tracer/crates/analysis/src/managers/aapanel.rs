//! aaPanel, whose projects are whatever runs out of `/www/wwwroot/<site>`.

use tracer_model::{Manager, Service};

use super::profile::{ManagerKind, Profile};
use super::systemd;
use crate::attribution::{proxy, script};
use crate::candidate::{Candidate, named};

/// The panel's own unit. What the panel starts stays in it.
pub(super) const UNIT: &str = "bt.service";
/// Where aaPanel keeps sites.
const ROOT: &str = "/www/wwwroot/";

/// Its profile.
pub(super) const PROFILE: Profile = Profile {
    by_place: Some(within_panel),
    by_files: Some(site_of),
    is_script: |script| matches!(script, "BT-Panel" | "BT-Task"),
    ..Profile::new(ManagerKind::Of(Manager::Aapanel))
};

/// The site whose executable or script this is, or in whose directory the script runs. A shell or
/// a tool that is merely in that directory is not the site.
fn site_of(candidate: &Candidate<'_>) -> Option<Service> {
    let facts = candidate.facts;
    let script = script::of(candidate);
    let found = facts
        .exe
        .as_deref()
        .and_then(|exe| Some((site(exe.strip_prefix(ROOT)?)?, format!("executable {exe}"))))
        .or_else(|| {
            let rest = script.as_ref()?.below(ROOT)?;
            Some((site(rest)?, format!("script {ROOT}{rest}")))
        })
        .or_else(|| {
            let cwd = facts.cwd.as_deref()?;
            script.as_ref()?;
            Some((site(cwd.strip_prefix(ROOT)?)?, format!("directory {cwd}")))
        });
    let (site, evidence) = found?;
    named(site, Manager::Aapanel, &evidence)
}

/// A proxy or a site that the panel started, rather than the panel.
fn within_panel(candidate: &Candidate<'_>) -> Option<Service> {
    systemd::unit(candidate).filter(|unit| unit.name == UNIT)?;
    proxy::service(candidate).or_else(|| site_of(candidate))
}

fn site(rest: &str) -> Option<&str> {
    rest.split('/')
        .next()
        .filter(|site| !matches!(*site, "" | "." | ".."))
}
