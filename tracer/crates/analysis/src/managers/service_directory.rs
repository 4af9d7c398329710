//! Services that are named by their directory, as runit and s6 do.

use crate::candidate::Candidate;

/// The directory that the parent supervises, when the parent is this program: `web`, `web/log` for
/// the logger in there. With it, the argument that says so.
pub(super) fn supervised<'a>(
    candidate: &Candidate<'a>,
    supervisor: &str,
) -> Option<(String, &'a str)> {
    let parent = candidate.parent?.facts;
    let [program, directory, ..] = &*parent.args else {
        return None;
    };
    if program.rsplit('/').next() != Some(supervisor) {
        return None;
    }
    let path = match &**directory {
        "" | "." | "./" => parent.cwd.as_deref()?,
        path => path,
    };
    Some((name(path)?, directory))
}

/// The last component of a path; the last two of a logger's.
fn name(path: &str) -> Option<String> {
    let mut components = path.rsplit('/').filter(|part| !matches!(*part, "" | "."));
    let last = components.next()?;
    Some(match components.next() {
        Some(of) if last == "log" => format!("{of}/log"),
        _ => last.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_service_has_the_name_of_its_directory() {
        for (path, expected) in [
            ("web", Some("web")),
            ("/etc/sv/web/", Some("web")),
            ("./web", Some("web")),
            ("api/log", Some("api/log")),
            ("/run/service/api/log", Some("api/log")),
            ("log", Some("log")),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(name(path).as_deref(), expected, "{path:?}");
        }
    }
}
