//! The sections of the page, from the answer down to the details.

use maud::{Markup, html};
use tracer_model::quantity::bytes;
use tracer_model::{IncidentState, WallTime, wording};

use super::super::clock::Clock;
use super::super::formatting::{self, counted, ms, number};
use super::super::model::{Alike, DeathAt, IncidentReport, MemoryStory, Phase, Report, Step};
use super::outside::Outside;
use super::picture::Picture;

/// Up to this many incidents are unfolded. If there are more, only the most costly one is.
const OPEN: usize = 3;
/// How many incidents have a timeline of their own.
const PICTURES: usize = 25;

/// What died, why, for how long, at what cost, and what to do.
pub(super) fn lead(report: &Report, worst: Option<&IncidentReport>, clock: &Clock) -> Markup {
    let Some(worst) = worst else {
        return html! {
            section.lead {
                h1 { (formatting::nothing(report)) }
                p.why { (formatting::totals(&report.totals).join(" · ")) }
            }
        };
    };
    let count = report.totals.incidents;
    let why = worst
        .first_death()
        .map_or(&worst.summary, |death| &death.why);
    html! {
        section.lead aria-labelledby="lead" {
            p.eyebrow {
                @if count > 1 { "Worst of " (number(count)) " incidents · " } @else { "Incident · " }
                (time(worst.opened, &clock.date_time(worst.opened)))
                " " (clock.zone_at(worst.opened))
            }
            h1 #lead { (Outside(&worst.service.name)) " " (wording::what_happened(worst.cause)) }
            p.why {
                @if let Some(death) = worst.first_death() {
                    code { (Outside(&death.process.comm)) "[" (death.process.pid) "]" } " "
                }
                (Outside(why)) "."
                @if worst.crash_loop { " It kept dying as it restarted." }
                @if let Some(recurrence) = formatting::recurrence(worst) { " " (recurrence) }
            }
            div.split {
                dl.facts {
                    (fact("Down", &down(worst), worst.state == IncidentState::Open))
                    (fact("Requests failed", &number(worst.requests.count), false))
                    (fact("Connects failed", &number(worst.connects_failed), false))
                    (fact("Deaths", &number(worst.deaths_total), false))
                }
                @if !worst.advice.is_empty() {
                    div.todo {
                        h2 { "What to do" }
                        ol { @for advice in &worst.advice { li { (Outside(advice)) } } }
                    }
                }
            }
            p.all {
                a href={ "#" (anchor(worst)) } { "All details" }
                @if count > 1 { " · Total: " (formatting::totals(&report.totals).join(" · ")) }
            }
        }
    }
}

/// The id of an incident's element.
fn anchor(incident: &IncidentReport) -> String {
    format!("incident-{}-{}", incident.session, incident.id)
}

fn fact(name: &str, value: &str, bad: bool) -> Markup {
    html! { div { dt { (name) } dd.bad[bad] { (value) } } }
}

fn down(incident: &IncidentReport) -> String {
    match (incident.state, incident.down_ms) {
        (IncidentState::Closed, Some(down)) => ms(down),
        (IncidentState::Closed, None) => "never".to_owned(),
        (IncidentState::Open, Some(down)) => format!("{}, still down", ms(down)),
        (IncidentState::Open, None) => "still open".to_owned(),
    }
}

fn time(at: WallTime, shown: &str) -> Markup {
    html! { time datetime=(at.to_string()) { (shown) } }
}

/// The verdict, if the page is the report of a deployment.
pub(super) fn deployment(report: &Report) -> Markup {
    let Some(verdict) = &report.deployment else {
        return html! {};
    };
    html! {
        section aria-labelledby="deployment" {
            h2 #deployment { (Outside(&verdict.headline().what)) }
            ul {
                @for line in verdict.lines() {
                    li {
                        @if !line.about.is_empty() { strong { (Outside(&line.about)) } ": " }
                        (Outside(&line.what))
                    }
                }
            }
        }
    }
}

pub(super) fn marks(report: &Report, clock: &Clock) -> Markup {
    if report.marks.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="marks" {
            h2 #marks { "Marks" }
            ul {
                @for mark in &report.marks.items {
                    li { (time(mark.at, &clock.time(mark.at))) " " (Outside(&mark.label)) }
                }
            }
            (more(report.marks.left_out, "more mark", "more marks"))
        }
    }
}

