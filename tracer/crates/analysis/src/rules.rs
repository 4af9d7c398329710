//! Parses tracer.toml, its `[[service]]` rules and its `[proxy]` section, and reports mistakes. What
//! the rules match is decided in `attribution::config`.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::Pattern;
use regex_lite::{Regex, RegexBuilder};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The keys of a rule, in the order of the documentation.
const KEYS: [&str; 8] = [
    "name", "unit", "exe", "cmdline", "port", "cwd", "user", "cgroup",
];

/// Largest compiled regular expression: each process is matched, in time proportional to the size.
const MAX_REGEX_BYTES: usize = 256 << 10;

/// Most error logs that can be named.
const MAX_ERROR_LOGS: usize = 64;

/// The rules; none by default.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    each: Arc<[Rule]>,
    error_logs: Arc<[PathBuf]>,
    /// The file's name and text.
    source: Option<Arc<(String, String)>>,
}

/// A service, and how its processes are recognised.
#[derive(Debug)]
pub(super) struct Rule {
    /// Name of the service.
    pub(super) name: String,
    /// All must hold; never empty.
    pub(super) conditions: Vec<Condition>,
    /// `tracer.toml line 3: exe = "node"`.
    pub(super) evidence: String,
}

/// What must hold for a process to belong to a service.
#[derive(Debug)]
pub(super) enum Condition {
    /// The name of its systemd unit.
    Unit(Pattern),
    /// Its executable's name, or the whole path when the pattern has a `/`.
    Exe(Pattern),
    /// Its arguments, joined by one space.
    Cmdline(Regex),
    /// A TCP port it listens on.
    Port(u16),
    /// Its working directory.
    Cwd(Pattern),
    /// Its user's name or id.
    User(String),
    /// Its cgroup's path.
    Cgroup(Pattern),
}

/// A mistake in a tracer.toml, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct RulesError {
    /// The file as the user named it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// The bytes of a mistake, and the message about it.
type Mistake = (Range<usize>, String);

impl Rules {
    /// No rules.
    pub fn none() -> Self {
        Self::default()
    }

    /// Parses the text of `file`; the name is only used in errors and evidence.
    pub fn parse(text: &str, file: &str) -> Result<Self, RulesError> {
        let mut rules = Self::read(text, file).map_err(|(span, message)| {
            let (line, column) = position(text, span.start);
            RulesError {
                file: file.to_owned(),
                line,
                column,
                message,
            }
        })?;
        rules.source = Some(Arc::new((file.to_owned(), text.to_owned())));
        Ok(rules)
    }

    /// File name and text as given to [`Self::parse`], so that a capture can hold them.
    pub fn source(&self) -> Option<(&str, &str)> {
        let (file, text) = &**self.source.as_ref()?;
        Some((file, text))
    }

    /// The proxies' logs that `[proxy]` names: absolute paths, each once.
    pub fn error_logs(&self) -> &[PathBuf] {
        &self.error_logs
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.each.iter()
    }

    fn read(text: &str, file: &str) -> Result<Self, Mistake> {
        let document = DeTable::parse(text)
            .map_err(|error| (error.span().unwrap_or(0..0), error.message().to_owned()))?;
        let mut rules = Vec::new();
        let mut error_logs = Vec::new();
        for (key, value) in document.get_ref() {
            if key.get_ref() == "proxy" {
                error_logs = proxy(value)?;
                continue;
            }
            if key.get_ref() != "service" {
                let message = format!(
                    "unknown key `{}`: use `[[service]]` or `[proxy]`",
                    key.get_ref()
                );
                return Err((key.span(), message));
            }
            let DeValue::Array(tables) = value.get_ref() else {
                let message = match value.get_ref() {
                    DeValue::Table(_) => "write `[[service]]` instead of `[service]`".to_owned(),
                    other => must_be("`service`", "`[[service]]` sections", other),
                };
                return Err((value.span(), message));
            };
            for table in tables {
                let DeValue::Table(keys) = table.get_ref() else {
                    let message = must_be("each `service`", "a table", table.get_ref());
                    return Err((table.span(), message));
                };
                let line = position(text, table.span().start).0;
                rules.push(rule(keys, table.span(), &format!("{file} line {line}"))?);
            }
        }
        Ok(Self {
            each: rules.into(),
            error_logs: error_logs.into(),
            source: None,
        })
    }
}

