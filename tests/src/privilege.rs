//! The rights that tests need.

/// Fails the test when it does not run as root: a test that can't run never passes.
#[track_caller]
pub fn need_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: run `cargo xtask test`"
    );
}