pub(super) fn services(report: &Report) -> Markup {
    if report.services.items.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="services" {
            h2 #services { "Services" }
            div.scroll tabindex="0" role="region" aria-labelledby="services" {
                table {
                    thead { tr {
                        th scope="col" { "Service" }
                        th.n scope="col" { "Requests failed" }
                        th.n scope="col" { "Connects failed" }
                        th.n scope="col" { "Down" }
                        th.n scope="col" { "Deaths" }
                        th.n scope="col" { "Incidents" }
                        th scope="col" { "Causes" }
                    } }
                    tbody {
                        @for service in &report.services.items {
                            tr {
                                th scope="row" { (Outside(&service.name)) }
                                td.n { (number(service.requests_failed)) }
                                td.n { (number(service.connects_failed)) }
                                td.n.bad[service.open] {
                                    (formatting::total_downtime(service))
                                    @if service.open { ", still down" }
                                }
                                td.n { (number(service.deaths)) }
                                td.n { (number(service.incidents)) }
                                td.causes { (formatting::causes(service)) }
                            }
                        }
                    }
                }
            }
            (more(report.services.left_out, "more service", "more services"))
        }
    }
}

fn more(left_out: u64, one: &str, many: &str) -> Markup {
    html! { @if left_out > 0 { p.more { "and " (counted(left_out, one, many)) } } }
}

pub(super) fn incidents(report: &Report, worst: Option<&IncidentReport>, clock: &Clock) -> Markup {
    let few = report.incidents.items.len() <= OPEN;
    html! {
        section #incidents aria-labelledby="incidents-title" {
            h2 #incidents-title { "Incidents" }
            @if report.incidents.items.is_empty() { p { "None." } }
            @for (index, incident) in report.incidents.items.iter().enumerate() {
                @let is_worst = worst.is_some_and(|worst| std::ptr::eq(worst, incident));
                (self::incident(report, incident, index < PICTURES, few || is_worst, clock))
            }
            (more(report.incidents.left_out, "less costly incident", "less costly incidents"))
        }
    }
}

fn incident(
    report: &Report,
    incident: &IncidentReport,
    has_picture: bool,
    open: bool,
    clock: &Clock,
) -> Markup {
    let steps = incident
        .timeline
        .first
        .iter()
        .chain(&incident.timeline.last);
    let last = steps.map(|step| step.until.unwrap_or(step.at)).max();
    let first = incident.timeline.first.first().map(|step| step.at);
    let until = incident.closed.or(last).unwrap_or(incident.opened);
    let from = first.unwrap_or(incident.opened).min(incident.opened);
    let picture = has_picture
        .then(|| Picture::part(report, &incident.service.name, from, until.max(from)))
        .flatten();
    let costs = formatting::costs(incident).join(", ");
    html! {
        details.incident id=(anchor(incident)) open[open] {
            summary {
                span.what { strong { (Outside(&incident.service.name)) } " " (wording::what_happened(incident.cause)) }
                span.meta {
                    (time(incident.opened, &clock.time(incident.opened)))
                    " · " (formatting::downtime(incident))
                    @if !costs.is_empty() { " · " (costs) }
                }
            }
            div.body {
                dl.story {
                    dt { "Why" }
                    dd {
                        @match incident.first_death() {
                            Some(death) => {
                                code { (Outside(&death.process.comm)) "[" (death.process.pid) "]" } " " (Outside(&death.why))
                                @if let Some(cmdline) = &death.process.cmdline { div.command { code { (Outside(cmdline)) } } }
                            }
                            None => (Outside(&incident.summary)),
                        }
                    }
                    @if !incident.advice.is_empty() {
                        dt { "To do" }
                        dd { ol { @for advice in &incident.advice { li { (Outside(advice)) } } } }
                    }
                    @if !incident.unseen.is_empty() {
                        dt { "Lost" }
                        dd { @for gap in &incident.unseen { p { (Outside(&gap.what)) } } }
                    }
                }
                @if let Some(picture) = &picture {
                    (picture.render(clock, &format!("Times in {}", clock.zone_at(incident.opened))))
                }
                (timeline(incident, clock))
                (requests(incident, clock))
                @if let Some(story) = &incident.memory { (memory(story)) }
                @if let Some(alike) = &incident.alike { (before(alike, clock)) }
            }
        }
    }
}

