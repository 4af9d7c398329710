//! Following and reading logs: real files in temporary directories, and this process as the proxy
//! that writes them.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracer_model::{
    Actor, Failure, Hierarchy, HttpEnd, HttpExchange, Pid, ProxyKind, Side, Witness,
};

use super::follow::MAX_LINE;
use super::*;
use crate::Observer;
use crate::proc_dir;

fn me() -> ProxyProcess {
    let pid: Pid = std::process::id();
    ProxyProcess {
        key: ProcessKey {
            pid,
            start_ticks: proc_dir::start_ticks(pid).unwrap(),
        },
        kind: ProxyKind::Nginx,
    }
}

/// All files that this process has open are found: those of the other tests too.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line of nginx about connection `number`.
fn line(number: u64) -> String {
    format!(
        "2026/11/22 23:52:35 [error] 7#7: *{number} connect() failed (111: Connection refused) \
         while connecting to upstream, client: 127.0.0.1, server: , request: \"GET /{number} \
         HTTP/1.1\", upstream: \"http://127.0.0.1:9102/{number}\", host: \"a\"\n"
    )
}

fn appending(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.append(true).create(true).open(path).unwrap()
}

/// The connection numbers that were observed, once everything was read.
fn numbers(logs: &mut Logs) -> Vec<u64> {
    connections(observe(logs))
}

/// Those that one round observes.
fn read_once(logs: &mut Logs) -> Vec<u64> {
    let mut out = Vec::new();
    logs.read(clock::now(), &mut out);
    connections(out.into_iter().map(|observation| observation.what))
}

fn connections(observed: impl IntoIterator<Item = What>) -> Vec<u64> {
    let entries = observed.into_iter().filter_map(|what| match what {
        What::ProxyLog(entry) => entry.connection,
        _ => None,
    });
    entries.collect()
}

fn observe(logs: &mut Logs) -> Vec<What> {
    let mut out = Vec::new();
    let now = clock::now();
    logs.check(now);
    logs.read(now, &mut out);
    while logs.files.iter().any(|log| log.dirty) {
        logs.read(now, &mut out);
    }
    out.into_iter()
        .map(|observation| observation.what)
        .collect()
}

fn following(proxy: ProxyProcess) -> Logs {
    let mut logs = Logs::new(false, Vec::new());
    // Times of files are too coarse to show that they were created a moment before.
    let began = std::mem::replace(&mut logs.began, WallTime(i64::MAX));
    logs.follow(&[proxy]);
    logs.began = began;
    logs
}

#[test]
fn what_a_proxy_writes_to_its_open_log_after_the_start_is_observed() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut log = appending(&dir.path().join("error.log"));
    log.write_all(line(1).as_bytes()).unwrap();
    let mut logs = following(me());
    assert!(numbers(&mut logs).is_empty());
    assert!(logs.logged(me().key) && logs.clear_changed() && !logs.clear_changed());
    let text = format!("{}{}", line(2), line(3));
    let (first, second) = text.split_at(line(2).len() + 40);
    log.write_all(first.as_bytes()).unwrap();
    assert_eq!(numbers(&mut logs), [2]);
    log.write_all(second.as_bytes()).unwrap();
    let observed = observe(&mut logs);
    let [What::ProxyLog(entry)] = &*observed else {
        panic!("{observed:?}");
    };
    assert_eq!(entry.proxy, me().key);
    assert_eq!(entry.failure, Failure::Refused);
}

