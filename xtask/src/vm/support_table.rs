//! The table in `docs/kernel-support.md`: which rung of which hook works on which kernel, as reported
//! by the guests. `cargo xtask vm --write-table` writes it; every other run compares it with what
//! the guests report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::kernels::SERIES;
use super::report::Outcome;
use crate::run;

const FILE: &str = "docs/kernel-support.md";
const BEGIN: &str = "<!-- table: written by `cargo xtask vm --write-table` -->";
const END: &str = "<!-- end of table -->";
const WORKS: &str = "yes";
const FAILS: &str = "no";

/// What is lost on rungs below the best: the beginning of their name, and the text.
const LOST: [(&str, &str); 7] = [
    ("kretprobe ", "nothing; each connect costs a little more"),
    (
        "tracepoint syscalls/",
        "nothing; every system call on the machine costs about 10 ns more",
    ),
    (
        "tracepoints syscalls/",
        "nothing; two tracepoints instead of one, so each connect costs more",
    ),
    ("kprobe oom_kill", "nothing"),
    (
        "kmsg",
        "the scope of an OOM kill whose report is suppressed by the kernel's rate limit",
    ),
    (
        "page counters",
        "the scope of an OOM kill is concluded from the limit that was reached",
    ),
    ("not available", "see `blind` in the `start` finding"),
];

/// Hook and rung.
type Key = (String, String);

/// The rungs that worked in the guest with one kernel.
struct Column {
    series: &'static str,
    works: BTreeSet<Key>,
}

/// The rows, in the order in which they were first reported, and one column per kernel.
struct Table {
    rows: Vec<Key>,
    columns: Vec<Column>,
}

impl Table {
    fn new(outcomes: &[Outcome]) -> Result<Self> {
        let mut table = Self {
            rows: Vec::new(),
            columns: Vec::new(),
        };
        for outcome in outcomes {
            let facts = outcome.ended.transcript.facts.iter();
            let support = facts.filter(|fact| fact.topic == "support");
            let mut works = BTreeSet::new();
            for fact in support {
                let report: Value = serde_json::from_str(&fact.text)
                    .with_context(|| format!("reading a guest's report: {}", fact.text))?;
                for hook in report["hooks"].as_array().into_iter().flatten() {
                    let name = hook["name"].as_str().unwrap_or_default();
                    let via = hook["via"].as_str().unwrap_or("not available");
                    let key = (name.to_owned(), via.to_owned());
                    if !table.rows.contains(&key) {
                        table.rows.push(key.clone());
                    }
                    works.insert(key);
                }
            }
            if !works.is_empty() {
                table.columns.push(Column {
                    series: outcome.kernel.series.name,
                    works,
                });
            }
        }
        // Keeps the rungs of a hook together.
        let hooks: Vec<String> = table.rows.iter().map(|(hook, _)| hook.clone()).collect();
        let place = |hook: &String| hooks.iter().position(|one| one == hook);
        table.rows.sort_by_key(|(hook, _)| place(hook));
        Ok(table)
    }

    fn text(&self) -> String {
        let mut lines = vec![
            format!(
                "| hook | rung | {} | what is lost |",
                self.columns
                    .iter()
                    .map(|column| column.series)
                    .collect::<Vec<_>>()
                    .join(" | ")
            ),
            format!("|{}", "---|".repeat(self.columns.len() + 3)),
        ];
        for key in &self.rows {
            let (hook, via) = key;
            let cells: Vec<_> = self.columns.iter().map(|it| it.cell(key)).collect();
            lines.push(format!(
                "| `{hook}` | {via} | {} | {} |",
                cells.join(" | "),
                lost(via)
            ));
        }
        lines.join("\n")
    }
}

impl Column {
    fn cell(&self, key: &Key) -> &'static str {
        if self.works.contains(key) {
            WORKS
        } else {
            FAILS
        }
    }
}

fn lost(via: &str) -> &'static str {
    LOST.iter()
        .find(|(rung, _)| via.starts_with(rung))
        .map_or("nothing", |&(_, lost)| lost)
}

