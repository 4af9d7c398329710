//! `tracer report` and `tracer export` of a capture; the HTML report in a real browser.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;
use tracer_tests::Browser;

/// A page: a day with six incidents, one of them of a service with a hostile name. The snapshot in the
/// sources has placeholders for its style and script; here it is as `tracer report` writes it.
fn page() -> &'static Path {
    static PAGE: LazyLock<PathBuf> = LazyLock::new(|| {
        let report =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tracer/crates/present/src/report");
        let source = |name: &str| std::fs::read_to_string(report.join(name)).unwrap();
        let mut page = source("snapshots/tracer_present__report__tests__page.snap.html");
        for (placeholder, name) in [
            ("/* page.css */", "html/page.css"),
            ("// page.js", "html/page.js"),
        ] {
            assert_eq!(page.matches(placeholder).count(), 1, "{placeholder}");
            page = page.replace(placeholder, &source(name));
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page.html");
        std::fs::write(&path, page).unwrap();
        path
    });
    &PAGE
}

/// Writes a picture to the folder in `TRACER_TEST_PICTURES`, if that is set.
fn keep(name: &str, base64: &str) {
    if let Some(folder) = std::env::var_os("TRACER_TEST_PICTURES") {
        std::fs::write(Path::new(&folder).join(name), base64).unwrap();
    }
}

fn opened() -> Browser {
    let mut browser = Browser::start();
    browser.look(1280, 900, false);
    browser.open(page());
    browser
}

/// The scale of the first timeline, by the distance in pixels of two deaths.
fn scale(browser: &mut Browser) -> f64 {
    let script = "(() => {
        const [one, other] = document.querySelectorAll('.timeline .lane:first-of-type .death, .timeline .lane .death');
        return other.getBoundingClientRect().x - one.getBoundingClientRect().x;
    })()";
    browser.value(script).as_f64().unwrap()
}

#[test]
fn the_page_loads_nothing_and_logs_no_errors() {
    let mut browser = opened();
    assert_eq!(browser.complaints(), Vec::<Value>::new());
    let requests = browser.requests();
    assert_eq!(
        requests.len(),
        1,
        "more than the page was loaded: {requests:?}"
    );
    keep("light.png.base64", &browser.picture(false));
}

#[test]
fn the_timeline_shows_lanes_deaths_outages_and_failed_requests() {
    let mut browser = opened();
    let mut count = |selector: &str| {
        let script = format!("document.querySelectorAll('{selector}').length");
        browser.value(&script).as_u64().unwrap()
    };
    let main = "section > .timeline";
    assert_eq!(count(&format!("{main} .lane")), 4);
    // Four of the API, six of the worker, one of cron and one of the hostile service.
    assert_eq!(count(&format!("{main} .mark.death")), 12);
    assert_eq!(count(&format!("{main} .mark.down")), 6);
    // 42 in the outage of the API, three without a death, and one of the hostile service.
    assert_eq!(count(&format!("{main} .mark.request")), 46);
    assert!(count(".incident .timeline .mark.death") >= 6);
    let visible = browser.value(
        "[...document.querySelectorAll('section > .timeline .mark')]
            .every((mark) => { const box = mark.getBoundingClientRect(); return box.width >= 1.5 && box.height >= 1.5; })",
    );
    assert_eq!(visible, true);
}

#[test]
fn the_keyboard_zooms_moves_and_reads() {
    let mut browser = opened();
    let at_first = scale(&mut browser);
    // Tab reaches the skip link, the link to the details, three buttons and the plot.
    let mut stops = Vec::new();
    for _ in 0..12 {
        browser.press("Tab");
        let stop =
            browser.value("document.activeElement.className || document.activeElement.textContent");
        stops.push(stop.as_str().unwrap().to_owned());
        if stops.last().is_some_and(|stop| stop == "plot") {
            break;
        }
    }
    assert_eq!(stops.first().map(String::as_str), Some("skip"), "{stops:?}");
    assert_eq!(stops.last().map(String::as_str), Some("plot"), "{stops:?}");
    let outline = browser.value("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "the focus is not visible");

    browser.press("+");
    browser.press("+");
    assert!((scale(&mut browser) / at_first - 4.0).abs() < 0.01);
    browser.press("0");
    assert!((scale(&mut browser) / at_first - 1.0).abs() < 0.01);

    let detail = "document.querySelector('section > .timeline .detail').textContent";
    let mut read = Vec::new();
    for key in ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowUp", "End"] {
        browser.press(key);
        read.push(browser.value(detail).as_str().unwrap().to_owned());
    }
    assert!(read.iter().all(|text| text.contains(':')), "{read:?}");
    assert!(read.windows(2).all(|pair| pair[0] != pair[1]), "{read:?}");
    let focused = browser.value("document.activeElement.getAttribute('aria-label')");
    assert_eq!(focused.as_str(), read.last().map(String::as_str));
    // Zooming in keeps the focused event in view.
    for _ in 0..20 {
        browser.press("+");
    }
    let inside = browser.value(
        "(() => {
            const mark = document.activeElement.getBoundingClientRect();
            const plot = document.activeElement.closest('.plot').getBoundingClientRect();
            return mark.x >= plot.x && mark.x <= plot.right;
        })()",
    );
    assert_eq!(inside, true);
    browser.press("Escape");
    assert_eq!(browser.value("document.activeElement.className"), "plot");
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

