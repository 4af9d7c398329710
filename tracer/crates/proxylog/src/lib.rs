//! What a line of each proxy's log means. Pure: lines in, log entries out; finding and following the
//! files is done by `tracer-observe`.

mod apache;
mod caddy;
mod fields;
mod haproxy;
mod line;
mod nginx;
mod text;

#[cfg(test)]
mod tests;

use tracer_model::ProxyKind;

pub use line::Line;

/// Reads a line of `kind`'s log.
pub fn parse(kind: ProxyKind, line: &str, show_query: bool) -> Line {
    match kind {
        ProxyKind::Nginx => nginx::parse(line, show_query),
        ProxyKind::Apache => apache::parse(line),
        ProxyKind::Haproxy => haproxy::parse(line, show_query),
        ProxyKind::Caddy => caddy::parse(line, show_query),
        ProxyKind::Traefik | ProxyKind::Envoy => Line::Unreadable,
    }
}

/// Whether a line shows that its file is the one where errors about requests are written.
pub fn tells_of_errors(kind: ProxyKind, line: &str) -> bool {
    match kind {
        // It has the same format.
        ProxyKind::Caddy if caddy::is_access(line) => false,
        // The daemon's notices go to a file of their own.
        ProxyKind::Haproxy if haproxy::is_notice(line) => false,
        _ => parse(kind, line, false) != Line::Unreadable,
    }
}

/// The kinds of which there is a parser.
pub const KINDS: [ProxyKind; 4] = [
    ProxyKind::Nginx,
    ProxyKind::Apache,
    ProxyKind::Haproxy,
    ProxyKind::Caddy,
];

/// A line of a file whose format is not known yet.
pub fn parse_any(found: &mut Option<ProxyKind>, line: &str, show_query: bool) -> Line {
    for kind in KINDS {
        let read = parse(kind, line, show_query);
        if read != Line::Unreadable {
            *found = Some(kind);
            return read;
        }
    }
    Line::Unreadable
}

/// What of a log's earlier lines matters to later ones.
#[derive(Debug, Default)]
pub struct Memory {
    threads: apache::Threads,
    told: caddy::Told,
}

impl Memory {
    /// Makes one entry of the lines that tell of one failure.
    pub fn relate(&mut self, kind: Option<ProxyKind>, line: &str, read: Line) -> Line {
        match kind {
            Some(ProxyKind::Apache) => self.threads.join(line, read),
            Some(ProxyKind::Caddy) => self.told.once(line, read),
            _ => read,
        }
    }
}
