//! The page of a report in a real browser.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tracer_tests::Browser;

/// The golden page: a day with six incidents, one of them of a service with a hostile name.
fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tracer/src/report/snapshots/tracer__report__tests__page.snap.html")
        .canonicalize()
        .expect("the golden page is part of the sources")
}

/// Keeps what a test saw, for people, where `TRACER_TEST_PICTURES` says.
fn keep(name: &str, base64: &str) {
    if let Some(folder) = std::env::var_os("TRACER_TEST_PICTURES") {
        std::fs::write(Path::new(&folder).join(name), base64).unwrap();
    }
}

fn opened() -> Browser {
    let mut browser = Browser::start();
    browser.look(1280, 900, false);
    browser.open(&page());
    browser
}

/// How much time the first timeline shows, in pixels per hour, as two hours' marks are apart.
fn scale(browser: &mut Browser) -> f64 {
    let script = "(() => {
        const [one, other] = document.querySelectorAll('.timeline .lane:first-of-type .death, .timeline .lane .death');
        return other.getBoundingClientRect().x - one.getBoundingClientRect().x;
    })()";
    browser.value(script).as_f64().unwrap()
}

#[test]
fn the_page_loads_nothing_and_complains_of_nothing() {
    let mut browser = opened();
    assert_eq!(browser.complaints(), Vec::<Value>::new());
    let requests = browser.requests();
    assert_eq!(requests.len(), 1, "only the page itself: {requests:?}");
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
    // Four of the API, six of the worker, one each of cron and of the hostile one.
    assert_eq!(count(&format!("{main} .mark.death")), 12);
    assert_eq!(count(&format!("{main} .mark.down")), 6);
    // 42 of the API's outage, three without a death behind them, and the hostile one.
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
    // The skip link, the link to the story, three buttons, the plot: all by Tab alone.
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
    assert_eq!(outline, "solid", "the focus is visible");

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
    // Zooming in keeps the chosen mark in view.
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
    assert_eq!(shown, true, "it is there, as text");
    // What the policy is for: even a script that got in could not run.
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
fn it_fits_a_telephone_and_the_dark() {
    let mut browser = Browser::start();
    for dark in [false, true] {
        browser.look(360, 740, dark);
        browser.open(&page());
        let over = browser
            .value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(over, 0, "nothing sticks out");
        let smallest = browser.value(
            "Math.min(...[...document.querySelectorAll('.controls button')]
                .filter((it) => it.offsetParent).map((it) => it.getBoundingClientRect().height))",
        );
        assert!(
            smallest.as_f64().unwrap() >= 40.0,
            "thumbs are wide: {smallest}"
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
    browser.open(&page());
    keep("dark.png.base64", &browser.picture(false));
}

#[test]
fn everything_is_unfolded_on_paper() {
    let mut browser = opened();
    let folded = "document.querySelectorAll('details:not([open])').length";
    assert!(browser.value(folded).as_u64().unwrap() > 3);
    let pdf = browser.picture(true);
    assert!(pdf.len() > 20_000, "{}", pdf.len());
    assert_eq!(browser.value(folded), 0);
    keep("print.pdf.base64", &pdf);
}
