//! The kernel log's reports of OOM kills. They give the scope on machines where no hook does.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

use tracer_model::{OomReport, OomScope};

/// /dev/kmsg, read from its end at the start of the tracer on.
#[derive(Debug)]
pub(super) struct KernelLog {
    file: File,
    /// Sequence number of the next record; `None` until one was read.
    next: Option<u64>,
}

/// The result of one round of reading.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Reports, oldest first.
    pub(super) reports: Vec<OomReport>,
    /// Records that were overwritten before they were read; 1 if the number is unknown.
    pub(super) overwritten: u64,
}

impl KernelLog {
    pub(super) fn open() -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, next: None })
    }

    /// Reads everything since the last round. Never waits.
    pub(super) fn read(&mut self) -> Round {
        /// Limit of one round; the rest waits for the next.
        const MAX_RECORDS: usize = 10_000;
        let mut round = Round::default();
        // The kernel returns one record per read, at most 8 KiB including its dictionary.
        let mut buffer = [0; 8192];
        let mut overtaken = false;
        for _ in 0..MAX_RECORDS {
            match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => {
                    let record = String::from_utf8_lossy(&buffer[..len]);
                    let sequence = sequence(&record);
                    if let (true, Some(sequence)) = (overtaken, sequence) {
                        let missing = self.next.map_or(1, |next| sequence.saturating_sub(next));
                        round.overwritten += missing;
                        overtaken = false;
                    }
                    self.next = sequence.map(|sequence| sequence.saturating_add(1));
                    round.reports.extend(parse(&record));
                }
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => overtaken = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        round.overwritten += u64::from(overtaken);
        round
    }
}

/// The sequence number in a record's prefix.
fn sequence(record: &str) -> Option<u64> {
    record.split(',').nth(1)?.parse().ok()
}

/// Parses a record, `priority,sequence,time,flags;text`, whose text is such a report:
///
/// `oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=node,pid=7,uid=0`
///
/// Paths and names may contain commas and equals signs. So each value ends at the *next known key*, and
/// the keys after the names are searched from the end.
fn parse(record: &str) -> Option<OomReport> {
    let (prefix, text) = record.split_once(';')?;
    // Userspace can write to the log too, but only the kernel can use facility 0 (priority below 8).
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    if priority >= 8 {
        return None;
    }
    let text = text.lines().next()?.strip_prefix("oom-kill:")?;
    let text = &*unescape(text);
    let constraint = between(text, "constraint=", ",nodemask=")?;
    let (before, uid) = text.rsplit_once(",uid=")?;
    let _: u32 = uid.parse().ok()?;
    let (before, pid) = before.rsplit_once(",pid=")?;
    let (before, comm) = before.rsplit_once(",task=")?;
    let (before, task_cgroup) = match split_path(before, before.rfind(",task_memcg=/")) {
        Some((before, path)) => (before, Some(path)),
        None => (before, None),
    };
    let scope = if constraint == "CONSTRAINT_MEMCG" {
        OomScope::Cgroup {
            id: 0,
            path: split_path(before, before.find(",oom_memcg=/")).map(|(_, path)| path.into()),
            limit_bytes: None,
        }
    } else {
        OomScope::Global
    };
    Some(OomReport {
        victim: pid.parse().ok()?,
        comm: comm.into(),
        scope,
        task_cgroup: task_cgroup.map(Into::into),
    })
}

/// Splits where a key begins and returns the path after it, which begins at its slash. Callers search for
/// the slash too: the name of a cpuset, which precedes the paths, may look like a key but can't contain a
/// slash.
fn split_path(text: &str, at: Option<usize>) -> Option<(&str, &str)> {
    let (before, from_key) = text.split_at(at?);
    Some((before, &from_key[from_key.find('/')?..]))
}

/// Decodes `\xNN`, which the log writes for backslashes and bytes that are not printable ASCII.
fn unescape(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after
            .strip_prefix(b"x")
            .and_then(|hex| hex.first_chunk::<2>())
            .filter(|hex| byte == b'\\' && hex.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        plain.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(text: &str) -> Option<OomReport> {
        parse(&format!("6,1234,5678,-;{text}\n SUBSYSTEM=x\n"))
    }

    #[test]
    fn reports_have_scope_and_victim() {
        let cgroup = |path: &str| OomScope::Cgroup {
            id: 0,
            path: Some(path.into()),
            limit_bytes: None,
        };
        for (text, scope, victim, comm, task_cgroup) in [
            (
                "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=node,pid=7,uid=0",
                cgroup("/a"),
                7,
                "node",
                Some("/a/b"),
            ),
            (
                "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/system.slice/x.service,task=my app,pid=70,uid=33",
                OomScope::Global,
                70,
                "my app",
                Some("/system.slice/x.service"),
            ),
            (
                "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,b,mems_allowed=0-1,oom_memcg=/we,ird=x,task_memcg=/we,ird=x/pid=3,task=a,pid=9,pid=11,uid=0",
                cgroup("/we,ird=x"),
                11,
                "a,pid=9",
                Some("/we,ird=x/pid=3"),
            ),
            (
                "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,oom_memcg=y,mems_allowed=0,oom_memcg=/w\\xc3\\xb6rk\\x5c,task_memcg=/w\\xc3\\xb6rk\\x5c,task=a,pid=9,uid=0",
                cgroup("/wörk\\"),
                9,
                "a",
                Some("/wörk\\"),
            ),
        ] {
            let want = OomReport {
                victim,
                comm: comm.into(),
                scope,
                task_cgroup: task_cgroup.map(Into::into),
            };
            assert_eq!(report(text), Some(want), "{text}");
        }
    }

    #[test]
    fn other_lines_are_not_reports() {
        assert_eq!(report("Out of memory: Killed process 7 (node)"), None);
        assert_eq!(
            report("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask="),
            None
        );
        assert_eq!(parse("no record"), None);
        let forged =
            "14,1,1,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=x,pid=1,uid=0";
        assert_eq!(parse(forged), None, "written by a user program");
    }

    #[test]
    fn records_are_numbered() {
        assert_eq!(sequence("6,1234,5678,-;text"), Some(1234));
        assert_eq!(sequence("none"), None);
    }

    proptest! {
        #[test]
        fn any_content_of_the_log_is_parsed(text in ".{0,200}") {
            let _ = unescape(&text);
            let _ = parse(&text);
            let _ = report(&format!("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask={text},uid=0"));
        }
    }
}
