//! `tracer top` in a real terminal, with real keys, while real services fail.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tracer_tests::tmux::Tmux;
use tracer_tests::{Guard, Program, binary, fixture, free_port, need_root, run_tracer, wait_until};

/// A service that listens on a port, and the `tracer top` for it.
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
    let shown = tmux.wait_for("the outage", |shown| {
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
    let shown = tmux.wait_for("the recovery", |shown| {
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
    tmux.wait_for("the match", |shown| shown.contains("· search: stopped"));
    assert!(tmux.shown_in_colour().contains("\x1b[7m") || tmux.shown_in_colour().contains(";7m"));

    tmux.press(["?"]);
    tmux.wait_for("the help", |shown| shown.contains("any key closes this"));
    tmux.press(["x"]);
    tmux.wait_for("no help", |shown| !shown.contains("any key closes this"));
}

#[test]
fn the_screen_follows_the_window_size_and_says_when_it_is_too_small() {
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
    tmux.wait_for("the remark about the size", |shown| {
        shown.contains("60 by 15 at least, this is 59 by 14")
    });
    tmux.resize(80, 24);
    tmux.wait_for("the screen", |shown| shown.contains("Events"));
}

#[test]
fn quitting_restores_the_terminal() {
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
        // The shell echoes lines again, and the exit code is 0.
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
    wait_until("its exit", Duration::from_secs(5), || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
}

#[test]
fn a_plain_terminal_gets_only_what_it_can_show() {
    let service = Service::start("top-plain");
    let tmux = Tmux::start(80, 24, &[("LANG", "C"), ("NO_COLOR", "1")]);
    top(&tmux, &service, "top-plain");
    let shown = tmux.shown_in_colour();
    assert!(shown.is_ascii(), "{shown}");
    for start in ["\x1b[3", "\x1b[1;3", "\x1b[9"] {
        for (at, _) in shown.match_indices(start) {
            // 39 is the default colour.
            assert!(shown[at..].starts_with("\x1b[39m"), "{shown:?}");
        }
    }
}

/// Records an outage of the service, from before its beginning until after its end. Returns the
/// path of the capture.
#[track_caller]
fn record_outage(service: &mut Service, folder: &Path) -> String {
    let capture = folder.join("outage.capture").to_str().unwrap().to_owned();
    let config = service.config.path().to_str().unwrap();
    let args = ["record", "-o", &capture, "--config", config];
    let mut recorder = Program::start(folder, "record", args);
    // Printed once its hooks are armed.
    recorder.says("recording to");
    let args = ["replay", "--json", "--follow", "--service", "top-replay"];
    let follower = Program::start(folder, "follow", args.iter().chain([&&*capture]));
    // These two sleeps are recorded: time before the outage, in which the test can press a key, and
    // an outage that is longer than the second by which keys seek.
    std::thread::sleep(Duration::from_secs(2));
    service.kill();
    std::thread::sleep(Duration::from_secs(2));
    service.restart();
    follower.prints("\"state\":\"closed\"");
    assert!(recorder.stop().success());
    capture
}

#[test]
fn a_capture_plays_and_seeks_in_both_directions() {
    let mut service = Service::start("top-replay");
    let folder = tempfile::tempdir().unwrap();
    let capture = record_outage(&mut service, folder.path());

    let tmux = Tmux::start(100, 30, &[]);
    let top = format!(
        "{} top --service top-replay --replay {capture}",
        binary().display(),
    );
    tmux.type_text(&top);
    tmux.press(["Enter"]);
    tmux.wait_for("the playing capture", |shown| shown.contains("playing 1×"));
    tmux.press(["Space"]);
    tmux.wait_for("the paused capture", |shown| shown.contains("paused  1×"));
    // Back to the beginning, even if the key came late.
    tmux.press(["<"]);

    tmux.press(["]"]);
    tmux.wait_for("the incident", |shown| {
        row(shown, ":").is_some() && shown.contains("1, 1 open") && shown.contains("SIGKILL")
    });
    tmux.press_until("Right", "its end", |shown| {
        shown.contains("1, all closed") && shown.contains("listening again")
    });
    tmux.press_until("Left", "the time before it", |shown| {
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
fn without_a_terminal_the_error_suggests_watch() {
    let (status, stdout, stderr) = run_tracer(["top"]);
    assert_eq!(status.code(), Some(1));
    assert_eq!(stdout, "");
    assert!(stderr.contains("tracer watch"), "{stderr}");
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}
