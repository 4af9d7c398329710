//! Starting other programs: printed before they run, as root if they need it.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

/// Folders with system programs that an ordinary user's `PATH` often lacks.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The checkout.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .context("CARGO_MANIFEST_DIR is not set: start this as `cargo xtask <verb>`")?;
    let root = Path::new(&manifest).join("..");
    root.canonicalize()
        .with_context(|| format!("the checkout {}", root.display()))
}

/// Where cargo builds, found from where this program was built: `<target>/debug/xtask`.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let program = env::current_exe().context("finding this program")?;
    let folder = program.ancestors().nth(2);
    Ok(folder
        .with_context(|| format!("no target folder above {}", program.display()))?
        .to_owned())
}

/// The user's folder for what is installed outside the checkout.
pub(crate) fn user_cache() -> Result<PathBuf> {
    let folder = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".cache")));
    folder.context("neither XDG_CACHE_HOME nor HOME is set")
}

/// The cargo that started this program, in the checkout.
pub(crate) fn cargo() -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()?);
    Ok(command)
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// The words before a command that needs root: none if this process is root, else sudo, which
/// passes on the environment variables `keep`. sudo resets `PATH`, which would hide a node that one
/// user has installed, so `PATH` is passed on too.
pub(crate) fn root_prefix(keep: &[&str]) -> Result<Vec<String>> {
    if is_root() {
        return Ok(Vec::new());
    }
    if find("sudo").is_none() {
        bail!("this needs root, and sudo is not installed: run the same command as root");
    }
    let mut prefix = vec!["sudo".to_owned()];
    if !keep.is_empty() {
        prefix.push(format!("--preserve-env={}", keep.join(",")));
    }
    prefix.push("env".to_owned());
    prefix.push(format!("PATH={}", env::var("PATH").unwrap_or_default()));
    Ok(prefix)
}

/// `program`, to be run as root.
pub(crate) fn as_root(program: impl AsRef<OsStr>, keep: &[&str]) -> Result<Command> {
    let prefix = root_prefix(keep)?;
    let Some((first, rest)) = prefix.split_first() else {
        return Ok(Command::new(program));
    };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    Ok(command)
}

/// The same command, to be run as root. The environment and working folder are not kept.
pub(crate) fn elevated(command: &Command) -> Result<Command> {
    let mut elevated = as_root(command.get_program(), &[])?;
    elevated.args(command.get_args());
    Ok(elevated)
}

/// Where `program` is, in `PATH` or in the system's folders.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    find_where(|name| name == program)
}

/// The first program whose file name satisfies `wanted`, in `PATH` or in the system's folders.
pub(crate) fn find_where(wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.map(PathBuf::from))
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(Iterator::flatten)
        .find(|entry| entry.file_name().to_str().is_some_and(&wanted) && executable(&entry.path()))
        .map(|entry| entry.path())
}

fn executable(path: &Path) -> bool {
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Prints `command`, runs it and returns its exit status.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    println!("$ {}", shown(command));
    command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("starting {}", command.get_program().display()))
}

/// Prints `command` and runs it; it must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// The standard output of `command`, if it can be run and succeeds. The command is not printed.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// The exit code to pass on: the program's own, or failure if it was killed.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    }
}

/// `command` as one would type it, without the program's folder and the `PATH` passed on.
pub(crate) fn shown(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program)
        .chain(command.get_args())
        .filter(|word| !word.to_string_lossy().starts_with("PATH="))
        .map(quoted);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command
            .args(["test", "it's one", ""])
            .arg("PATH=/usr/bin")
            .env("TRACER_BIN", "/a b/tracer");
        assert_eq!(
            shown(&command),
            r"TRACER_BIN='/a b/tracer' cargo test 'it'\''s one' ''"
        );
    }

    #[test]
    fn a_program_is_found_by_name_and_a_missing_one_is_not() {
        assert!(find("sh").is_some_and(|path| path.ends_with("sh")));
        assert_eq!(find("no-such-program-anywhere"), None);
    }

    #[test]
    fn an_answer_is_what_a_successful_program_prints() {
        let script = |text| answer(Command::new("sh").args(["-c", text]));
        assert_eq!(script("echo yes"), Some("yes\n".to_owned()));
        assert_eq!(script("echo no; exit 1"), None);
        assert_eq!(answer(&mut Command::new("no-such-program-anywhere")), None);
    }
}