/// The `[proxy]` section.
fn proxy(value: &Spanned<DeValue<'_>>) -> Result<Vec<PathBuf>, Mistake> {
    let DeValue::Table(table) = value.get_ref() else {
        let message = match value.get_ref() {
            DeValue::Array(_) => "write `[proxy]` instead of `[[proxy]]`".to_owned(),
            other => must_be("`proxy`", "a `[proxy]` section", other),
        };
        return Err((value.span(), message));
    };
    let mut paths = Vec::new();
    for (key, value) in table {
        if key.get_ref() != "error_log" {
            let message = format!(
                "unknown key `{}` in [proxy]: the only key is error_log",
                key.get_ref()
            );
            return Err((key.span(), message));
        }
        match value.get_ref() {
            DeValue::Array(values) => {
                for value in values {
                    paths.push(error_log(value)?);
                }
            }
            DeValue::String(_) => paths.push(error_log(value)?),
            other => {
                let message = must_be("`error_log`", "a path or a list of paths", other);
                return Err((value.span(), message));
            }
        }
        paths.sort();
        paths.dedup();
        if paths.len() > MAX_ERROR_LOGS {
            let message = format!(
                "`error_log` has {} paths: at most {MAX_ERROR_LOGS} are allowed",
                paths.len()
            );
            return Err((value.span(), message));
        }
    }
    Ok(paths)
}

fn error_log(value: &Spanned<DeValue<'_>>) -> Result<PathBuf, Mistake> {
    let path = Path::new(string("error_log", value)?);
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let message = format!(
        "`error_log` must be an absolute path, not {:?}",
        path.display().to_string()
    );
    Err((value.span(), message))
}

fn rule(table: &DeTable<'_>, span: Range<usize>, place: &str) -> Result<Rule, Mistake> {
    let mut name = None;
    let mut conditions = Vec::new();
    let mut evidence = Vec::new();
    for (key, value) in table {
        let key_name: &str = key.get_ref();
        if !KEYS.contains(&key_name) {
            let message = format!(
                "unknown key `{key_name}` in [[service]]: use one of {}",
                KEYS.join(", ")
            );
            return Err((key.span(), message));
        }
        if key_name == "name" {
            name = Some(string("name", value)?.trim().to_owned());
        } else {
            let (condition, shown) = condition(key_name, value)?;
            conditions.push(condition);
            evidence.push(format!("{key_name} = {shown}"));
        }
    }
    let Some(name) = name else {
        return Err((span, "this [[service]] needs a `name`".to_owned()));
    };
    if conditions.is_empty() {
        let message = format!(
            "service `{name}` would match every process: add at least one of {}",
            KEYS[1..].join(", ")
        );
        return Err((span, message));
    }
    Ok(Rule {
        name,
        conditions,
        evidence: format!("{place}: {}", evidence.join(", ")),
    })
}

fn condition(key: &str, value: &Spanned<DeValue<'_>>) -> Result<(Condition, String), Mistake> {
    if key == "port" {
        let port = port(value)?;
        return Ok((Condition::Port(port), port.to_string()));
    }
    let text = string(key, value)?;
    let condition = match key {
        "cmdline" => Condition::Cmdline(regex(text, value)?),
        "user" => Condition::User(text.to_owned()),
        "unit" if !names_type(text) => {
            Condition::Unit(pattern(key, &format!("{text}.service"), value)?)
        }
        "unit" => Condition::Unit(pattern(key, text, value)?),
        "exe" => Condition::Exe(pattern(key, text, value)?),
        "cwd" => Condition::Cwd(pattern(key, text, value)?),
        _ => Condition::Cgroup(pattern(key, text, value)?),
    };
    Ok((condition, format!("{text:?}")))
}

/// Whether a pattern of units includes their type: `my.app` does not, and means `my.app.service`.
fn names_type(unit: &str) -> bool {
    unit.rsplit_once('.')
        .is_some_and(|(_, end)| matches!(end, "service" | "scope") || end.contains(['*', '?', '[']))
}

fn regex(text: &str, value: &Spanned<DeValue<'_>>) -> Result<Regex, Mistake> {
    RegexBuilder::new(text)
        .size_limit(MAX_REGEX_BYTES)
        .build()
        .map_err(|error| {
            let message = format!("`cmdline` is not a valid regular expression: {error}");
            (value.span(), message)
        })
}

fn pattern(key: &str, text: &str, value: &Spanned<DeValue<'_>>) -> Result<Pattern, Mistake> {
    Pattern::new(text).map_err(|error| {
        let message = format!(
            "`{key}` is not a valid glob: {} at character {}",
            error.msg,
            error.pos + 1
        );
        (value.span(), message)
    })
}

fn port(value: &Spanned<DeValue<'_>>) -> Result<u16, Mistake> {
    let DeValue::Integer(integer) = value.get_ref() else {
        let message = must_be("`port`", "an integer from 1 to 65535", value.get_ref());
        return Err((value.span(), message));
    };
    u16::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| {
            let message = format!(
                "`port` must be an integer from 1 to 65535, not {}",
                integer.as_str()
            );
            (value.span(), message)
        })
}

