use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use super::super::client;
use super::super::protocol::Status;
use super::*;

/// Runs `talk` while a control socket answers. There is no tracer behind it.
fn while_served<T: Send + 'static>(
    folder: &Path,
    talk: impl FnOnce(PathBuf) -> T + Send + 'static,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (server, _sender, mut asked) = Server::start(folder).unwrap();
        let path = server.path().to_owned();
        let talking = tokio::task::spawn_blocking(move || talk(path));
        tokio::pin!(talking);
        loop {
            tokio::select! {
                result = &mut talking => return result.unwrap(),
                Some(Asked { request, answer }) = asked.recv() => {
                    let reply = match request {
                        Request::Mark { label } => Answer::Marked { pid: 7, command: label },
                        Request::Status => Answer::Status(Box::new(Status { pid: 7, ..Status::default() })),
                    };
                    let _ = answer.send(reply);
                }
            }
        }
    })
}

fn only_answer(replies: Vec<client::Reply>) -> Answer {
    let [one] = <[client::Reply; 1]>::try_from(replies).unwrap();
    assert_eq!(one.pid, process::id());
    one.answer.unwrap()
}

#[test]
fn a_mark_and_a_status_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let at = run.clone();
    let (marked, status, mode) = while_served(&run, move |path| {
        let label = "deploy\u{1b}[31m 42".to_owned();
        let marked = client::ask(&at, None, &Request::Mark { label }).unwrap();
        let status = client::ask(&at, Some(process::id()), &Request::Status).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        (marked, status, mode)
    });
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        fs::metadata(&run).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let command = "deploy\\x1b[31m 42".to_owned();
    assert_eq!(only_answer(marked), Answer::Marked { pid: 7, command });
    assert!(matches!(only_answer(status), Answer::Status(status) if status.pid == 7));
    assert_eq!(fs::read_dir(&run).unwrap().count(), 0, "the socket is gone");
}

#[test]
fn clients_that_send_nothing_or_too_much_do_not_hold_up_others() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_owned();
    let (answers, marked) = while_served(folder.path(), move |path| {
        // As many silent clients as are served at a time: they are disconnected in time.
        let silent: Vec<std::os::unix::net::UnixStream> = (0..CLIENTS)
            .map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap())
            .collect();
        let endless = thread::spawn({
            let path = path.clone();
            move || {
                let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
                // Fails once the server stops reading.
                let _ = client.write_all(&vec![b'['; 1 << 20]);
                let mut answer = String::new();
                let _ = client.read_to_string(&mut answer);
                answer
            }
        });
        let marked = client::ask(&at, None, &Request::Mark { label: "x".into() }).unwrap();
        drop(silent);
        (endless.join().unwrap(), marked)
    });
    assert!(
        answers.is_empty() || answers.contains("at most"),
        "{answers}"
    );
    assert!(matches!(only_answer(marked), Answer::Marked { .. }));
}

#[test]
fn the_socket_of_a_dead_tracer_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join("4194999.sock");
    drop(StdListener::bind(&stale).unwrap());
    let other = folder.path().join("notes.txt");
    fs::write(&other, "kept").unwrap();
    assert!(
        client::ask(folder.path(), None, &Request::Status)
            .unwrap()
            .is_empty()
    );
    assert!(!stale.exists() && other.exists());

    drop(StdListener::bind(&stale).unwrap());
    while_served(folder.path(), |_| ());
    assert!(!stale.exists() && other.exists());
}

#[test]
fn a_run_directory_that_cannot_be_created_is_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime
        .block_on(async { Server::start(&file.join("run")).unwrap_err() })
        .to_string();
    assert!(error.contains("file/run"), "{error}");
}