#[test]
fn who_writes_all_the_time_is_not_kept_waiting_for_notifications() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut log = appending(&dir.path().join("error.log"));
    let mut logs = following(me());
    let mut write = |number| log.write_all(line(number).as_bytes()).unwrap();
    let notified = |logs: &Logs| {
        let mut events = 0;
        let notify = logs.notify.as_ref().unwrap();
        notify.drain(&mut |_| events += 1);
        events
    };
    write(1);
    assert_eq!(notified(&logs), 1);
    assert_eq!(numbers(&mut logs), [1]);
    write(2);
    assert_eq!(numbers(&mut logs), [2]);
    // From here on it is read in rounds.
    write(3);
    assert_eq!(notified(&logs), 0);
    assert!(logs.due().unwrap() <= clock::now().after(ROUND_EVERY));
    assert_eq!(read_once(&mut logs), [3]);
    // A round without a line: what comes next is notified of, what came meanwhile is looked for.
    assert!(read_once(&mut logs).is_empty());
    write(4);
    assert_eq!(notified(&logs), 1);
    assert!(logs.due().unwrap() <= clock::now().after(ROUND_EVERY));
    assert_eq!(read_once(&mut logs), [4]);
}

#[test]
fn a_log_that_is_renamed_and_created_anew_loses_nothing() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.log");
    let mut old = appending(&path);
    let mut logs = following(me());
    old.write_all(line(1).as_bytes()).unwrap();
    fs::rename(&path, dir.path().join("error.log.1")).unwrap();
    old.write_all(line(2).as_bytes()).unwrap();
    let mut new = appending(&path);
    new.write_all(line(3).as_bytes()).unwrap();
    // Workers go on with the old one for a while.
    old.write_all(line(4).as_bytes()).unwrap();
    assert_eq!(numbers(&mut logs), [1, 2, 4, 3]);
    old.write_all(line(5).as_bytes()).unwrap();
    new.write_all(line(6).as_bytes()).unwrap();
    assert_eq!(numbers(&mut logs), [5, 6]);
    drop(old);
    let mut out = Vec::new();
    let later = clock::now().after(LINGER * 2);
    logs.search(later);
    logs.read(later.after(LINGER * 2), &mut out);
    assert_eq!(logs.files.len(), 1, "{:?}", logs.files);
    new.write_all(line(7).as_bytes()).unwrap();
    assert_eq!(numbers(&mut logs), [7]);
}

#[test]
fn a_log_is_followed_while_its_proxy_restarts_and_let_go_when_it_stays_away() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.log");
    let log = appending(&path);
    let mut logs = following(me());
    drop(log);
    logs.follow(&[]);
    let mut log = appending(&path);
    log.write_all(line(1).as_bytes()).unwrap();
    logs.follow(&[me()]);
    assert_eq!(numbers(&mut logs), [1]);
    logs.check(clock::now().after(LINGER * 2));
    assert_eq!(logs.files.len(), 1);
    drop(log);
    logs.follow(&[]);
    assert!(!logs.logged(me().key) && logs.due().is_some());
    logs.read(clock::now(), &mut Vec::new());
    logs.check(clock::now().after(LINGER * 2));
    assert!(logs.files.is_empty() && logs.due().is_none());
}

#[test]
fn a_log_that_is_copied_and_cut_off_is_read_on() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.log");
    let mut log = appending(&path);
    let mut logs = following(me());
    log.write_all(line(10).as_bytes()).unwrap();
    assert_eq!(numbers(&mut logs), [10]);
    log.set_len(0).unwrap();
    log.write_all(line(1).as_bytes()).unwrap();
    assert_eq!(numbers(&mut logs), [1], "shorter than before");
    log.set_len(0).unwrap();
    log.write_all((line(20) + &line(21)).as_bytes()).unwrap();
    assert_eq!(numbers(&mut logs), [20, 21], "longer than before");
    log.set_len(0).unwrap();
    log.write_all((line(22) + &line(23)).as_bytes()).unwrap();
    assert_eq!(numbers(&mut logs), [22, 23], "as long as before");
    log.write_all(b"2026/11/22 half a li").unwrap();
    assert!(observe(&mut logs).is_empty());
    log.set_len(0).unwrap();
    log.write_all(line(30).as_bytes()).unwrap();
    let observed = observe(&mut logs);
    assert!(
        matches!(
            &*observed,
            [What::ProxyLog(entry), What::Lost { ring: Ring::ProxyLog, count: 1 }]
                if entry.connection == Some(30)
        ),
        "{observed:?}"
    );
}

