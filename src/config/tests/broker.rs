//! Which broker it is, its own settings, and the settings of routes that depend on it.

use super::problems;
use crate::{
    broker::{
        BrokerConfig,
        endpoint::{EndpointConfig, TlsConfig, UserConfig},
    },
    config::Config,
    route::{Ack, AckConfig, MaxReady},
    tls::ClientTls,
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

const ROUTE: &str = "[[routes]]\nname = \"r\"\nqueue = \"q\"\n";
const SWF: &str = "swf = { domain = \"d\", task_list = \"l\" }\n";
const ACTIVITY: &str =
    "step_functions.activity_arn = \"arn:aws:states:eu-west-1:123456789012:activity:a\"\n";
const URI: &str = "[amqp]\nuri = \"amqp://b\"\n";

fn with(amqp: &str, route: &str) -> String {
    format!("{amqp}\n{ROUTE}{SWF}{route}")
}

fn endpoint(amqp: &str) -> EndpointConfig {
    let text = with(amqp, "");
    let config: Config = text
        .parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    match config.broker {
        BrokerConfig::Endpoint(endpoint) => endpoint,
        BrokerConfig::RabbitMq(_) => panic!("RabbitMQ: {text}"),
    }
}

fn route(amqp: &str, source: &str, route: &str) -> (AckConfig, MaxReady) {
    let text = format!("{amqp}\n{ROUTE}{source}{route}");
    let config: Config = text
        .parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    let route = &config.routes[0];
    (route.ack.clone(), route.max_ready)
}

/// Asserts that there are exactly these problems, which begin so.
#[track_caller]
fn assert_problems(text: &str, expected: &[&str]) {
    let found = problems(text);
    assert_eq!(found.len(), expected.len(), "{text}: {found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{text}: {found}");
    }
}

#[test]
fn without_an_address_of_a_rabbitmq_the_bridge_is_the_broker_and_listens_for_this_machine_only() {
    for amqp in ["", "[amqp]"] {
        let expected = EndpointConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 5672)),
            max_connections: 1_000,
            max_channels: 255,
            max_consumers: 256,
            max_own_queues: 64,
            max_message_bytes: 1_048_576,
            default_prefetch: 1,
            plaintext: false,
            parked_path: Some("/var/lib/activity-bridge/tasks.parked".into()),
            tls: None,
            users: Vec::new(),
        };
        assert_eq!(endpoint(amqp), expected, "{amqp:?}");
    }
}

#[test]
fn the_endpoint_s_settings_are_read() {
    let found = endpoint(
        r#"
        store = { kind = "memory" }
        [amqp]
        listen = "0.0.0.0:5671"
        max_connections = 7
        max_channels = 8
        max_consumers = 9
        max_own_queues = 10
        max_message_bytes = 300_000
        default_prefetch = 11
        parked_path = "parked"
        tls = { cert_file = "c", key_file = "k", client_ca_file = "a" }
        [[amqp.users]]
        name = "worker"
        password_file = "p"
        routes = ["r"]
        [[amqp.users]]
        name = "operator"
        certificate_name = "operator.shop"
        routes = []
        parked = true
        "#,
    );
    let path = PathBuf::from;
    let expected = EndpointConfig {
        listen: SocketAddr::from(([0, 0, 0, 0], 5671)),
        max_connections: 7,
        max_channels: 8,
        max_consumers: 9,
        max_own_queues: 10,
        max_message_bytes: 300_000,
        default_prefetch: 11,
        plaintext: false,
        parked_path: Some(path("parked")),
        tls: Some(TlsConfig {
            cert_file: path("c"),
            key_file: path("k"),
            client_ca_file: Some(path("a")),
        }),
        users: vec![
            UserConfig {
                name: "worker".to_owned(),
                password_file: Some(path("p")),
                certificate_name: None,
                routes: Some(vec!["r".to_owned()]),
                parked: false,
            },
            UserConfig {
                name: "operator".to_owned(),
                password_file: None,
                certificate_name: Some("operator.shop".to_owned()),
                routes: Some(Vec::new()),
                parked: true,
            },
        ],
    };
    assert_eq!(found, expected);
}

