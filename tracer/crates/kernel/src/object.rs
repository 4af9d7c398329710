//! The object that holds the kernel programs and their maps: adapts it to this kernel, loads its
//! maps, and gives access to its programs and maps by name. What to attach is up to
//! [`super::attach`].

use aya::Ebpf;
use aya::maps::{Map, MapError};
use aya::programs::{Program, ProgramError};
use rustix::process::{Resource, Rlimit, setrlimit};
use tracer_common::{Decisions, Layout};
use tracer_model::Hierarchy;
use zerocopy::IntoBytes;

use super::aya_loader;
use super::embedded;
use super::error::{Failure, StartError};
use super::hooks::SECOND_SUFFIX;
use super::patch::{self, Cast};
use super::plan::Plan;
use super::settings::HttpMode;
use super::verify;

/// The object, as `build.rs` built it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));

/// Maps that are used only while requests are followed.
const REQUEST_MAPS: [&str; 4] = [
    "EXCHANGES",
    "TLS_EXCHANGES",
    "TLS_CONNECTIONS",
    "TLS_SESSIONS",
];

/// Creates the object's maps, and fills in what the programs must know from the start. Loads no
/// program yet.
pub(super) fn open(plan: &Plan, layout: &Layout, http: HttpMode) -> Result<Ebpf, StartError> {
    raise_memlock();
    let decisions = Decisions {
        cgroup_v1: u32::from(plan.cgroups == Hierarchy::MemoryV1),
        connect_returns: u32::from(!plan.connect.rungs.is_empty()),
        http: match http {
            HttpMode::Off => 0,
            HttpMode::Proxies => 1,
            HttpMode::All => 2,
        },
        second_programs: u32::from(plan.interruptible),
    };
    let mut loader = aya_loader::without_types();
    if http == HttpMode::Off {
        for map in REQUEST_MAPS {
            loader.map_max_entries(map, 1);
        }
    }
    let object = adapted(plan.cast, plan.interruptible);
    loader
        .override_global("LAYOUT", layout.as_bytes(), true)
        .override_global("DECISIONS", decisions.as_bytes(), true)
        .load(object.as_bytes())
        .map_err(|error| StartError::Load(Failure::of(&error)))
}

/// The object for a kernel that reads its memory this way, with or without second programs. Words,
/// so that it is aligned.
fn adapted(cast: Option<Cast>, second_programs: bool) -> Vec<u64> {
    let mut words = vec![0; OBJECT.len().div_ceil(size_of::<u64>())];
    words.as_mut_bytes()[..OBJECT.len()].copy_from_slice(OBJECT);
    embedded::release(OBJECT);
    patch::patch(&mut words, cast);
    if !second_programs {
        patch::hide_functions(words.as_mut_bytes(), SECOND_SUFFIX);
    }
    words
}

/// Up to 5.10, maps count against the limit on locked memory.
fn raise_memlock() {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    // Without the capability to raise it, the present limit may still be enough; if it is not,
    // creating a map fails with a hint.
    let _ = setrlimit(Resource::Memlock, unlimited);
}

/// Takes a map out of the object, as its type.
pub(super) fn take_map<M>(ebpf: &mut Ebpf, map: &'static str) -> Result<M, StartError>
where
    M: TryFrom<Map, Error = MapError>,
{
    ebpf.take_map(map)
        .ok_or(MapError::InvalidName { name: map.into() })
        .and_then(M::try_from)
        .map_err(|error| StartError::Map {
            map,
            failure: Failure::of(&error),
        })
}

/// A program of the object, as its type.
pub(super) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, Failure>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| Failure::new("the object has no such program"))?
        .try_into()
        .map_err(|error| Failure::of(&error))
}

/// The same, after the kernel has verified and loaded the program.
pub(super) fn verified_program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, Failure>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    if let Some(program) = ebpf.program_mut(name) {
        verify::load(program).map_err(|error| Failure::of(&error))?;
    }
    program(ebpf, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::RAW_TRACEPOINTS;

    #[test]
    fn only_second_programs_are_left_out_of_the_object() {
        let (with, without) = (adapted(None, true), adapted(None, false));
        let (with, without) = (with.as_bytes(), without.as_bytes());
        let differences = with.iter().zip(without).filter(|(one, other)| one != other);
        let second_programs = RAW_TRACEPOINTS.iter().filter(|it| it.second.is_some());
        assert_eq!(differences.count(), second_programs.count());
    }
}
