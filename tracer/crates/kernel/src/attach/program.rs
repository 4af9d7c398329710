//! Attaches one program, in the way of its kind. Programs stay attached until the object, or what
//! is returned, is dropped.

use std::os::fd::AsFd as _;

use aya::programs::{FEntry, FExit, KProbe, Program, RawTracePoint, TracePoint};
use aya::{Btf, Ebpf};

use crate::error::Failure;
use crate::object::{program, verified_program};
use crate::tracefs;

/// The kernel's type information as aya reads it: read once, and only when needed.
#[derive(Default)]
pub(super) struct LazyBtf(Option<Btf>);

impl LazyBtf {
    fn get(&mut self) -> Result<&Btf, Failure> {
        let btf = match self.0.take() {
            Some(btf) => btf,
            None => Btf::from_sys_fs().map_err(Failure::new)?,
        };
        Ok(self.0.insert(btf))
    }
}

pub(super) fn attach_raw_tracepoint(
    ebpf: &mut Ebpf,
    name: &str,
    tracepoint: &str,
) -> Result<(), Failure> {
    let program: &mut RawTracePoint = verified_program(ebpf, name)?;
    program
        .attach(tracepoint)
        .map_err(|error| Failure::of(&error))?;
    Ok(())
}

pub(super) fn attach_fexit(
    ebpf: &mut Ebpf,
    name: &str,
    function: &str,
    btf: &mut LazyBtf,
) -> Result<(), Failure> {
    let program: &mut FExit = program(ebpf, name)?;
    program
        .load(function, btf.get()?)
        .map_err(|error| Failure::of(&error))?;
    program.attach().map_err(|error| Failure::of(&error))?;
    Ok(())
}

pub(super) fn attach_fentry(
    ebpf: &mut Ebpf,
    name: &str,
    function: &str,
    btf: &mut LazyBtf,
) -> Result<(), Failure> {
    let program: &mut FEntry = program(ebpf, name)?;
    program
        .load(function, btf.get()?)
        .map_err(|error| Failure::of(&error))?;
    program.attach().map_err(|error| Failure::of(&error))?;
    Ok(())
}

/// Attaches a kprobe or kretprobe program to each of the functions.
pub(super) fn attach_kprobe(
    ebpf: &mut Ebpf,
    name: &str,
    functions: &[&str],
) -> Result<(), Failure> {
    let program: &mut KProbe = verified_program(ebpf, name)?;
    for function in functions {
        program
            .attach(*function, 0)
            .map_err(|error| Failure::of(&error))?;
    }
    Ok(())
}

/// Attaches a program to a tracepoint of a system call, for as long as the result lives.
pub(super) fn attach_syscall_tracepoint(
    ebpf: &mut Ebpf,
    name: &str,
    tracepoint: &str,
) -> Result<tracefs::Attached, Failure> {
    let program: &mut TracePoint = verified_program(ebpf, name)?;
    let program = program.fd().map_err(|error| Failure::of(&error))?;
    tracefs::tracepoint_id("syscalls", tracepoint)
        .and_then(|id| tracefs::attach(program.as_fd(), id))
        .map_err(Failure::new)
}

/// Detaches and unloads a program that may have been loaded.
pub(super) fn unload(ebpf: &mut Ebpf, name: &str) {
    // Fails when the program was not loaded.
    let _ = match ebpf.program_mut(name) {
        Some(Program::FExit(program)) => program.unload(),
        Some(Program::KProbe(program)) => program.unload(),
        Some(Program::TracePoint(program)) => program.unload(),
        _ => Ok(()),
    };
}