#[test]
fn the_mouse_reads_zooms_and_drags() {
    let mut browser = opened();
    let at_first = scale(&mut browser);
    let place = browser.value(
        "(() => {
            const death = document.querySelector('section > .timeline .mark.death');
            death.scrollIntoView({ block: 'center' });
            const box = death.querySelector('circle').getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        })()",
    );
    let (x, y) = (place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
    browser.mouse("mouseMoved", x, y);
    let detail = "document.querySelector('section > .timeline .detail').textContent";
    let read = browser.value(detail);
    assert!(read.as_str().unwrap().contains("node[9000]"), "{read}");
    browser.zoom_wheel(x, y, -120.0);
    assert!((scale(&mut browser) / at_first - 1.25).abs() < 0.01);
    let before = browser.value(
        "document.querySelector('section > .timeline .mark.death').getBoundingClientRect().x",
    );
    browser.mouse("mousePressed", x, y);
    browser.mouse("mouseMoved", x - 40.0, y);
    browser.mouse("mouseReleased", x - 40.0, y);
    let after = browser.value(
        "document.querySelector('section > .timeline .mark.death').getBoundingClientRect().x",
    );
    let moved = after.as_f64().unwrap() - before.as_f64().unwrap();
    assert!((moved + 40.0).abs() < 1.0, "{moved}");
}

#[test]
fn hostile_names_are_inert() {
    let mut browser = opened();
    let own = browser.value("document.scripts.length");
    assert_eq!(own, 1);
    let handlers = browser.value(
        "[...document.querySelectorAll('*')]
            .filter((element) => [...element.attributes].some((it) => it.name.startsWith('on'))).length",
    );
    assert_eq!(handlers, 0);
    let shown = browser.value("document.body.innerText.includes('<script>alert(1)</script>')");
    assert_eq!(shown, true, "it is not shown as text");
    // The content policy blocks even a script that got into the page.
    browser.value(
        "(() => {
            const script = document.createElement('script');
            script.textContent = 'window.ran = true';
            document.body.append(script);
            const image = document.createElement('img');
            image.src = 'http://127.0.0.1:9/x';
            document.body.append(image);
        })()",
    );
    assert_eq!(browser.value("window.ran === undefined"), true);
    let refusals = browser.complaints();
    assert!(
        refusals.len() >= 2
            && refusals
                .iter()
                .all(|it| it.to_string().contains("Content Security Policy")),
        "{refusals:?}"
    );
}

#[test]
fn the_page_fits_a_phone_and_a_dark_theme() {
    let mut browser = Browser::start();
    for dark in [false, true] {
        browser.look(360, 740, dark);
        browser.open(page());
        let over = browser
            .value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(over, 0, "the page is wider than the screen");
        let smallest = browser.value(
            "Math.min(...[...document.querySelectorAll('.controls button')]
                .filter((it) => it.offsetParent).map((it) => it.getBoundingClientRect().height))",
        );
        assert!(
            smallest.as_f64().unwrap() >= 40.0,
            "too small for a thumb: {smallest}"
        );
        let ground = browser.value("getComputedStyle(document.body).backgroundColor");
        let want = if dark {
            "rgb(19, 20, 22)"
        } else {
            "rgb(250, 250, 248)"
        };
        assert_eq!(ground, want);
        let name = if dark {
            "narrow-dark.png.base64"
        } else {
            "narrow.png.base64"
        };
        keep(name, &browser.picture(false));
    }
    browser.look(1280, 900, true);
    browser.open(page());
    keep("dark.png.base64", &browser.picture(false));
}

#[test]
fn everything_is_unfolded_in_print() {
    let mut browser = opened();
    let folded = "document.querySelectorAll('details:not([open])').length";
    assert!(browser.value(folded).as_u64().unwrap() > 3);
    let pdf = browser.picture(true);
    assert!(pdf.len() > 20_000, "{}", pdf.len());
    assert_eq!(browser.value(folded), 0);
    keep("print.pdf.base64", &pdf);
}

