//! Set-up, build, test, lint, demo.

fn main() {}
