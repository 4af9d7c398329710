use std::time::Duration;

use tracer_model::Timestamp;

use super::*;

const S: fn(u8) -> Option<ExitStatus> = |signal| {
    Some(ExitStatus::Signal {
        signal,
        core_dumped: false,
    })
};
const C: fn(u8) -> Option<ExitStatus> = |code| Some(ExitStatus::Code(code));

#[expect(clippy::unnecessary_wraps, reason = "keeps the tables short")]
fn sent(signal: u32, code: i32, comm: &str, pid: u32) -> Option<Sent> {
    let facts = SenderFacts {
        pid,
        comm,
        code,
        is_self: comm == "self",
        is_parent: comm.starts_with("php-fpm") || comm == "gunicorn",
        user: "deploy",
        shell: Some(("bash", 700)),
    };
    Some(Sent {
        at: Timestamp(1_000_000_000),
        signal,
        code,
        pid,
        comm: comm.to_owned(),
        kind: sender_kind(&facts),
    })
}

fn case(status: Option<ExitStatus>, last: Option<Sent>) -> Evidence {
    let (stop, other) = match last {
        Some(sent) if matches!(sent.signal, 1 | 2 | 3 | 6 | 15) => (Some(sent), None),
        last => (None, last),
    };
    Evidence {
        status,
        at: Timestamp(2_000_000_000),
        uptime: Duration::from_secs(192),
        peak_bytes: 2_126_008_811,
        stop,
        other,
        ..Evidence::default()
    }
}

#[test]
fn a_kill_after_an_ignored_stop_says_how_long_its_sender_waited() {
    let after = |seconds: u64, sent: Option<Sent>| {
        sent.map(|sent| Sent {
            at: Timestamp(1_000_000_000 * (1 + seconds)),
            ..sent
        })
    };
    for (stop, kill, cause, why) in [
        (
            sent(15, 0, "systemd", 1),
            after(90, sent(9, 0, "systemd", 1)),
            Cause::Killed,
            "killed with SIGKILL by systemd: it had not stopped 1m30s after SIGTERM, up 3m12s",
        ),
        (
            sent(15, 0, "dockerd", 40),
            after(10, sent(9, 0, "dockerd", 40)),
            Cause::Killed,
            "killed with SIGKILL by Docker: it had not stopped 10.0 s after SIGTERM, up 3m12s",
        ),
        (
            sent(15, 0, "kill", 812),
            after(2, sent(9, 0, "deploy.sh", 90)),
            Cause::Killed,
            "killed with SIGKILL by deploy.sh[90]: it had not stopped 2.00 s after SIGTERM from \
             kill[812] of user deploy (shell bash[700]), up 3m12s",
        ),
        (
            sent(3, 0, "php-fpm8.2", 50),
            after(0, sent(9, 0, "php-fpm8.2", 50)),
            Cause::Clean,
            "stopped by the PHP-FPM master (SIGQUIT, then SIGKILL), up 3m12s",
        ),
        // sv force-stop
        (
            sent(15, 0, "runsv", 50),
            after(7, sent(9, 0, "runsv", 50)),
            Cause::Killed,
            "killed with SIGKILL by runit: it had not stopped 7.00 s after SIGTERM, up 3m12s",
        ),
        // Long ago, and survived: it has nothing to do with the death.
        (
            sent(1, 0, "systemd", 1),
            after(86_400, sent(9, 0, "deploy.sh", 90)),
            Cause::Killed,
            "killed with SIGKILL by deploy.sh[90], up 3m12s",
        ),
    ] {
        let evidence = Evidence {
            status: S(9),
            at: kill.as_ref().unwrap().at,
            uptime: Duration::from_secs(192),
            stop,
            other: kill,
            ..Evidence::default()
        };
        let verdict = verdict(&evidence);
        let said = verdict.why(&evidence);
        assert_eq!((verdict.cause, said.as_str()), (cause, why));
    }
}

