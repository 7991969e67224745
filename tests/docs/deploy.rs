//! What `deploy/` says fits the configurations in it: grace periods, volumes, versions, health checks.

use crate::{configuration::parse, files, root, text_of};
use activity_bridge::{
    broker::BrokerConfig, config::Config, route::RouteConfig, source::SourceConfig,
    store::StoreConfig,
};
use std::{collections::HashSet, time::Duration};

const SERVICE: &str = "deploy/systemd/activity-bridge.service";
const DEBIAN: &str = "deploy/debian/config.toml";
const ECS: &str = "deploy/ecs/service.yaml";
const COMPOSE: &str = "compose.yaml";

#[track_caller]
fn configuration(what: &str, text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// The block of a YAML file that begins after a mark, without its indentation.
fn block(text: &str, mark: &str) -> String {
    let (_, rest) = text.split_once(mark).expect("the mark");
    let first = rest.lines().next().expect("a block");
    let indent = first.len() - first.trim_start().len();
    let inside = |line: &&str| line.trim().is_empty() || line.starts_with(&" ".repeat(indent));
    let lines = rest.lines().take_while(inside);
    let lines: Vec<_> = lines
        .map(|line| line.get(indent..).unwrap_or_default())
        .collect();
    lines.join("\n")
}

/// The first whole number after a mark.
#[track_caller]
fn number(text: &str, mark: &str) -> u64 {
    let rest = text.split_once(mark).map(|(_, rest)| rest.trim_start());
    let rest = rest.unwrap_or_else(|| panic!("no {mark}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// Each Kubernetes manifest, and the configuration in it.
fn manifests() -> Vec<(String, String, Config)> {
    let paths = files("deploy/kubernetes", "yaml");
    let manifest = |path: &std::path::PathBuf| {
        let name = path.display().to_string();
        let text = text_of(path);
        let config = configuration(&name, &block(&text, "config.toml: |\n"));
        (name, text, config)
    };
    let found: Vec<_> = paths.iter().map(manifest).collect();
    assert!(found.len() >= 4, "{paths:?}");
    found
}

#[track_caller]
fn assert_outlives(what: &str, stop: u64, config: &Config) {
    let grace = config.shutdown.grace;
    assert!(grace >= Duration::from_secs(75), "{what}: {grace:?}");
    assert!(Duration::from_secs(stop) > grace, "{what}: {stop} s");
}

#[test]
fn the_pods_of_the_kubernetes_manifests_outlive_the_grace_period() {
    for (name, text, config) in manifests() {
        let stop = number(&text, "terminationGracePeriodSeconds:");
        assert_outlives(&name, stop, &config);
    }
}

#[test]
fn the_pods_of_the_kubernetes_manifests_have_a_volume_for_the_file() {
    for (name, text, config) in manifests() {
        // Nobody can go on with the file of a pod that is gone.
        let goes_with_the_pod = text.contains("- name: activity-bridge-tasks\n          emptyDir:");
        if let StoreConfig::File(file) = &config.store {
            let folder = file.path.parent().expect("a folder").display();
            assert!(text.contains(&format!("mountPath: {folder}\n")), "{name}");
            assert_eq!(config.shutdown.give_back, goes_with_the_pod, "{name}");
        } else {
            assert!(!goes_with_the_pod && !config.shutdown.give_back, "{name}");
        }
    }
}

/// The worst case in all, by docs/sizing.md, in MiB. A sidecar has no more connections than a pod has workers.
fn worst_case(config: &Config) -> u64 {
    const MAX_SIDECAR_CONNECTIONS: u64 = 40;
    let services: HashSet<_> = config
        .routes
        .iter()
        .map(|route| std::mem::discriminant(&route.source))
        .collect();
    let inputs: u64 = config.routes.iter().map(largest_inputs).sum();
    let side = match &config.broker {
        BrokerConfig::RabbitMq(_) => 274 + 16,
        BrokerConfig::Endpoint(endpoint) if endpoint.listen.ip().is_loopback() => {
            96 + 5 * MAX_SIDECAR_CONNECTIONS
        }
        BrokerConfig::Endpoint(endpoint) => 96 + 5 * endpoint.max_connections as u64,
    };
    40 + 36 * services.len() as u64 + inputs + side
}

/// What the inputs of a route's tasks in flight may take, in MiB. A character of SWF may have four bytes.
fn largest_inputs(route: &RouteConfig) -> u64 {
    let input = match route.source {
        SourceConfig::Swf(_) => 4 * 32_768,
        SourceConfig::StepFunctions(_) => 1 << 20,
    };
    (route.max_in_flight as u64 * input) >> 20
}

#[test]
fn the_memory_limits_of_the_kubernetes_manifests_leave_room_for_the_worst_case() {
    for (name, text, config) in manifests() {
        let (_, limits) = text
            .split_once("limits:\n              memory:")
            .unwrap_or_else(|| panic!("{name}: no limit"));
        let limit = number(limits, "");
        let worst = worst_case(&config);
        assert!(limit >= worst, "{name}: {limit} MiB, and {worst} at worst");
    }
    let sizing = text_of("docs/sizing.md");
    assert!(sizing.contains("512 MiB, leaves room for this with 40 connections"));
}

/// The worker begins when the bridge has started, and ends when the bridge has drained, where the bridge is the sidecar.
#[test]
fn the_sidecars_of_the_kubernetes_manifests_start_before_the_worker_and_end_after_it() {
    let mut sidecars = 0;
    for (name, text, _) in manifests() {
        let Some((before, worker)) = text.split_once("- name: worker\n") else {
            continue;
        };
        if text.contains("--until-idle") {
            continue;
        }
        sidecars += 1;
        let (_, bridge) = before
            .split_once("initContainers:")
            .expect("a native sidecar");
        assert!(bridge.contains("restartPolicy: Always"), "{name}");
        assert!(bridge.contains("path: /started"), "{name}");
        assert!(
            bridge.contains(r#""/usr/local/bin/activity-bridge", "drain""#),
            "{name}"
        );
        assert!(worker.contains("path: /drained"), "{name}");
        assert!(!text.contains("sleep\""), "{name}");
    }
    assert!(sidecars >= 2, "{sidecars}");
}

/// The bridge of a Job ends by itself, and the worker after it. The bridge's last polls may bring tasks, which must end in time.
#[test]
fn the_bridge_of_a_job_ends_before_its_worker_and_has_time_for_its_last_task() {
    let mut jobs = 0;
    for (name, text, config) in manifests() {
        if !text.contains("kind: Job\n") {
            continue;
        }
        jobs += 1;
        let (before, bridge) = text
            .split_once("- name: activity-bridge\n          image:")
            .expect("the bridge");
        let (_, worker) = before
            .split_once("initContainers:")
            .expect("a native sidecar");
        let sidecar = "- name: worker\n          restartPolicy: Always";
        assert!(worker.contains(sidecar), "{name}");
        assert!(bridge.contains(r#""--until-idle", ""#), "{name}");
        for route in &config.routes {
            let longest = route.start_to_close.expect("a timeout");
            let last = longest + Duration::from_secs(70);
            assert!(config.shutdown.grace >= last, "{name}: {longest:?}");
        }
    }
    assert!(jobs >= 1, "{jobs}");
}

#[test]
fn the_chart_the_manifests_and_the_documents_have_the_version_of_the_crate() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = text_of("deploy/chart/Chart.yaml");
    for key in ["version", "appVersion"] {
        assert!(chart.contains(&format!("\n{key}: {version}\n")), "{key}");
    }
    for (name, text, _) in manifests() {
        let image = format!("/activity-bridge:{version}\n");
        assert!(text.contains(&image), "{name}");
    }
    for (document, words) in [
        ("README.md", format!("This is version {version}.")),
        ("deploy/chart/README.md", format!("version: {version}\n")),
        ("docs/systemd.md", format!("activity-bridge_{version}-1_")),
    ] {
        assert!(text_of(document).contains(&words), "{document}: {words}");
    }
    let changelog = text_of("CHANGELOG.md");
    assert!(changelog.contains(&format!("\n## [{version}]")));
}

#[test]
fn the_unit_outlives_the_grace_period_of_its_configuration() {
    let unit = text_of(SERVICE);
    // A setting that is commented out has no space after its mark.
    let lines = text_of(DEBIAN);
    let used: Vec<_> = lines
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '#']) => setting,
            _ => line,
        })
        .collect();
    let config = configuration(DEBIAN, &used.join("\n"));
    assert_eq!(config.routes.len(), 2);
    assert_outlives(SERVICE, number(&unit, "TimeoutStopSec="), &config);
    let socket = config.admin.socket.expect("a socket");
    let folder = socket.parent().and_then(|path| path.file_name());
    let folder = folder.expect("a folder").display();
    assert!(unit.contains(&format!("\nRuntimeDirectory={folder}\n")));
    let StoreConfig::File(file) = config.store else {
        panic!("another store");
    };
    let folder = file.path.parent().and_then(|path| path.file_name());
    let folder = folder.expect("a folder").display();
    assert!(unit.contains(&format!("\nStateDirectory={folder}\n")));
    // As it is installed, it has no route, so it serves nobody's tasks.
    assert!(parse(&lines).is_err());
}

#[test]
fn the_task_of_ecs_outlives_the_grace_period() {
    let text = text_of(ECS);
    let config = configuration(ECS, &block(&text, "Value: |\n"));
    let (_, bridge) = text
        .split_once("- Name: activity-bridge\n")
        .expect("the bridge");
    let stop = number(bridge, "StopTimeout:");
    assert_outlives(ECS, stop, &config);
    // The most that Fargate allows.
    assert!(stop <= 120, "{stop}");
    assert!(config.shutdown.give_back, "the file goes with the task");
}

#[test]
fn the_containers_of_compose_outlive_the_grace_period() {
    let text = text_of(COMPOSE);
    let graces: Vec<_> = text.split("stop_grace_period:").skip(1).collect();
    assert_eq!(graces.len(), 2, "one for each bridge");
    for (grace, file) in graces.iter().zip(["compose", "compose-rabbitmq"]) {
        let path = format!("deploy/compose/{file}.toml");
        let config = configuration(&path, &text_of(&path));
        let stop = number(grace, " ");
        assert!(
            Duration::from_secs(stop) > config.shutdown.grace,
            "{path}: {stop} s"
        );
    }
}

#[test]
fn the_container_of_the_documents_has_the_paths_of_the_image_and_outlives_the_grace_period() {
    let path = "config/minimal.toml";
    let config = configuration(path, &text_of(path));
    for document in ["README.md", "docs/docker.md"] {
        let text = text_of(document);
        let (_, run) = text
            .split_once("docker run --name bridge ")
            .expect("the command");
        let run = run.split("```").next().unwrap_or_default();
        let mount = format!("/{path}:/etc/activity-bridge/config.toml:ro\"");
        assert!(run.contains(&mount), "{document}");
        assert!(run.contains(":/var/lib/activity-bridge \\\n"), "{document}");
        assert_outlives(document, number(run, "--stop-timeout"), &config);
    }
    let image = text_of("Dockerfile");
    assert!(image.contains(r#"CMD ["run", "--config", "/etc/activity-bridge/config.toml"]"#));
    assert!(image.contains("\nVOLUME /var/lib/activity-bridge\n"));
}

/// Each health check is a command that there is, and gives the command time to say why.
#[test]
fn the_health_checks_ask_the_bridge_itself() {
    for (path, mark) in [("Dockerfile", "HEALTHCHECK"), (ECS, "HealthCheck:")] {
        let text = text_of(path);
        let (_, check) = text.split_once(mark).expect("a health check");
        let check: String = check.split("\n\n").next().unwrap_or_default().to_owned();
        let check = check.to_lowercase().replace("- ", "");
        assert!(check.contains("/usr/local/bin/activity-bridge"), "{path}");
        assert!(check.contains("health"), "{path}");
        let check = check.replace(['=', ':'], " ");
        assert_eq!(
            number(&check, "timeout"),
            5,
            "{path}: the command waits 4 s"
        );
    }
    assert!(root().join("src/cli/health.rs").exists());
}
