//! What a line of each proxy's log means, and how a proxy is recognised. Pure: lines in, log entries
//! out; `tracer-observe` finds and follows the files.
//!
//! Each proxy has one file here with its [`Profile`], and one line in [`PROFILES`]. `tracer-analysis`
//! asks the profiles too: which programs are proxies, and what their logs can say.

mod apache;
mod caddy;
mod envoy;
mod fields;
mod haproxy;
mod line;
mod nginx;
mod profile;
mod reader;
mod text;
mod traefik;

#[cfg(test)]
mod tests;

use tracer_model::ProxyKind;

pub use line::Line;
pub use profile::{Fact, FailuresIn, LineFor, Profile};
pub use reader::Reader;

/// All proxies. A line whose proxy is not known is tried with each, in this order.
pub static PROFILES: [Profile; 6] = [
    nginx::PROFILE,
    apache::PROFILE,
    haproxy::PROFILE,
    caddy::PROFILE,
    traefik::PROFILE,
    envoy::PROFILE,
];

/// What is known of that proxy.
pub fn profile_of(kind: ProxyKind) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.kind == kind)
}

/// The proxy that an executable of this name is: `nginx`, and `nginx.old` while it is upgraded.
pub fn profile_of_program(name: &str) -> Option<&'static Profile> {
    let name = name.split('.').next().unwrap_or(name);
    PROFILES
        .iter()
        .find(|profile| profile.programs.contains(&name))
}

/// The proxy whose log has this line.
pub fn profile_of_line(line: &str) -> Option<&'static Profile> {
    PROFILES
        .iter()
        .find(|profile| profile.read(line, false) != Line::Unreadable)
}
