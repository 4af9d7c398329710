//! `tracer`: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tracer::cli::main()
}
