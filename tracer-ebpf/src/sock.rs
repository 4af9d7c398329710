//! Reading a `struct sock`: its addresses, its ports, its network namespace.

use tracer_common::record::Endpoints;

use crate::{kernel_read::Address, maps::layout};

pub const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;

/// The address of a `struct sock`.
#[derive(Clone, Copy)]
pub struct Sock(pub Address);

impl Sock {
    /// No socket.
    pub const NULL: Self = Self(Address::NULL);

    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Address family; 0 for a null address.
    #[inline(always)]
    pub fn family(self) -> u16 {
        self.0.read_at(layout!(sock_family))
    }

    #[inline(always)]
    pub fn is_tcp(self) -> bool {
        self.0.read_at::<u16>(layout!(sock_protocol)) == IPPROTO_TCP
    }

    #[inline(always)]
    pub fn local_port(self) -> u16 {
        self.0.read_at(layout!(sock_num))
    }

    #[inline(always)]
    pub fn remote_port(self) -> u16 {
        u16::from_be(self.0.read_at(layout!(sock_dport)))
    }

    /// The pending error, a positive errno; 0 without one.
    #[inline(always)]
    pub fn error(self) -> u32 {
        self.0.read_at(layout!(sock_err))
    }

    /// Identity of the socket for as long as the machine runs; 0 until somebody asked for it.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        self.0.read_at(layout!(sock_cookie))
    }

    /// Inode number of the network namespace.
    #[inline(always)]
    pub fn netns(self) -> u32 {
        self.0.follow(layout!(sock_net)).read_at(layout!(net_inum))
    }

    /// Local address, as in [`Endpoints::local`].
    #[inline(always)]
    pub fn local_address(self, family: u16) -> [u8; 16] {
        if family == AF_INET6 {
            self.0.read_at(layout!(sock_v6_rcv_saddr))
        } else {
            from_ipv4(self.0.read_at(layout!(sock_rcv_saddr)))
        }
    }

    /// Remote address, as in [`Endpoints::remote`].
    #[inline(always)]
    pub fn remote_address(self, family: u16) -> [u8; 16] {
        if family == AF_INET6 {
            self.0.read_at(layout!(sock_v6_daddr))
        } else {
            from_ipv4(self.0.read_at(layout!(sock_daddr)))
        }
    }

    #[inline(always)]
    pub fn endpoints(self) -> Endpoints {
        let family = self.family();
        Endpoints {
            local: self.local_address(family),
            remote: self.remote_address(family),
            local_port: self.local_port(),
            remote_port: self.remote_port(),
            family,
            pad: 0,
            netns: self.netns(),
            pad2: 0,
        }
    }

    /// As [`Self::endpoints`], without using the stack. Writes [`Endpoints::UNKNOWN`] for a null
    /// address.
    ///
    /// # Safety
    ///
    /// `to` must have room.
    #[inline(always)]
    pub unsafe fn write_endpoints(self, to: *mut Endpoints) {
        // SAFETY: as promised by the caller.
        unsafe {
            *to = Endpoints::UNKNOWN;
            if self.is_null() {
                return;
            }
            let family = self.family();
            (*to).family = family;
            let (local, remote) = (&raw mut (*to).local, &raw mut (*to).remote);
            if family == AF_INET6 {
                self.0.copy_at(layout!(sock_v6_rcv_saddr), local);
                self.0.copy_at(layout!(sock_v6_daddr), remote);
            } else {
                self.0.copy_at::<u32>(layout!(sock_rcv_saddr), local.cast());
                self.0.copy_at::<u32>(layout!(sock_daddr), remote.cast());
            }
            self.0.copy_at(layout!(sock_num), &raw mut (*to).local_port);
            (*to).remote_port = self.remote_port();
            (*to).netns = self.netns();
        }
    }
}

/// An IPv4 address in the first four of sixteen bytes. `address` is as it lies in memory.
#[inline(always)]
pub fn from_ipv4(address: u32) -> [u8; 16] {
    // Through words: an array of bytes would be cleared by a loop.
    let words = [u64::from(address.to_le()).to_le(), 0];
    // SAFETY: two words are sixteen bytes, and any bytes are a valid array of them.
    unsafe { core::mem::transmute(words) }
}
