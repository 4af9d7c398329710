//! Which processes are proxies, on which ports they listen, and which of their connections they
//! opened themselves.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap},
};
use tracer_common::{PROXY_BITS_LEN, bit_of_proxy};

/// Process ids of proxies. Written by userspace.
#[map]
static PROXIES: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

/// One bit for several process ids, see [`bit_of_proxy`]: answers for nearly all processes that are
/// not proxies. Written by userspace.
#[map]
static PROXY_BITS: Array<u64> = Array::with_max_entries(PROXY_BITS_LEN / u64::BITS, 0);

/// A bit for each TCP port; set where a proxy listens. Written by userspace.
#[map]
static PROXY_PORTS: Array<u64> = Array::with_max_entries(1024, 0);

/// A byte for each local TCP port; 1 when a proxy opened a connection from it. Bytes, because
/// processors write them at the same time.
#[map]
static OUTBOUND_PORTS: Array<[u8; 64]> = Array::with_max_entries(1024, 0);

/// Whether the process is a proxy.
#[inline(always)]
pub fn is_proxy(pid: u32) -> bool {
    may_be_proxy(pid) && PROXIES.get_ptr(pid).is_some()
}

/// False only for processes that are not proxies; cheaper than [`is_proxy`].
#[inline(always)]
pub fn may_be_proxy(pid: u32) -> bool {
    let bit = bit_of_proxy(pid);
    PROXY_BITS
        .get(u32::from(bit >> 6))
        .is_some_and(|bits| bits >> (bit & 63) & 1 != 0)
}

/// Whether a proxy listens on the port.
#[inline(always)]
pub fn is_proxy_port(port: u16) -> bool {
    PROXY_PORTS
        .get(u32::from(port >> 6))
        .is_some_and(|bits| bits >> (port & 63) & 1 != 0)
}

/// Whether a proxy opened a connection from this local port.
#[inline(always)]
pub fn is_outbound_port(port: u16) -> bool {
    OUTBOUND_PORTS
        .get(u32::from(port >> 6))
        .is_some_and(|ports| ports[usize::from(port & 63)] != 0)
}

/// Records that a proxy opened a connection from this local port, or closed it.
#[inline(always)]
pub fn set_outbound_port(port: u16, open: bool) {
    if let Some(ports) = OUTBOUND_PORTS.get_ptr_mut(u32::from(port >> 6)) {
        // SAFETY: inside of a map value.
        unsafe { (*ports)[usize::from(port & 63)] = u8::from(open) };
    }
}
