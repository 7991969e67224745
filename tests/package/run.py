#!/usr/bin/env python3
"""What is built, installed and rendered for real: the chart, the image's root, the Debian package, the crate, the status page in a
browser, and the files of other programs by the programs' own linters.

    run.py [chart] [lints] [image] [deb] [crate] [pages]

All of them, in this order, when none is named. `make package` runs it: needs root for roots of Debian, and gets debootstrap from apt, and
tools from PyPI and crates.io, into .dev/package. There is no container engine and no cluster: the image's root is made by the Dockerfile's
own commands and its binary runs in it by chroot, and what Kubernetes would get is validated.
"""
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from parts import ROOT, run_suite, start_simulator  # noqa: E402
from system import Failure, Process, answers, free_ports, wait_for  # noqa: E402

import chart  # noqa: E402
import deb  # noqa: E402
import image  # noqa: E402
import node  # noqa: E402
import venv  # noqa: E402
from roots import CACHE, ENVIRONMENT, inside, run as run_command, run_inside  # noqa: E402
from pages import check_pages  # noqa: E402
from served import DOMAIN, ROUTE, configuration, environment, serves_a_task  # noqa: E402

OLDEST_KUBERNETES = 30
SHELLS = {"sh", "bash", "dash", "busybox", "zsh", "ash", "perl", "python3"}
SIDECAR = ROOT / "deploy/kubernetes/sidecar.yaml"


def outcome(*words, **options):
    """A program's lines if it failed, and none if it is content."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, **options)
    return [] if done.returncode == 0 else [f"code {done.returncode}", *done.stdout.strip().splitlines()[-4:]]


def tools():
    return venv.ensure(chart.REQUIREMENTS, folder=venv.TOOLS).parent


# --- The chart ----------------------------------------------------------------------------------

def check_chart(folder, processes, checks):
    made = chart.render()
    differing = [f"{name}: differs; {chart.AGAIN}" for name, text in made.items()
                 if not chart.path_of(name).exists() or chart.path_of(name).read_text() != text]
    checks.check("helm_renders_the_manifests_that_there_are", differing)
    env = {**os.environ, **node.ensure(HERE / "keda")}
    done = subprocess.run([tools() / "python", HERE / "validate.py", str(OLDEST_KUBERNETES)], stdout=subprocess.PIPE, text=True, env=env)
    if done.returncode != 0:
        raise Failure("tests/package/validate.py failed")
    for name, problems in json.loads(done.stdout).items():
        checks.check(name, problems)


# --- Linters ------------------------------------------------------------------------------------

def check_lints(folder, processes, checks):
    bin_ = tools()
    dockerfiles = ["Dockerfile", "activity-sim/Dockerfile"]
    checks.check("hadolint_takes_the_dockerfiles", outcome(bin_ / "hadolint", *dockerfiles))
    schema = [bin_ / "check-jsonschema", "--builtin-schema"]
    checks.check("compose_yaml_is_of_its_schema", outcome(*schema, "vendor.compose-spec", "compose.yaml"))
    workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
    checks.check("the_workflows_are_of_their_schema", outcome(*schema, "vendor.github-workflows", *workflows))
    checks.check("actionlint_takes_the_workflows", outcome(bin_ / "actionlint", *workflows))
    checks.check("zizmor_takes_the_workflows", outcome(bin_ / "zizmor", "--offline", "--persona=regular", *workflows))
    checks.check("cfn_lint_takes_the_service_of_ecs", outcome(bin_ / "cfn-lint", "--regions", "eu-west-1", "--", "deploy/ecs/service.yaml"))
    # A linter that takes everything proves nothing.
    faults = [
        ("hadolint", "Dockerfile", lambda text: text + "RUN cd /tmp && sudo ls\n", [bin_ / "hadolint"]),
        ("check_jsonschema", "compose.yaml", lambda text: text.replace("depends_on:", "depend_on:"), [*schema, "vendor.compose-spec"]),
        ("actionlint", ".github/workflows/ci.yml", lambda text: text.replace("github.ref", "github.reff"), [bin_ / "actionlint"]),
        ("zizmor", ".github/workflows/ci.yml", lambda text: text.replace("persist-credentials: false", "fetch-depth: 1"),
         [bin_ / "zizmor", "--offline"]),
        ("cfn_lint", "deploy/ecs/service.yaml", lambda text: text.replace("NetworkMode:", "NetworkMod:"),
         [bin_ / "cfn-lint", "--regions", "eu-west-1", "--"]),
    ]
    for name, path, spoil, words in faults:
        wrong = folder / Path(path).name
        wrong.write_text(spoil((ROOT / path).read_text()))
        checks.check(f"{name}_finds_a_fault", [] if outcome(*words, wrong) else ["it found none"])


# --- The image ----------------------------------------------------------------------------------

def pre_stop():
    """The command that the sidecar's manifest has as its hook."""
    [command] = re.findall(r"exec:\n +command: (\[.*\])", SIDECAR.read_text())
    return json.loads(command)


