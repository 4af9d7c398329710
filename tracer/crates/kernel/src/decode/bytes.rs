//! Reads a record's struct from the bytes in a ring buffer.

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The bytes are not a record of a known kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The struct at the beginning of `bytes`. More bytes may follow: the ring buffer rounds sizes up.
pub(super) fn prefix<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Result<T, Malformed> {
    T::read_from_prefix(bytes)
        .map(|(record, _)| record)
        .map_err(|_| Malformed)
}
