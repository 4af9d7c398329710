//! What `tracer services` prints.

use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;
use tracer_model::quantity::bytes;
use tracer_model::{Endpoint, Manager, Pid, ProxyKind, Upstream};

use super::cell::{NAME_COLUMNS, SENTENCE_COLUMNS, cell, push};

/// A running service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceRow {
    /// Its name.
    pub name: Arc<str>,
    /// What starts and restarts it.
    pub manager: Manager,
    /// What the name is based on.
    pub evidence: Arc<str>,
    /// Number of processes.
    pub processes: usize,
    /// Their pids.
    pub pids: Vec<Pid>,
    /// Where it listens.
    pub listens: Vec<Endpoint>,
    /// Memory in use, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Its memory limit, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// What kind of proxy it is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<ProxyKind>,
    /// A proxy's upstreams.
    pub upstreams: Vec<Upstream>,
}

const COLUMNS: usize = 6;
const HEAD: [&str; COLUMNS] = [
    "SERVICE", "MANAGER", "PROCS", "MEMORY", "LISTENS", "EVIDENCE",
];

/// A table. The upstreams of a proxy are listed below it.
pub fn text(out: &mut impl Write, rows: &[ServiceRow]) -> io::Result<()> {
    use unicode_width::UnicodeWidthStr as _;
    let cells: Vec<[String; COLUMNS]> = rows.iter().map(cells).collect();
    let mut widths = HEAD.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut lines = String::new();
    push_row(&mut lines, HEAD, widths);
    for (row, cells) in rows.iter().zip(&cells) {
        push_row(&mut lines, cells.each_ref().map(String::as_str), widths);
        for upstream in &row.upstreams {
            let address = upstream.address.to_string();
            lines.push_str("  → ");
            lines.push_str(&cell(&address, NAME_COLUMNS));
            if let Some(service) = &upstream.service {
                lines.push(' ');
                lines.push_str(&cell(service, NAME_COLUMNS));
            }
            lines.push('\n');
        }
    }
    out.write_all(lines.as_bytes())?;
    out.flush()
}

/// One JSON array.
pub fn json(out: &mut impl Write, rows: &[ServiceRow]) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, rows)?;
    writeln!(out)?;
    out.flush()
}

fn push_row(lines: &mut String, cells: [&str; COLUMNS], widths: [usize; COLUMNS]) {
    let start = lines.len();
    for (cell, width) in cells.into_iter().zip(widths) {
        push(lines, cell, None, width + 2);
    }
    let end = start + lines[start..].trim_end().len();
    lines.truncate(end);
    lines.push('\n');
}

fn cells(row: &ServiceRow) -> [String; COLUMNS] {
    let memory = match (row.memory_bytes, row.limit_bytes) {
        (Some(used), Some(limit)) => format!("{} / {}", bytes(used), bytes(limit)),
        (Some(used), None) => bytes(used),
        (None, Some(limit)) => format!("? / {}", bytes(limit)),
        (None, None) => "-".to_owned(),
    };
    let listens: Vec<String> = row.listens.iter().map(ToString::to_string).collect();
    [
        cell(&row.name, NAME_COLUMNS).into_owned(),
        row.manager.as_str().to_owned(),
        row.processes.to_string(),
        memory,
        cell(&listens.join(" "), NAME_COLUMNS).into_owned(),
        cell(&row.evidence, SENTENCE_COLUMNS / 3).into_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_names_are() {
        let row = |name: &str, upstreams| ServiceRow {
            name: name.into(),
            manager: Manager::Systemd,
            evidence: "cgroup /system.slice".into(),
            processes: 2,
            pids: vec![1, 2],
            listens: vec![Endpoint::Unix("/run/\x1b[2J.sock".into())],
            memory_bytes: Some(64 << 20),
            limit_bytes: None,
            role: None,
            upstreams,
        };
        let upstream = Upstream {
            address: Endpoint::Unix("/run/app.sock".into()),
            service: Some("app".into()),
        };
        let rows = [row("nginx.service", vec![upstream]), row("界\n界", vec![])];
        let mut out = Vec::new();
        text(&mut out, &rows).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(
            shown,
            "\
SERVICE        MANAGER  PROCS  MEMORY    LISTENS                 EVIDENCE
nginx.service  systemd  2      64.0 MiB  unix:/run/\\x1b[2J.sock  cgroup /system.slice
  → unix:/run/app.sock app
界\\n界         systemd  2      64.0 MiB  unix:/run/\\x1b[2J.sock  cgroup /system.slice
"
        );
    }
}
