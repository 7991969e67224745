//! Variables in the texts of the files.

use super::{SMALLEST, load};
use crate::{broker::BrokerConfig, config::Config, route::MaxReady, source::SourceConfig};
use figment::Jail;

/// Loads a file with these variables.
fn with(variables: &[(&str, &str)], text: &str) -> Result<Config, String> {
    let mut loaded = None;
    Jail::expect_with(|jail| {
        jail.create_file("bridge.toml", text)?;
        for (name, text) in variables {
            jail.set_env(name, text);
        }
        loaded = Some(load(&["bridge.toml"]).map_err(|error| error.to_string()));
        Ok(())
    });
    loaded.expect("loaded")
}

/// The only problem.
#[track_caller]
fn problem(variables: &[(&str, &str)], text: &str) -> String {
    let error = with(variables, text).expect_err("a mistake");
    let only = error.strip_prefix("1 problem in the configuration:\n  ");
    only.unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[test]
fn a_variable_stands_in_any_text_of_any_table_and_list() {
    let text = r#"
        aws = { region = "eu-${PLACE}-1" }
        [store]
        kind = "${STORE:-memory}"
        [[amqp.users]]
        name = "${POD}-worker"
        password_file = "/run/${POD}"
        routes = ["payments", "${ROUTE}"]
        [[routes]]
        name = "payments"
        queue = "payments.${POD}"
        swf = { domain = "shop", task_list = "${POD}-list" }
        [[routes]]
        name = "${ROUTE}"
        queue = "q"
        [routes.swf]
        domain = "${STAGE:-test}"
        task_list = "$${STAGE}"
        "#;
    let variables = [("PLACE", "west"), ("POD", "pod-1"), ("ROUTE", "mails")];
    let config = with(&variables, text).expect("valid");
    assert_eq!(config.region.as_deref(), Some("eu-west-1"));
    assert_eq!(config.store.to_string(), "memory");
    let BrokerConfig::Endpoint(endpoint) = &config.broker else {
        panic!("{:?}", config.broker);
    };
    let user = &endpoint.users[0];
    assert_eq!(user.name, "pod-1-worker");
    assert_eq!(
        user.routes.as_deref(),
        Some(&["payments".to_owned(), "mails".to_owned()][..])
    );
    let lists = config.routes.iter().map(|route| match &route.source {
        SourceConfig::Swf(swf) => (&*route.name, &*swf.domain, &*swf.task_list),
        SourceConfig::StepFunctions(_) => panic!("SWF"),
    });
    let expected = [
        ("payments", "shop", "pod-1-list"),
        ("mails", "test", "${STAGE}"),
    ];
    assert_eq!(lists.collect::<Vec<_>>(), expected);
    let queue = config.routes[0].destination.queue().expect("a queue");
    assert_eq!(queue.name, "payments.pod-1");
}

#[test]
fn a_variable_is_a_number_or_a_flag_or_a_word_where_one_is_wanted() {
    let text =
        SMALLEST.replace("uri = \"amqp://127.0.0.1\"", "") + "[routes.pollers]\nmax = \"${MAX}\"\n";
    let text = text.replace(
        "queue = \"payments\"",
        "queue = \"payments\"\nmax_in_flight = \"${MAX}\"\nmax_ready = \"${READY}\"\ndead_letters = \"${DEAD}\"",
    );
    for (ready, max_ready) in [("auto", MaxReady::Auto), ("12", MaxReady::Number(12))] {
        let variables = [("MAX", " 70 "), ("READY", ready), ("DEAD", "false")];
        let route = with(&variables, &text).expect("valid").routes.remove(0);
        assert_eq!((route.max_in_flight, route.pollers.max), (70, 70));
        assert_eq!((route.max_ready, route.dead_letters), (max_ready, false));
    }
    for bad in ["", "x", "0", "-1", "1.5", "70 # more", "[70]", "true"] {
        let text = SMALLEST.replace("queue =", "max_in_flight = \"${MAX}\"\nqueue =");
        let problem = problem(&[("MAX", bad)], &text);
        let expected =
            "routes[0].max_in_flight = \"${MAX}\": must be a whole number from 1 to 60000";
        assert_eq!(problem, expected, "{bad}");
    }
    let written = problem(&[], &format!("{SMALLEST}[shutdown]\ngrace_secs = \"7\"\n"));
    assert!(
        written.starts_with("shutdown.grace_secs = \"7\": must be"),
        "{written}"
    );
}

/// A variable is put into a text after the file was parsed, so it stays within this text.
#[test]
fn nothing_can_be_injected_by_a_variable() {
    let text = SMALLEST.replace("queue = \"payments\"", "queue = \"${QUEUE}\"");
    for queue in [
        "a\"b",
        "x${HOME}y",
        "$${HOME}",
        "[1]",
        "{ a = 1 }",
        "2024",
        "true",
        "#",
    ] {
        let config = with(&[("QUEUE", queue)], &text).expect(queue);
        let found = config.routes[0].destination.queue().expect("a queue");
        assert_eq!(found.name, queue);
    }
    for list in ["[]", "[\"payments\"]", "payments"] {
        let text = "[[amqp.users]]\nname = \"u\"\npassword_file = \"f\"\nroutes = \"${LIST}\"\n";
        let text = SMALLEST.replace("[amqp]\nuri = \"amqp://127.0.0.1\"\n", text);
        let problem = problem(&[("LIST", list)], &text);
        let expected = "amqp.users[0].routes = \"${LIST}\": must be a list of texts in quotes";
        assert_eq!(problem, expected);
    }
}

#[test]
fn a_variable_that_is_not_set_is_named_with_its_key_and_how_to_mend_it() {
    let text = SMALLEST.replace("\"amqp://127.0.0.1\"", "\"amqp://u:hunter2@${BROKER}/%2f\"");
    assert_eq!(
        problem(&[], &text),
        "amqp.uri: the variable BROKER is not set; set it, or write a default: ${BROKER:-…}"
    );
    let text = SMALLEST.replace(
        "queue = \"payments\"",
        "queue = \"payments.${POD:?name the pod}\"",
    );
    let expected = "routes[0].queue: the variable POD is not set, or is empty: name the pod";
    assert_eq!(problem(&[], &text), expected);
    assert_eq!(problem(&[("POD", "")], &text), expected);
}

#[test]
fn all_variables_that_are_not_set_are_told_at_once_beside_other_problems() {
    let text = SMALLEST
        .replace("name = \"payments\"", "name = \"${A}\"")
        .replace(
            "queue = \"payments\"",
            "queue = \"${B}${C}\"\nmax_in_flight = 0",
        );
    let error = with(&[], &text).expect_err("four");
    for expected in [
        "4 problems",
        "routes[0].name: the variable A ",
        "routes[0].queue: the variable B ",
        "routes[0].queue: the variable C ",
        "routes[0].max_in_flight = 0: must be",
    ] {
        assert!(error.contains(expected), "no {expected:?} in {error}");
    }
}

#[test]
fn a_variable_of_a_value_that_is_overridden_need_not_be_set() {
    Jail::expect_with(|jail| {
        let over = "[admin]\nlisten = \"${ADMIN}\"\n[store]\npath = \"${PATH_OF_STORE}\"\n";
        jail.create_file("base.toml", &format!("{SMALLEST}{over}"))?;
        jail.create_file("stage.toml", "[admin]\nlisten = \"127.0.0.1:1\"\n")?;
        jail.set_env("ACTIVITY_BRIDGE_STORE__PATH", "/a/${b}");
        let config = load(&["base.toml", "stage.toml"]).expect("valid");
        assert_eq!(config.admin.listen.port(), 1);
        let store = config.store.place();
        assert!(store.ends_with("/a/${b}"), "as it was given: {store}");
        Ok(())
    });
}

/// A key is shown as it is written, whatever its variables hold.
#[test]
fn no_problem_shows_what_a_variable_holds() {
    let secret = [("SECRET", "hunter2://a b|c\u{7f}")];
    for (line, table) in [
        ("listen = \"${SECRET}\"", "admin"),
        ("listen = \"${SECRET}\"\nsocket = \"${SECRET}\"", "admin"),
        ("grace_secs = \"x${SECRET}\"", "shutdown"),
        ("give_back = \"${SECRET}\"", "shutdown"),
        ("level = \"${SECRET}\"", "log"),
        ("format = \"${SECRET}\"", "log"),
        ("kind = \"${SECRET}\"", "store"),
        ("kind = \"redis\"\nurl = \"${SECRET}\"", "store"),
        ("kind = \"redis\"\nurl_file = \"x${SECRET}\"", "store"),
        (
            "kind = \"redis\"\nurl_file = \"${KNOWN:-${SECRET}}\"",
            "store",
        ),
        (
            "kind = \"redis\"\nurls = [\"${SECRET}\"]\ncluster = true",
            "store",
        ),
        (
            "kind = \"redis\"\nurl = \"redis://a\"\nprefix = \"${SECRET}\"",
            "store",
        ),
        ("region = \"${SECRET}\"", "aws"),
        ("nothing = \"${SECRET}\"", "aws"),
        ("nothing = [{ a = \"${SECRET}\" }]", "aws"),
    ] {
        let error = with(&secret, &format!("{SMALLEST}[{table}]\n{line}\n"));
        let error = error.expect_err(line);
        assert!(!error.contains("hunter2"), "{line}: {error}");
        assert!(error.contains(table), "{line}: {error}");
    }
    for line in [
        "name = \"${SECRET}\"",
        "queue = \"${SECRET}\"\nexchange = \"${SECRET}\"",
        "routing_key = \"{${SECRET}}\"\nexchange = \"e\"",
        "swf = \"${SECRET}\"",
        "heartbeat = [\"${SECRET}\"]",
        "ack = \"${SECRET}\"",
        "ack_result = \"${SECRET}\"",
        "step_functions.activity_arn = \"${SECRET}\"",
        "[routes.swf]\ndomain = \"${SECRET}\"\ntask_list = \"${SECRET}\"",
    ] {
        let error = with(&secret, &format!("[[routes]]\n{line}\n")).expect_err(line);
        assert!(!error.contains("hunter2"), "{line}: {error}");
    }
    // A path that can't be read is shown, but for what its variables hold.
    let file = SMALLEST.replace(
        "uri = \"amqp://127.0.0.1\"",
        "uri_file = \"/none/${SECRET}\"",
    );
    let expected = "amqp.uri_file: the file \"/none/${SECRET}\" can't be read";
    let found = problem(&[("SECRET", "hunter2")], &file);
    assert!(found.starts_with(expected), "{found}");
    let twins = SMALLEST.replace("name = \"payments\"", "name = \"${SECRET}\"");
    let twins = format!("{twins}{}", &twins[twins.find("[[").expect("a route")..]);
    let found = problem(&[("SECRET", "hunter2")], &twins);
    assert!(
        found.starts_with("routes[1].name = \"${SECRET}\": routes[0] has"),
        "{found}"
    );
}