/// A capture in the sources: the OOM kill of a unit behind nginx.
fn capture() -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tracer/crates/capture/src/tests");
    let sample = sources.join("samples/v1.capture");
    sample.to_str().unwrap().to_owned()
}

#[track_caller]
fn done(args: &[&str]) -> String {
    let (status, stdout, stderr) = tracer_tests::run_tracer(args);
    assert!(status.success(), "{args:?}: {stderr}");
    stdout
}

#[track_caller]
fn refused(args: &[&str]) -> String {
    let (status, stdout, stderr) = tracer_tests::run_tracer(args);
    assert_eq!(status.code(), Some(1), "{args:?}: {stdout}");
    assert_eq!(stdout, "", "{args:?}");
    stderr
}

#[test]
fn a_capture_is_reported_in_every_format() {
    let capture = capture();
    let findings = done(&["replay", "--json", &capture]);
    let incident: Value = findings
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|finding| finding["kind"] == "incident" && finding["state"] == "closed")
        .expect("the sample has a complete incident");
    let service = incident["service"]["name"].as_str().unwrap();

    let json: Value =
        serde_json::from_str(&done(&["report", &capture, "--format", "json"])).unwrap();
    let reported = &json["incidents"]["items"][0];
    for field in [
        "id", "service", "cause", "opened", "closed", "down_ms", "advice",
    ] {
        assert_eq!(reported[field], incident[field], "{field}");
    }
    assert!(reported["timeline"]["first"].as_array().unwrap().len() >= 3);

    for form in ["text", "md", "html"] {
        let report = done(&["report", &capture, "--format", form]);
        assert!(report.contains(service), "{form}: {report}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let path = file.to_str().unwrap();
    assert_eq!(
        done(&["report", &capture, "--format", "html", "-o", path]),
        ""
    );
    let page = std::fs::read_to_string(&file).unwrap();
    assert_eq!(page, done(&["report", &capture, "--format", "html"]));
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(
        mode & 0o777,
        0o600,
        "others can read the addresses of clients"
    );

    let mut browser = Browser::start();
    browser.look(1280, 900, false);
    browser.open(&file);
    assert_eq!(browser.complaints(), Vec::<Value>::new());
    assert_eq!(browser.requests().len(), 1);
    let deaths = browser.value("document.querySelectorAll('.timeline .death').length");
    assert!(deaths.as_u64().unwrap() >= 1);
}

#[test]
fn filters_limit_the_report() {
    let capture = capture();
    let none = done(&["report", &capture, "--service", "no-such-service"]);
    assert!(none.contains("Nothing died"), "{none}");
    let late = done(&["report", &capture, "--since", "2100-01-01T00:00:00Z"]);
    assert!(late.contains("Nothing died"), "{late}");
}

#[test]
fn exported_findings_equal_replayed_findings() {
    let capture = capture();
    let findings = done(&["replay", "--json", &capture]);
    assert_eq!(done(&["export", &capture, "--to", "jsonl"]), findings);
    let table = done(&["export", &capture, "--to", "csv"]);
    assert_eq!(table.lines().count(), findings.lines().count() + 1);
    assert!(table.starts_with("at,kind,service,"), "{table}");
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.pftrace");
    done(&[
        "export",
        &capture,
        "--to",
        "perfetto",
        "-o",
        trace.to_str().unwrap(),
    ]);
    assert!(std::fs::metadata(&trace).unwrap().len() > 1_000);
}

#[test]
fn other_files_are_refused_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("text"), "not a capture").unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::copy(capture(), path("capture")).unwrap();
    std::fs::write(path("out"), "before").unwrap();
    for name in ["text", "empty", "missing", "."] {
        let error = refused(&["report", &path(name), "-o", &path("out")]);
        assert!(error.starts_with("tracer: "), "{name}: {error}");
        let error = refused(&["export", &path(name), "--to", "csv", "-o", &path("out")]);
        assert!(error.starts_with("tracer: "), "{name}: {error}");
    }
    assert_eq!(std::fs::read(path("out")).unwrap(), b"before");
    let error = refused(&["report", &path("capture"), "-o", &path("capture")]);
    assert!(error.contains("is one of the captures"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
}

#[test]
fn the_report_of_a_truncated_capture_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut");
    // A second recording was appended, and is incomplete after a power failure.
    let mut bytes = std::fs::read(capture()).unwrap();
    bytes.extend_from_within(..bytes.len() - 40);
    std::fs::write(&cut, &bytes).unwrap();
    let report = done(&["report", cut.to_str().unwrap()]);
    assert!(report.contains("1 death"), "{report}");
    let missing = report
        .lines()
        .skip_while(|line| *line != "Blind spots and losses")
        .find(|line| line.contains("the last frame is cut off"));
    assert!(missing.is_some(), "{report}");
}
