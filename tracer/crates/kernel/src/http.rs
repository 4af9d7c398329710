//! Follows HTTP requests at proxies: keeps the programs attached to the proxies' cgroups, and keeps
//! the maps up to date in which the programs look up proxies' ports and processes. The programs are
//! loaded when the first proxy is found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use aya::programs::cgroup_skb::{CgroupSkbAttachType, CgroupSkbLink};
use aya::programs::{CgroupAttachMode, CgroupSkb};
use tracer_common::bit_of_proxy;
use tracer_common::record::HttpUnsentKey;
use tracer_model::{Hook, Observation, Pid, Timestamp};
use zerocopy::FromBytes;

use super::decode;
use super::error::{Failure, StartError};
use super::object::{take_map, verified_program};
use super::settings::HttpMode;

const PROGRAMS: [(&str, CgroupSkbAttachType); 2] = [
    ("http_ingress", CgroupSkbAttachType::Ingress),
    ("http_egress", CgroupSkbAttachType::Egress),
];
const UNSENT_KEY: usize = size_of::<HttpUnsentKey>();

/// The proxies whose requests to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The processes of proxies.
    pub pids: BTreeSet<Pid>,
    /// The TCP ports they listen on.
    pub ports: BTreeSet<u16>,
    /// The directories of their cgroups in the unified hierarchy, or why there are none.
    pub cgroups: Result<BTreeSet<PathBuf>, String>,
}

/// See the module.
pub(super) struct Http {
    mode: HttpMode,
    now: Followed,
    attached: BTreeMap<PathBuf, [CgroupSkbLink; 2]>,
    /// Why a cgroup is not in `attached`; the newest reason.
    why: Option<String>,
    ports: Array<MapData, u64>,
    proxies: HashMap<MapData, u32, u32>,
    proxy_bits: Array<MapData, u64>,
    unsent: HashMap<MapData, [u8; UNSENT_KEY], u64>,
    /// The part of the counts in `unsent` that was reported.
    reported: BTreeMap<[u8; UNSENT_KEY], u64>,
}

impl Http {
    pub(super) fn new(ebpf: &mut Ebpf, mode: HttpMode) -> Result<Self, StartError> {
        Ok(Self {
            mode,
            now: Followed::default(),
            attached: BTreeMap::new(),
            why: None,
            ports: take_map(ebpf, "PROXY_PORTS")?,
            proxies: take_map(ebpf, "PROXIES")?,
            proxy_bits: take_map(ebpf, "PROXY_BITS")?,
            unsent: take_map(ebpf, "HTTP_UNSENT")?,
            reported: BTreeMap::new(),
        })
    }

    /// Whether the user turned this off.
    pub(super) fn is_off(&self) -> bool {
        self.mode == HttpMode::Off
    }

    /// Follows `wanted`, and nobody else.
    pub(super) fn follow(&mut self, ebpf: &mut Ebpf, wanted: Followed) {
        if self.mode == HttpMode::Off || wanted == self.now {
            return;
        }
        // The maps have more room than proxies need. A process that does not fit is not followed;
        // its proxy is still recognised by its other processes.
        for gone in self.now.pids.difference(&wanted.pids) {
            let _ = self.proxies.remove(gone);
        }
        for new in wanted.pids.difference(&self.now.pids) {
            let _ = self.proxies.insert(new, 1, 0);
        }
        let bits = |pids: &BTreeSet<Pid>| pids.iter().copied().map(bit_of_proxy).collect();
        set(
            &mut self.proxy_bits,
            &bits(&self.now.pids),
            &bits(&wanted.pids),
        );
        set(&mut self.ports, &self.now.ports, &wanted.ports);
        self.why = wanted.cgroups.as_ref().err().cloned();
        let cgroups = outermost(wanted.cgroups.as_ref().ok());
        for cgroup in &cgroups {
            if !self.attached.contains_key(cgroup) {
                match attach(ebpf, cgroup) {
                    Ok(links) => {
                        self.attached.insert(cgroup.clone(), links);
                    }
                    Err(failure) => {
                        self.why = Some(format!("{}: {}", cgroup.display(), failure.what));
                    }
                }
            }
        }
        // Last, so that no request is missed where an outer cgroup takes over.
        self.attached.retain(|cgroup, _| cgroups.contains(cgroup));
        self.now = wanted;
    }

