//! What every record starts with.

use super::define::records;

records! {
    /// The first part of every record.
    pub struct Header {
        /// CLOCK_BOOTTIME when the hook ran, ns.
        pub at_ns: u64,
        /// One of [`super::kind`].
        pub kind: u32,
        /// Processor the hook ran on.
        pub cpu: u32,
    }
}