fn timeline(incident: &IncidentReport, clock: &Clock) -> Markup {
    let timeline = &incident.timeline;
    html! {
        h3 { "What happened" }
        ol.steps {
            @for step in &timeline.first { (self::step(step, clock)) }
            @if timeline.left_out > 0 {
                li.gap { (counted(timeline.left_out, "step", "steps")) " left out" }
            }
            @for step in &timeline.last { (self::step(step, clock)) }
        }
    }
}

fn step(step: &Step, clock: &Clock) -> Markup {
    let (class, part) = match step.phase {
        Phase::Cause => ("cause", "Cause"),
        Phase::Effect => ("effect", "Effect"),
        Phase::Recovery => ("recovery", "Recovery"),
    };
    html! {
        li class=(class) {
            span.when {
                (time(step.at, &clock.time(step.at)))
                span.after { (formatting::after(step.after_ms)) }
            }
            span.what {
                span.part { (part) ": " }
                (Outside(&step.what))
                @if let Some(until) = step.until {
                    span.over { " over " (ms(formatting::ms_between(step.at, until))) }
                }
            }
        }
    }
}

fn requests(incident: &IncidentReport, clock: &Clock) -> Markup {
    let requests = &incident.requests;
    let death = incident.first_death().map(|death| death.cause);
    if requests.count == 0 {
        return html! {};
    }
    let most = requests
        .by_template
        .items
        .iter()
        .map(|it| it.count)
        .max()
        .unwrap_or(1);
    html! {
        h3 { (counted(requests.count, "request failed", "requests failed")) }
        @if requests.by_template.items.is_empty() {
            p { "Too many failed at once: they were counted, not shown in detail." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Failed requests by template" {
                table {
                    thead { tr { th scope="col" { "Request" } th scope="col" { "Status" } th.n scope="col" { "Count" } th aria-hidden="true" {} } }
                    tbody {
                        @for kind in &requests.by_template.items {
                            tr {
                                td { code { (Outside(&formatting::template(kind))) } }
                                td { (formatting::status(kind.status)) }
                                td.n { (number(kind.count)) }
                                td.bar aria-hidden="true" { (bar(kind.count, most)) }
                            }
                        }
                    }
                }
            }
            (more(requests.by_template.left_out, "more request", "more requests"))
        }
        @if !requests.list.items.is_empty() {
            details {
                summary { "One by one" }
                div.scroll tabindex="0" role="region" aria-label="Failed requests, one by one" {
                    table {
                        thead { tr { th scope="col" { "Time" } th scope="col" { "Status" } th scope="col" { "Request" } th scope="col" { "Client" } th scope="col" { "Reason" } } }
                        tbody {
                            @for request in &requests.list.items {
                                tr {
                                    td.time { (time(request.at, &clock.time(request.at))) }
                                    td { (formatting::status(request.status)) }
                                    td { code { (Outside(&formatting::failed_request(request))) } }
                                    td { @if let Some(client) = &request.client { (Outside(client)) } }
                                    td { (wording::failure_or_unknown(request.failure, request.status, death)) }
                                }
                            }
                        }
                    }
                }
                (more(requests.list.left_out, "more request", "more requests"))
            }
        }
    }
}

/// A bar that shows `part` of `whole`.
fn bar(part: u64, whole: u64) -> Markup {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    html! {
        svg.meter width="100%" height="8" role="presentation" focusable="false" {
            rect.track width="100%" height="8" rx="2" {}
            rect.fill width={ (percent.clamp(1, 100)) "%" } height="8" rx="2" {}
        }
    }
}

fn memory(story: &MemoryStory) -> Markup {
    html! {
        h3 { "Memory" }
        @if let Some(limit) = story.limit_bytes {
            (bar(story.used_bytes.min(limit), limit))
            p.scale { span { (bytes(story.used_bytes)) } span { "limit " (bytes(limit)) } }
        }
        p { @for sentence in &story.sentences { (sentence) " " } }
        @if let Some(cgroup) = &story.limit_cgroup {
            p.small { "The limit is set on cgroup " code { (Outside(cgroup)) } "." }
        }
        @if let (Some(peak), Some(limit)) = (story.peak_bytes, story.limit_bytes) {
            @if peak > limit {
                p.small { "Resident memory peaked at " (bytes(peak)) ", including memory that processes share." }
            }
        }
    }
}

