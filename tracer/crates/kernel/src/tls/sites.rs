//! Chooses where in a library to put which probe.

use super::elf::{ElfError, Function, Functions, Source};
use super::x86;

/// A place for a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// Offset in the file.
    pub(super) offset: u64,
    /// The kernel program that runs there.
    pub(super) program: &'static str,
}

/// The places for all probes. Ends of calls come before their beginnings, so that no beginning is
/// remembered whose end is not probed yet.
pub(super) fn sites(file: &impl Source, functions: &Functions) -> Result<Vec<Site>, ElfError> {
    let mut sites = Vec::new();
    let mut add = |program, offset| sites.push(Site { offset, program });
    if let Some(both) = behind_reads(file, functions)? {
        add("tls_read_return", both);
        add("tls_read_ex", both);
    } else {
        add("tls_read_return", functions.read.offset);
        add("tls_read", functions.read.offset);
        if let Some(read_ex) = functions.read_ex {
            add("tls_read_return", read_ex.offset);
            add("tls_read_ex", read_ex.offset);
        }
    }
    for (program, function) in [
        ("tls_free", Some(functions.free)),
        ("tls_write", Some(functions.write)),
        ("tls_write", functions.write_ex),
        ("tls_handshake", functions.handshake),
    ] {
        let Some(function) = function else { continue };
        let skipped = if functions.x86 {
            x86::cheap_place(&code(file, function)?)
        } else {
            0
        };
        add(program, function.offset + skipped);
    }
    Ok(sites)
}

/// The internal function that `SSL_read` and `SSL_read_ex` both call, if there is exactly one and a
/// probe there costs less. It has the arguments and the result of `SSL_read_ex`.
fn behind_reads(file: &impl Source, functions: &Functions) -> Result<Option<u64>, ElfError> {
    let (true, read, Some(read_ex)) = (functions.x86, functions.read, functions.read_ex) else {
        return Ok(None);
    };
    let read_code = code(file, read)?;
    if x86::is_emulated(&read_code) {
        return Ok(None);
    }
    let by_read: Vec<u64> = x86::calls(&read_code, read.offset).collect();
    let mut found = None;
    for called in x86::calls(&code(file, read_ex)?, read_ex.offset) {
        if !by_read.contains(&called) || found == Some(called) {
            continue;
        }
        let mut begins = [0; 2];
        // Bytes that only look like a call may point outside the file.
        if file.read(&mut begins, called).is_err() || !x86::is_push(&begins) {
            continue;
        }
        if found.is_some() {
            return Ok(None);
        }
        found = Some(called);
    }
    Ok(found)
}

/// The beginning of a function's code; empty when its size is unknown.
fn code(file: &impl Source, function: Function) -> Result<Vec<u8>, ElfError> {
    /// Enough for the beginning of a function, and for a whole function that only calls another.
    const MAX: u64 = 256;
    let mut code = vec![0; usize::try_from(function.size.min(MAX)).unwrap_or(0)];
    file.read(&mut code, function.offset)?;
    Ok(code)
}
