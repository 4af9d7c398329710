//! Any bytes are a record of the kernel programs, or none.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    tracer_kernel::is_record(bytes);
});
