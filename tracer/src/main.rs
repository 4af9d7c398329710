//! The `tracer` binary; see [`tracer::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    tracer::cli::main()
}