#[test]
fn parked_replies_are_kept_beside_the_file_store_and_else_only_where_it_is_said() {
    let parked = |text: &str| endpoint(text).parked_path;
    let file = "[store]\npath = \"a/b.redb\"\n";
    assert_eq!(parked(file), Some("a/b.parked".into()));
    assert_eq!(parked("[store]\nkind = \"memory\""), None);
    let said = format!("{file}[amqp]\nparked_path = \"p\"");
    assert_eq!(parked(&said), Some("p".into()));
    let same = format!("{file}[amqp]\nparked_path = \"a/b.redb\"");
    let problem = "amqp.parked_path = \"a/b.redb\": is the file of the token store too";
    assert_problems(&with(&same, ""), &[problem]);
}

#[test]
fn a_setting_of_the_endpoint_beside_a_uri_says_what_to_remove() {
    for (uri, key) in [
        ("uri = \"amqp://b\"", "uri"),
        ("uris = [\"amqp://b\"]", "uris"),
    ] {
        let text = format!("[amqp]\n{uri}\nlisten = \"127.0.0.1:5672\"\nusers = 3");
        let rule = format!(
            "is for the bridge as the broker, and `{key}` names a RabbitMQ; remove `listen`, or `{key}`"
        );
        let of_users = rule.replace("`listen`", "`users`");
        let expected = [
            format!("amqp.listen: {rule}"),
            format!("amqp.users: {of_users}"),
        ];
        assert_eq!(problems(&with(&text, "")), expected);
    }
}

#[test]
fn the_login_at_a_rabbitmq_and_its_tls_are_read() {
    let text = with(
        "[amqp]\nuris = [\"amqps://a\", \"amqps://b\"]\ntoken_file = \"t\"\n\
         tls = { ca_file = \"a\", cert_file = \"c\", key_file = \"k\" }",
        "",
    );
    let config: Config = text.parse().expect("valid");
    let BrokerConfig::RabbitMq(found) = config.broker else {
        panic!("there is an address");
    };
    let path = |name: &str| Some(PathBuf::from(name));
    let expected = ClientTls {
        place: "amqp.tls",
        ca_file: path("a"),
        cert_file: path("c"),
        key_file: path("k"),
    };
    assert_eq!((found.tls, found.token_file), (Some(expected), path("t")));
    assert_eq!(found.uris.len(), 2);
}

#[test]
fn a_login_or_tls_that_does_not_fit_its_side_or_its_address_says_what_to_do() {
    let tls = "tls = { ca_file = \"a\", cert_file = \"c\", key_file = \"k\" }";
    for (amqp, expected) in [
        (
            format!("uri = \"amqp://u:hunter2@b\"\n{tls}"),
            "amqp.uri: begins with amqp://, and [amqp.tls] is for amqps://; write amqps://",
        ),
        (
            "uri = \"amqps://b?auth_mechanism=external\"".to_owned(),
            "amqp.uri: has auth_mechanism=external, so the certificate is the login; write amqps://, and set amqp.tls.cert_file",
        ),
        (
            format!("uri = \"amqp://b?auth_mechanism=external\"\n{tls}"),
            "amqp.uri: begins with amqp://",
        ),
        (
            format!("uri = \"amqps://b?auth_mechanism=external\"\n{tls}\ntoken_file = \"t\""),
            "amqp.uri: has auth_mechanism=external, and amqp.token_file is a login too",
        ),
        (
            "uris = [\"amqp://a\", \"amqp://u:hunter2@b\"]\ntoken_file = \"t\"".to_owned(),
            "amqp.uris: has a password, and amqp.token_file is a login too",
        ),
        (
            "uri = \"amqp://b\"\ntoken_file = \"eyhunter2.a.b\"".to_owned(),
            "amqp.token_file: must be the path of a file that holds the token, not the token",
        ),
        (
            "uri = \"amqps://b\"\ntls = { cert_file = \"c\" }".to_owned(),
            "amqp.tls.key_file: is missing beside cert_file",
        ),
        (
            "uri = \"amqps://b\"\ntls = { ca_file = \"a\", client_ca_file = \"a\" }".to_owned(),
            "amqp.tls.client_ca_file: is for the bridge as the broker, and there is the address of a RabbitMQ; write ca_file",
        ),
        (
            "uri = \"amqps://b\"\ntls = { ca_file = \"-----BEGIN hunter2\" }".to_owned(),
            "amqp.tls.ca_file: must be the path of a file, not what is in it",
        ),
        (
            "tls = { cert_file = \"c\", key_file = \"k\", ca_file = \"a\" }".to_owned(),
            "amqp.tls.ca_file: is for the certificate of a RabbitMQ, and without amqp.uri the bridge itself is the broker",
        ),
        (
            "token_file = \"t\"".to_owned(),
            "amqp.token_file: is for a login at a RabbitMQ, and without amqp.uri the bridge itself is the broker",
        ),
        (
            "tls = { cert_file = \"c\", key_file = \"-----BEGIN hunter2\" }".to_owned(),
            "amqp.tls.key_file: must be the path of a file, not what is in it",
        ),
    ] {
        let text = with(&format!("[amqp]\n{amqp}"), "");
        assert_problems(&text, &[expected]);
        assert!(!problems(&text).concat().contains("hunter2"));
    }
}