#[expect(clippy::unnecessary_wraps, reason = "keeps the tables short")]
fn oom(scope: Scope) -> Option<OomFacts> {
    Some(OomFacts {
        scope,
        along: false,
        above: true,
    })
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_death_has_one_cause_and_says_why() {
    use Cause::{Clean, Crash, Error, Killed, OomDaemon, Unknown};
    for (status, last, cause, why) in [
        (None, None, Unknown, "exited unseen"),
        (C(0), None, Clean, "exited cleanly, up 3m12s"),
        (
            C(0),
            sent(15, 0, "systemd", 1),
            Clean,
            "stopped by systemd (SIGTERM), exited cleanly",
        ),
        (C(0), sent(15, 0, "self", 5), Clean, "exited cleanly, up"),
        (
            C(0),
            sent(2, 0, "bash", 700),
            Clean,
            "stopped by bash[700] of user deploy (SIGINT), exited cleanly",
        ),
        (
            C(143),
            sent(15, 0, "systemd", 1),
            Clean,
            "stopped by systemd (SIGTERM), exited with 143",
        ),
        (
            C(130),
            sent(2, 0, "bash", 7),
            Clean,
            "(SIGINT), exited with 130",
        ),
        (C(1), sent(15, 0, "systemd", 1), Clean, "exited with 1"),
        (C(1), sent(15, 0, "kill", 812), Error, "exit status 1, up"),
        (C(1), None, Error, "exit status 1, up 3m12s"),
        (C(2), None, Error, "exit status 2"),
        (C(126), None, Error, "could not be executed"),
        (C(127), None, Error, "a command was not found"),
        (
            C(137),
            None,
            Error,
            "exit status 137: a child or wrapper reported SIGKILL",
        ),
        (C(139), None, Error, "a child or wrapper reported SIGSEGV"),
        (
            C(143),
            None,
            Error,
            "exit status 143: a child or wrapper reported SIGTERM",
        ),
        (C(255), None, Error, "exit status 255, up"),
        (
            S(15),
            sent(15, 0, "systemd", 1),
            Clean,
            "stopped by systemd (SIGTERM)",
        ),
        (
            S(15),
            sent(15, 0, "systemd", 900),
            Clean,
            "stopped by systemd (SIGTERM)",
        ),
        (
            S(15),
            sent(15, 0, "supervisord", 9),
            Clean,
            "stopped by supervisord (SIGTERM)",
        ),
        (
            S(2),
            sent(2, 0, "PM2 v5.3.0: God", 9),
            Clean,
            "stopped by pm2 (SIGINT)",
        ),
        (
            S(3),
            sent(3, 0, "php-fpm8.2", 9),
            Clean,
            "stopped by the PHP-FPM master (SIGQUIT)",
        ),
        (
            S(15),
            sent(15, 0, "runsv", 9),
            Clean,
            "stopped by runit (SIGTERM)",
        ),
        (
            S(15),
            sent(15, 0, "s6-supervise", 9),
            Clean,
            "stopped by s6 (SIGTERM)",
        ),
        (
            S(9),
            sent(9, 0, "runsv", 9),
            Killed,
            "killed with SIGKILL by runit: someone ran sv kill",
        ),
        (
            S(15),
            sent(15, 0, "gunicorn", 9),
            Clean,
            "stopped by its parent gunicorn[9] (SIGTERM)",
        ),
        (
            S(15),
            sent(15, 0, "dockerd", 9),
            Clean,
            "stopped by Docker (SIGTERM)",
        ),
        (
            S(15),
            sent(15, 0, "containerd-shim", 9),
            Clean,
            "stopped by the container engine containerd-shim[9]",
        ),
        (
            S(15),
            sent(15, 0, "runc", 9),
            Clean,
            "stopped by the container engine runc[9]",
        ),
        (
            S(15),
            sent(15, 0, "conmon", 9),
            Clean,
            "stopped by Podman (SIGTERM)",
        ),
        (
            S(15),
            sent(15, 0, "tini", 1),
            Clean,
            "stopped by init (SIGTERM)",
        ),
        (
            S(15),
            sent(15, 0, "kill", 812),
            Killed,
            "killed with SIGTERM by kill[812] of user deploy (shell bash[700])",
        ),
        (
            S(15),
            sent(15, 0, "python3", 812),
            Killed,
            "killed with SIGTERM by python3[812]",
        ),
        (S(15), None, Killed, "the sender was not seen"),
        (
            S(1),
            sent(1, 0x80, "self", 5),
            Killed,
            "killed with SIGHUP by the kernel",
        ),
        (
            S(9),
            sent(9, 0, "kill", 812),
            Killed,
            "killed with SIGKILL by kill[812] of user deploy (shell bash[700])",
        ),
        (
            S(9),
            sent(9, 0, "bash", 700),
            Killed,
            "killed with SIGKILL by bash[700] of user deploy, up",
        ),
        (
            S(9),
            sent(9, 0, "systemd", 1),
            Killed,
            "killed with SIGKILL by systemd: its start timeout expired, its main process exited",
        ),
        (
            S(9),
            sent(9, 0, "supervisord", 9),
            Killed,
            "killed with SIGKILL by supervisord",
        ),
        (
            S(9),
            sent(9, 0, "php-fpm8.2", 9),
            Killed,
            "request_terminate_timeout",
        ),
        (
            S(9),
            sent(9, 0, "dockerd", 9),
            Killed,
            "killed with SIGKILL by Docker",
        ),
        (
            S(9),
            sent(9, 0x80, "x", 9),
            Killed,
            "killed by the kernel (SIGKILL), not because of memory",
        ),
        (
            S(9),
            sent(9, 0, "self", 5),
            Killed,
            "killed itself with SIGKILL",
        ),
        (
            S(9),
            None,
            Killed,
            "killed with SIGKILL, the sender was not seen",
        ),
        (
            S(9),
            sent(9, 0, "systemd-oomd", 9),
            OomDaemon,
            "OOM daemon systemd-oomd[9] (SIGKILL)",
        ),
        (
            S(15),
            sent(15, 0, "earlyoom", 9),
            OomDaemon,
            "OOM daemon earlyoom[9] (SIGTERM)",
        ),
        (S(9), sent(9, 0, "nohang", 9), OomDaemon, "peak 1.98 GiB"),
        (
            S(11),
            sent(11, 1, "self", 5),
            Crash,
            "crashed: segmentation fault (SIGSEGV), up",
        ),
        (
            S(11),
            sent(11, 0, "kill", 812),
            Killed,
            "killed with SIGSEGV by kill[812]",
        ),
        (S(7), sent(7, 2, "self", 5), Crash, "bus error"),
        (S(4), sent(4, 1, "self", 5), Crash, "illegal instruction"),
        (S(8), sent(8, 1, "self", 5), Crash, "arithmetic error"),
        (S(31), sent(31, 1, "self", 5), Crash, "bad system call"),
        (S(5), sent(5, 0x80, "self", 5), Crash, "trap"),
        (
            S(6),
            sent(6, -6, "self", 5),
            Crash,
            "crashed: aborted (SIGABRT)",
        ),
        (
            S(6),
            sent(6, 0, "systemd", 1),
            Killed,
            "killed with SIGABRT by systemd",
        ),
        (S(11), None, Crash, "segmentation fault"),
        (S(13), sent(13, 0, "self", 5), Error, "killed by SIGPIPE"),
        (S(13), None, Error, "killed by SIGPIPE"),
        (
            S(15),
            sent(15, -6, "self", 5),
            Killed,
            "killed with SIGTERM by itself",
        ),
    ] {
        let evidence = case(status, last);
        let got = verdict(&evidence);
        assert_eq!(got.cause, cause, "{evidence:?} {got:?}");
        let said = got.why(&evidence);
        assert!(said.contains(why), "wanted {why:?}, got {said:?}");
    }
}

#[test]
fn oom_kills_name_the_limit_and_only_explain_a_sigkill() {
    let scope = Scope::Cgroup {
        path: Some("/system.slice/api.service".to_owned()),
        limit_bytes: Some(2 << 30),
    };
    for (scope, cause, why) in [
        (
            scope.clone(),
            Cause::OomCgroup,
            "killed by the kernel: cgroup limit 2.0 GiB of /system.slice/api.service reached, peak 1.98 GiB, up 3m12s",
        ),
        (
            Scope::Global,
            Cause::OomGlobal,
            "killed by the kernel: the machine ran out of memory, peak 1.98 GiB, up 3m12s",
        ),
        (
            Scope::Unknown,
            Cause::OomGlobal,
            "killed by the kernel: out of memory, scope not known, peak 1.98 GiB, up 3m12s",
        ),
    ] {
        let evidence = Evidence {
            oom: oom(scope),
            ..case(S(9), sent(9, 0x80, "x", 1))
        };
        let got = verdict(&evidence);
        let said = got.why(&evidence);
        assert_eq!((got.cause, said.as_str()), (cause, why));
    }
    let marked_but_exited = Evidence {
        oom: oom(scope),
        ..case(C(0), None)
    };
    assert_eq!(verdict(&marked_but_exited).cause, Cause::Clean);
}

#[test]
fn the_peak_distinguishes_v8s_heap_limit_from_a_crash() {
    let with = |heap, status, last| Evidence {
        heap_limit_bytes: heap,
        ..case(status, last)
    };
    for (heap, status, last, cause) in [
        (
            Some(2 << 30),
            S(6),
            sent(6, -6, "self", 5),
            Cause::HeapLimit,
        ),
        (Some(2 << 30), S(6), None, Cause::HeapLimit),
        (Some(2 << 30), S(5), None, Cause::HeapLimit),
        (Some(4 << 30), S(6), sent(6, -6, "self", 5), Cause::Crash),
        (None, S(6), sent(6, -6, "self", 5), Cause::Crash),
        (Some(2 << 30), S(6), sent(6, 0, "kill", 8), Cause::Killed),
        (Some(2 << 30), S(11), None, Cause::Crash),
    ] {
        assert_eq!(
            verdict(&with(heap, status, last.clone())).cause,
            cause,
            "{last:?}"
        );
    }
    assert_eq!(default_heap(8 << 30), Some(2 << 30));
    assert_eq!(default_heap(64 << 30), Some(4 << 30));
    assert_eq!(default_heap(2 << 30), Some(512 << 20));
    assert_eq!(default_heap(0), None);
}