def check_image(folder, processes, checks):
    made = image.built()
    sizes = image.size(made.root)
    total = sum(size for size, _ in sizes)
    print(f"the image has {total / 1e6:.1f} MB: " + ", ".join(f"{name} {size / 1e6:.2f}" for size, name in sizes[:8]), flush=True)
    checks.check("the_image_is_small", [] if total <= image.MAX_SIZE else [f"{total} bytes"])
    names = {Path(name).name for _, name in sizes}
    checks.check("the_image_has_no_shell", sorted(names & SHELLS))
    checks.check("the_image_s_user_is_not_root", [] if re.fullmatch(r"[1-9]\d*:[1-9]\d*", made.user or "") else [str(made.user)])
    config = folder / "image.toml"
    amqp, admin = configuration(config)
    data = folder / "volume"
    run_command(["cp", "-a", made.root / "var/lib/activity-bridge", data])
    place = made.command[made.command.index("--config") + 1]
    binds = [(config, place, "ro"), (data, "/var/lib/activity-bridge", "rw")]
    sim_url = start_simulator(folder, processes, DOMAIN)
    env = environment(sim_url)
    words = image.words_in(made, [*made.entrypoint, *made.command], binds)
    health = image.words_in(made, made.health, binds)
    before = outcome(*health, env=env)
    checks.check("the_health_check_fails_where_nothing_runs", [] if before else ["it said that all is well"])
    bridge = Process("the bridge of the image", words, folder / "image.log", env)
    processes.append(bridge)
    healthy = wait_for(lambda: not outcome(*health, env=env), 30, 0.5)
    bridge.check()
    checks.check("the_health_check_is_content_with_a_bridge_that_runs", [] if healthy else outcome(*health, env=env))
    checks.check("the_bridge_of_the_image_serves_a_task", serves_a_task(folder, processes, sim_url, amqp))
    checks.check("the_tasks_are_in_the_volume", [] if (data / "tasks.redb").exists() else sorted(map(str, data.iterdir())))
    hook = image.words_in(made, pre_stop(), binds)
    checks.check("the_hook_of_the_sidecar_drains_the_bridge_of_the_image", outcome(*hook, env=env))
    drained = answers(f"http://{admin}/drained")
    checks.check("then_the_hook_of_the_worker_returns", [] if '"drained":true' in drained[1] else [str(drained)])
    checks.check("the_bridge_of_the_image_ends_in_good_order", [] if bridge.stop(25) else [f"code {bridge.child.returncode}"])
    otlp = folder / "otlp.toml"
    configuration(otlp, '[otlp]\nendpoint = "http://127.0.0.1:4318"\n')
    spans = image.words_in(made, [*made.entrypoint, "check", "--config", place], [(otlp, place, "ro"), *binds[1:]])
    checks.check("the_bridge_of_the_image_can_export_spans", outcome(*spans, env=env))


# --- The Debian package -------------------------------------------------------------------------