fn before(alike: &Alike, clock: &Clock) -> Markup {
    html! {
        h3 { "Earlier deaths" }
        p { (formatting::earlier_deaths(alike)) "." }
        div.scroll tabindex="0" role="region" aria-label="Earlier deaths" {
            table {
                thead { tr { th scope="col" { "When" } th.n scope="col" { "Uptime" } th.n scope="col" { "Memory" } } }
                tbody {
                    @for death in &alike.latest {
                        tr {
                            td.time { (time(death.at, &clock.date_time(death.at))) }
                            td.n { (formatting::whole_ms(death.uptime_ms)) }
                            td.n { (death.used_bytes.map_or_else(|| "unknown".to_owned(), bytes)) }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn failures(report: &Report, clock: &Clock) -> Markup {
    if report.failures.items.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="failures" {
            h2 #failures { "Failed requests not explained by a death" }
            div.scroll tabindex="0" role="region" aria-labelledby="failures" {
                table {
                    thead { tr { th scope="col" { "Proxy" } th scope="col" { "Upstream" } th scope="col" { "Status" } th.n scope="col" { "Count" } th scope="col" { "Reason" } th scope="col" { "First" } th scope="col" { "Last" } } }
                    tbody {
                        @for group in &report.failures.items {
                            tr {
                                th scope="row" { (Outside(&group.proxy)) }
                                td { @if let Some(upstream) = &group.upstream { (Outside(upstream)) } }
                                td { (formatting::status(group.status)) }
                                td.n { (number(group.count)) }
                                td { (wording::failure_or_unknown(group.failure, group.status, None)) }
                                td.time { (clock.time(group.first)) }
                                td.time { (clock.time(group.last)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn deaths(report: &Report, clock: &Clock) -> Markup {
    if report.deaths.items.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="deaths" {
            h2 #deaths { "Deaths without an incident" }
            div.scroll tabindex="0" role="region" aria-labelledby="deaths" {
                table {
                    thead { tr { th scope="col" { "Time" } th scope="col" { "Service" } th scope="col" { "Process" } th scope="col" { "Why" } } }
                    tbody {
                        @for DeathAt { at, death } in &report.deaths.items {
                            tr {
                                td.time { (time(*at, &clock.time(*at))) }
                                td { (Outside(&death.service.name)) }
                                td { code { (Outside(&death.process.comm)) "[" (death.process.pid) "]" } }
                                td { (Outside(&death.why)) }
                            }
                        }
                    }
                }
            }
            (more(report.deaths.left_out, "more death", "more deaths"))
        }
    }
}

pub(super) fn unseen(report: &Report) -> Markup {
    if report.unseen.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="unseen" {
            h2 #unseen { "Blind spots and losses" }
            ul.unseen { @for gap in &report.unseen { li { (Outside(&gap.what)) } } }
        }
    }
}

/// The sessions and their hooks.
pub(super) fn sessions(report: &Report, clock: &Clock) -> Markup {
    html! {
        @if !report.sessions.items.is_empty() {
            section aria-labelledby="sessions" {
                h2 #sessions { "Sessions" }
                @for session in &report.sessions.items {
                    details {
                        summary {
                            @if let Some(started) = session.started { (clock.date_time(started)) " · " }
                            "tracer " (Outside(session.version.as_deref().unwrap_or("(version unknown)")))
                            " · Linux " (Outside(session.kernel.as_deref().unwrap_or("(version unknown)")))
                            " · " (session.hooks.iter().filter(|hook| hook.ok).count())
                            " of " (counted(session.hooks.len() as u64, "hook", "hooks")) " armed"
                        }
                        @if let Some(boot) = &session.boot_id { p.small { "Boot " code { (Outside(boot)) } } }
                        div.scroll tabindex="0" role="region" aria-label="Hooks" {
                            table {
                                thead { tr { th scope="col" { "Hook" } th scope="col" { "Armed" } th scope="col" { "Method" } th scope="col" { "Note" } } }
                                tbody {
                                    @for hook in &session.hooks {
                                        tr {
                                            th scope="row" { (Outside(&hook.name)) }
                                            td { @if hook.ok { "yes" } @else { strong { "no" } } }
                                            td { @if let Some(via) = &hook.via { (Outside(via)) } }
                                            td { @if let Some(why) = &hook.why { (Outside(why)) } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                (more(report.sessions.left_out, "more session", "more sessions"))
            }
        }
    }
}
