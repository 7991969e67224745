//! How AWS is reached: proxies, certificates, and credentials that are rotated. The bridge is the broker.

use crate::harness::{
    Act, Answer, Authority, BridgeProcess, HOLD, Head, HttpFront, Route, TEST_TIMEOUT, World,
    command, tls_front,
};
use activity_sim::TaskState;
use rstest::rstest;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tokio::time::timeout;

const PAYMENTS: &str = "payments";

/// No credentials from anywhere but where a test says.
const NO_CREDENTIALS: [(&str, &str); 5] = [
    ("AWS_ACCESS_KEY_ID", ""),
    ("AWS_SECRET_ACCESS_KEY", ""),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// What STS says.
const ROLE: &str = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA1</AccessKeyId>\
    <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
    <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
    </AssumeRoleWithWebIdentityResponse>";

fn sim_of(world: &World) -> SocketAddr {
    let url = world.sim.url();
    let addr = url.trim_start_matches("http://").trim_end_matches('/');
    addr.parse().expect("an address")
}

fn write(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.dir().join(name);
    std::fs::write(&path, text).expect("the file can be written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Schedules a task and waits until it is completed.
async fn completes_a_task(world: &World) {
    let id = world.schedule(PAYMENTS, 1).remove(0);
    let task = world.closed(&id).await;
    assert_eq!(task.state, TaskState::Completed, "{task:?}");
}

#[tokio::test]
async fn calls_to_aws_and_for_credentials_go_through_the_proxies_and_trust_the_bundle() {
    const STS: &str = "sts.eu-west-1.amazonaws.com";
    let world = World::of_the_endpoint(HOLD).await;
    let authority = Authority::new();
    let bundle = write(&world, "bundle.pem", &authority.certificate());
    let swf = tls_front(&authority.sign(&["swf.test"]), sim_of(&world)).await;
    let role = HttpFront::start(|_| Act::Say(200, ROLE.to_owned())).await;
    let sts = tls_front(&authority.sign(&[STS]), role.addr).await;
    let proxy = HttpFront::start(move |head| match head.line.as_str() {
        "CONNECT swf.test:443 HTTP/1.1" => Act::Tunnel(swf),
        line if line.starts_with(&format!("CONNECT {STS}:443 ")) => Act::Tunnel(sts),
        _ => Act::Say(502, String::new()),
    })
    .await;
    let _worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    let config = world.write_config("", &[Route::new(PAYMENTS)]);
    let token = write(&world, "token", "a.b.c");
    let url = format!("http://me:hunter2@{}", proxy.addr);
    let env = [
        ("HTTPS_PROXY", url.as_str()),
        ("AWS_CA_BUNDLE", text(&bundle)),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", text(&token)),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/bridge"),
    ];
    let env = [&NO_CREDENTIALS[..], &env].concat();
    let bridge = BridgeProcess::start(&config, "https://swf.test", &env).await;

    completes_a_task(&world).await;

    let seen = proxy.seen();
    for host in ["swf.test", STS] {
        let line = format!("CONNECT {host}:443 HTTP/1.1");
        let head = seen.iter().find(|head| head.line == line);
        let headers = &head
            .unwrap_or_else(|| panic!("no {line} in {seen:?}"))
            .headers;
        assert!(headers.contains("Basic bWU6aHVudGVyMg=="), "{headers}");
    }
    let log = bridge.log();
    assert!(
        log.contains(&format!("proxy=\"http://{}\"", proxy.addr)),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

/// Without TLS a proxy gets the whole request.
#[rstest]
#[tokio::test]
async fn no_proxy_is_asked_for_the_hosts_that_are_excepted(
    #[values("", "127.0.0.1,other.test")] excepted: &str,
) {
    let world = World::of_the_endpoint(HOLD).await;
    let sim = sim_of(&world);
    let proxy = HttpFront::start(move |_| Act::Pass(sim)).await;
    let _worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    let config = world.write_config("", &[Route::new(PAYMENTS)]);
    let url = format!("http://{}", proxy.addr);
    let env = [("HTTP_PROXY", url.as_str()), ("NO_PROXY", excepted)];
    let _bridge = BridgeProcess::start(&config, &world.sim.url(), &env).await;

    completes_a_task(&world).await;

    let seen = proxy.seen();
    let to_sim = format!("POST http://{sim}/");
    match excepted {
        "" => assert!(
            seen.iter().any(|head| head.line.starts_with(&to_sim)),
            "{seen:?}"
        ),
        _ => assert!(seen.is_empty(), "{seen:?}"),
    }
}

#[tokio::test]
async fn a_bundle_that_cannot_be_used_ends_the_start_with_a_text_that_says_why() {
    let world = World::of_the_endpoint(HOLD).await;
    let config = world.write_config("", &[Route::new(PAYMENTS)]);
    let bundle = write(&world, "bundle.pem", "no certificate\n");
    for (verb, code) in [("run", 1), ("check", 1)] {
        let mut command = command();
        command.args([verb, "--config"]).arg(&config);
        if verb == "check" {
            command.arg("--online");
        }
        let ran = command.env("AWS_CA_BUNDLE", &bundle).output();
        let ran = timeout(TEST_TIMEOUT, ran)
            .await
            .expect("in time")
            .expect("it runs");
        let said = [ran.stdout, ran.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(ran.status.code(), Some(code), "{said}");
        let told = format!("AWS_CA_BUNDLE = {bundle:?}: there is no certificate in it");
        assert!(said.contains(&told), "{said}");
    }
}

/// Where credentials come from.
#[derive(Clone, Copy, Debug)]
enum Place {
    File,
    Container,
}

#[rstest]
#[tokio::test]
async fn credentials_that_were_rotated_are_read_anew_when_aws_says_that_the_old_ones_have_expired(
    #[values(Place::File, Place::Container)] place: Place,
) {
    let world = World::of_the_endpoint(HOLD).await;
    let sim = sim_of(&world);
    let current = Arc::new(Mutex::new("AKIAOLD"));
    let now = |current: &Mutex<&'static str>| *current.lock().expect("no panic holds it");
    let known = Arc::clone(&current);
    let aws = HttpFront::start(move |head: &Head| {
        let key = format!("Credential={}/", now(&known));
        match head.headers.contains(&key) {
            true => Act::Pass(sim),
            false => {
                let fault = r#"{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"expired"}"#;
                Act::Say(400, fault.to_owned())
            }
        }
    })
    .await;
    let known = Arc::clone(&current);
    let container = HttpFront::start(move |_| {
        let key = now(&known);
        let credentials = format!(
            r#"{{"AccessKeyId":"{key}","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}}"#
        );
        Act::Say(200, credentials)
    })
    .await;
    let profile = |key: &str| {
        let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n");
        write(&world, "credentials", &text)
    };
    let file = profile("AKIAOLD");
    let uri = format!("http://{}/credentials", container.addr);
    let env = match place {
        Place::File => [("AWS_SHARED_CREDENTIALS_FILE", text(&file))],
        Place::Container => [("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str())],
    };
    let _worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    let config = world.write_config("", &[Route::new(PAYMENTS)]);
    let env = [&NO_CREDENTIALS[..], &env].concat();
    let aws = format!("http://{}", aws.addr);
    let bridge = BridgeProcess::start(&config, &aws, &env).await;
    completes_a_task(&world).await;

    *current.lock().expect("no panic holds it") = "AKIANEW";
    bridge.logged("ExpiredTokenException").await;
    profile("AKIANEW");
    // This waits for a minute at most.
    completes_a_task(&world).await;
    bridge.logged("the AWS credentials have changed").await;
    assert!(!bridge.log().contains("AKIA"), "an access key in the log");
}
