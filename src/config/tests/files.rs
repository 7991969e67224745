//! Several files, and folders.

use super::{SMALLEST, load, problems};
use crate::config::Config;
use figment::Jail;
use std::{os::unix::fs::symlink, time::Duration};

const ROUTE: &str = "[[routes]]\nname = \"NAME\"\nqueue = \"NAME\"\nmax_in_flight = 7\n\
                     swf = { domain = \"shop\", task_list = \"NAME\" }\n";

fn route(name: &str) -> String {
    ROUTE.replace("NAME", name)
}

fn names(config: &Config) -> Vec<&str> {
    config.routes.iter().map(|route| &*route.name).collect()
}

#[track_caller]
fn error(paths: &[&str]) -> String {
    load(paths).expect_err("a mistake").to_string()
}

#[test]
fn the_last_file_wins_tables_are_merged_and_routes_are_joined() {
    Jail::expect_with(|jail| {
        let base = SMALLEST.replace("uri = \"amqp://127.0.0.1\"", "uris = [\"amqp://base\"]");
        let more = "[shutdown]\ngrace_secs = 80\ngive_back = true\n";
        jail.create_file("base.toml", &format!("{base}{more}"))?;
        let stage = "[amqp]\nuris = [\"amqp://a\", \"amqp://b\"]\n[shutdown]\ngrace_secs = 90\n";
        jail.create_file("stage.toml", &format!("{stage}{}", route("mails")))?;
        jail.create_file("last.toml", "[amqp]\nuris = [\"amqp://c\"]\n")?;
        let paths = ["base.toml", "stage.toml", "last.toml"];
        let config = load(&paths).expect("valid");
        assert_eq!(names(&config), ["payments", "mails"]);
        assert_eq!(config.routes[1].max_in_flight, 7);
        assert_eq!(config.shutdown.grace, Duration::from_secs(90));
        assert!(config.shutdown.give_back);
        let uris = format!("{:?}", config.broker);
        assert!(uris.contains("@c:") && !uris.contains("@a:"), "{uris}");
        assert!(!uris.contains("@base"), "{uris}");

        jail.set_env("ACTIVITY_BRIDGE_SHUTDOWN__GRACE_SECS", "100");
        let config = load(&paths).expect("valid");
        assert_eq!(config.shutdown.grace, Duration::from_secs(100));
        Ok(())
    });
}

#[test]
fn a_folder_is_its_toml_files_in_the_order_of_their_names() {
    Jail::expect_with(|jail| {
        jail.create_dir("folder")?;
        jail.create_file("folder/20-b.toml", &route("b"))?;
        jail.create_file("folder/10-a.toml", &route("a"))?;
        jail.create_file("folder/30-c.toml", "store.kind = \"memory\"\n")?;
        for not_one in [".hidden.toml", "40-d.toml.bak", "toml", "50-e.tml"] {
            jail.create_file(format!("folder/{not_one}"), "not = TOML at all")?;
        }
        jail.create_dir("folder/60-f.toml")?;
        assert_eq!(names(&load(&["folder"]).expect("valid")), ["a", "b"]);

        jail.create_file("last.toml", &route("c"))?;
        let config = load(&["last.toml", "folder"]).expect("valid");
        assert_eq!(names(&config), ["c", "a", "b"]);
        Ok(())
    });
}

/// As the kubelet lays it out: `config.toml` → `..data/config.toml`, `..data` → a hidden folder with a time in its name.
#[test]
fn a_folder_may_be_a_mounted_config_map() {
    Jail::expect_with(|jail| {
        let (mount, dated) = ("mount", "..2026_01_02_03_04_05.678");
        jail.create_dir(mount)?;
        jail.create_dir(format!("{mount}/{dated}"))?;
        jail.create_file(format!("{mount}/{dated}/config.toml"), SMALLEST)?;
        let mount = jail.directory().join(mount);
        symlink(dated, mount.join("..data")).expect("a link");
        symlink("..data/config.toml", mount.join("config.toml")).expect("a link");
        assert_eq!(names(&load(&["mount"]).expect("valid")), ["payments"]);
        Ok(())
    });
}

