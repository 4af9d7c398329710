//! Validates findings against the tracer's own JSON Schema. Knows only the keywords that the schema
//! uses, and fails on any other: if it ignored one, wrong findings could fit.

use std::sync::OnceLock;

use serde_json::Value;

use crate::binary::run_tracer;

/// The output of `tracer schema`, which is run once.
#[track_caller]
pub fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let (status, stdout, stderr) = run_tracer(["schema"]);
        assert!(status.success(), "{status}: {stderr}");
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{stdout}"))
    })
}

/// Fails the test when `finding` does not fit the schema or has a `null`: unknown fields are left
/// out.
#[track_caller]
pub fn check(finding: &Value) {
    if let Err(why) = fits(finding, schema(), "finding") {
        panic!("does not fit `tracer schema`: {why}\n{finding}");
    }
    assert!(!has_null(finding), "{finding}");
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn fits(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    for (keyword, wanted) in schema.as_object().ok_or("a schema that is not an object")? {
        keyword_fits(value, keyword, wanted, at)?;
    }
    Ok(())
}

fn keyword_fits(value: &Value, keyword: &str, wanted: &Value, at: &str) -> Result<(), String> {
    let list = || wanted.as_array().map_or(&[][..], Vec::as_slice);
    let held = match keyword {
        "$schema" | "$id" | "$defs" | "title" | "description" | "examples" | "format" => true,
        "$ref" => {
            let name = wanted.as_str().and_then(|it| it.strip_prefix("#/$defs/"));
            let name = name.ok_or_else(|| format!("a reference to {wanted}"))?;
            return fits(value, &self::schema()["$defs"][name], at);
        }
        "anyOf" => alternatives(value, list(), at) > 0,
        "oneOf" => alternatives(value, list(), at) == 1,
        "const" => value == wanted,
        "type" if wanted.is_array() => list().iter().any(|name| is_a(value, name)),
        "type" => is_a(value, wanted),
        "minimum" => value.as_f64() >= wanted.as_f64(),
        "maximum" => value.as_f64() <= wanted.as_f64(),
        "required" => list()
            .iter()
            .all(|name| name.as_str().is_some_and(|name| value.get(name).is_some())),
        "items" => {
            for item in value.as_array().map_or(&[][..], Vec::as_slice) {
                fits(item, wanted, &format!("{at}[]"))?;
            }
            true
        }
        "properties" => {
            for (name, schema) in wanted
                .as_object()
                .ok_or("properties that are not an object")?
            {
                if let Some(field) = value.get(name) {
                    fits(field, schema, &format!("{at}.{name}"))?;
                }
            }
            true
        }
        other => return Err(format!("the tests do not know the keyword `{other}`")),
    };
    held.then_some(())
        .ok_or_else(|| format!("{at} is {value}, but {keyword} requires {wanted}"))
}

fn alternatives(value: &Value, schemas: &[Value], at: &str) -> usize {
    let fitting = schemas.iter().filter(|one| fits(value, one, at).is_ok());
    fitting.count()
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_keyword_can_fail() {
        for (value, wanted) in [
            (json!(1), json!({"type": "string"})),
            (json!(1.5), json!({"type": ["integer", "null"]})),
            (json!("a"), json!({"const": "b"})),
            (json!(-1), json!({"minimum": 0})),
            (json!(256), json!({"maximum": 255})),
            (json!({"a": 1}), json!({"required": ["a", "b"]})),
            (
                json!({"a": 1}),
                json!({"properties": {"a": {"type": "null"}}}),
            ),
            (json!([1, "a"]), json!({"items": {"type": "integer"}})),
            (json!(1), json!({"oneOf": [{"const": 1}, {"minimum": 0}]})),
            (json!(1), json!({"anyOf": [{"const": 2}, {"const": 3}]})),
            (json!(1), json!({"patternProperties": {}})),
        ] {
            assert!(fits(&value, &wanted, "it").is_err(), "{value} {wanted}");
        }
    }

    #[test]
    fn a_value_that_fits_passes() {
        for (value, wanted) in [
            (json!(null), json!({"type": ["integer", "null"]})),
            (json!(255), json!({"minimum": 0, "maximum": 255})),
            (
                json!({"a": [1]}),
                json!({"properties": {"a": {"items": {"const": 1}}, "b": {"const": 1}}}),
            ),
            (
                json!(1),
                json!({"oneOf": [{"const": 1}, {"type": "string"}]}),
            ),
        ] {
            assert_eq!(fits(&value, &wanted, "it"), Ok(()), "{value} {wanted}");
        }
    }
}
