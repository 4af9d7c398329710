//! The live screen in a real terminal, with real keys, while real services break.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tracer_tests::stack::wait_until;
use tracer_tests::tmux::Tmux;
use tracer_tests::{Guard, binary, ended, fixture, free_port, need_root};

/// A service of that name, which listens on that port.
struct Service {
    config: tempfile::NamedTempFile,
    port: u16,
    process: Guard,
    command: String,
}

fn listener(port: u16) -> Guard {
    Guard::ready(fixture().args(["listen", &format!("127.0.0.1:{port}")]))
}

impl Service {
    #[track_caller]
    fn start(name: &str) -> Self {
        need_root();
        let port = free_port();
        let config = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        let rule = format!("[[service]]\nname = {name:?}\ncmdline = \"listen 127.0.0.1:{port}\"\n");
        std::fs::write(config.path(), rule).unwrap();
        let command = format!(
            "{} top --service '{name}' --config {}",
            binary().display(),
            config.path().display()
        );
        Self {
            config,
            port,
            process: listener(port),
            command,
        }
    }

    #[track_caller]
    fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.wait();
    }

    fn restart(&mut self) {
        self.process = listener(self.port);
    }
}

/// Starts the screen and waits until it is live.
#[track_caller]
fn top(tmux: &Tmux, service: &Service, name: &str) -> u32 {
    tmux.type_text(&service.command);
    tmux.press(["Enter"]);
    tmux.wait_for("a service that is up", |shown| {
        shown
            .lines()
            .any(|line| line.contains(name) && line.contains(" up "))
    });
    tmux.child("tracer")
}

fn row<'a>(shown: &'a str, what: &str) -> Option<&'a str> {
    shown.lines().find(|line| line.contains(what))
}

#[test]
fn a_service_that_is_killed_is_down_and_comes_back_on_the_screen() {
    let mut service = Service::start("top-api");
    let tmux = Tmux::start(120, 40, &[]);
    top(&tmux, &service, "top-api");
    tmux.wait_for("its memory", |shown| {
        row(shown, "top-api").is_some_and(|row| row.contains("M ") && row.contains(" up "))
    });

    service.kill();
    let shown = tmux.wait_for("that it is down", |shown| {
        shown.contains("1 service down") && shown.contains("not yet, down for")
    });
    let port = format!("×127.0.0.1:{}", service.port);
    assert!(
        row(&shown, &port).is_some_and(|row| row.contains("down")),
        "{shown}"
    );
    assert!(shown.contains("1, 1 open"), "{shown}");
    assert!(shown.contains("SIGKILL"), "{shown}");

    service.restart();
    let shown = tmux.wait_for("that it is back", |shown| {
        shown.contains("all well") && shown.contains("recovered, down for")
    });
    let restarted = row(&shown, " up ").unwrap();
    assert!(restarted.contains("top-api"), "{shown}");
    tmux.wait_for("its restart", |shown| {
        row(shown, " up ").is_some_and(|row| {
            let after = row.split(&format!("127.0.0.1:{}", service.port)).nth(1);
            after.is_some_and(|rest| rest.split_whitespace().next() == Some("1"))
        })
    });
}

#[test]
fn keys_choose_panes_search_and_filter() {
    let mut service = Service::start("top-keys");
    let tmux = Tmux::start(80, 24, &[]);
    top(&tmux, &service, "top-keys");
    service.kill();
    tmux.wait_for("the outage", |shown| shown.contains("DOWN  top-keys"));

    tmux.press(["2", "Enter"]);
    tmux.wait_for("the story", |shown| {
        shown.contains("CAUSE") && shown.contains("stopped listening")
    });
    tmux.press(["Escape"]);
    tmux.wait_for("the list", |shown| shown.contains("1, 1 open"));

    tmux.press(["f"]);
    tmux.type_text("!DOWN");
    tmux.press(["Enter"]);
    tmux.wait_for("the filter", |shown| {
        shown.contains("filter: !DOWN") && !shown.contains("DOWN  top-keys")
    });
    tmux.press(["Escape"]);
    tmux.wait_for("all events", |shown| shown.contains("DOWN  top-keys"));

    tmux.press(["/"]);
    tmux.type_text("stopped");
    tmux.wait_for("the prompt", |shown| shown.contains("search: stopped"));
    tmux.press(["Enter"]);
    tmux.wait_for("what was found", |shown| {
        shown.contains("· search: stopped")
    });
    assert!(tmux.shown_in_colour().contains("\x1b[7m") || tmux.shown_in_colour().contains(";7m"));

    tmux.press(["?"]);
    tmux.wait_for("the help", |shown| shown.contains("any key closes this"));
    tmux.press(["x"]);
    tmux.wait_for("no help", |shown| !shown.contains("any key closes this"));
}

#[test]
fn it_follows_the_window_down_to_the_least_and_says_what_is_too_small() {
    let service = Service::start("top-size");
    let tmux = Tmux::start(200, 60, &[]);
    top(&tmux, &service, "top-size");
    for (columns, rows) in [(120, 40), (80, 24), (60, 15), (100, 16)] {
        tmux.resize(columns, rows);
        let shown = tmux.wait_for("all of the screen", |shown| {
            let last = shown.lines().last();
            last.is_some_and(|last| {
                last.ends_with("? help  q quit") && last.chars().count() == usize::from(columns)
            }) && row(shown, "top-size").is_some()
        });
        assert_eq!(shown.lines().count(), usize::from(rows), "{shown}");
    }
    tmux.resize(59, 14);
    tmux.wait_for("that it is too small", |shown| {
        shown.contains("60 by 15 at least, this is 59 by 14")
    });
    tmux.resize(80, 24);
    tmux.wait_for("the screen", |shown| shown.contains("Events"));
}

