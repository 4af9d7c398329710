use super::*;

#[test]
fn each_manager_has_one_profile() {
    for (at, profile) in ALL.iter().enumerate() {
        let first = ALL.iter().position(|other| other.kind == profile.kind);
        assert_eq!(first, Some(at), "{:?}", profile.kind);
    }
}

#[test]
fn a_client_belongs_to_one_manager() {
    let mut programs: Vec<&str> = ALL
        .iter()
        .flat_map(|profile| profile.clients)
        .flat_map(|client| client.programs.iter().copied())
        .collect();
    programs.sort_unstable();
    let all = programs.len();
    programs.dedup();
    assert_eq!(programs.len(), all, "{programs:?}");
}

#[test]
fn a_clients_words_say_whether_it_only_stops_something() {
    for (line, stops) in [
        ("systemctl restart web", Some(false)),
        ("/usr/bin/systemctl stop web.service", Some(true)),
        ("systemctl status web", None),
        ("systemctl disable --now web", Some(true)),
        ("service web reload", Some(false)),
        ("python3 /usr/bin/supervisorctl stop web", Some(true)),
        ("supervisorctl tail web", None),
        (
            "node /usr/local/bin/pm2 startOrReload app.json",
            Some(false),
        ),
        ("pm2 delete api", Some(true)),
        ("docker compose up -d", Some(false)),
        ("docker rm -f web", Some(true)),
        ("docker ps", None),
        ("sv restart web", Some(false)),
        ("sv down /etc/service/web", Some(true)),
        ("sv force-stop web", Some(true)),
        ("sv status web", None),
        ("s6-svc -r /run/service/api", Some(false)),
        ("s6-svc -wD -d /run/service/api", Some(true)),
        ("s6-rc -d change api", Some(true)),
        ("s6-rc -u change api", Some(false)),
        ("s6-rc listall", None),
        // No word that is known: it may come from elsewhere.
        ("systemctl", Some(false)),
        ("rsync -a site/ web:/srv/site", None),
    ] {
        let args: Vec<Box<str>> = line.split(' ').map(Into::into).collect();
        assert_eq!(request(&args).map(|request| request.stops), stops, "{line}");
    }
}

#[test]
fn advice_names_commands_that_run() {
    let read_log = |manager, name| advice(manager).read_log.map(|sentence| sentence(name));
    for (manager, name, expected) in [
        (
            Manager::Systemd,
            "api.service",
            "read its last lines: journalctl -u api.service -n 50",
        ),
        (
            Manager::Supervisor,
            "queue:queue_00",
            "read its last lines: supervisorctl tail queue:queue_00 stderr",
        ),
        (
            Manager::Pm2,
            "shop api",
            "read its last lines: pm2 logs 'shop api' --lines 50 --nostream",
        ),
        (
            Manager::Container,
            "pgdb",
            "read its last lines: docker logs --tail 50 pgdb",
        ),
        (
            Manager::Container,
            "shop/api",
            "read its last lines: docker compose -p shop logs --tail 50 api",
        ),
        (
            Manager::Runit,
            "web",
            "read its last lines where web/log/run writes them, often /var/log/web/current",
        ),
        (
            Manager::S6,
            "api/log",
            "read its last lines where its logger writes them: look for s6-log in api/log/run",
        ),
    ] {
        assert_eq!(read_log(manager, name).as_deref(), Some(expected));
    }
    assert_eq!(read_log(Manager::Script, "node a.js in /srv"), None);
    let restart = |manager, name| advice(manager).restart.map(|sentence| sentence(name));
    assert_eq!(
        restart(Manager::Runit, "web").as_deref(),
        Some("runit starts it again at once: sv status web")
    );
    assert_eq!(
        restart(Manager::S6, "api").as_deref(),
        Some("s6 starts it again at once: s6-svstat /run/service/api")
    );
}
