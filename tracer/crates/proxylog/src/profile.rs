//! What is known of one proxy. Each proxy has a file with its [`Profile`]; the root of this crate
//! lists them.

use std::fmt::Debug;
use std::time::Duration;

use tracer_model::ProxyKind;

use crate::line::Line;

/// What is known of one proxy: how its processes are recognised, how a line of its log is read,
/// and what its log can say.
#[derive(Debug)]
pub struct Profile {
    /// The proxy.
    pub kind: ProxyKind,
    /// The names of its executables, without a suffix such as `.old`.
    pub programs: &'static [&'static str],
    /// Where it writes down the requests that failed.
    pub failures_in: FailuresIn,
    /// What a line is about.
    pub line_for: LineFor,
    /// What its lines can say.
    pub says: &'static [Fact],
    /// Whether a line may have neither the client nor the worker.
    pub anonymous: bool,
    /// The longest time from the end of a request to its line, when the proxy buffers its log.
    pub delay: Duration,
    /// Reads a line; the flag keeps query strings. Use [`Profile::read`].
    pub(crate) read: fn(&str, bool) -> Line,
    /// Whether a readable line may stand in a file that is not where failed requests are written.
    pub(crate) is_elsewhere: fn(&str) -> bool,
    /// What to remember between lines; None: each line stands for itself.
    pub(crate) memory: Option<fn() -> Box<dyn Memory>>,
}

/// Which of a proxy's logs has the requests that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailuresIn {
    /// A log of errors, next to which there may be an access log without any news.
    ErrorLog,
    /// The access log: it has all requests, and the error log does not say which one failed.
    AccessLog,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFor {
    /// A whole request, written when it is over.
    Request,
    /// One attempt at one upstream. Attempts of a request have the same worker and connection
    /// number.
    AttemptOnConnection,
    /// The same. Attempts of a request have the same thread and client.
    AttemptByThread,
}

/// Something that a line can say. Not every line says everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The final status.
    Status,
    /// The upstream's address.
    UpstreamAddress,
    /// The upstream as the configuration names it.
    UpstreamName,
    /// Why the request failed: refused, timed out, cut.
    Reason,
    /// The client's address.
    Client,
    /// The client's port.
    ClientPort,
    /// Method and path.
    Request,
    /// The host that was asked for.
    Host,
    /// When the request ended.
    Time,
    /// How long the request took.
    Elapsed,
    /// The process that served it.
    Worker,
    /// Also requests that the application itself answered with an error.
    Answered,
    /// Also requests that the client gave up.
    ClientGone,
}

/// What earlier lines of a log mean for later ones.
pub(crate) trait Memory: Debug + Send {
    /// Makes one entry of the lines about one failure. `line` was read as `read`.
    fn join(&mut self, line: &str, read: Line) -> Line;
}

impl Profile {
    /// Reads a line that stands for itself; `show_query` keeps query strings.
    pub fn read(&self, line: &str, show_query: bool) -> Line {
        (self.read)(line, show_query)
    }

    /// Whether a line shows that its file is where the proxy writes requests that failed.
    pub fn is_evidence(&self, line: &str) -> bool {
        let read = || matches!(self.read(line, false), Line::Entry(_) | Line::Ignored);
        !(self.is_elsewhere)(line) && read()
    }

    /// Whether its lines can say `fact`.
    pub fn says(&self, fact: Fact) -> bool {
        self.says.contains(&fact)
    }
}
