//! Has the kernel verify several programs at the same time: verifying takes most of the start.

use std::sync::{Mutex, PoisonError};
use std::thread;

use aya::Ebpf;
use aya::programs::{Program, ProgramError};

/// Loads the programs with these names in this order, on all processors. Failures are ignored here:
/// attaching such a program tries again, and reports why it fails.
pub(super) fn ahead(ebpf: &mut Ebpf, names: &[&str]) {
    let mut programs: Vec<(usize, &mut Program)> = ebpf
        .programs_mut()
        .filter_map(|(name, program)| Some((names.iter().position(|it| *it == name)?, program)))
        .collect();
    programs.sort_by_key(|&(position, _)| std::cmp::Reverse(position));
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let helpers = processors.min(programs.len()).saturating_sub(1);
    let queue = Mutex::new(programs);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || {
        while let Some((_, program)) = next() {
            let _ = load(program);
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            // If a thread cannot be created, the others do its share.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
}

/// Loads a program, unless it is loaded, of a kind that takes no function's type.
pub(super) fn load(program: &mut Program) -> Result<(), ProgramError> {
    let outcome = match program {
        Program::RawTracePoint(program) => program.load(),
        Program::TracePoint(program) => program.load(),
        Program::KProbe(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        Program::UProbe(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    match outcome {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        outcome => outcome,
    }
}
