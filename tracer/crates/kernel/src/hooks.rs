//! The hooks that the tracer attaches: their names in findings, their kernel programs, and where in
//! the kernel these run.

/// A hook on a raw tracepoint.
pub(super) struct RawTracepoint {
    /// As shown in findings.
    pub(super) hook: &'static str,
    /// The kernel program.
    pub(super) program: &'static str,
    /// Its second program, for events that the kernel skips the first one for.
    pub(super) second: Option<&'static str>,
    /// The tracepoint that both are attached to.
    pub(super) tracepoint: &'static str,
    /// What cannot be seen without the hook. None: tracing makes no sense without it.
    pub(super) blind: Option<&'static str>,
}

/// All hooks on raw tracepoints, in the order in which they are attached.
pub(super) const RAW_TRACEPOINTS: [RawTracepoint; 7] = [
    RawTracepoint {
        hook: "exit",
        program: "process_exit",
        second: Some("process_exit_second"),
        tracepoint: "sched_process_exit",
        blind: None,
    },
    RawTracepoint {
        hook: "tcp",
        program: "tcp_state",
        second: Some("tcp_state_second"),
        tracepoint: "inet_sock_set_state",
        blind: None,
    },
    RawTracepoint {
        hook: "oom_mark",
        program: "oom_victim",
        second: None,
        tracepoint: "mark_victim",
        blind: Some("OOM victims before they exit, and the triggers of OOM kills"),
    },
    RawTracepoint {
        hook: "signal",
        program: "signal_generate",
        second: Some("signal_generate_second"),
        tracepoint: "signal_generate",
        blind: Some("the senders of signals that kill processes"),
    },
    RawTracepoint {
        hook: "exec",
        program: "process_exec",
        second: Some("process_exec_second"),
        tracepoint: "sched_process_exec",
        blind: None,
    },
    RawTracepoint {
        hook: "fork",
        program: "process_fork",
        second: Some("process_fork_second"),
        tracepoint: "sched_process_fork",
        blind: None,
    },
    RawTracepoint {
        hook: "cgroup",
        program: "cgroup_mkdir",
        second: None,
        tracepoint: "cgroup_mkdir",
        blind: Some("the names of cgroups that are removed before they can be read"),
    },
];

/// The tracepoints of [`RAW_TRACEPOINTS`].
pub(super) fn tracepoints() -> [&'static str; RAW_TRACEPOINTS.len()] {
    RAW_TRACEPOINTS.map(|it| it.tracepoint)
}

/// How the names of second programs end.
pub(super) const SECOND_SUFFIX: &str = "_second";

/// What cannot be seen when the result of connect() cannot be observed.
pub(super) const BLIND_CONNECT: &str =
    "failed connects to unix sockets, and TCP connects that fail before a packet is sent";

/// The kernel's connect() of unix stream sockets.
pub(super) const UNIX_CONNECT: &str = "unix_stream_connect";
/// The kernel's connect() of TCP sockets.
pub(super) const INET_CONNECT: &str = "inet_stream_connect";
/// The kernel's function that kills an OOM victim.
pub(super) const OOM_KILL: &str = "oom_kill_process";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_programs_are_named_after_the_first() {
        for hook in &RAW_TRACEPOINTS {
            if let Some(second) = hook.second {
                assert_eq!(second, format!("{}{SECOND_SUFFIX}", hook.program));
            }
        }
    }
}