#[test]
fn a_writer_that_does_not_append_leaves_a_hole_when_its_log_is_cut_off() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.log");
    let mut log = File::create(&path).unwrap();
    let mut logs = following(me());
    for number in 100..500 {
        log.write_all(line(number).as_bytes()).unwrap();
    }
    assert_eq!(numbers(&mut logs).len(), 400);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    log.write_all(line(500).as_bytes()).unwrap();
    assert_eq!(numbers(&mut logs), [500]);
}

#[test]
fn much_is_read_in_rounds_and_too_much_is_given_up() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut log = appending(&dir.path().join("error.log"));
    let mut logs = following(me());
    let many: String = (100_000..105_000).map(line).collect();
    log.write_all(many.as_bytes()).unwrap();
    let mut out = Vec::new();
    logs.read(clock::now(), &mut out);
    assert!(out.len() > 500 && out.len() < 2_000, "{}", out.len());
    assert!(logs.round.is_some(), "another round is due");
    assert_eq!(out.len() + numbers(&mut logs).len(), 5_000);
    for _ in 0..20 {
        log.write_all(many.as_bytes()).unwrap();
    }
    let observed = observe(&mut logs);
    let lost = observed
        .iter()
        .filter(|what| matches!(what, What::Lost { .. }));
    assert_eq!(lost.count(), 1);
    let newest = observed.iter().rev().find_map(|what| match what {
        What::ProxyLog(entry) => entry.connection,
        _ => None,
    });
    assert_eq!(newest, Some(104_999));
}

#[test]
fn lines_that_are_no_lines_of_the_format_are_counted() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut log = appending(&dir.path().join("error.log"));
    log.write_all(line(1).as_bytes()).unwrap();
    let mut logs = following(me());
    let endless = format!("{}{}\n", &line(2)[..60], "x".repeat(3 * MAX_LINE));
    let junk = [
        b"\xff\xfe\0 junk\n",
        endless.as_bytes(),
        b"\n\r\n",
        line(3).as_bytes(),
    ]
    .concat();
    log.write_all(&junk).unwrap();
    let observed = observe(&mut logs);
    assert!(
        matches!(
            &*observed,
            [What::ProxyLog(entry), What::LogLinesUnread(2)] if entry.connection == Some(3)
        ),
        "{observed:?}"
    );
}

#[test]
fn access_logs_and_other_files_are_not_followed() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let mut file = appending(&dir.path().join(name));
        file.write_all(text.as_bytes()).unwrap();
        file
    };
    let _open = [
        file("access.log", &line(1)),
        file("shop_Access.log", ""),
        file(
            "shop.log",
            "127.0.0.1 - - [22/Nov/2026:23:53:49 +0000] \"GET / HTTP/1.1\" 200 5\n",
        ),
        file("0000000017", ""),
    ];
    let mut only_read = File::open({
        drop(file("read_error.log", &line(1)));
        dir.path().join("read_error.log")
    })
    .unwrap();
    let mut logs = following(me());
    assert!(logs.files.is_empty(), "{:?}", logs.files);
    assert!(!logs.logged(me().key));
    std::io::Read::read_to_end(&mut only_read, &mut Vec::new()).unwrap();
    // While it is empty, it may be a log; its lines show that it is not, and aren't counted.
    let mut later = file("shop.example.log", "");
    logs.follow(&[me()]);
    assert!(logs.logged(me().key));
    for _ in 0..=MAX_TRIAL {
        later.write_all(b"127.0.0.1 - - GET / 200\n").unwrap();
    }
    assert!(observe(&mut logs).is_empty());
    assert!(logs.files.is_empty() && !logs.logged(me().key));
}

