//! Throw-away.
use tracer::kernel::Kernel;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let t = std::time::Instant::now();
    let mut k = match Kernel::start() {
        Ok(k) => k,
        Err(e) => {
            eprintln!("error: {e}");
            std::process::exit(1)
        }
    };
    eprintln!("armed in {:?}", t.elapsed());
    for h in k.hooks() {
        eprintln!("{h:?}");
    }
    eprintln!(
        "{:?} kmsg={} {:?}",
        k.blind(),
        k.scope_from_kmsg(),
        k.cgroup_hierarchy()
    );
    eprintln!(
        "{}",
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    let secs: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(secs);
    let mut out = Vec::new();
    let (mut forks, mut execs, mut exits) = (0, 0, 0);
    let quiet = std::env::args().nth(2).is_some();
    while tokio::time::Instant::now() < end {
        let wait = k.next_due().unwrap();
        let _ = tokio::time::timeout(wait, k.readable()).await;
        k.drain(&mut out);
        for o in out.drain(..) {
            use tracer::model::What::*;
            match &o.what {
                Forked { .. } => {
                    forks += 1;
                    if quiet {
                        continue;
                    }
                }
                Executed { .. } => {
                    execs += 1;
                    if quiet {
                        continue;
                    }
                }
                Exited(_) => {
                    exits += 1;
                    if quiet {
                        continue;
                    }
                }
                _ => {}
            }
            println!("{} {:?}", o.at.0, o.what);
        }
    }
    eprintln!("forks {forks} execs {execs} exits {exits}");
    eprintln!(
        "{}",
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"))
            .collect::<Vec<_>>()
            .join(" ")
    );
}
