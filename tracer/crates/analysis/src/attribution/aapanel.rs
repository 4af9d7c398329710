//! Projects of aaPanel: whatever is run out of `/www/wwwroot/<site>`.

use tracer_model::{Manager, Service};

use super::{Candidate, named, proxy, script, systemd};

/// The panel's own unit. What the panel starts stays in it.
pub(super) const UNIT: &str = "bt.service";
/// Where aaPanel keeps sites.
const ROOT: &str = "/www/wwwroot/";

/// The site whose executable or script this is, or in whose directory the script runs. A shell or
/// a tool that is merely in that directory is not the site.
pub(super) fn service(candidate: &Candidate<'_>) -> Option<Service> {
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
pub(super) fn within_panel(candidate: &Candidate<'_>) -> Option<Service> {
    systemd::unit(candidate).filter(|unit| unit.name == UNIT)?;
    proxy::service(candidate).or_else(|| service(candidate))
}

fn site(rest: &str) -> Option<&str> {
    rest.split('/')
        .next()
        .filter(|site| !matches!(*site, "" | "." | ".."))
}