#[test]
fn notices_of_haproxy_and_caddys_access_logs_are_not_followed() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut first = appending(&dir.path().join("err.log"));
    first
        .write_all(b"[WARNING]  (6029) : Server chk/c1 is DOWN.\n")
        .unwrap();
    let kinds = [ProxyKind::Haproxy, ProxyKind::Caddy];
    let as_kind = |kind| ProxyProcess { kind, ..me() };
    assert!(following(as_kind(kinds[0])).files.is_empty());
    let caddy = include_str!("../../../proxylog/src/tests/corpus/caddy.log").lines();
    let (access, errors): (Vec<&str>, Vec<&str>) =
        caddy.partition(|line| line.contains("http.log.access"));
    let mut second = appending(&dir.path().join("site.json.log"));
    second
        .write_all((access.join("\n") + "\n").as_bytes())
        .unwrap();
    assert!(following(as_kind(kinds[1])).files.is_empty());
    second
        .write_all((errors.join("\n") + "\n").as_bytes())
        .unwrap();
    let mut logs = following(as_kind(kinds[1]));
    second
        .write_all((errors.join("\n") + "\n" + &access.join("\n")).as_bytes())
        .unwrap();
    let entries = observe(&mut logs)
        .into_iter()
        .filter_map(|what| match what {
            What::ProxyLog(entry) => entry.request.clone(),
            _ => None,
        });
    let repeated = entries.filter(|request| &*request.target == "/acc").count();
    assert_eq!(repeated, 2, "an access log's line does not repeat an error");
}

#[test]
fn access_logs_of_traefik_and_envoy_are_followed_and_their_own_logs_are_not() {
    let _alone = alone();
    for (kind, lines) in [
        (
            ProxyKind::Traefik,
            include_str!("../../../proxylog/src/tests/corpus/traefik.log"),
        ),
        (
            ProxyKind::Envoy,
            include_str!("../../../proxylog/src/tests/corpus/envoy.log"),
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let is_own = |line: &&str| line.contains(" DBG ") || line.contains("[info]");
        let (own, access): (Vec<&str>, Vec<&str>) = lines.lines().partition(is_own);
        let (own, access) = (own.join("\n") + "\n", access.join("\n") + "\n");
        let mut own_log = appending(&dir.path().join("proxy.log"));
        let mut access_log = appending(&dir.path().join("access.log"));
        // While they are empty, either may be it.
        let mut logs = following(ProxyProcess { kind, ..me() });
        assert_eq!(logs.files.len(), 2);
        while logs.files.len() > 1 {
            own_log.write_all(own.as_bytes()).unwrap();
            assert!(observe(&mut logs).is_empty(), "{kind:?}");
        }
        access_log.write_all(access.as_bytes()).unwrap();
        let entries = observe(&mut logs);
        assert!(entries.len() > 20, "{kind:?}: {entries:?}");
        let is_entry = |what: &What| matches!(what, What::ProxyLog(_));
        assert!(entries.iter().all(is_entry), "{kind:?}: {entries:?}");
        // What has lines is judged by them.
        let logs = following(ProxyProcess { kind, ..me() });
        assert_eq!(logs.files.len(), 1, "{kind:?}");
        drop((own_log, access_log));
    }
}

#[test]
fn a_configured_log_is_followed_whoever_writes_it() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("haproxy.log");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut logs = Logs::new(false, vec![link]);
    let proxy = ProxyProcess {
        key: ProcessKey {
            pid: 1,
            start_ticks: 1,
        },
        kind: ProxyKind::Haproxy,
    };
    logs.follow(&[proxy, me()]);
    assert!(logs.files.is_empty());
    // It appears, is found by the search, and its format by its lines.
    let lines = include_str!("../../../proxylog/src/tests/corpus/haproxy-syslog.log");
    fs::write(&path, &lines[..2000]).unwrap();
    logs.follow(&[proxy, me()]);
    assert!(
        observe(&mut logs)
            .iter()
            .any(|what| matches!(what, What::ProxyLog(entry) if entry.proxy == proxy.key))
    );
    assert!(logs.logged(proxy.key) && !logs.logged(me().key));
    // The directory's contents are replaced.
    fs::remove_file(&path).unwrap();
    assert!(observe(&mut logs).is_empty());
    fs::write(&path, lines).unwrap();
    assert!(observe(&mut logs).len() > 10);
}

