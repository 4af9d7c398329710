//! Keeps track of which process has which library mapped: hooks are attached for the first process and
//! detached after the last. Pure; attaching is up to the caller.

use std::collections::{BTreeMap, BTreeSet};

use tracer_model::Pid;

use super::mapped::FileId;

/// Most unsuitable files that are remembered; others are tried again.
const MAX_REFUSED: usize = 256;

/// Whether hooks can be attached to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suits {
    /// The hooks are attached to it.
    Attached,
    /// They cannot be; the error was returned at the first try.
    Refused,
}

/// The libraries and their users. `L` is the hooks on one library, detached when dropped.
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
    /// Notes that `pid` has `file` mapped. Attaches if it is the first process to have it; if that
    /// fails, returns the error, but only the first time.
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

    /// Notes that `pid` has exited or is no longer a proxy.
    pub(super) fn remove(&mut self, pid: Pid) {
        self.attached.retain(|_, library| {
            library.users.remove(&pid);
            !library.users.is_empty()
        });
    }

    /// Whether hooks are attached to a library of `pid`.
    pub(super) fn covers(&self, pid: Pid) -> bool {
        self.attached.values().any(|it| it.users.contains(&pid))
    }

    /// The libraries that hooks are attached to.
    pub(super) fn libraries(&self) -> impl Iterator<Item = &L> {
        self.attached.values().map(|library| &library.hooks)
    }
}
