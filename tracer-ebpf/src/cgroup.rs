//! New cgroups: their paths are sent at once, because a short-lived cgroup may be gone before
//! userspace looks for it.

use aya_ebpf::{helpers::generated, macros::raw_tracepoint, programs::RawTracePointContext};
use tracer_common::record::{CGROUP_PATH_LEN, CgroupRecord, kind};

use crate::{
    kernel_read::Address,
    maps::{header, layout, now, reserve_traffic, submit_now},
    task::{cgroup_id, cgroup_of, current},
};

#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: RawTracePointContext) -> i32 {
    let cgroup = Address(ctx.arg(0));
    let path: u64 = ctx.arg(1);
    // Ids are unique only within a hierarchy.
    let hierarchy = cgroup_of(current()).follow(layout!(cgroup_root));
    if cgroup.follow(layout!(cgroup_root)) != hierarchy {
        return 0;
    }
    let at_ns = now();
    let Some(mut entry) = reserve_traffic::<CgroupRecord>() else {
        return 0;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is in the ring, for this program alone until it is submitted; every field
    // but the rest of `path` is written.
    unsafe {
        (&raw mut (*record).header).write(header(kind::CGROUP, at_ns));
        (&raw mut (*record).id).write(cgroup_id(cgroup));
        let len = generated::bpf_probe_read_kernel_str(
            (&raw mut (*record).path).cast(),
            CGROUP_PATH_LEN as u32,
            path as *const _,
        );
        // The length counts the closing NUL.
        let len = if len > 0 { len as u32 - 1 } else { 0 };
        (&raw mut (*record).path_len).write(len);
        (&raw mut (*record).pad).write(0);
    }
    submit_now(entry);
    0
}
