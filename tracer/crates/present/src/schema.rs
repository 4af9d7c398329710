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

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the test compares with a file of the checkout, and rewrites it on request"
)]
mod tests {
    use std::env;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::schema;

    const FILE: &str = "docs/findings.schema.json";

    /// The committed schema, found upwards from this crate.
    fn committed() -> PathBuf {
        let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let checkout = crate_folder
            .ancestors()
            .find(|folder| folder.join("docs/findings.md").is_file());
        checkout.expect("no docs/findings.md above").join(FILE)
    }

    /// What `tracer schema` prints.
    fn printed() -> String {
        serde_json::to_string_pretty(&schema()).unwrap() + "\n"
    }

    #[test]
    fn the_committed_schema_is_what_the_tracer_prints() {
        let path = committed();
        let printed = printed();
        if env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &printed).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == printed,
            "{FILE} differs from what `tracer schema` prints. Rewrite it, then review the diff:\n\n    \
             UPDATE_SCHEMA=1 cargo test -p {} committed_schema\n",
            env!("CARGO_PKG_NAME"),
        );
    }
}
