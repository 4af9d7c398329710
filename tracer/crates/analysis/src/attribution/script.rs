//! Interpreters with a script: "node worker.js in /var/www/app".

use std::borrow::Cow;

use tracer_model::{Manager, Service};

use crate::candidate::{Candidate, basename, named};

/// What an interpreter runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Script<'a> {
    /// `node`, `python3`, `php`, …
    interpreter: &'static str,
    /// The script, jar, module or class as written.
    target: &'a str,
    /// Whether `target` is a file.
    is_file: bool,
    /// The option that says what to do with it, such as `-m` or `-jar`; empty for most.
    mode: &'static str,
    /// The script's own command, for scripts that are many programs: `queue:work`.
    command: Option<&'a str>,
}

/// An interpreter's syntax.
struct Interpreter {
    name: &'static str,
    /// Options whose value is the next argument.
    valued: &'static [&'static str],
    /// Options after which there is no script: code in the command line.
    inline: &'static [&'static str],
    /// Words before the script: `bun run x.ts`.
    words: &'static [&'static str],
    /// Its options of one letter, where several may follow one dash.
    letters: Option<Letters>,
}

/// Options of one letter: `bash -lc`, `perl -ne`.
struct Letters {
    /// After these there is no script.
    inline: &'static str,
    /// The next argument is the value of these.
    valued: &'static str,
    /// The rest of the argument is the value of these.
    attached: &'static str,
}

const INTERPRETERS: [Interpreter; 11] = [
    Interpreter {
        name: "node",
        valued: &[
            "-r",
            "--require",
            "--watch-path",
            "--import",
            "--loader",
            "--experimental-loader",
            "-C",
            "--conditions",
            "--env-file",
            "--title",
            "--icu-data-dir",
            "--openssl-config",
        ],
        inline: &[
            "-e",
            "--eval",
            "-p",
            "--print",
            "-pe",
            "-i",
            "--interactive",
            "-v",
            "--version",
        ],
        words: &["inspect"],
        letters: None,
    },
    Interpreter {
        name: "python3",
        valued: &["-W", "-X", "--check-hash-based-pycs"],
        inline: &["-c", "-V", "--version"],
        words: &[],
        letters: Some(Letters {
            inline: "c",
            valued: "",
            attached: "mWX",
        }),
    },
    Interpreter {
        name: "ruby",
        valued: &["-I", "-r", "-C", "-E", "--encoding"],
        inline: &["-e", "-v", "--version"],
        words: &[],
        letters: Some(Letters {
            inline: "e",
            valued: "",
            attached: "CEFIKTWirx",
        }),
    },
    Interpreter {
        name: "perl",
        valued: &["-I"],
        inline: &["-e", "-E", "-v", "-V"],
        words: &[],
        letters: Some(Letters {
            inline: "eE",
            valued: "",
            attached: "CDFIMVdimx",
        }),
    },
    Interpreter {
        name: "php",
        valued: &["-d", "-c", "-z", "--php-ini", "--define"],
        inline: &["-r", "--run", "-a", "-v", "-i", "-m", "--version"],
        words: &[],
        letters: None,
    },
    Interpreter {
        name: "java",
        valued: &[
            "-cp",
            "-classpath",
            "--class-path",
            "-p",
            "--module-path",
            "--add-modules",
            "--add-opens",
            "--add-exports",
            "--add-reads",
            "--upgrade-module-path",
        ],
        inline: &["-version", "--version"],
        words: &[],
        letters: None,
    },
    Interpreter {
        name: "dotnet",
        valued: &[
            "--runtimeconfig",
            "--depsfile",
            "--additionalprobingpath",
            "--project",
        ],
        inline: &["--info", "--version"],
        words: &["exec", "run"],
        letters: None,
    },
    Interpreter {
        name: "bun",
        valued: &["-r", "--preload", "--cwd", "-c", "--config", "--env-file"],
        inline: &["-e", "--eval", "-v", "--version"],
        words: &["run"],
        letters: None,
    },
    Interpreter {
        name: "deno",
        valued: &["-c", "--config", "--import-map", "--lock", "--env-file"],
        inline: &["eval", "repl", "-V", "--version"],
        words: &["run", "serve", "task"],
        letters: None,
    },
    Interpreter {
        name: "lua",
        valued: &["-l"],
        inline: &["-e", "-i", "-v"],
        words: &[],
        letters: None,
    },
    Interpreter {
        name: "sh",
        valued: &["-o", "+o", "-O", "--rcfile", "--init-file"],
        inline: &["-c", "-i", "-l", "--login", "--version"],
        words: &[],
        letters: Some(Letters {
            inline: "c",
            valued: "oO",
            attached: "",
        }),
    },
];

/// Shells that run scripts, all with the syntax of `sh`.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ash", "ksh"];