/// Writes the table. All kernels must have run.
pub(super) fn write(outcomes: &[Outcome]) -> Result<()> {
    let table = Table::new(outcomes)?;
    if table.columns.len() != SERIES.len() {
        bail!("the table needs a report of the scenario `support` from every kernel");
    }
    let path = file()?;
    let document = read(&path)?;
    let (before, _, after) = split(&document)?;
    let text = format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", table.text());
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Where the document differs from what the guests reported.
pub(super) fn differences(outcomes: &[Outcome]) -> Result<Vec<String>> {
    let table = Table::new(outcomes)?;
    let document = read(&file()?)?;
    let (_, written, _) = split(&document)?;
    Ok(compare(&table, &parse(written)))
}

fn compare(table: &Table, written: &BTreeMap<(Key, String), bool>) -> Vec<String> {
    let mut differences = Vec::new();
    for column in &table.columns {
        let series = column.series;
        for key in &table.rows {
            let says = written.get(&(key.clone(), series.to_owned())).copied();
            let is = column.works.contains(key);
            if says.unwrap_or(false) != is {
                let (hook, via) = key;
                let result = if is { "works" } else { "does not work" };
                differences.push(format!("{series}: {hook} by {via} {result}"));
            }
        }
        for ((key, at), &says) in written {
            if says && at == series && !table.rows.contains(key) {
                let (hook, via) = key;
                differences.push(format!("{series}: {hook} by {via} does not work"));
            }
        }
    }
    differences
}

/// The cells of a written table.
fn parse(text: &str) -> BTreeMap<(Key, String), bool> {
    let mut cells = BTreeMap::new();
    let mut rows = text.lines().filter(|line| line.starts_with('|'));
    let columns = words(rows.next().unwrap_or_default());
    for row in rows.skip(1) {
        let row = words(row);
        let [hook, via, rest @ ..] = &row[..] else {
            continue;
        };
        let key = (hook.trim_matches('`').to_owned(), via.clone());
        for (series, cell) in columns.iter().skip(2).zip(rest) {
            if matches!(cell.as_str(), WORKS | FAILS) {
                cells.insert((key.clone(), series.clone()), cell == WORKS);
            }
        }
    }
    cells
}

fn words(row: &str) -> Vec<String> {
    row.trim_matches('|')
        .split('|')
        .map(|word| word.trim().to_owned())
        .collect()
}

fn file() -> Result<PathBuf> {
    Ok(run::root()?.join(FILE))
}

fn read(path: &PathBuf) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// The text before, in and after the table.
fn split(document: &str) -> Result<(&str, &str, &str)> {
    let parts = document.split_once(BEGIN).and_then(|(before, rest)| {
        let (table, after) = rest.split_once(END)?;
        Some((before, table, after))
    });
    parts.with_context(|| format!("{FILE} has no table between its two comments"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hook: &str, via: &str) -> Key {
        (hook.to_owned(), via.to_owned())
    }

    fn table() -> Table {
        let best = key("oom_scope", "fentry oom_kill_process");
        let last = key("oom_scope", "kmsg");
        Table {
            rows: vec![best.clone(), last.clone()],
            columns: vec![
                Column {
                    series: "5.10",
                    works: BTreeSet::from([last.clone()]),
                },
                Column {
                    series: "6.1",
                    works: BTreeSet::from([best, last]),
                },
            ],
        }
    }

    #[test]
    fn a_written_table_is_read_back_unchanged() {
        let text = table().text();
        assert!(
            text.contains("| `oom_scope` | kmsg | yes | yes | the scope"),
            "{text}"
        );
        assert_eq!(compare(&table(), &parse(&text)), [""; 0]);
    }

    #[test]
    fn differences_between_table_and_kernels_are_listed() {
        let mut written = parse(&table().text());
        let cell = (
            key("oom_scope", "fentry oom_kill_process"),
            "5.10".to_owned(),
        );
        written.insert(cell, true);
        written.insert((key("exit", "magic"), "6.1".to_owned()), true);
        written.insert((key("exit", "magic"), "7.9".to_owned()), true);
        assert_eq!(
            compare(&table(), &written),
            [
                "5.10: oom_scope by fentry oom_kill_process does not work",
                "6.1: exit by magic does not work",
            ]
        );
    }

    #[test]
    fn a_table_is_found_between_its_comments() {
        let document = format!("a{BEGIN}b{END}c");
        assert_eq!(split(&document).ok(), Some(("a", "b", "c")));
        assert!(split("no table").is_err());
    }
}
