//! Prints what the kernel programs log on standard error. Only in builds with the feature
//! `kernel-log`.

use aya::Ebpf;
use aya_log::EbpfLogger;

/// Reads the programs' log.
pub(super) type KernelLog = EbpfLogger<ToStderr>;

pub(super) fn open(ebpf: &mut Ebpf) -> Result<KernelLog, aya_log::Error> {
    EbpfLogger::init_with_logger(ebpf, ToStderr)
}

/// Prints one line for each message.
pub(super) struct ToStderr;

impl log::Log for ToStderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        anstream::eprintln!("kernel: {}: {}", record.target(), record.args());
    }

    fn flush(&self) {}
}
