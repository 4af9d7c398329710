//! Reads hand-made and damaged type information, and the running kernel's.

use super::*;
use proptest::prelude::*;

fn parse_and_resolve(bytes: &[u8]) {
    if let Ok(btf) = Btf::parse(bytes, &["mark_victim"], &["unix_stream_connect"]) {
        let _ = btf.layout();
        let _ = btf.has_tracepoint("mark_victim");
        let _ = btf.function("unix_stream_connect");
    }
}

/// Builds BTF the way a compiler would.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Builder {
    fn string(&mut self, text: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len();
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        u32::try_from(at).unwrap()
    }

    fn ty(&mut self, name: &str, kind: u32, len: u32, value: u32, rest: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, kind << 24 | len, value].iter().chain(rest) {
            self.types.extend(word.to_ne_bytes());
        }
        self.count += 1;
        self.count
    }

    fn members(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let rest: Vec<u32> = members
            .iter()
            .flat_map(|&(name, ty, bytes)| [self.string(name), ty, bytes * 8])
            .collect();
        let len = u32::try_from(members.len()).unwrap();
        self.ty(name, kind::STRUCT, len, size, &rest)
    }

    fn tracepoint(&mut self, name: &str, arguments: &[u32]) {
        let rest: Vec<u32> = std::iter::once(&0)
            .chain(arguments)
            .flat_map(|&ty| [0, ty])
            .collect();
        let len = u32::try_from(arguments.len() + 1).unwrap();
        let proto = self.ty("", kind::FUNC_PROTO, len, 0, &rest);
        let pointer = self.ty("", kind::PTR, 0, proto, &[]);
        self.ty(
            &format!("{TRACEPOINT}{name}"),
            kind::TYPEDEF,
            0,
            pointer,
            &[],
        );
    }

    fn finish(&self) -> Vec<u8> {
        let (types, strings) = (
            u32::try_from(self.types.len()).unwrap(),
            u32::try_from(self.strings.len()).unwrap(),
        );
        let mut bytes = Vec::new();
        bytes.extend(MAGIC.to_ne_bytes());
        bytes.extend([1, 0]);
        for word in [24, 0, types, types, strings] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

fn small() -> Vec<u8> {
    let mut b = Builder::default();
    let int = b.ty("int", kind::INT, 0, 4, &[32]);
    let pointer = b.ty("", kind::PTR, 0, int, &[]);
    let inner = b.members("", 8, &[("tgid", int, 4)]);
    let constant = b.ty("", kind::CONST, 0, inner, &[]);
    b.members("task_struct", 64, &[("pid", int, 8), ("", constant, 16)]);
    let ns = b.members("ns_common", 32, &[("inum", int, 24)]);
    b.members("net", 64, &[("ns", ns, 8)]);
    b.members("upid", 16, &[("nr", int, 0)]);
    let name = b.string("memory_cgrp_id");
    b.ty("cgroup_subsys_id", kind::ENUM, 1, 4, &[name, 4]);
    b.tracepoint("mark_victim", &[pointer, int]);
    b.tracepoint("sched_process_exit", &[pointer]);
    b.ty("unix_stream_connect", kind::FUNC, 0, 1, &[]);
    b.finish()
}

#[test]
fn offsets_paths_enumerators_sizes_and_arguments_are_found() {
    let bytes = small();
    let btf = Btf::parse(&bytes, &[], &["unix_stream_connect"]).unwrap();
    let offset = |of, member| btf.resolve(Lookup::Offset { of, member });
    assert_eq!(offset("task_struct", "pid"), Some(8));
    assert_eq!(offset("task_struct", "tgid"), Some(20), "anonymous member");
    assert_eq!(offset("net", "ns.inum"), Some(32));
    assert_eq!(offset("net", "ns.nope"), None);
    assert_eq!(offset("net", "ns.inum.deeper"), None);
    assert_eq!(btf.resolve(Lookup::Size { of: "upid" }), Some(16));
    let (of, name) = ("cgroup_subsys_id", "memory_cgrp_id");
    assert_eq!(btf.resolve(Lookup::Enumerator { of, name }), Some(4));
    let pointer = |trace, index| btf.resolve(Lookup::PointerArgument { trace, index });
    assert_eq!(pointer("mark_victim", 0), Some(1));
    assert_eq!(pointer("mark_victim", 1), Some(0));
    assert_eq!(pointer("mark_victim", 2), None);
    let has = |trace, index| btf.resolve(Lookup::HasArgument { trace, index });
    assert_eq!(has("sched_process_exit", 0), Some(1));
    assert_eq!(has("sched_process_exit", 1), None);
    assert!(btf.has_tracepoint("mark_victim"));
    assert!(!btf.has_tracepoint("signal_generate"));
    assert!(btf.function("unix_stream_connect").is_some());
}

#[test]
fn missing_required_fields_are_named() {
    let bytes = small();
    let error = Btf::parse(&bytes, &[], &[]).unwrap().layout().unwrap_err();
    let BtfError::Missing(names) = error else {
        panic!("{error}");
    };
    assert!(names.contains("task_struct.comm"), "{names}");
    assert!(!names.contains("task_struct.pid"), "{names}");
    assert!(!names.contains("oom_control"), "optional: {names}");
}

#[test]
fn the_running_kernel_has_every_required_field() {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let btf = Btf::parse(&bytes, &["signal_generate", "nope"], &["do_exit"]).unwrap();
    let layout = btf.layout().unwrap();
    assert_ne!(layout.task_pid, layout.task_tgid);
    assert_eq!(layout.task_tgid, layout.task_pid + 4);
    assert_eq!(layout.sock_family, 16);
    assert!(btf.has_tracepoint("signal_generate"));
    assert!(!btf.has_tracepoint("nope"));
    assert!(btf.function("do_exit").is_some());
}

#[test]
fn bytes_that_are_not_btf_are_refused() {
    assert_eq!(Btf::parse(b"", &[], &[]).err(), Some(BtfError::Header));
    assert_eq!(Btf::parse(&[0; 64], &[], &[]).err(), Some(BtfError::Header));
    let bytes = small();
    let cut = &bytes[..bytes.len() / 2];
    assert!(matches!(
        Btf::parse(cut, &[], &[]),
        Err(BtfError::Damaged(_))
    ));
}

#[test]
fn a_struct_that_contains_itself_is_read_to_an_end() {
    let mut b = Builder::default();
    b.members("task_struct", 8, &[("", 1, 0)]);
    let bytes = b.finish();
    parse_and_resolve(&bytes);
    let btf = Btf::parse(&bytes, &[], &[]).unwrap();
    let (of, member) = ("task_struct", "pid");
    assert_eq!(btf.resolve(Lookup::Offset { of, member }), None);
}

proptest! {
    #[test]
    fn damaged_btf_never_panics(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = small();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        parse_and_resolve(&bytes);
        parse_and_resolve(&bytes[..cut.index(bytes.len())]);
    }
}
