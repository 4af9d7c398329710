//! Decodes any bytes as a record of the kernel programs. It must not panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    tracer_kernel::is_record(bytes);
});