#[test]
fn quitting_gives_the_terminal_back() {
    for how in ["q", "C-c", "TERM", "HUP"] {
        let service = Service::start("top-quit");
        let tmux = Tmux::start(80, 24, &[]);
        tmux.type_text("stty -a | head -c 400 > /dev/null; echo was-here");
        tmux.press(["Enter"]);
        let pid = top(&tmux, &service, "top-quit");
        assert_eq!(
            tmux.property("#{alternate_on} #{mouse_any_flag} #{cursor_flag}"),
            "1 1 0"
        );
        match how {
            "TERM" => signal(pid, Signal::TERM),
            "HUP" => signal(pid, Signal::HUP),
            key => tmux.press([key]),
        }
        tmux.wait_for("the shell as it was", |shown| {
            shown.contains("was-here") && shown.trim_end().ends_with("ready$")
        });
        assert_eq!(
            tmux.property("#{alternate_on} #{mouse_any_flag} #{cursor_flag}"),
            "0 0 1"
        );
        // Lines are edited and echoed again, and what it ended with is 0.
        tmux.type_text("echo code $?");
        tmux.press(["Enter"]);
        tmux.wait_for("its exit code", |shown| shown.contains("code 0"));
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn a_kill_leaves_no_process() {
    let service = Service::start("top-kill");
    let tmux = Tmux::start(80, 24, &[]);
    let pid = top(&tmux, &service, "top-kill");
    signal(pid, Signal::KILL);
    wait_until("its end", Duration::from_secs(5), || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
}

#[test]
fn a_plain_terminal_is_given_no_more_than_it_can_show() {
    let service = Service::start("top-plain");
    let tmux = Tmux::start(80, 24, &[("LANG", "C"), ("NO_COLOR", "1")]);
    top(&tmux, &service, "top-plain");
    let shown = tmux.shown_in_colour();
    assert!(shown.is_ascii(), "{shown}");
    for start in ["\x1b[3", "\x1b[1;3", "\x1b[9"] {
        for (at, _) in shown.match_indices(start) {
            // 39 is the colour that was there before.
            assert!(shown[at..].starts_with("\x1b[39m"), "{shown:?}");
        }
    }
}

#[test]
fn a_capture_is_played_and_gone_through_in_both_directions() {
    let mut service = Service::start("top-replay");
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("outage.capture");
    let mut recorder = std::process::Command::new(binary());
    recorder.arg("record").arg("-o").arg(&capture);
    recorder.arg("--config").arg(service.config.path());
    recorder.stderr(std::process::Stdio::piped());
    let mut recorder = recorder.spawn().unwrap();
    // It is recorded from here on: what it says is said once its hooks are armed.
    let mut said = String::new();
    let mut stderr = BufReader::new(recorder.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert!(said.contains("recording to"), "{said}");
    std::thread::sleep(Duration::from_secs(2));
    service.kill();
    std::thread::sleep(Duration::from_secs(2));
    service.restart();
    std::thread::sleep(Duration::from_secs(2));
    signal(recorder.id(), Signal::TERM);
    assert!(recorder.wait().unwrap().success());

    let tmux = Tmux::start(100, 30, &[]);
    let top = format!(
        "{} top --service top-replay --replay {}",
        binary().display(),
        capture.display()
    );
    tmux.type_text(&top);
    tmux.press(["Enter"]);
    tmux.wait_for("that it plays", |shown| shown.contains("playing 1×"));
    tmux.press(["Space"]);
    tmux.wait_for("that it pauses", |shown| shown.contains("paused  1×"));

    tmux.press(["]"]);
    tmux.wait_for("the incident", |shown| {
        row(shown, ":").is_some() && shown.contains("1, 1 open") && shown.contains("SIGKILL")
    });
    tmux.press(["Right", "Right", "Right"]);
    tmux.wait_for("its end", |shown| {
        shown.contains("1, all closed") && shown.contains("listening again")
    });
    tmux.press(["Left", "Left", "Left", "Left", "Left"]);
    tmux.wait_for("what was before it", |shown| {
        shown.contains("No service went down") && !shown.contains("SIGKILL")
    });
    tmux.press(["]"]);
    tmux.wait_for("the incident again", |shown| shown.contains("1, 1 open"));

    tmux.press(["+", "+", "Space"]);
    tmux.wait_for("its end, played", |shown| {
        shown.contains("paused  4×") && shown.contains("1, all closed")
    });
    tmux.press(["q"]);
    tmux.wait_for("the shell", |shown| shown.trim_end().ends_with("ready$"));
}

#[test]
fn without_a_terminal_it_names_what_needs_none() {
    let (status, stdout, stderr) = ended(["top"]);
    assert_eq!(status.code(), Some(1));
    assert_eq!(stdout, "");
    assert!(stderr.contains("tracer watch"), "{stderr}");
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}
