//! Which requests to follow, and what to keep of them: shared by the commands that trace.

use tracer_kernel::settings::{HttpMode, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct RequestArgs {
    /// Whose HTTP requests to follow
    #[arg(long, value_name = "WHOSE", default_value = "proxies")]
    http: HttpMode,

    /// Keep the query strings of requests; they may contain secrets
    #[arg(long)]
    show_query: bool,
}

impl RequestArgs {
    /// The settings of a trace that reports every exit and failed connect, or, without `all`, those that
    /// matter.
    pub(super) fn settings(&self, all: bool) -> Settings {
        Settings {
            all,
            http: self.http,
            show_query: self.show_query,
        }
    }
}