#[test]
fn what_is_no_regular_file_is_left_alone() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo.log");
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    );
    made.unwrap();
    let socket = dir.path().join("socket.log");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let dangling = dir.path().join("dangling.log");
    std::os::unix::fs::symlink("dangling.log", &dangling).unwrap();
    let paths = ["/dev/null", "/dev/tty", "/proc/kmsg", "/nowhere/x", "/"].map(PathBuf::from);
    let paths = paths
        .into_iter()
        .chain([fifo, socket, dangling, dir.path().to_owned()]);
    let mut logs = Logs::new(false, paths.collect());
    logs.follow(&[me()]);
    assert!(logs.files.is_empty(), "{:?}", logs.files);
}

#[test]
fn a_log_whose_directory_is_recreated_is_found_again() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let logs_dir = dir.path().join("nginx");
    fs::create_dir(&logs_dir).unwrap();
    let old = appending(&logs_dir.join("error.log"));
    let mut logs = following(me());
    fs::remove_dir_all(&logs_dir).unwrap();
    assert!(observe(&mut logs).is_empty());
    drop(old);
    fs::create_dir(&logs_dir).unwrap();
    let mut new = appending(&logs_dir.join("error.log"));
    new.write_all(line(1).as_bytes()).unwrap();
    logs.search(clock::now());
    assert_eq!(numbers(&mut logs), [1]);
}

#[test]
fn no_more_files_are_followed_than_there_is_room_for() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let open: Vec<File> = (0..MAX_FILES + 10)
        .map(|number| appending(&dir.path().join(format!("error{number}.log"))))
        .collect();
    let logs = following(me());
    assert_eq!(logs.files.len(), MAX_FILES);
    drop(open);
}

#[test]
fn waiting_ends_when_a_log_is_written_to_and_not_before() {
    let _alone = alone();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut log = appending(&dir.path().join("error.log"));
    let mut logs = following(me());
    assert!(numbers(&mut logs).is_empty());
    runtime.block_on(async {
        let wait = |millis| Duration::from_millis(millis);
        let early = tokio::time::timeout(wait(50), logs.readable()).await;
        assert!(early.is_err());
        log.write_all(line(1).as_bytes()).unwrap();
        tokio::time::timeout(wait(5_000), logs.readable())
            .await
            .unwrap()
            .unwrap();
    });
    let due = logs.due().unwrap();
    let mut out = Vec::new();
    logs.run_due(due, &mut out);
    assert_eq!(out.len(), 1, "{out:?}");
}

#[test]
fn lines_go_before_the_exchange_that_has_them_read_and_keep_their_own_time() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut log = appending(&dir.path().join("error.log"));
    let mut observer = Observer::new(Hierarchy::MemoryV1, false).with_logs(false, &[]);
    observer.follow_logs(&[me()]);
    log.write_all(line(1).as_bytes()).unwrap();
    let exchange = HttpExchange {
        witness: Witness::Http,
        side: Side::Inbound,
        actor: Actor::default(),
        netns: 0,
        local: None,
        remote: None,
        request: None,
        began: Timestamp(1),
        end: HttpEnd::Status(502),
        connected: None,
    };
    // The rings are read late: the line may be of a request that began after this one's end.
    let at = Timestamp(2);
    let before = clock::now();
    let mut out = Vec::new();
    let what = What::Http(Box::new(exchange));
    observer.enrich(Observation { at, what }, &mut out);
    assert!(
        matches!(
            &*out,
            [
                Observation { at: read, what: What::ProxyLog(_) },
                Observation { at: Timestamp(2), what: What::Http(_) },
            ] if *read >= before
        ),
        "{out:?}"
    );
}
