//! When two services are the same, and which programs are shells.

use std::sync::Arc;

use tracer_model::{Manager, Service};

/// What identifies a service, whatever the evidence for its name is.
pub type ServiceKey = (Manager, Arc<str>);

/// The key of a service.
pub fn key_of(service: &Service) -> ServiceKey {
    (service.manager, Arc::clone(&service.name))
}

/// Whether both are the same service.
pub fn same(a: &Service, b: &Service) -> bool {
    a.manager == b.manager && a.name == b.name
}

/// Whether a process of this name is a shell.
pub fn is_shell(comm: &str) -> bool {
    matches!(
        comm,
        "sh" | "bash" | "dash" | "zsh" | "fish" | "ksh" | "ash" | "tcsh" | "csh" | "mksh"
    )
}
