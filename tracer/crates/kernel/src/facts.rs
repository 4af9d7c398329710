//! Facts about this machine that decide what can be hooked, gathered by looking and by harmless
//! trials. What to make of them is [`super::plan`]'s work.

use std::fs;

use tracer_common::{ABSENT, Layout, patch};
use tracer_model::Hierarchy;

use super::btf::{Btf, PATH, TypeBytes};
use super::patch::Cast;
use super::tracefs;
use super::trial;

/// Whether something works; if not, why.
pub type Works = Result<(), String>;

/// Kernel lockdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Off, or not told.
    Off,
    /// Hides nothing that the tracer reads.
    Integrity,
    /// Kernel memory must not be read.
    Confidentiality,
}

/// What is known about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFacts {
    /// `uname -r`.
    pub release: String,
    /// The first two numbers of `release`.
    pub version: Option<(u32, u32)>,
    /// /proc is mounted and may be read.
    pub procfs: Works,
    /// Capabilities that are missing for BPF.
    pub missing_capabilities: Vec<&'static str>,
    /// The kernel's type information could be read, and has what the tracer needs.
    pub type_information: Works,
    /// Tracepoints, of those the programs use, that the kernel lacks.
    pub missing_tracepoints: Vec<&'static str>,
    /// Lockdown mode.
    pub lockdown: Lockdown,
    /// fentry and fexit programs may be loaded.
    pub fentry: Works,
    /// Programs may read kernel memory through pointers that they cast.
    pub cast: Result<Cast, String>,
    /// Kprobes may be made.
    pub kprobes: Works,
    /// The tracepoint at the end of connect() can be found, and it is known where the arguments
    /// are by then.
    pub syscall_registers: Works,
    /// The tracepoints of connect() can be found.
    pub syscall_tracepoints: Works,
    /// /dev/kmsg may be read.
    pub kernel_log: Works,
    /// Where memory is accounted.
    pub cgroups: Hierarchy,
}

/// The tracepoints that the raw tracepoint programs use.
pub(super) const TRACEPOINTS: [&str; 7] = [
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
    "signal_generate",
    "mark_victim",
    "inet_sock_set_state",
    "cgroup_mkdir",
];
/// Functions of the optional hooks.
pub(super) const UNIX_CONNECT: &str = "unix_stream_connect";
pub(super) const INET_CONNECT: &str = "inet_stream_connect";
pub(super) const OOM_KILL: &str = "oom_kill_process";

impl KernelFacts {
    /// Looks at the machine. The layout is there when `type_information` is fine.
    pub fn gather() -> (Self, Option<Layout>) {
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let types = TypeFacts::read();
        let (type_information, layout) = match types.layout {
            Ok(layout) => (Ok(()), Some(layout)),
            Err(why) => (Err(why), None),
        };
        let status = fs::read_to_string("/proc/self/status");
        let syscall_tracepoints = tracefs::tracepoint_id("syscalls", "sys_exit_connect")
            .map(|_| ())
            .map_err(|error| format!("no tracepoint syscalls/sys_exit_connect: {error}"));
        let mut facts = Self {
            version: parse_version(&release),
            release,
            procfs: status
                .as_ref()
                .map(|_| ())
                .map_err(|error| format!("/proc can't be read: {error}")),
            missing_capabilities: missing_capabilities(&status.unwrap_or_default()),
            type_information,
            missing_tracepoints: types.missing_tracepoints,
            lockdown: parse_lockdown(
                &fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default(),
            ),
            fentry: types.function.map_or_else(
                || Err(format!("the kernel has no function {UNIX_CONNECT}")),
                trial::fentry,
            ),
            cast: types.cast.map_or_else(
                || Err(format!("the kernel has no function {}", patch::FUNCTION)),
                |cast| trial::cast(cast).map(|()| cast),
            ),
            kprobes: match fs::metadata("/sys/bus/event_source/devices/kprobe") {
                Ok(_) => Ok(()),
                Err(_) => Err("the kernel is built without kprobes".into()),
            },
            syscall_registers: match &layout {
                Some(layout) if layout.registers_argument1 == ABSENT => {
                    Err("where system calls' arguments are is known for x86-64 only".into())
                }
                _ => syscall_tracepoints.clone(),
            },
            syscall_tracepoints,
            kernel_log: fs::File::open("/dev/kmsg")
                .map(|_| ())
                .map_err(|error| format!("/dev/kmsg can't be read: {error}")),
            cgroups: hierarchy(),
        };
        facts.do_without(&std::env::var(WITHOUT).unwrap_or_default());
        (facts, layout)
    }

    /// Takes away what is named in `list`, as if the kernel did not have it.
    fn do_without(&mut self, list: &str) {
        for name in list.split(',').map(str::trim) {
            let why = format!("{WITHOUT} names {name}");
            if name == "cast" {
                self.cast = Err(why);
                continue;
            }
            let why = Err(why);
            let works = match name {
                "fentry" => &mut self.fentry,
                "kprobe" => &mut self.kprobes,
                "registers" => &mut self.syscall_registers,
                "syscall" => {
                    self.syscall_registers.clone_from(&why);
                    &mut self.syscall_tracepoints
                }
                "kmsg" => &mut self.kernel_log,
                _ => continue,
            };
            *works = why;
        }
    }
}

/// For testing the lower rungs of the ladders on a kernel that has the higher ones: what to do
/// without, of `fentry`, `kprobe`, `registers`, `syscall`, `kmsg` and `cast`, separated by commas.
const WITHOUT: &str = "TRACER_WITHOUT";

