//! Replays any bytes as a capture and shows the findings. It must not panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tracer::capture::fuzz::replay(bytes));
