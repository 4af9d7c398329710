//! The corpus of real processes, and what must hold for any process.

mod corpus;

use std::sync::Arc;

use proptest::prelude::*;
use tracer_model::{Comm, ContainerFacts, Manager, ProcessFacts, TaskFacts};

use super::*;
use crate::candidate::{NAME_CHARS, Parent, basename};

/// A process as a row of the corpus describes it.
#[derive(Clone, Debug, Default)]
struct Row {
    facts: ProcessFacts,
    parent: Option<Service>,
    parent_facts: ProcessFacts,
    ports: Vec<u16>,
}

impl Row {
    /// Fields are separated by ` | `, `-` is unknown: cgroup, executable (or `comm:` name),
    /// arguments (`=` begins a title), directory, environment, parent (`manager:service`, and
    /// after `<` its arguments and, after `@`, its directory).
    fn parse(text: &str) -> Self {
        let fields: Vec<&str> = text
            .split(" | ")
            .map(|field| match field.trim() {
                "-" => "",
                field => field,
            })
            .collect();
        let [cgroup, exe, args, cwd, env, parent] = fields[..] else {
            panic!("six fields in {text:?}");
        };
        let (parent, parent_command) = parent.split_once('<').unwrap_or((parent, ""));
        let (parent_args, parent_cwd) = parent_command
            .split_once('@')
            .unwrap_or((parent_command, ""));
        let known = |field: &str| (!field.is_empty()).then(|| Box::from(field));
        let comm = exe.strip_prefix("comm:");
        let uid = if cgroup.contains("1000") { 1000 } else { 0 };
        let cgroup = ids(cgroup);
        Self {
            facts: ProcessFacts {
                task: TaskFacts {
                    comm: Comm::new(comm.unwrap_or_else(|| basename(exe))),
                    uid,
                    ..TaskFacts::default()
                },
                args: match args.strip_prefix('=') {
                    Some(title) => [title.into()].into(),
                    None => args.split_whitespace().map(Into::into).collect(),
                },
                exe: known(exe).filter(|_| comm.is_none()),
                cwd: known(cwd),
                cgroup_path: known(&cgroup),
                env: env
                    .split(';')
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(key, value)| (key.into(), value.into()))
                    .collect(),
                user: (uid == 1000).then(|| "anna".into()),
                ..ProcessFacts::default()
            },
            parent: parent.split_once(':').map(|(manager, name)| Service {
                name: name.into(),
                manager: manager_of(manager),
                evidence: "the parent's".into(),
            }),
            parent_facts: ProcessFacts {
                args: parent_args.split_whitespace().map(Into::into).collect(),
                cwd: known(parent_cwd),
                cgroup_path: Some(cgroup.into()),
                ..ProcessFacts::default()
            },
            ports: Vec::new(),
        }
    }

    fn attribute(&self, rules: &Rules) -> Attribution {
        let known = [
            ContainerFacts {
                id: ids("{A}").into(),
                name: "shop-api-1".into(),
                engine: "docker".into(),
                compose: Some(("shop".into(), "api".into())),
                ..ContainerFacts::default()
            },
            ContainerFacts {
                id: ids("{B}").into(),
                name: "pgdb".into(),
                engine: "podman".into(),
                ..ContainerFacts::default()
            },
        ];
        attribute(
            &Candidate {
                facts: &self.facts,
                parent: self.parent.as_ref().map(|service| Parent {
                    service,
                    facts: &self.parent_facts,
                }),
                ports: &self.ports,
                container: &|id| known.iter().find(|facts| *facts.id == *id),
            },
            rules,
        )
    }
}

/// `{A}`, `{B}`, `{C}` stand for container ids; the engine knows the first two.
fn ids(text: &str) -> String {
    text.replace("{A}", &"a1".repeat(32))
        .replace("{B}", &"b2".repeat(32))
        .replace("{C}", &"c3".repeat(32))
}

fn manager_of(text: &str) -> Manager {
    let known = Manager::ALL.iter().find(|manager| manager.as_str() == text);
    *known.unwrap_or_else(|| panic!("unknown manager {text:?}"))
}

#[test]
fn every_process_of_the_corpus_is_named_as_a_user_would() {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for (input, expected) in corpus::ROWS
        .lines()
        .filter_map(|row| row.split_once(" => "))
    {
        let found = Row::parse(input).attribute(&Rules::none());
        let role = found
            .role
            .map_or_else(String::new, |role| format!(" | {role}"));
        let shown = format!("{} | {}{role}", found.service.name, found.service.manager);
        if shown != expected.trim() {
            wrong.push(format!(
                "{input}\n  expected {expected}\n  found    {shown}"
            ));
        }
        assert!(!found.service.evidence.is_empty(), "{input}");
        rows += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows >= 100, "{rows} rows");
}

fn evidence(row: &str) -> Arc<str> {
    Row::parse(row).attribute(&Rules::none()).service.evidence
}

#[test]
fn evidence_shows_what_a_name_is_based_on() {
    assert_eq!(
        &*evidence("/system.slice/api.service | /usr/bin/node | node a.js | / | - | -"),
        "cgroup /system.slice/api.service"
    );
    assert_eq!(
        &*evidence("- | /usr/bin/python3 | python3 w.py | / | SUPERVISOR_PROCESS_NAME=worker | -"),
        "environment SUPERVISOR_PROCESS_NAME=worker"
    );
    assert_eq!(
        &*evidence("- | /usr/sbin/php-fpm8.1 | =php-fpm: pool www | / | - | -"),
        "title \"php-fpm: pool www\""
    );
    assert_eq!(
        &*evidence("/system.slice/php8.1-fpm.service | - | =php-fpm: pool www | / | - | -"),
        "title \"php-fpm: pool www\" in php8.1-fpm.service"
    );
    assert!(
        evidence("/system.slice/docker-{A}.scope | - | - | - | - | -")
            .starts_with("docker container shop-api-1, cgroup /system.slice/docker-a1a1")
    );
    assert_eq!(&*evidence("- | comm:node | - | - | - | -"), "name node");
}