/// Scripts that are many programs, distinguished by their first word.
const MULTIPLE: [&str; 14] = [
    "artisan",
    "console",
    "manage.py",
    "yii",
    "spark",
    "think",
    "wp",
    "wp-cli.phar",
    "rails",
    "rake",
    "bundle",
    "flask",
    "next",
    "nest",
];

/// Package managers that run a project's scripts. They show themselves as `npm run start` once they
/// run, so that is how they are called from the start.
const RUNNERS: [(&str, &str); 8] = [
    ("npm", "npm"),
    ("npm-cli.js", "npm"),
    ("npx", "npx"),
    ("npx-cli.js", "npx"),
    ("yarn", "yarn"),
    ("yarn.js", "yarn"),
    ("pnpm", "pnpm"),
    ("pnpm.cjs", "pnpm"),
];

/// The script with its directory.
pub(super) fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let cwd = candidate.facts.cwd.as_deref();
    if let Some((name, evidence)) = runner(candidate) {
        return named(&within(&name, cwd), Manager::Script, &evidence);
    }
    if let Some(script) = of(candidate) {
        let (place, target) = script.placed(cwd);
        let mut name = script.interpreter.to_owned();
        for part in [script.mode, &target, script.command.unwrap_or_default()] {
            if !part.is_empty() {
                name.push(' ');
                name.push_str(part);
            }
        }
        // Not the whole command line: it may hold secrets.
        let evidence = format!("script {} run by {}", script.target, script.interpreter);
        return named(&within(&name, place.as_deref()), Manager::Script, &evidence);
    }
    let title = rewritten_title(candidate)?;
    // A version would make an upgrade another service: `next-server (v14.1.0)`.
    let name = title.split(" (").next().unwrap_or(title);
    named(
        &within(name, cwd),
        Manager::Script,
        &format!("title {title:?}"),
    )
}

/// What the process's interpreter runs, if it is one and runs a script.
pub(crate) fn of<'a>(candidate: &Candidate<'a>) -> Option<Script<'a>> {
    let args = &candidate.facts.args;
    let first = args.first()?;
    let interpreter = interpreter(basename(first)).or_else(|| {
        (args.len() > 1)
            .then(|| interpreter(&candidate.program()))
            .flatten()
    })?;
    // `bash <(…)`, `source /dev/fd/3`: code like that of `-c`, and a number for a name.
    let is_pipe = |script: &Script<'_>| script.target.starts_with("/dev/fd/");
    let mut script = parse(interpreter, &args[1..]).filter(|script| !is_pipe(script))?;
    if let Some(shell) = SHELLS.iter().find(|shell| **shell == basename(first)) {
        script.interpreter = shell;
    }
    Some(script)
}

/// Whether a service of this name is a shell's script.
pub(super) fn is_of_shell(name: &str) -> bool {
    name.split(' ')
        .next()
        .is_some_and(|first| SHELLS.contains(&first))
}

impl Script<'_> {
    /// Whether this argument is the script.
    pub(super) fn runs(&self, arg: &str) -> bool {
        self.target == arg
    }

    /// Whether a shell runs it.
    pub(super) fn is_shells(&self) -> bool {
        SHELLS.contains(&self.interpreter)
    }

    /// Whether the script's path begins with `prefix`; what follows it.
    pub(crate) fn below(&self, prefix: &str) -> Option<&str> {
        self.target.strip_prefix(prefix).filter(|_| self.is_file)
    }

    /// The directory to show, and the script relative to it. An absolute script outside of the
    /// working directory is shown in its own, unless that says nothing.
    fn placed<'b>(&'b self, cwd: Option<&'b str>) -> (Option<Cow<'b, str>>, Cow<'b, str>) {
        let as_is = (cwd.map(Cow::from), Cow::from(self.target));
        if !self.is_file {
            return as_is;
        }
        let target = self.target.strip_prefix("./").unwrap_or(self.target);
        let Some(absolute) = target.strip_prefix('/') else {
            return (as_is.0, target.into());
        };
        if let Some(cwd) = cwd.filter(|cwd| cwd.len() > 1)
            && let Some(rest) = target.strip_prefix(cwd)
            && let Some(rest) = rest.strip_prefix('/')
        {
            return (Some(cwd.into()), rest.into());
        }
        match absolute.rsplit_once('/') {
            // An installed program, used on the working directory.
            Some((directory, file))
                if matches!(directory, "bin" | "usr/bin" | "usr/local/bin")
                    && !file.is_empty()
                    && cwd.is_some_and(|cwd| cwd.len() > 1) =>
            {
                (as_is.0, file.into())
            }
            Some((directory, file)) if !file.is_empty() => {
                (Some(format!("/{directory}").into()), file.into())
            }
            _ => as_is,
        }
    }
}