#[test]
fn an_address_that_other_machines_reach_needs_users_and_tls() {
    let users = "[[amqp.users]]\nname = \"u\"\npassword_file = \"p\"\n";
    let tls = "tls = { cert_file = \"c\", key_file = \"k\" }\n";
    let no_users =
        "amqp.users: there is none, and other machines reach amqp.listen = \"0.0.0.0:5672\"";
    let no_tls = "amqp.tls: is missing, and other machines reach amqp.listen = \"0.0.0.0:5672\"";
    for (listen, rest, expected) in [
        ("127.0.0.1:1", "", vec![]),
        ("127.1.2.3:1", "", vec![]),
        ("[::1]:1", "", vec![]),
        ("0.0.0.0:5672", "", vec![no_users, no_tls]),
        ("0.0.0.0:5672", users, vec![no_tls]),
        ("0.0.0.0:5672", tls, vec![no_users]),
        ("0.0.0.0:5672", "plaintext = true\n", vec![no_users]),
        (
            "0.0.0.0:5672",
            &format!("plaintext = true\n{users}"),
            vec![],
        ),
        ("[::]:5672", &format!("{tls}{users}"), vec![]),
        (
            "[::]:5672",
            &format!("{tls}plaintext = true\n{users}"),
            vec!["amqp.plaintext = true: stands beside [amqp.tls]"],
        ),
        (
            "localhost",
            "",
            vec!["amqp.listen = \"localhost\": must be an address and a port"],
        ),
    ] {
        let amqp = format!("[amqp]\nlisten = \"{listen}\"\n{rest}");
        assert_problems(&with(&amqp, ""), &expected);
    }
}

#[test]
fn a_user_needs_a_login_a_name_of_its_own_and_routes_that_there_are() {
    let user = |text: &str| with(&format!("[[amqp.users]]\n{text}"), "");
    for (text, expected) in [
        (
            "",
            vec![
                "amqp.users[0].name: is missing",
                "amqp.users[0].password_file: is missing; give the path of a file",
            ],
        ),
        (
            "name = \"\"\npassword_file = \"\"\npassword = \"hunter2\"",
            vec![
                "amqp.users[0].name = \"\": must be 1 to 255 bytes",
                "amqp.users[0].password_file: must not be empty",
                "amqp.users[0].password: there is no such setting; did you mean \"password_file\"?",
            ],
        ),
        (
            "name = \"u\"\ncertificate_name = \"\"",
            vec!["amqp.users[0].certificate_name = \"\": must be 1 to 2048 bytes"],
        ),
        (
            "name = \"u\"\ncertificate_name = \"u.shop\"",
            vec!["amqp.users[0].certificate_name = \"u.shop\": needs amqp.tls.client_ca_file"],
        ),
        (
            "name = \"u\"\npassword_file = \"p\"\nroutes = [\"r\", \"s\"]",
            vec!["amqp.users[0].routes[1] = \"s\": there is no such route; the routes are r"],
        ),
        (
            "name = \"u\"\npassword_file = \"p\"\nroutes = \"r\"",
            vec!["amqp.users[0].routes = \"r\": must be a list of texts"],
        ),
        (
            "name = \"u\"\npassword_file = \"p\"\n[[amqp.users]]\nname = \"u\"\npassword_file = \"q\"",
            vec!["amqp.users[1].name = \"u\": amqp.users[0] has this name too"],
        ),
    ] {
        assert_problems(&user(text), &expected);
    }
}

