//! The client against fake engines with the answers of real ones.

use std::os::unix::net::UnixListener;

use proptest::prelude::*;

use super::*;

const ID: &str = "4f1c9a7d0e2b3c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5";

#[test]
fn ids_are_found_in_the_paths_of_all_engines() {
    for path in [
        format!("/docker/{ID}"),
        format!("/system.slice/docker-{ID}.scope"),
        format!(
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"
        ),
        format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
    ] {
        assert_eq!(container_id(&path), Some(ID), "{path}");
    }
    for path in [
        "/system.slice/api.service".to_owned(),
        format!("/machine.slice/libpod-conmon-{ID}.scope"),
        "/docker/abc".to_owned(),
    ] {
        assert_eq!(container_id(&path), None, "{path}");
    }
}

/// The answer of Docker Engine 28 to `GET /containers/<id>/json`, reduced to what is used.
fn inspected() -> Value {
    serde_json::json!({
        "Id": ID,
        "Name": "/shop-api-1",
        "Config": { "Labels": {
            "com.docker.compose.project": "shop",
            "com.docker.compose.service": "api",
        } },
        "NetworkSettings": {
            "Networks": { "shop_default": { "IPAddress": "172.18.0.3", "GlobalIPv6Address": "" } },
            "Ports": {
                "3000/tcp": [
                    { "HostIp": "0.0.0.0", "HostPort": "8080" },
                    { "HostIp": "::", "HostPort": "8080" },
                ],
                "9229/tcp": null,
            },
        },
    })
}

/// The answer of Podman 4.3.1, reduced to what is used.
fn inspected_by_podman() -> Value {
    serde_json::json!({
        "Id": ID,
        "Name": "/shop-api-1",
        "Config": { "Labels": {
            "com.docker.compose.project": "shop",
            "com.docker.compose.service": "api",
        } },
        "NetworkSettings": {
            "IPAddress": "",
            "Networks": { "podman": { "IPAddress": "", "GlobalIPv6Address": "", "Links": null } },
            "Ports": { "3000/tcp": [{ "HostIp": "", "HostPort": "8080" }] },
            "SecondaryIPAddresses": null,
        },
    })
}

/// An engine that answers one request with `pieces`, with a pause after each.
fn engine(socket: &Path, pieces: Vec<String>, pause: Duration) -> thread::JoinHandle<String> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 512];
        let len = stream.read(&mut request).unwrap();
        for piece in pieces {
            // The client may have given up.
            if stream.write_all(piece.as_bytes()).is_err() {
                break;
            }
            thread::sleep(pause);
        }
        String::from_utf8(request[..len].to_vec()).unwrap()
    })
}

fn answer(inspected: &Value) -> Vec<String> {
    vec![
        "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n".to_owned(),
        inspected.to_string(),
    ]
}

fn published(facts: &ContainerFacts) -> Vec<String> {
    let ports = facts.published.iter();
    ports
        .map(|(outside, inside)| format!("{outside}>{inside}"))
        .collect()
}

#[test]
fn an_engine_is_asked_over_its_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let server = engine(&path, answer(&inspected()), Duration::ZERO);
    let facts = inspect("docker", &path, ID).unwrap();
    assert!(
        server
            .join()
            .unwrap()
            .starts_with(&format!("GET /containers/{ID}/json HTTP/1.0\r\n"))
    );
    assert_eq!(&*facts.name, "shop-api-1");
    assert_eq!(facts.compose, Some(("shop".into(), "api".into())));
    assert_eq!(&*facts.addresses, ["172.18.0.3".parse::<IpAddr>().unwrap()]);
    assert_eq!(published(&facts), ["0.0.0.0:8080>3000", "[::]:8080>3000"]);
}

#[test]
fn an_answer_of_podman_is_parsed() {
    let facts = parse("podman", &inspected_by_podman()).unwrap();
    assert_eq!(facts.compose, Some(("shop".into(), "api".into())));
    assert!(facts.addresses.is_empty());
    assert_eq!(published(&facts), ["0.0.0.0:8080>3000"]);
}

#[test]
fn a_slow_engine_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let pieces = vec![" ".to_owned(); 40];
    let server = engine(&path, pieces, Duration::from_millis(100));
    let started = Instant::now();
    assert!(inspect("docker", &path, ID).is_err());
    assert!(started.elapsed() < TIMEOUT + Duration::from_secs(1));
    server.join().unwrap();
}

#[test]
fn the_first_engine_that_knows_a_container_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let (system, user) = (dir.path().join("a.sock"), dir.path().join("b.sock"));
    let mut renamed = inspected();
    renamed["Name"] = "/forged".into();
    let servers = [
        engine(&system, answer(&inspected()), Duration::ZERO),
        engine(&user, answer(&renamed), Duration::ZERO),
    ];
    let sockets = [("docker", system), ("docker", user)];
    let facts = ask_all(&sockets, &Question::One(ID.to_owned()));
    assert_eq!(facts.len(), 1);
    assert_eq!(&*facts[0].name, "shop-api-1");
    for server in servers {
        server.join().unwrap();
    }
}

#[test]
fn an_answer_for_another_container_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let server = engine(&path, answer(&inspected()), Duration::ZERO);
    assert!(inspect("docker", &path, &ID.replace('4', "5")).is_err());
    server.join().unwrap();
}

#[test]
fn answers_are_due_until_they_arrive() {
    let mut engines = Engines::default();
    assert_eq!(engines.due(), None);
    engines.look_up(&format!("/docker/{ID}"));
    let due = engines.due().unwrap();
    assert_eq!(engines.due(), Some(due), "asking does not delay it");
    let deadline = Instant::now() + Duration::from_secs(30);
    while engines.due().is_some() {
        assert!(Instant::now() < deadline, "no answer came");
        thread::sleep(Duration::from_millis(5));
        engines.collect(clock::now());
    }
    engines.look_up(&format!("/docker/{ID}"));
    assert_eq!(engines.due(), None, "asked once");
}

proptest! {
    #[test]
    fn any_path_and_answer_is_parsed(path in ".{0,120}", body in "\\PC{0,60}") {
        let _ = container_id(&path);
        let _ = parse("docker", &Value::String(body));
    }
}