/// The interpreter that a program's name stands for: `python3.11`, `php8.2`, `nodejs`.
fn interpreter(program: &str) -> Option<&'static Interpreter> {
    let bare = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let name = match bare {
        "node" | "nodejs" => "node",
        "python" | "pypy" => "python3",
        "ruby" | "jruby" => "ruby",
        shell if SHELLS.contains(&shell) => "sh",
        "lua" | "luajit" => "lua",
        "php" | "php-cli" | "php-cgi" => "php",
        other => other,
    };
    INTERPRETERS.iter().find(|known| known.name == name)
}

/// What the letters after one dash say about what follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bundle {
    /// Code: there is no script.
    Inline,
    /// The value of one of the letters.
    Valued,
    /// They end with this letter, whose value is the next argument.
    Attached(char),
    /// Nothing.
    Plain,
}

impl Interpreter {
    fn bundle(&self, arg: &str) -> Bundle {
        let Some(letters) = &self.letters else {
            return Bundle::Plain;
        };
        let Some(bundled) = arg.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
            return Bundle::Plain;
        };
        let mut valued = false;
        for (at, letter) in bundled.char_indices() {
            if letters.inline.contains(letter) {
                return Bundle::Inline;
            }
            if letters.attached.contains(letter) {
                return if at + letter.len_utf8() == bundled.len() {
                    Bundle::Attached(letter)
                } else {
                    Bundle::Plain
                };
            }
            valued |= letters.valued.contains(letter);
        }
        if valued {
            Bundle::Valued
        } else {
            Bundle::Plain
        }
    }
}

fn parse<'a>(interpreter: &'static Interpreter, args: &'a [Box<str>]) -> Option<Script<'a>> {
    let script = |target: &'a str, is_file, mode| {
        (!target.trim().is_empty()).then_some(Script {
            interpreter: interpreter.name,
            target,
            is_file,
            mode,
            command: None,
        })
    };
    let mut args = args.iter().map(|arg| &**arg);
    while let Some(arg) = args.next() {
        if interpreter.inline.contains(&arg) {
            return None;
        }
        match (interpreter.name, arg) {
            ("python3", "-m") | ("java", "-m" | "--module") => {
                return script(args.next()?, false, "-m");
            }
            ("java", "-jar") => return script(args.next()?, true, "-jar"),
            ("php", "-S" | "--server") => return script(args.next()?, false, "-S"),
            ("php", "-f" | "--file") => return script(args.next()?, true, ""),
            _ => {}
        }
        let bundle = interpreter.bundle(arg);
        if bundle == Bundle::Inline {
            return None;
        }
        if interpreter.name == "python3" && bundle == Bundle::Attached('m') {
            return script(args.next()?, false, "-m");
        }
        if bundle == Bundle::Valued || interpreter.valued.contains(&arg) {
            args.next();
        } else if !(arg.is_empty()
            || arg.starts_with(['-', '+'])
            || interpreter.words.contains(&arg))
        {
            let is_file = interpreter.name != "java";
            let mut found = script(arg, is_file, "")?;
            if MULTIPLE.contains(&basename(arg)) {
                found.command = args.find(|arg| !arg.is_empty() && !arg.starts_with('-'));
            }
            return Some(found);
        }
    }
    None
}

/// What a package manager runs, by its arguments or its title, and the evidence.
fn runner(candidate: &Candidate<'_>) -> Option<(String, String)> {
    let args = &candidate.facts.args;
    let mut words: Vec<&str> = match of(candidate) {
        Some(script) => {
            let at = args.iter().position(|arg| script.runs(arg))?;
            args[at..].iter().map(|arg| &**arg).collect()
        }
        None => rewritten_title(candidate)?.split_whitespace().collect(),
    };
    let first = basename(words.first()?);
    words[0] = RUNNERS.iter().find(|(program, _)| *program == first)?.1;
    let shown: Vec<&str> = words
        .into_iter()
        .filter(|word| !word.is_empty() && !word.starts_with('-'))
        .take(3)
        .collect();
    let name = shown.join(" ");
    let evidence = format!("command {name}");
    Some((name, evidence))
}

/// The title that a script gave its process in place of its arguments.
fn rewritten_title<'a>(candidate: &Candidate<'a>) -> Option<&'a str> {
    let [only] = &*candidate.facts.args else {
        return None;
    };
    let title = only.trim();
    let exe = basename(candidate.facts.exe.as_deref()?);
    let own = basename(title).trim_start_matches('-');
    let shell = interpreter(exe)?.name == "sh";
    (!shell && !own.is_empty() && interpreter(own).is_none()).then_some(title)
}

fn within(name: &str, place: Option<&str>) -> String {
    match place {
        Some(place) if !place.is_empty() => format!("{name} in {place}"),
        _ => name.to_owned(),
    }
}