fn string<'v>(key: &str, value: &'v Spanned<DeValue<'_>>) -> Result<&'v str, Mistake> {
    match value.get_ref() {
        DeValue::String(text) if text.trim().is_empty() => {
            Err((value.span(), format!("`{key}` must be a non-empty string")))
        }
        DeValue::String(text) => Ok(text),
        other => Err((
            value.span(),
            must_be(&format!("`{key}`"), "a non-empty string", other),
        )),
    }
}

/// A message about a value of the wrong type.
fn must_be(what: &str, expected: &str, found: &DeValue<'_>) -> String {
    let article = if found.type_str().starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    format!(
        "{what} must be {expected}, not {article} {}",
        found.type_str()
    )
}

/// Line and column, from 1, of a byte.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte.min(text.len())).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Rules::parse(text, "/etc/tracer.toml")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_empty_file_has_no_rules() {
        assert_eq!(Rules::parse("# nothing\n", "t").unwrap().iter().count(), 0);
        assert_eq!(Rules::none().iter().count(), 0);
    }

    #[test]
    fn error_log_is_one_path_or_a_list() {
        for (text, want) in [
            ("", &[][..]),
            ("[proxy]\n", &[]),
            ("[proxy]\nerror_log = \"/var/log/a\"\n", &["/var/log/a"]),
            (
                "[proxy]\nerror_log = [\"/b\", \"/a\", \"/b\"]\n",
                &["/a", "/b"],
            ),
        ] {
            let rules = Rules::parse(text, "t").unwrap();
            let paths: Vec<_> = rules
                .error_logs()
                .iter()
                .map(|path| path.to_str())
                .collect();
            let want: Vec<_> = want.iter().map(|path| Some(*path)).collect();
            assert_eq!(paths, want, "{text}");
        }
        let many: Vec<String> = (0..65).map(|n| format!("\"/{n}\"")).collect();
        let error = error(&format!("[proxy]\nerror_log = [{}]\n", many.join(", ")));
        assert!(error.contains("65 paths: at most 64"), "{error}");
    }

    #[test]
    fn each_mistake_is_reported_with_its_place_and_the_remedy() {
        let service = "[[service]]\nname = \"é\"\n";
        insta::assert_snapshot!(
            [
                error("[[service]\n"),
                error("services = 1\n"),
                error("service = \"x\"\n"),
                error("[service]\nname = \"x\"\n"),
                error("service = [1]\n"),
                error("[[service]]\nexe = \"node\"\n"),
                error(service),
                error(&format!("{service}executable = \"node\"\n")),
                error(&format!("{service}name = \"twice\"\n")),
                error(&format!("{service}exe = 5\n")),
                error(&format!("{service}exe = \"\"\n")),
                error(&format!("{service}cmdline = \"node (\"\n")),
                error(&format!("{service}exe = \"a[\"\n")),
                error(&format!("{service}port = 70000\n")),
                error(&format!("{service}  port = 0\n")),
                error(&format!("{service}port = \"80\"\n")),
                error("[[service]]\nname = \" \"\nport = 80\n"),
                error("[[proxy]]\nerror_log = \"/a\"\n"),
                error("[proxy]\naccess_log = \"/a\"\n"),
                error("[proxy]\nerror_log = 5\n"),
                error("[proxy]\nerror_log = [\"/a\", 5]\n"),
                error("[proxy]\nerror_log = [\"/a\", \"\"]\n"),
                error("[proxy]\nerror_log = \"logs/error.log\"\n"),
            ]
            .join("\n")
        );
    }

    #[test]
    fn a_unit_without_its_type_is_a_service() {
        for (text, expected) in [
            ("api", "api.service"),
            ("my.app", "my.app.service"),
            ("worker@*", "worker@*.service"),
            ("run-u7.scope", "run-u7.scope"),
            ("api.*", "api.*"),
        ] {
            let rules = format!("[[service]]\nname = \"x\"\nunit = \"{text}\"\n");
            let rules = Rules::parse(&rules, "t").unwrap();
            let [Condition::Unit(pattern)] = &*rules.iter().next().unwrap().conditions else {
                panic!("one condition");
            };
            assert_eq!(pattern.as_str(), expected);
        }
    }

    #[test]
    fn a_too_large_regular_expression_is_a_mistake() {
        let cmdline = "[[service]]\nname = \"x\"\ncmdline = \"((((a{50}){50}){50}){2})\"\n";
        assert_eq!(
            error(cmdline),
            "/etc/tracer.toml:3:11: `cmdline` is not a valid regular expression: compiled regex \
             exceeded size limit"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_parses_to_rules_or_an_error(text in "(\\[\\[service\\]\\]|\\[proxy\\]|error_log|name|exe|port|=|\"|\n|\\PC){0,30}") {
            if let Err(error) = Rules::parse(&text, "t") {
                proptest::prop_assert!(error.line > 0 && error.column > 0);
            }
        }
    }
}
