//! The program inside the virtual machines of `cargo xtask vm`: `guest agent` follows the plan that
//! the host put on the disk of programs, `guest run <scenario>` runs one scenario.
//!
//! A scenario fails by panicking, like a test.

mod agent;
mod findings;
mod host;
mod scenario;
mod systemd;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["agent"] => agent::run(),
        ["run", name] => scenario::run(name),
        _ => {
            eprintln!("guest agent | guest run <scenario>");
            std::process::exit(64);
        }
    }
}
