//! Any bytes are a capture, a damaged one, or none; what is in them can be replayed and shown.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tracer::capture::fuzz::replay(bytes));
