//! What a verdict counts, and how much of it is kept.

use super::*;

#[test]
fn requests_of_the_restart_and_of_the_death_after_it_are_counted_apart() {
    let mut scene = Scene::start();
    scene.good_restart();
    scene.find(1210, failed_request("web stopped 10 ms earlier"));
    scene.dies(3000, NEW, Cause::OomCgroup, killed(), &[]);
    let Body::RequestFailed(mut request) =
        failed_request("web died 10 ms earlier: OOM, cgroup limit")
    else {
        unreachable!()
    };
    if let Some(because) = &mut request.because {
        because.incident = 2;
        because.cause = Some(Cause::OomCgroup);
    }
    scene.find(3010, Body::RequestFailed(request.clone()));
    scene.find(3020, Body::RequestFailed(request));
    let counts: Vec<_> = scene
        .verdict()
        .requests
        .iter()
        .map(|failed| (failed.count, failed.because.clone().unwrap_or_default()))
        .collect();
    assert_eq!(
        counts,
        [
            (4, "web died 10 ms earlier: OOM, cgroup limit".to_owned()),
            (2, "web stopped 10 ms earlier".to_owned())
        ]
    );
}

#[test]
fn everything_is_bounded() {
    let mut scene = Scene::start();
    for number in 0..1000_u32 {
        let service = service(&format!("s{number}"), Manager::Systemd);
        let change = listener(service.clone(), 3000, None, None);
        scene.find(1500, Body::ListenerDown(change));
        scene.dies(1500, 1000 + number, Cause::Crash, killed(), &[]);
        let Body::RequestFailed(mut request) = failed_request("x") else {
            continue;
        };
        request.proxy = service;
        scene.find(1500, Body::RequestFailed(request));
        scene.down(1500);
    }
    scene
        .0
        .running(&[view(web(), &(2000..9000).collect::<Vec<_>>())]);
    let verdict = scene.verdict();
    assert_eq!(verdict.services.len(), MAX_SERVICES);
    assert!(verdict.services_left_out > 0);
    assert!(verdict.requests.len() <= MAX_REQUESTS + 1);
    assert_eq!(verdict.requests_failed, 2000);
    let web = verdict
        .services
        .iter()
        .find(|it| &*it.service.name == "web");
    if let Some(web) = web {
        assert!(web.deaths.len() <= MAX_DEATHS && web.new.len() <= MAX_NEW);
        assert_eq!(web.unexpected, 1000);
    }
}