#[test]
fn a_file_or_a_folder_that_cannot_be_read_is_named() {
    Jail::expect_with(|jail| {
        jail.create_file("good.toml", SMALLEST)?;
        jail.create_file("bad.toml", "[amqp\nuri = \"hunter2\"")?;
        jail.create_dir("empty")?;
        jail.create_dir("dangling")?;
        symlink("nowhere", jail.directory().join("dangling/x.toml")).expect("a link");
        for (path, expected) in [
            ("none.toml", "none.toml: No such file"),
            ("bad.toml", "bad.toml: TOML parse error at line 1"),
            ("empty", "empty: this folder has no file *.toml"),
            ("dangling", "dangling/x.toml: No such file"),
        ] {
            let error = self::error(&["good.toml", path]);
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        Ok(())
    });
}

#[test]
fn of_several_files_each_problem_names_its_own() {
    Jail::expect_with(|jail| {
        let first = format!("{SMALLEST}[admin]\nlisten = \"here\"\n[shutdown]\ngrace_secs = 0\n");
        jail.create_file("first.toml", &first)?;
        let second = format!(
            "{}[shutdown]\ngrace = 1\n[store]\nkind = \"x\"\n",
            route("a b")
        );
        jail.create_file("second.toml", &second)?;
        jail.create_file(
            "third.toml",
            "[[routes]]\nname = \"payments\"\n[store]\nkid = 1\n",
        )?;
        jail.set_env("ACTIVITY_BRIDGE_LOG__LEVEL", "loud");
        let error = self::error(&["first.toml", "second.toml", "third.toml"]);
        for expected in [
            "\n  first.toml: admin.listen = \"here\": must be an address",
            "\n  first.toml: shutdown.grace_secs = 0: must be",
            "\n  second.toml: shutdown.grace: there is no such setting",
            "\n  second.toml: store.kind = \"x\": must be",
            "\n  second.toml: routes[1].name = \"a b\": must be",
            "\n  third.toml: store.kid: there is no such setting",
            "\n  third.toml: routes[2].queue: is missing",
            "\n  third.toml: routes[2].name = \"payments\": routes[0] has this name too",
            "\n  the environment: log.level = \"loud\": ",
        ] {
            assert!(error.contains(expected), "no {expected:?} in {error}");
        }

        jail.create_file("empty.toml", "")?;
        let without_routes = "[amqp]\nuri = \"amqp://a\"\n[log]\nlevel = \"info\"\n";
        jail.create_file("no-routes.toml", without_routes)?;
        let error = self::error(&["empty.toml", "no-routes.toml"]);
        assert!(error.contains("\n  routes: there is none"), "{error}");
        Ok(())
    });
}

#[test]
fn a_problem_of_a_table_in_several_files_names_none_of_them() {
    Jail::expect_with(|jail| {
        jail.create_file(
            "first.toml",
            &format!("{SMALLEST}[store]\nkind = \"redis\"\n"),
        )?;
        jail.create_file("second.toml", "store.prefix = \"shop\"\n")?;
        let error = self::error(&["first.toml", "second.toml"]);
        assert!(error.contains("\n  store.url: is missing"), "{error}");
        Ok(())
    });
}

#[test]
fn one_file_is_not_named() {
    let found = problems(&format!("{SMALLEST}[admin]\nlisten = \"here\"\n"));
    assert!(found[0].starts_with("admin.listen = \"here\""), "{found:?}");
}

/// Only a list of tables can be added to: nobody could take an address out of a list of them.
#[test]
fn a_list_of_users_is_joined_and_one_in_the_environment_takes_their_place() {
    Jail::expect_with(|jail| {
        let user =
            |name: &str| format!("[[amqp.users]]\nname = \"{name}\"\npassword_file = \"f\"\n");
        jail.create_file("a.toml", &format!("{}{}", user("a"), route("r")))?;
        jail.create_file("b.toml", &user("b"))?;
        let users = || format!("{:?}", load(&["a.toml", "b.toml"]).expect("valid").broker);
        let both = users();
        assert!(
            both.contains("name: \"a\"") && both.contains("name: \"b\""),
            "{both}"
        );
        let given = "[{name=\"c\",password_file=\"f\"}]";
        jail.set_env("ACTIVITY_BRIDGE_AMQP__USERS", given);
        let one = users();
        assert!(
            one.contains("name: \"c\"") && !one.contains("name: \"a\""),
            "{one}"
        );
        Ok(())
    });
}

#[test]
fn the_level_of_the_log_may_be_in_capitals_or_a_number_and_other_words_may_not() {
    Jail::expect_with(|jail| {
        jail.create_file("bridge.toml", SMALLEST)?;
        for (given, level) in [
            ("debug", tracing::Level::DEBUG),
            ("WARN", tracing::Level::WARN),
            ("Trace", tracing::Level::TRACE),
            ("1", tracing::Level::ERROR),
            ("5", tracing::Level::TRACE),
        ] {
            jail.set_env("ACTIVITY_BRIDGE_LOG__LEVEL", given);
            let config = load(&["bridge.toml"]).expect("valid");
            assert_eq!(config.log.level, level, "{given}");
        }
        for wrong in ["0", "6", "loud"] {
            jail.set_env("ACTIVITY_BRIDGE_LOG__LEVEL", wrong);
            let error = self::error(&["bridge.toml"]);
            assert!(error.contains("log.level"), "{error}");
        }
        jail.set_env("ACTIVITY_BRIDGE_LOG__LEVEL", "info");
        jail.set_env("ACTIVITY_BRIDGE_LOG__FORMAT", "JSON");
        let error = self::error(&["bridge.toml"]);
        assert!(error.contains("must be \"text\" or \"json\""), "{error}");
        Ok(())
    });
}