def check_deb(folder, processes, checks):
    package = deb.built()
    root = deb.installed(package)
    unit = next((path for path in ["usr/lib/systemd/system", "lib/systemd/system"] if (root / path / "activity-bridge.service").exists()), None)
    checks.check("the_unit_is_installed", [] if unit else ["it is nowhere"])
    verify = subprocess.run(["systemd-analyze", "verify", f"--root={root}", "--man=no", "activity-bridge.service"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = [line for line in verify.stdout.splitlines() if "activity-bridge" in line]
    checks.check("systemd_takes_the_installed_unit", said + ([f"code {verify.returncode}: {verify.stdout}"] if verify.returncode else []))
    enabled = list((root / "etc/systemd/system").rglob("activity-bridge.service"))
    checks.check("the_service_is_not_enabled_before_it_has_a_route", [str(path) for path in enabled])
    bridge = "/usr/bin/activity-bridge"
    place = root / "etc/activity-bridge/config.toml"
    said = subprocess.run(inside(root, [bridge, "check", "--config", "/etc/activity-bridge/config.toml"]), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)
    checks.check("the_installed_configuration_asks_for_a_route",
                 [] if said.returncode == 78 and "route" in said.stdout else [f"code {said.returncode}: {said.stdout}"])
    amqp, admin = (f"127.0.0.1:{port}" for port in free_ports(2))
    place.write_text(place.read_text().replace("127.0.0.1:9464", admin) + f'[amqp]\nlisten = "{amqp}"\n' + ROUTE)
    # What systemd makes: StateDirectory and RuntimeDirectory.
    user = run_inside(root, "id", "-u", "activity-bridge").strip()
    group = run_inside(root, "id", "-g", "activity-bridge").strip()
    state = root / "var/lib/activity-bridge"
    for made in state, root / "run/activity-bridge":
        made.mkdir(mode=0o700, exist_ok=True)
        os.chown(made, int(user), int(group))
    sim_url = start_simulator(folder, processes, DOMAIN)
    manager = deb.Manager(root)
    env = {**environment(sim_url), "NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "1000000"}
    words = inside(root, [bridge, "run", "--config", "/etc/activity-bridge/config.toml"], user="activity-bridge:activity-bridge")
    process = Process("the installed bridge", words, folder / "deb.log", env)
    processes.append(process)
    checks.check("the_installed_bridge_says_that_it_has_started", [said for said in [manager.said()] if said != "READY=1"])
    checks.check("the_installed_bridge_gives_signs_of_life", [said for said in [manager.said()] if said != "WATCHDOG=1"])
    checks.check("the_installed_bridge_serves_a_task", serves_a_task(folder, processes, sim_url, amqp))
    process.child.send_signal(signal.SIGTERM)
    end = time.monotonic() + 30
    last = manager.said()
    while last == "WATCHDOG=1" and time.monotonic() < end:
        last = manager.said()
    checks.check("the_installed_bridge_says_that_it_stops", [] if last == "STOPPING=1" else [last])
    # Without another signal: a second one ends the bridge at once.
    wait_for(lambda: process.child.poll() is not None, 25)
    checks.check("the_installed_bridge_ends_in_good_order", [] if process.child.returncode == 0 else [f"code {process.child.returncode}"])
    upgraded(root, package, place, state, checks)
    run_inside(root, "dpkg", "--remove", "activity-bridge")
    kept = [path for path in (place, state / "tasks.redb") if not path.exists()]
    checks.check("a_removed_package_keeps_the_configuration_and_the_tasks", [str(path) for path in kept])
    run_inside(root, "dpkg", "--purge", "activity-bridge")
    left = [path for path in (place, state) if path.exists()]
    checks.check("a_purged_package_leaves_nothing", [str(path) for path in left])


def upgraded(root, package, place, state, checks):
    """Installs a newer version over the one that is there, with a configuration that a person has changed."""
    written = place.read_text()
    known = run_inside(root, "dpkg-query", "--show", "--showformat=${Conffiles}", "activity-bridge")
    checks.check("what_a_person_edits_is_a_configuration_file_of_the_package",
                 [path for path in ("/etc/activity-bridge/config.toml", "/etc/default/activity-bridge") if f" {path} " not in known])
    deb.install(root, deb.newer(package))
    version = run_inside(root, "dpkg-query", "--show", "--showformat=${Version}", "activity-bridge")
    script = (root / "var/lib/dpkg/info/activity-bridge.postinst").read_text()
    problems = [] if version == "99.0.0-1" else [f"version {version}"]
    problems += [] if place.read_text() == written else ["the configuration was replaced"]
    problems += [] if (state / "tasks.redb").exists() else ["the tasks are gone"]
    problems += [] if "try-restart" in script and "activity-bridge.service" in script else ["a service that runs is not restarted"]
    checks.check("an_upgrade_keeps_the_configuration_and_the_tasks_and_restarts_what_runs", problems)


# --- The crate ----------------------------------------------------------------------------------

def check_crate(folder, processes, checks):
    done = subprocess.run(["cargo", "package", "--locked", "--package", "activity-bridge"], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    # Cargo says of each test that it is left out, which is meant: the tests need the simulator.
    warnings = [line for line in done.stdout.splitlines()
                if line.startswith(("warning", "error")) and not line.startswith("warning: ignoring test ")]
    checks.check("the_crate_is_packaged_without_a_warning", warnings + ([f"code {done.returncode}"] if done.returncode else []))


PARTS = {"chart": check_chart, "lints": check_lints, "image": check_image, "deb": check_deb, "crate": check_crate, "pages": check_pages}


def run(folder, processes, checks):
    names = sys.argv[1:] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise Failure(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    for name in names:
        part = folder / name
        part.mkdir()
        PARTS[name](part, processes, checks)


if __name__ == "__main__":
    run_suite("package", run, needs=())
