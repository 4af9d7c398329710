//! What the fuzz targets run, and the tests with inputs that fuzzers found.
//!
//! A fuzzer can't guess checksums. So its bytes are read twice: as a file, and as the content of a sound
//! frame.

use tracer_model::Finding;

use super::frame::{Framer, Kind};
use super::{Item, Reader, Replay};

/// Reads and replays `bytes`; `show` gets each finding.
pub fn replay(bytes: &[u8], show: &mut dyn FnMut(&Finding)) {
    all(bytes, show);
    let Some((kind, raw)) = bytes.split_first() else {
        return;
    };
    let kind = match kind % 4 {
        0 => Kind::Header,
        1 => Kind::Events,
        2 => Kind::Checkpoint,
        _ => Kind::Gap,
    };
    if let Ok(mut framer) = Framer::new()
        && raw.len() <= super::format::MAX_RAW_BYTES
    {
        let mut framed = Vec::new();
        framer.frame(kind, raw, &mut framed);
        all(&framed, show);
    }
}

fn all(bytes: &[u8], show: &mut dyn FnMut(&Finding)) {
    let Ok(mut reader) = Reader::new(bytes) else {
        return;
    };
    let mut replay = Replay::new();
    let mut findings = Vec::new();
    let mut read = 0u64;
    loop {
        let item = reader.next_item();
        let last = !matches!(item, Ok(Some(_)));
        if let Ok(Some(item)) = item {
            if let Item::Damage(damage) = &item {
                // Damage is reported in order and within the input.
                debug_assert!(damage.offset + damage.bytes <= bytes.len() as u64);
                debug_assert!(damage.offset >= read || damage.bytes == 0);
                read = damage.offset;
            }
            for note in replay.feed(item, &mut findings) {
                let _ = note.to_string();
            }
        } else {
            replay.finish(&mut findings);
        }
        for finding in findings.drain(..) {
            show(&finding);
        }
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracer_present::{Sink, TimeZone};

    fn replay(bytes: &[u8]) {
        let mut text = Sink::text(std::io::sink(), false, TimeZone::UTC);
        let mut json = Sink::json(std::io::sink());
        super::replay(bytes, &mut |finding| {
            text.finding(finding).unwrap();
            json.finding(finding).unwrap();
        });
    }

    #[test]
    fn every_tail_of_the_sample_can_be_replayed() {
        let sample = include_bytes!("tests/samples/v1.capture");
        for start in 0..sample.len() {
            replay(&sample[start..]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_replayed(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            replay(&bytes);
        }
    }
}
