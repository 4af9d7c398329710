//! What `tracer doctor` prints.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use serde::Serialize;

use super::cell::{NAME_COLUMNS, SENTENCE_COLUMNS, cell, push};

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It works.
    Ok,
    /// It works in part, or in a slower or less exact way.
    Warn,
    /// It does not work, and the tracer needs it.
    Fail,
}

/// One fact about the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// The result.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Whether the kernel's record of a field agrees with /proc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Both say the same.
    Same,
    /// They differ.
    Differs {
        /// What the kernel's record says.
        kernel: String,
        /// What /proc, or the process, says.
        proc: String,
    },
    /// No record contained it.
    Unseen,
}

/// One field of one record, compared by the self-check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The event: `exit`, `listen` …
    pub event: &'static str,
    /// The field.
    pub name: &'static str,
    /// Whether both sources agree.
    pub agreement: Agreement,
}

/// The fields of a self-check: one line per event for the fields that agree with /proc, and one for
/// each field that does not.
pub fn compared(fields: &[Field]) -> Vec<(Status, String)> {
    let mut lines = Vec::new();
    for fields in fields.chunk_by(|one, next| one.event == next.event) {
        let mut same = Vec::new();
        for Field {
            event,
            name,
            agreement,
        } in fields
        {
            let wrong = match agreement {
                Agreement::Same => {
                    same.push(*name);
                    continue;
                }
                Agreement::Unseen => "was not seen".to_owned(),
                Agreement::Differs { kernel, proc } => {
                    format!("the kernel's record says {kernel:?}, /proc says {proc:?}")
                }
            };
            lines.push((Status::Fail, format!("{event}, {name}: {wrong}")));
        }
        if let Some(first) = fields.first().filter(|_| !same.is_empty()) {
            let same = same.join(", ");
            lines.push((Status::Ok, format!("{}: {same}", first.event)));
        }
    }
    lines
}

/// One line per check, with its remedy below.
pub fn text(out: &mut impl Write, checks: &[Check], colour: bool) -> io::Result<()> {
    let mut lines = String::new();
    for check in checks {
        let (mark, tint) = match check.status {
            Status::Ok => ("✓", AnsiColor::Green),
            Status::Warn => ("!", AnsiColor::Yellow),
            Status::Fail => ("✗", AnsiColor::Red),
        };
        let style = Style::new().bold().fg_color(Some(Color::Ansi(tint)));
        push(&mut lines, mark, colour.then_some(style), 2);
        push(&mut lines, &cell(&check.name, NAME_COLUMNS), None, 22);
        lines.push(' ');
        lines.push_str(&cell(&check.detail, SENTENCE_COLUMNS));
        lines.push('\n');
        if let Some(remedy) = &check.remedy {
            lines.push_str("    → ");
            lines.push_str(&cell(remedy, SENTENCE_COLUMNS));
            lines.push('\n');
        }
    }
    out.write_all(lines.as_bytes())?;
    out.flush()
}

/// One JSON array.
pub fn json(out: &mut impl Write, checks: &[Check]) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, checks)?;
    writeln!(out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_agree_share_a_line_and_others_have_their_own() {
        let field = |event, name, agreement| Field {
            event,
            name,
            agreement,
        };
        let differs = Agreement::Differs {
            kernel: "0".to_owned(),
            proc: "1000".to_owned(),
        };
        let lines = compared(&[
            field("exec", "record", Agreement::Unseen),
            field("exit", "start time", Agreement::Same),
            field("exit", "uid", differs),
            field("exit", "cgroup", Agreement::Same),
        ]);
        let line = |status, text: &str| (status, text.to_owned());
        assert_eq!(
            lines,
            [
                line(Status::Fail, "exec, record: was not seen"),
                line(
                    Status::Fail,
                    "exit, uid: the kernel's record says \"0\", /proc says \"1000\""
                ),
                line(Status::Ok, "exit: start time, cgroup"),
            ]
        );
    }

    #[test]
    fn checks_show_their_status_and_remedy() {
        let check = |status, detail: &str, remedy: Option<&str>| Check {
            name: "kernel".to_owned(),
            status,
            detail: detail.to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let checks = [
            check(Status::Ok, "6.1.0", None),
            check(Status::Warn, "no\nkprobes", None),
            check(Status::Fail, "4.9", Some("boot 5.10 or later")),
        ];
        let mut out = Vec::new();
        text(&mut out, &checks, false).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "✓ kernel                 6.1.0\n\
             ! kernel                 no\\nkprobes\n\
             ✗ kernel                 4.9\n    → boot 5.10 or later\n"
        );
        let mut out = Vec::new();
        json(&mut out, &checks[2..]).unwrap();
        let parsed: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(parsed[0]["status"], "fail");
        assert_eq!(parsed[0]["remedy"], "boot 5.10 or later");
    }
}
