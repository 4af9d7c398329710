//! What a command line asks a manager for, by the words that the managers' clients have in common
//! and those of each.

use super::profile::Client;

/// Words with which clients ask for something to run (again).
const STARTS: [&str; 6] = [
    "start",
    "restart",
    "reload",
    "try-restart",
    "force-reload",
    "update",
];
/// ... to stop.
const STOPS: [&str; 4] = ["stop", "kill", "remove", "shutdown"];
/// ... or for nothing of the kind.
const LOOKS: [&str; 7] = ["status", "show", "list", "ls", "logs", "info", "version"];

/// What a client was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Whether it only stops something.
    pub stops: bool,
    /// The arguments after the program's name.
    pub args: &'a [Box<str>],
}

/// What the command line of a client asks for; `None` when it is another program's, or only looks.
/// `of_name` finds a client by the name of its program.
pub(super) fn request(
    args: &[Box<str>],
    of_name: impl Fn(&str) -> Option<&'static Client>,
) -> Option<Request<'_>> {
    // The program, or the script that an interpreter runs.
    let (program, client) = args.iter().take(2).enumerate().find_map(|(at, arg)| {
        let name = arg.rsplit('/').next().unwrap_or(arg);
        Some((at, of_name(name)?))
    })?;
    let rest = &args[program + 1..];
    let has = |common: &[&str], own: &[&str]| {
        rest.iter()
            .any(|arg| common.contains(&&**arg) || own.contains(&&**arg))
    };
    let starts = has(&STARTS, client.starts);
    let stops = has(&STOPS, client.stops);
    if !starts && !stops && has(&LOOKS, client.looks) {
        return None;
    }
    // Without any known word, its words may come from elsewhere.
    Some(Request {
        stops: stops && !starts,
        args: rest,
    })
}
