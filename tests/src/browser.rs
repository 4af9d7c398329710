//! A real browser: Debian's Chromium without a window, driven through the DevTools protocol over
//! a pair of pipes (`--remote-debugging-pipe`): JSON messages that end with a NUL.
//!
//! The protocol's crates generate all of it, thousands of types; these tests need six commands.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The descriptors on which Chromium reads commands and writes answers.
const COMMANDS: i32 = 3;
const ANSWERS: i32 = 4;

/// The time that one answer may take: the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A browser with one page. Dropping it kills it.
pub struct Browser {
    child: Child,
    commands: File,
    answers: Receiver<Value>,
    session: String,
    last_id: u64,
    events: Vec<Value>,
    /// Its profile, removed with it.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it with an empty page.
    #[track_caller]
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (command_reader, command_writer) = std::io::pipe().unwrap();
        let (answer_reader, answer_writer) = std::io::pipe().unwrap();
        let (reader, writer) = (OwnedFd::from(command_reader), OwnedFd::from(answer_writer));
        let mut command = Command::new("chromium");
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--remote-debugging-pipe", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (from, to) = (reader.as_raw_fd(), writer.as_raw_fd());
        // SAFETY: only dup and dup2 run between fork and exec; both are async-signal-safe, and the
        // descriptors are open until the child is started.
        unsafe {
            command.pre_exec(move || {
                // Move both away first: one may have the number that the other needs.
                let (from, to) = (
                    libc::fcntl(from, libc::F_DUPFD, 10),
                    libc::fcntl(to, libc::F_DUPFD, 10),
                );
                if from < 0
                    || to < 0
                    || libc::dup2(from, COMMANDS) < 0
                    || libc::dup2(to, ANSWERS) < 0
                {
                    return Err(std::io::Error::last_os_error());
                }
                libc::close(from);
                libc::close(to);
                Ok(())
            });
        }
        let child = command
            .spawn()
            .expect("chromium could not be started: run `cargo xtask setup --tests`");
        drop((reader, writer));
        let (send, answers) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(File::from(OwnedFd::from(answer_reader))).split(0) {
                let Ok(message) = message else { break };
                let message = serde_json::from_slice(&message).expect("chromium speaks JSON");
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            commands: File::from(OwnedFd::from(command_writer)),
            answers,
            session: String::new(),
            last_id: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let page = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attached = browser.call(
            "Target.attachToTarget",
            &json!({"targetId": page["targetId"], "flatten": true}),
        );
        attached["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Opens a file, waits until it is loaded, and forgets earlier events.
    #[track_caller]
    pub fn open(&mut self, file: &Path) {
        self.events.clear();
        let url = format!("file://{}", file.display());
        self.call("Page.navigate", &json!({"url": url}));
        let until = Instant::now() + PATIENCE;
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            self.next(until);
        }
    }

    /// Sets the window's size and whether the user prefers dark pages.
    #[track_caller]
    pub fn look(&mut self, width: u32, height: u32, dark: bool) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
        let scheme = if dark { "dark" } else { "light" };
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// The value of a JavaScript expression.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            &json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Presses and releases a key: `ArrowRight`, `Tab`, `+`.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            _ => 0,
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code});
            if key.chars().count() == 1 && kind == "keyDown" {
                event["text"] = key.into();
            }
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// A mouse event at a place: `mouseMoved`, `mousePressed`, `mouseReleased`.
    #[track_caller]
    pub fn mouse(&mut self, kind: &str, x: f64, y: f64) {
        self.call(
            "Input.dispatchMouseEvent",
            &json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}),
        );
    }

    /// Turns the wheel by `delta` with Ctrl held.
    #[track_caller]
    pub fn zoom_wheel(&mut self, x: f64, y: f64, delta: f64) {
        self.call(
            "Input.dispatchMouseEvent",
            &json!({"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": delta, "modifiers": 2}),
        );
    }

    /// A picture of the whole page (PNG) or its print (PDF), in base64.
    #[track_caller]
    pub fn picture(&mut self, print: bool) -> String {
        let answer = if print {
            self.call("Page.printToPDF", &json!({"printBackground": true}))
        } else {
            self.call(
                "Page.captureScreenshot",
                &json!({"captureBeyondViewport": true}),
            )
        };
        answer["data"].as_str().unwrap().to_owned()
    }

    /// Errors, warnings and refusals on the console of the page.
    #[track_caller]
    pub fn complaints(&mut self) -> Vec<Value> {
        // An answer comes after all events before it.
        self.value("0");
        let complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Log.entryAdded") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] != "log",
            _ => false,
        };
        self.events.iter().filter(complaint).cloned().collect()
    }

    /// The addresses that the page requested.
    #[track_caller]
    pub fn requests(&mut self) -> Vec<String> {
        self.value("0");
        self.events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent")
            .map(|event| {
                event["params"]["request"]["url"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }

    #[track_caller]
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands
            .write_all(&bytes)
            .expect("chromium has exited");
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.next(until).filter(|answer| answer["id"] == id) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The next message if it is an answer; an event is kept.
    #[track_caller]
    fn next(&mut self, until: Instant) -> Option<Value> {
        let left = until.saturating_duration_since(Instant::now());
        let message = self
            .answers
            .recv_timeout(left)
            .expect("chromium does not answer");
        if message.get("id").is_some() {
            return Some(message);
        }
        self.events.push(message);
        None
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Fails when it has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
