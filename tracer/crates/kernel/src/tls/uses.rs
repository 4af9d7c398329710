//! Who uses which library: attached for the first process that has it mapped, detached with the
//! last. Pure but for what attaching does.

use std::collections::{BTreeMap, BTreeSet};

use tracer_model::Pid;

use super::mapped::FileId;

/// Most files remembered as unsuitable; they are looked at again when forgotten.
const MAX_REFUSED: usize = 256;

/// What holds for a file that a process has mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suits {
    /// The hooks are attached to it.
    Attached,
    /// They can't be, as was told when it was tried.
    Refused,
}

/// By library; `L` holds its hooks, and detaches when dropped.
#[derive(Debug)]
pub(super) struct Uses<L> {
    attached: BTreeMap<FileId, Library<L>>,
    refused: BTreeSet<FileId>,
}

#[derive(Debug)]
struct Library<L> {
    hooks: L,
    users: BTreeSet<Pid>,
}

impl<L> Default for Uses<L> {
    fn default() -> Self {
        Self {
            attached: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }
}

impl<L> Uses<L> {
    /// `pid` has `file` mapped. Attaches when it is the first, and gives the error when that fails
    /// for the first time.
    pub(super) fn add<E>(
        &mut self,
        pid: Pid,
        file: FileId,
        attach: impl FnOnce() -> Result<L, E>,
    ) -> Result<Suits, E> {
        if let Some(library) = self.attached.get_mut(&file) {
            library.users.insert(pid);
            return Ok(Suits::Attached);
        }
        if self.refused.contains(&file) {
            return Ok(Suits::Refused);
        }
        match attach() {
            Ok(hooks) => {
                let library = Library {
                    hooks,
                    users: BTreeSet::from([pid]),
                };
                self.attached.insert(file, library);
                Ok(Suits::Attached)
            }
            Err(error) => {
                if self.refused.len() == MAX_REFUSED {
                    self.refused.clear();
                }
                self.refused.insert(file);
                Err(error)
            }
        }
    }

    /// `pid` is gone, or a proxy no more.
    pub(super) fn remove(&mut self, pid: Pid) {
        self.attached.retain(|_, library| {
            library.users.remove(&pid);
            !library.users.is_empty()
        });
    }

    /// Whether `pid` has a library to which the hooks are attached.
    pub(super) fn covers(&self, pid: Pid) -> bool {
        self.attached.values().any(|it| it.users.contains(&pid))
    }

    /// The libraries attached to.
    pub(super) fn libraries(&self) -> impl Iterator<Item = &L> {
        self.attached.values().map(|library| &library.hooks)
    }
}
