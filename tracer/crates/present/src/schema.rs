//! The JSON Schema of the findings.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use tracer_model::{Finding, SCHEMA_VERSION};

/// The schema of one line of `tracer watch --json`, with examples.
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Finding>();
    schema.insert("title".to_owned(), json!("tracer finding"));
    schema.insert(
        "$id".to_owned(),
        json!(format!("urn:tracer:finding:v{SCHEMA_VERSION}")),
    );
    let examples: Vec<Value> = examples().collect();
    schema.insert("examples".to_owned(), examples.into());
    schema.to_value()
}

/// The example lines of the reference, in its order.
fn examples() -> impl Iterator<Item = Value> {
    include_str!("../../../../docs/findings.md")
        .lines()
        .filter(|line| line.starts_with("{\"v\":"))
        .filter_map(|line| serde_json::from_str(line).ok())
}