/// What the kernel's type information tells.
struct TypeFacts {
    layout: Result<Layout, String>,
    missing_tracepoints: Vec<&'static str>,
    /// Type id of [`UNIX_CONNECT`].
    function: Option<u32>,
    cast: Option<Cast>,
}

impl TypeFacts {
    fn read() -> Self {
        const NAMES: [&str; 3] = [UNIX_CONNECT, patch::FUNCTION, patch::STRUCT];
        let unknown = |why| Self {
            layout: Err(why),
            missing_tracepoints: Vec::new(),
            function: None,
            cast: None,
        };
        let bytes = match TypeBytes::open() {
            Ok(bytes) => bytes,
            Err(error) => return unknown(format!("{PATH}: {error}")),
        };
        let btf = match Btf::parse(&bytes, &TRACEPOINTS, &NAMES) {
            Ok(btf) => btf,
            Err(error) => return unknown(format!("{PATH}: {error}")),
        };
        Self {
            layout: btf.layout().map_err(|error| format!("{PATH}: {error}")),
            missing_tracepoints: TRACEPOINTS
                .into_iter()
                .filter(|name| !btf.has_tracepoint(name))
                .collect(),
            function: btf.function(UNIX_CONNECT),
            cast: btf
                .function(patch::FUNCTION)
                .zip(btf.structure(patch::STRUCT))
                .map(|(function, structure)| Cast {
                    function,
                    structure,
                }),
        }
    }
}

fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// `status` is /proc/self/status.
fn missing_capabilities(status: &str) -> Vec<&'static str> {
    const SYS_ADMIN: u32 = 21;
    const NEEDED: [(u32, &str); 2] = [(39, "CAP_BPF"), (38, "CAP_PERFMON")];
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    let has = |bit: u32| effective >> bit & 1 == 1;
    NEEDED
        .into_iter()
        .filter(|&(bit, _)| !has(bit) && !has(SYS_ADMIN))
        .map(|(_, name)| name)
        .collect()
}

/// `text` is /sys/kernel/security/lockdown: `none [integrity] confidentiality`.
fn parse_lockdown(text: &str) -> Lockdown {
    if text.contains("[confidentiality]") {
        Lockdown::Confidentiality
    } else if text.contains("[integrity]") {
        Lockdown::Integrity
    } else {
        Lockdown::Off
    }
}

/// The hierarchy in which memory is accounted.
pub fn hierarchy() -> Hierarchy {
    parse_hierarchy(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
}

/// `text` is /proc/self/cgroup; a line of version 1 names its controllers.
fn parse_hierarchy(text: &str) -> Hierarchy {
    let memory_v1 = text.lines().any(|line| {
        line.split(':')
            .nth(1)
            .is_some_and(|controllers| controllers.split(',').any(|name| name == "memory"))
    });
    if memory_v1 {
        Hierarchy::MemoryV1
    } else {
        Hierarchy::Unified
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_release_names() {
        assert_eq!(parse_version("5.10.0-30-cloud-amd64"), Some((5, 10)));
        assert_eq!(parse_version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(parse_version("7.3"), Some((7, 3)));
        assert_eq!(parse_version("weird"), None);
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn bpf_needs_its_own_capabilities_or_sys_admin() {
        let missing = |hex: &str| missing_capabilities(&format!("Name:\tx\nCapEff:\t{hex}\n"));
        assert_eq!(missing("000001ffffffffff"), [""; 0]);
        assert_eq!(missing("0000000000200000"), [""; 0], "CAP_SYS_ADMIN alone");
        assert_eq!(missing("000000c000000000"), [""; 0]);
        assert_eq!(missing("0000008000000000"), ["CAP_PERFMON"]);
        assert_eq!(missing("0000000000000000"), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing_capabilities(""), ["CAP_BPF", "CAP_PERFMON"]);
    }

    #[test]
    fn lockdown_and_hierarchy_are_recognised() {
        assert_eq!(
            parse_lockdown("none [integrity] confidentiality\n"),
            Lockdown::Integrity
        );
        assert_eq!(
            parse_lockdown("none integrity [confidentiality]\n"),
            Lockdown::Confidentiality
        );
        assert_eq!(parse_lockdown(""), Lockdown::Off);
        assert_eq!(parse_hierarchy("0::/user.slice\n"), Hierarchy::Unified);
        assert_eq!(
            parse_hierarchy("12:cpu,cpuacct:/\n9:memory:/a\n0::/\n"),
            Hierarchy::MemoryV1
        );
        assert_eq!(
            parse_hierarchy("12:cpu:/memory\n0::/memory\n"),
            Hierarchy::Unified
        );
    }

    #[test]
    fn what_is_to_be_done_without_is_as_if_it_were_not_there() {
        let (mut facts, _) = KernelFacts::gather();
        let before = facts.clone();
        facts.do_without("");
        facts.do_without("tracepoint");
        assert_eq!(facts, before);
        facts.do_without("fentry, kmsg,cast");
        assert_eq!(facts.cast, Err("TRACER_WITHOUT names cast".into()));
        assert_eq!(facts.fentry, Err("TRACER_WITHOUT names fentry".into()));
        assert_eq!(facts.kernel_log, Err("TRACER_WITHOUT names kmsg".into()));
        assert_eq!(facts.kprobes, before.kprobes);
    }

    #[test]
    fn this_machine_has_what_the_tests_need() {
        let (facts, layout) = KernelFacts::gather();
        assert!(facts.version >= Some((5, 10)), "{facts:?}");
        assert_eq!(facts.type_information, Ok(()));
        assert!(layout.is_some());
        assert_eq!(facts.missing_tracepoints, [""; 0]);
    }
}
