//! Snapshots of a day, and properties of every format.

use super::perfetto::reading::perfetto_trace;
use super::*;
use crate::report::tests::findings::{HOSTILE, day};

fn exported(to: To) -> Vec<u8> {
    let mut export = Export::new(to, Vec::new()).unwrap();
    for finding in day() {
        export.finding(&finding).unwrap();
    }
    export.finish().unwrap()
}

#[test]
fn a_day_as_a_table() {
    insta::assert_binary_snapshot!("table.csv", exported(To::Csv));
}

#[test]
fn every_row_is_one_line_with_all_columns() {
    let csv = String::from_utf8(exported(To::Csv)).unwrap();
    assert_eq!(csv.lines().count(), day().len() + 1);
    let mut hostile = 0;
    for line in csv.lines() {
        let cells = cells(line);
        assert_eq!(cells.len(), COLUMNS.len(), "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
        for (cell, column) in cells.iter().zip(COLUMNS) {
            let formula = cell.starts_with(['=', '+', '-', '@']);
            assert!(!formula || column.kind != Type::Text, "{cell}");
            hostile += usize::from(cell.contains("<script>"));
        }
    }
    assert!(HOSTILE.contains("<script>") && hostile > 10, "{hostile}");
}

/// Splits a line of CSV into cells as RFC 4180 says.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let cell = cells.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cell.push(c),
        }
    }
    cells
}

#[test]
fn json_lines_equal_those_of_watch() {
    let mut want = Vec::new();
    let mut sink = crate::json::Json::new(&mut want);
    for finding in day() {
        sink.finding(&finding).unwrap();
    }
    assert_eq!(exported(To::Jsonl), want);
}

#[test]
fn a_trace_is_well_formed() {
    let summary = perfetto_trace(&exported(To::Perfetto));
    assert_eq!(
        summary.unknown_tracks, 0,
        "an event on an undescribed track"
    );
    assert_eq!(summary.begun, summary.ended + 1, "one incident stays open");
    // Three quiet outages, the loud one and the hostile one: an incident and a listener each.
    assert_eq!(summary.ended, 10);
    assert!(summary.arrows > 40, "{}", summary.arrows);
    assert!(summary.in_order, "the slices of a track overlap");
}

#[test]
fn the_documentation_lists_the_same_columns() {
    let documented: Vec<String> = include_str!("../../../../../docs/report.md")
        .lines()
        .skip_while(|line| !line.starts_with("| column"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(str::to_owned)
        .collect();
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|column| {
            let kind = match column.kind {
                Type::Text => "text",
                Type::Int => "integer",
                Type::Float => "number",
                Type::Bool => "boolean",
                Type::Time => "time",
            };
            format!("| `{}` | {kind} | {} |", column.name, column.meaning)
        })
        .collect();
    assert_eq!(documented, columns);
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_how_to_get_it() {
    let error = Export::new(To::Parquet, Vec::new()).err().unwrap();
    assert!(error.to_string().contains("--features parquet"), "{error}");
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_table_reads_back() {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    use ::parquet::record::RowAccessor as _;

    let bytes = bytes::Bytes::from(exported(To::Parquet));
    let reader = SerializedFileReader::new(bytes).unwrap();
    let columns = reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .num_columns();
    assert_eq!(columns, COLUMNS.len());
    let rows: Vec<_> = reader
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), day().len());
    for (row, finding) in rows.iter().zip(day()) {
        assert_eq!(row.get_string(1).unwrap(), &finding.body.kind().as_str());
    }
}
