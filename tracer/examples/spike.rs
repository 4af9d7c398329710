use aya::programs::*;
use aya::*;
fn main() {
    let obj = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));
    let t = std::time::Instant::now();
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let b = tracer::kernel::btf::Btf::parse(&bytes, &[], &[]).unwrap();
    let l = b.layout().unwrap();
    eprintln!("btf {:?}", t.elapsed());
    use zerocopy::IntoBytes;
    let dec = tracer_common::Decisions {
        cgroup_v1: 1,
        connect_returns: 1,
    };
    let mut loader = EbpfLoader::new();
    let mut e = loader
        .btf(None)
        .override_global("LAYOUT", l.as_bytes(), true)
        .override_global("DECISIONS", dec.as_bytes(), true)
        .load(obj)
        .unwrap();
    for (n, p) in e.programs_mut() {
        let r = match p {
            Program::RawTracePoint(p) => p.load(),
            Program::TracePoint(p) => p.load(),
            Program::KProbe(p) => p.load(),
            _ => Ok(()),
        };
        match r {
            Ok(()) => eprintln!("{n} ok"),
            Err(ProgramError::LoadError {
                verifier_log,
                io_error,
            }) => {
                let s = verifier_log.to_string();
                eprintln!(
                    "{n} FAILED {io_error}\n{}",
                    &s[s.len().saturating_sub(3000)..]
                );
            }
            Err(err) => eprintln!("{n} {err}"),
        }
    }
    eprintln!("all {:?}", t.elapsed());
}
