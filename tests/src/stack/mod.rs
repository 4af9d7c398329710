//! Real software for the tests: nginx in front of applications under their managers, each on
//! loopback with its own configuration in its own folder.

mod asset;
pub mod client;
mod daemon;
pub mod deployment;
mod fpm;
pub mod http;
mod installed;
pub mod ledger;
mod managed;
mod nginx;
mod node;
mod pm2;
pub mod proxy;
mod resident;
mod runit;
mod s6;
pub mod scene;
mod story;
mod supervisor;
mod worker;

pub use asset::asset;
pub use daemon::Daemon;
pub use fpm::PhpFpm;
pub use managed::{Wanted, killed, restarted};
pub use nginx::Nginx;
pub use node::{WARM_UP, worker_command};
pub use pm2::Pm2;
pub use runit::Runit;
pub use s6::S6;
pub use story::{KILLER, Kill, Outage, kill_by_script, outage, restart};
pub use supervisor::Supervisor;
pub use worker::{Address, Worker};