#[test]
fn programs_of_a_supervisord_in_a_unit_of_any_name_have_their_own_names() {
    let mut row = Row::parse(
        "/system.slice/shop.service | /usr/bin/python3 | python3 w.py | /srv | \
         SUPERVISOR_PROCESS_NAME=worker | systemd:shop.service",
    );
    let name = |row: &Row| row.attribute(&Rules::none()).service.name;
    assert_eq!(&*name(&row), "shop.service", "the variables may be stale");
    row.parent_facts.task.comm = Comm::new("supervisord");
    assert_eq!(&*name(&row), "worker");
    row.parent_facts.cgroup_path = Some("/system.slice/supervisor.service".into());
    assert_eq!(&*name(&row), "shop.service", "it was moved to another unit");
}

#[test]
fn code_in_a_command_line_is_never_shown() {
    for args in [
        ["bash", "-lc", "TOKEN=secret run"],
        ["sh", "-ec", "run secret"],
        ["perl", "-ne", "print if /secret/"],
        ["python3", "-Ic", "key = 'secret'"],
        ["ruby", "-ne", "puts 'secret'"],
        ["node", "-pe", "'secret'"],
        ["php", "-r", "echo 'secret';"],
    ] {
        let mut row = Row::parse("- | comm:x | - | /srv | - | process:sshd");
        row.facts.exe = Some(format!("/usr/bin/{}", args[0]).into());
        row.facts.args = args.map(Box::from).into();
        let service = row.attribute(&Rules::none()).service;
        assert_eq!(&*service.name, args[0]);
        assert!(!service.evidence.contains("secret"), "{}", service.evidence);
    }
}

#[test]
fn long_names_are_cut_and_unprintable_characters_replaced() {
    let mut row = Row::parse("- | comm:x | - | - | - | -");
    row.facts.exe = Some(format!("/bin/\u{1b}[31m{}", "é".repeat(500)).into());
    let name = row.attribute(&Rules::none()).service.name;
    assert_eq!(name.chars().count(), NAME_CHARS);
    assert!(name.starts_with("?[31mé"), "{name}");
}

#[test]
fn the_first_rule_whose_conditions_all_hold_wins() {
    let rules = Rules::parse(
        "[[service]]\nname = \"never\"\nexe = \"node\"\nport = 1\n\
         [[service]]\nname = \"shop\"\nexe = \"node\"\nport = 3000\ncmdline = \"server\\\\.js\"\n\
         cwd = \"/srv/*\"\nuser = \"anna\"\nunit = \"api\"\ncgroup = \"/user.slice/*/api.service\"\n\
         [[service]]\nname = \"later\"\nexe = \"/usr/bin/n*\"\n",
        "tracer.toml",
    )
    .unwrap();
    let mut row = Row::parse(
        "/user.slice/user-1000.slice/user@1000.service/app.slice/api.service | /usr/bin/node | \
         node server.js | /srv/shop | - | -",
    );
    row.ports = vec![9229, 3000];
    let found = row.attribute(&rules).service;
    assert_eq!((&*found.name, found.manager), ("shop", Manager::Config));
    assert_eq!(
        &*found.evidence,
        "tracer.toml line 5: cgroup = \"/user.slice/*/api.service\", cmdline = \"server\\\\.js\", \
         cwd = \"/srv/*\", exe = \"node\", port = 3000, unit = \"api\", user = \"anna\""
    );
    row.ports.clear();
    assert_eq!(&*row.attribute(&rules).service.name, "later");
    row.facts.exe = Some("/opt/node".into());
    assert_eq!(row.attribute(&rules).service.manager, Manager::Systemd);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[ -~]{0,300}",
        Just(String::new()),
        proptest::sample::select(vec![
            "php-fpm: pool ",
            "gunicorn: ",
            "uwsgi",
            "puma: [",
            "sidekiq 6",
            "node",
            "-m",
            "python",
            "/www/wwwroot/",
            "/www/wwwroot/x/",
            "/www/server/php//",
            "PM2 : God Daemon",
            "java",
            "-jar",
            "[celeryd:",
            "-A",
            "user@.service",
            "/user@1.service/.service",
            "docker-",
            "/",
            " ",
            "\u{0}",
            "é:é",
            "nginx: ",
            "artisan",
            "./",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn any_process_has_a_name(
        cgroup in proptest::option::of(text()),
        exe in proptest::option::of(text()),
        cwd in proptest::option::of(text()),
        args in proptest::collection::vec(text(), 0..5),
        values in proptest::collection::vec(text(), 5),
        parent in proptest::option::of(text()),
    ) {
        let keys = ["SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME", "pm_id", "name", "x"];
        let row = Row {
            facts: ProcessFacts {
                args: args.into_iter().map(Into::into).collect(),
                exe: exe.map(Into::into),
                cwd: cwd.map(Into::into),
                cgroup_path: cgroup.map(Into::into),
                env: keys.iter().zip(values).map(|(k, v)| (Box::from(*k), v.into())).collect(),
                ..ProcessFacts::default()
            },
            parent: parent.map(|name| Service {
                name: format!("x{name}").into(),
                manager: Manager::Process,
                evidence: "x".into(),
            }),
            ..Row::default()
        };
        let found = row.attribute(&Rules::none()).service;
        prop_assert!(!found.name.trim().is_empty());
        prop_assert!(row.parent.is_some() || found.name.chars().count() <= NAME_CHARS);
        prop_assert!(!found.evidence.is_empty());
    }
}
