//! Replays any bytes as a capture and shows the findings. It must not panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_present::{Sink, TimeZone};

fuzz_target!(|bytes: &[u8]| {
    let mut text = Sink::text(std::io::sink(), false, TimeZone::UTC);
    let mut json = Sink::json(std::io::sink());
    tracer_capture::fuzz::replay(bytes, &mut |finding| {
        text.finding(finding).expect("a sink takes everything");
        json.finding(finding).expect("a sink takes everything");
    });
});
