//! Damage is reported and costs nothing but what is damaged.

use tracer_model::Observation;

use super::super::format::{MAX_RAW_BYTES, VERSION};
use super::super::frame::{HEADER_BYTES, Kind};
use super::{Item, Maker, ReadError, observations, read, replay, story};
use crate::format::Header;

fn header() -> Header {
    Header {
        session: 1,
        machine: story::session(),
        ..Header::default()
    }
}

/// A small capture with every observation in a frame of its own.
fn sample() -> (Vec<Observation>, Vec<u8>) {
    let story = story::whole();
    let bytes = Maker::new().header(&header()).one_by_one(&story).bytes;
    (story, bytes)
}

fn damage(items: &[Item]) -> Vec<String> {
    let of = |item: &Item| match item {
        Item::Damage(damage) => Some(damage.to_string()),
        _ => None,
    };
    items.iter().filter_map(of).collect()
}

#[test]
fn a_capture_that_is_cut_off_anywhere_can_be_read_up_to_there() {
    let (story, bytes) = sample();
    let whole = read(&bytes).unwrap();
    // Lengths that end at the end of a frame.
    let mut whole_frames = vec![bytes.len()];
    for length in 0..bytes.len() {
        let items = match read(&bytes[..length]) {
            Ok(items) => items,
            Err(ReadError::Empty) if length == 0 => continue,
            Err(error) => panic!("{length} bytes: {error}"),
        };
        let left = observations(&items);
        assert_eq!(left, story[..left.len()], "{length} bytes");
        let damage = damage(&items);
        match damage.as_slice() {
            [] => whole_frames.push(length),
            [one] => assert!(one.ends_with("the last frame is cut off"), "{one}"),
            more => panic!("{more:?}"),
        }
        let sound = items.len() - damage.len();
        assert_eq!(items[..sound], whole[..sound], "{length} bytes");
    }
    assert_eq!(whole_frames.len(), whole.len());
}

#[test]
fn every_flipped_bit_costs_one_frame_and_is_reported() {
    let (story, sound) = sample();
    for bit in 0..sound.len() * 8 {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let items = read(&bytes).unwrap();
        let left = observations(&items);
        assert!(left.len() + 1 >= story.len(), "bit {bit}: {}", left.len());
        let mut rest = story.iter();
        assert!(left.iter().all(|one| rest.any(|other| other == one)));
        assert!(!damage(&items).is_empty(), "bit {bit}");
        // The rest is replayed, whichever observation is missing.
        if bit % 8 == 0 {
            let (findings, notes) = replay(items);
            assert!(!findings.is_empty() && !notes.is_empty(), "bit {bit}");
        }
    }
}

#[test]
fn garbage_between_frames_is_skipped() {
    let (story, sound) = sample();
    let first = HEADER_BYTES + usize::from(sound[12]) + usize::from(sound[13]) * 256;
    for garbage in [
        &b"x"[..],
        &vec![0; 100_000],
        &sound[..HEADER_BYTES + 5],
        b"\xf5TR",
    ] {
        let mut bytes = sound.clone();
        bytes.splice(first..first, garbage.iter().copied());
        let items = read(&bytes).unwrap();
        assert_eq!(observations(&items), story);
        let named = damage(&items);
        let expected = format!(
            "skipped {} damaged bytes at offset {first}: ",
            garbage.len()
        );
        assert!(
            named.len() == 1 && named[0].starts_with(&expected),
            "{named:?}"
        );
    }
}

#[test]
fn missing_frames_are_reported() {
    let (story, sound) = sample();
    let lengths: Vec<usize> = frame_lengths(&sound);
    let start = lengths[..4].iter().sum::<usize>();
    let mut bytes = sound;
    bytes.drain(start..start + lengths[4] + lengths[5]);
    let items = read(&bytes).unwrap();
    assert_eq!(observations(&items).len(), story.len() - 2);
    let expected = format!("expected frame 4 at offset {start}, found frame 6");
    let [missing] = &damage(&items)[..] else {
        panic!("one damage: {items:?}");
    };
    assert!(missing.starts_with(&expected), "{missing}");
}

fn frame_lengths(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some(length) = bytes.get(12..16) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize + HEADER_BYTES;
        lengths.push(length);
        bytes = &bytes[length..];
    }
    lengths
}

#[test]
fn half_a_frame_does_not_hide_the_frames_after_it() {
    let story = story::whole();
    let half = Maker::new()
        .frame(Kind::Events, &random(MAX_RAW_BYTES))
        .bytes;
    let mut bytes = Maker::new().header(&header()).bytes;
    bytes.extend_from_slice(&half[..half.len() / 2]);
    bytes.extend(Maker::new().header(&header()).one_by_one(&story).bytes);
    let items = read(&bytes).unwrap();
    assert_eq!(observations(&items), story);
    assert_eq!(damage(&items).len(), 1);
}

/// Bytes that can't be compressed.
fn random(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

#[test]
fn a_file_full_of_frames_without_payloads_is_read_quickly() {
    // The headers are sound and the payloads are not: each payload is searched for the next frame.
    let empty = Maker::new().frame(Kind::Events, &random(1 << 20)).bytes;
    let bytes = empty[..HEADER_BYTES].repeat(50_000);
    let began = std::time::Instant::now();
    let result = read(&bytes);
    assert!(result.is_ok(), "{result:?}");
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

#[test]
fn a_newer_version_is_refused() {
    let (_, mut bytes) = sample();
    bytes[4] = VERSION + 1;
    let crc = crc32c::crc32c(&bytes[..24]);
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
    let error = read(&bytes).unwrap_err();
    assert!(matches!(error, ReadError::Newer(2)), "{error}");
    assert!(error.to_string().contains("a newer one"), "{error}");
}

#[test]
fn a_frame_of_an_unknown_kind_is_skipped_and_reported() {
    let bytes = Maker::new()
        .header(&header())
        .frame(Kind::Unknown(77), b"of later")
        .one_by_one(&story::whole())
        .bytes;
    let items = read(&bytes).unwrap();
    assert_eq!(observations(&items), story::whole());
    assert!(damage(&items)[0].contains("does not know frames of kind 77"));
}

#[test]
fn an_error_about_another_kind_of_file_names_that_kind() {
    for (bytes, says) in [
        (&b""[..], "empty"),
        (b"\x1f\x8b\x08\x00 and so on", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x7fELF\x02\x01\x01", "program"),
        (b"{\"v\":1,\"at\":\"2026\"}", "findings"),
        (b"{}", "JSON"),
        (b"Dear diary,\n", "text"),
        (b"x", "text"),
        (&[0; 5000], "binary data"),
    ] {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