#[test]
fn with_client_certificates_a_user_needs_a_password_or_a_certificate_name_of_its_own() {
    let tls = "[amqp]\ntls = { cert_file = \"c\", key_file = \"k\", client_ca_file = \"a\" }\n";
    let user = |name: &str, login: &str| format!("[[amqp.users]]\nname = \"{name}\"\n{login}\n");
    let (password, certificate) = ("password_file = \"p\"", "certificate_name = \"u.shop\"");
    let both = format!("{password}\n{certificate}");
    for (users, expected) in [
        (user("u", password), vec![]),
        (user("u", certificate), vec![]),
        (user("u", &both), vec![]),
        (
            user("u", ""),
            vec![
                "amqp.users[0].password_file: is missing; give the path of a file that holds the password, or certificate_name",
            ],
        ),
        (
            user("u", &both) + &user("v", password) + &user("w", certificate),
            vec!["amqp.users[2].certificate_name = \"u.shop\": amqp.users[0] has this name too"],
        ),
    ] {
        assert_problems(&with(&format!("{tls}{users}"), ""), &expected);
    }
}

#[test]
fn an_acknowledgement_completes_on_the_endpoint_and_releases_with_rabbitmq() {
    let config = |ack, ack_written, result: Option<&str>| AckConfig {
        ack,
        ack_written,
        result: result.map(str::to_owned),
        grace: Duration::from_millis(100),
        timeout: None,
    };
    for (amqp, source, text, expected) in [
        ("", SWF, "", config(Ack::Completes, false, None)),
        (
            "",
            ACTIVITY,
            "",
            config(Ack::Completes, false, Some("null")),
        ),
        (
            "",
            SWF,
            "ack = \"completes\"",
            config(Ack::Completes, true, None),
        ),
        (
            "",
            SWF,
            "ack = \"releases\"",
            config(Ack::Releases, true, None),
        ),
        (
            "",
            SWF,
            "ack_result = \"done\"",
            config(Ack::Completes, false, Some("done")),
        ),
        (URI, SWF, "", config(Ack::Releases, false, None)),
        (
            URI,
            SWF,
            "ack = \"releases\"",
            config(Ack::Releases, true, None),
        ),
    ] {
        let (found, _) = route(amqp, source, text);
        assert_eq!(found, expected, "{amqp} {text}");
    }
    let (found, _) = route("", SWF, "ack_grace_ms = 0\nack_timeout_secs = 9");
    assert_eq!(
        (found.grace, found.timeout),
        (Duration::ZERO, Some(Duration::from_secs(9)))
    );
}

#[test]
fn a_setting_about_acknowledgements_that_means_nothing_is_refused_with_the_reason() {
    let told = "RabbitMQ tells nobody that a worker has acknowledged";
    for (amqp, source, text, expected) in [
        (
            URI,
            SWF,
            "ack = \"completes\"",
            "routes[0].ack = \"completes\": is for the bridge as the broker",
        ),
        (
            URI,
            SWF,
            "ack_result = \"x\"",
            "routes[0].ack_result: is for the bridge as the broker",
        ),
        (
            URI,
            SWF,
            "ack_grace_ms = 1",
            "routes[0].ack_grace_ms: is for the bridge as the broker",
        ),
        (
            URI,
            SWF,
            "ack_timeout_secs = 1",
            "routes[0].ack_timeout_secs: is for the bridge as the broker",
        ),
        (
            "",
            SWF,
            "ack = \"done\"",
            "routes[0].ack = \"done\": must be \"completes\" or \"releases\"",
        ),
        (
            "",
            SWF,
            "ack = \"releases\"\nack_result = \"x\"",
            "routes[0].ack_result: is for ack = \"completes\"",
        ),
        (
            "",
            ACTIVITY,
            "ack_result = \"done\"",
            "routes[0].ack_result = \"done\": must be JSON",
        ),
    ] {
        let found = problems(&format!("{amqp}\n{ROUTE}{source}{text}"));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(expected), "{found:#?}");
        assert_eq!(found[0].contains(told), amqp == URI, "{found:#?}");
    }
    let long = "x".repeat(32_769);
    let found = problems(&with("", &format!("ack_result = \"{long}\"")));
    assert!(found[0].ends_with("must be at most 32768 characters long; this has 32769"));
}