    /// Whether the requests of a proxy's process are followed.
    pub(super) fn covers(&self, pid: Pid) -> bool {
        self.now.pids.contains(&pid) && !self.attached.is_empty() && self.why.is_none()
    }

    /// The hook as shown in findings; None while there is no proxy to follow.
    pub(super) fn hook(&self) -> Option<Hook> {
        let nobody = self.attached.is_empty() && self.why.is_none();
        (self.mode != HttpMode::Off && !nobody).then(|| Hook {
            name: "http".into(),
            via: (!self.attached.is_empty()).then(|| "cgroup_skb on the proxies' cgroups".into()),
            ok: !self.attached.is_empty(),
            why: self.why.clone(),
        })
    }

    /// Appends the requests that were counted without a record since the last call.
    pub(super) fn append_counted(&mut self, now: Timestamp, out: &mut Vec<Observation>) {
        if self.attached.is_empty() {
            return;
        }
        for (key, total) in self.unsent.iter().flatten() {
            let reported = self.reported.entry(key).or_default();
            let new = total.saturating_sub(*reported);
            if new > 0
                && let Ok(key) = HttpUnsentKey::read_from_bytes(&key)
            {
                *reported = total;
                out.push(Observation {
                    at: now,
                    what: decode::counted_requests(&key, new),
                });
            }
        }
    }
}

/// Attaches both programs to a cgroup, until the links are dropped.
fn attach(ebpf: &mut Ebpf, cgroup: &std::path::Path) -> Result<[CgroupSkbLink; 2], Failure> {
    let directory = File::open(cgroup).map_err(Failure::new)?;
    let mut attach = |(name, hook): (&str, CgroupSkbAttachType)| {
        let program: &mut CgroupSkb = verified_program(ebpf, name)?;
        // A link allows other programs without being asked, and refuses the flag that asks for it.
        let link = program
            .attach(&directory, hook, CgroupAttachMode::Single)
            .map_err(|error| Failure::of(&error))?;
        program.take_link(link).map_err(|error| Failure::of(&error))
    };
    let [ingress, egress] = PROGRAMS;
    Ok([attach(ingress)?, attach(egress)?])
}

/// Changes the bits in a map from `now` to `wanted`.
fn set(map: &mut Array<MapData, u64>, now: &BTreeSet<u16>, wanted: &BTreeSet<u16>) {
    let (now, wanted) = (words(now), words(wanted));
    for (&index, bits) in &wanted {
        if now.get(&index) != Some(bits) {
            let _ = map.set(index, *bits, 0);
        }
    }
    for index in now.keys().filter(|index| !wanted.contains_key(index)) {
        let _ = map.set(*index, 0, 0);
    }
}

/// Bits as words of 64, by the index of the word.
fn words(bits: &BTreeSet<u16>) -> BTreeMap<u32, u64> {
    let mut words = BTreeMap::new();
    for bit in bits {
        *words.entry(u32::from(bit >> 6)).or_default() |= 1 << (bit & 63);
    }
    words
}

/// The directories that are inside none of the others: programs attached there run for all below.
fn outermost(directories: Option<&BTreeSet<PathBuf>>) -> BTreeSet<PathBuf> {
    let mut outer = BTreeSet::<PathBuf>::new();
    // In this order a directory comes before those inside it.
    for directory in directories.into_iter().flatten() {
        if !outer.iter().any(|known| directory.starts_with(known)) {
            outer.insert(directory.clone());
        }
    }
    outer
}

impl Default for Followed {
    fn default() -> Self {
        Self {
            pids: BTreeSet::new(),
            ports: BTreeSet::new(),
            cgroups: Ok(BTreeSet::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_is_one_bit() {
        let ports = BTreeSet::from([0, 63, 64, 65535]);
        assert_eq!(
            words(&ports),
            BTreeMap::from([(0, 1 | 1 << 63), (1, 1), (1023, 1 << 63)])
        );
    }

    #[test]
    fn programs_are_attached_only_to_the_outermost_cgroups() {
        let all = ["/c", "/c/nginx", "/cc", "/d/x/y", "/d/x"].map(PathBuf::from);
        assert_eq!(
            outermost(Some(&all.into())),
            ["/c", "/cc", "/d/x"].map(PathBuf::from).into()
        );
    }
}
