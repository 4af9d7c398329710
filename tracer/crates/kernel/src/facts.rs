//! Gathers the facts about this machine that decide which hooks work, by looking and by harmless
//! trials. What follows from them is up to [`super::plan`].

use std::fs;

use tracer_common::{ABSENT, Layout, patch};
use tracer_model::Hierarchy;

use super::btf::{Btf, PATH, TypeBytes};
use super::hooks::{UNIX_CONNECT, tracepoints};
use super::patch::Cast;
use super::tracefs;
use super::trial;

/// Whether something works, and if not, why.
pub type Works = Result<(), String>;

/// Kernel lockdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Off, or unknown.
    Off,
    /// Hides nothing from the tracer.
    Integrity,
    /// Kernel memory cannot be read.
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
    /// The capabilities for BPF that the tracer lacks.
    pub missing_capabilities: Vec<&'static str>,
    /// The kernel's type information (BTF) can be read and has what the tracer needs.
    pub type_information: Works,
    /// The tracepoints that the programs use and the kernel lacks.
    pub missing_tracepoints: Vec<&'static str>,
    /// Lockdown mode.
    pub lockdown: Lockdown,
    /// fentry and fexit programs can be loaded.
    pub fentry: Works,
    /// Programs can read kernel memory through pointers that they cast.
    pub cast: Result<Cast, String>,
    /// The kernel has kprobes.
    pub kprobes: Works,
    /// The tracepoint at the end of connect() can be found, and the call's arguments can be found
    /// there.
    pub syscall_registers: Works,
    /// The tracepoints of connect() can be found.
    pub syscall_tracepoints: Works,
    /// /dev/kmsg can be read.
    pub kernel_log: Works,
    /// The hierarchy in which memory is accounted.
    pub cgroups: Hierarchy,
}

impl KernelFacts {
    /// Looks at the machine. There is a layout when `type_information` is fine.
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
            .map_err(|error| {
                format!("cannot find the tracepoint syscalls/sys_exit_connect: {error}")
            });
        let mut facts = Self {
            version: parse_version(&release),
            release,
            procfs: status
                .as_ref()
                .map(|_| ())
                .map_err(|error| format!("cannot read /proc: {error}")),
            missing_capabilities: missing_capabilities(&status.unwrap_or_default()),
            type_information,
            missing_tracepoints: types.missing_tracepoints,
            lockdown: parse_lockdown(
                &fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default(),
            ),
            fentry: types.function.map_or_else(
                || Err(format!("the kernel has no function {UNIX_CONNECT}")),
                |function| {
                    trial::fentry(function)
                        .map_err(|error| format!("cannot load fentry programs: {error}"))
                },
            ),
            cast: types.cast.map_or_else(
                || Err(format!("the kernel has no function {}", patch::FUNCTION)),
                |cast| {
                    trial::cast(cast)
                        .map(|()| cast)
                        .map_err(|error| format!("cannot cast pointers: {error}"))
                },
            ),
            kprobes: match fs::metadata("/sys/bus/event_source/devices/kprobe") {
                Ok(_) => Ok(()),
                Err(_) => Err("the kernel was built without kprobes".into()),
            },
            syscall_registers: match &layout {
                Some(layout) if layout.registers_argument1 == ABSENT => {
                    Err("finding a system call's arguments at its end needs x86-64".into())
                }
                _ => syscall_tracepoints.clone(),
            },
            syscall_tracepoints,
            kernel_log: fs::File::open("/dev/kmsg")
                .map(|_| ())
                .map_err(|error| format!("cannot read /dev/kmsg: {error}")),
            cgroups: hierarchy(),
        };
        facts.do_without(&std::env::var(WITHOUT).unwrap_or_default());
        (facts, layout)
    }

    /// Acts as if the kernel lacked what `list` names.
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

/// For testing lower rungs of the ladders on a kernel that has higher ones. Names what to do
/// without: any of `fentry`, `kprobe`, `registers`, `syscall`, `kmsg` and `cast`, separated by commas.
const WITHOUT: &str = "TRACER_WITHOUT";

/// The facts in the kernel's type information.
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
        let tracepoints = tracepoints();
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
        let btf = match Btf::parse(&bytes, &tracepoints, &NAMES) {
            Ok(btf) => btf,
            Err(error) => return unknown(format!("{PATH}: {error}")),
        };
        Self {
            layout: btf.layout().map_err(|error| format!("{PATH}: {error}")),
            missing_tracepoints: tracepoints
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

/// Finds the hierarchy in which memory is accounted.
pub fn hierarchy() -> Hierarchy {
    parse_hierarchy(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
}

/// `text` is /proc/self/cgroup: a line of version 1 names its controllers.
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
    fn the_version_is_read_from_the_name_of_the_release() {
        assert_eq!(parse_version("5.10.0-30-cloud-amd64"), Some((5, 10)));
        assert_eq!(parse_version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(parse_version("7.3"), Some((7, 3)));
        assert_eq!(parse_version("weird"), None);
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn bpf_needs_its_two_capabilities_or_cap_sys_admin() {
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
    fn what_the_variable_names_is_missing() {
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