#[test]
fn routes_to_one_queue_understand_an_acknowledgement_alike() {
    let two = |first: &str, second: &str| {
        format!("{ROUTE}{SWF}{first}\n[[routes]]\nname = \"s\"\nqueue = \"q\"\n{SWF}{second}")
    };
    let released = "ack = \"releases\"";
    assert_problems(&two("", "ack = \"completes\""), &[]);
    assert_problems(&two(released, released), &[]);
    let problem =
        "routes[1].ack = \"completes\": routes[0] has the same queue and ack = \"releases\"";
    assert_problems(&two(released, ""), &[problem]);
    let apart =
        two(released, "").replace("name = \"s\"\nqueue = \"q\"", "name = \"s\"\nqueue = \"s\"");
    assert_problems(&apart, &[]);
}

#[test]
fn what_needs_a_rabbitmq_is_refused_without_a_uri() {
    let rule = "needs a RabbitMQ, and without amqp.uri the bridge itself is the broker; remove it, or set amqp.uri";
    for (text, keys) in [
        ("declare = false", vec!["declare = false"]),
        ("priority = 3", vec!["priority = 3"]),
        (
            "exchange = \"e\"\nrouting_key = \"k\"",
            vec!["exchange", "routing_key"],
        ),
    ] {
        let expected: Vec<_> = keys
            .iter()
            .map(|key| format!("routes[0].{key}: {rule}"))
            .collect();
        assert_eq!(problems(&with("", text)), expected);
        assert_problems(&with(URI, text), &[]);
    }
}

#[test]
fn max_ready_follows_the_workers_on_the_endpoint_and_is_a_number_with_rabbitmq() {
    let number = MaxReady::Number;
    for (amqp, text, expected) in [
        ("", "", MaxReady::Auto),
        ("", "max_ready = \"auto\"", MaxReady::Auto),
        ("", "max_ready = 0", number(0)),
        (URI, "", number(100)),
        (URI, "max_in_flight = 7", number(7)),
        (URI, "max_ready = 3", number(3)),
    ] {
        assert_eq!(route(amqp, SWF, text).1, expected, "{amqp} {text}");
    }
    let auto = "routes[0].max_ready = \"auto\": is for the bridge as the broker";
    assert_problems(&with(URI, "max_ready = \"auto\""), &[auto]);
    let wrong = "routes[0].max_ready = \"car\": must be \"auto\", or a whole number from 0";
    assert_problems(&with("", "max_ready = \"car\""), &[wrong]);
}

#[test]
fn a_route_that_polls_without_consumers_says_how_many_tasks_may_wait_on_the_endpoint() {
    let blind = "poll_without_consumers = true\n";
    let with_blind = |amqp: &str, more: &str| with(amqp, &format!("{blind}{more}"));
    let missing = "routes[0].max_ready: must be a number from 1 on beside poll_without_consumers";
    let none = "routes[0].max_ready = 0: must be a number from 1 on";
    assert_problems(&with_blind("", ""), &[missing]);
    assert_problems(&with_blind("", "max_ready = 0"), &[none]);
    assert_problems(&with_blind("", "max_ready = 1"), &[]);
    assert_problems(&with_blind("", "pollers.min = 1"), &[]);
    assert_problems(&with_blind(URI, ""), &[]);
}
