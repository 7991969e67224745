#!/usr/bin/env python3
"""The test suites of AMQP clients against the bridge as their broker, and the result compared with suites.toml.

    run.py [SUITE ...]

All of them when none is named. `make suites` runs it: needs a built bridge and a built simulator. The suites and what
they need come from the package registries, into .dev/suites, where their output and the bridge's log are as well. The
run fails when a test fails that suites.toml does not list, when a listed test passes, and when fewer tests passed than
suites.toml expects.
"""
import fnmatch
import json
import os
import shutil
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from parts import run_suite, start_bridge, start_simulator  # noqa: E402
from system import DEV, Failure, free_ports  # noqa: E402

from runners import RUNNERS  # noqa: E402

CACHE = DEV / "suites"
DOMAIN = "shop"
ROUTE = f"""
[[routes]]
name = "payments"
queue = "payments"
swf = {{ domain = "{DOMAIN}", task_list = "payments" }}
"""
# What the log of a bridge never says.
BUGS = ("this is a bug", "panicked")


def broker(folder, port):
    """The table [amqp] of a bridge that is the broker. aiormq's suite opens more channels than the default allows."""
    password = folder / "password"
    password.write_text("guest")
    # A JSON string is a TOML string.
    return f"""listen = "127.0.0.1:{port}"
max_channels = 2047
[[amqp.users]]
name = "guest"
password_file = {json.dumps(str(password))}
"""


def listed(test, skips):
    """The entries of suites.toml that mean this test."""
    return [name for name in skips if name == test or ("*" in name and fnmatch.fnmatchcase(test, name.replace("[", "[[]")))]


def compare(settings, results):
    """What is not as suites.toml says, as lines."""
    skips, unsteady = settings.get("skips", {}), settings.get("unsteady", {})
    problems, matched = [], set()
    for test, outcome in sorted(results.items()):
        names = listed(test, skips)
        matched.update(names, listed(test, unsteady))
        if outcome == "failed" and not names and not listed(test, unsteady):
            problems.append(f"failed, and is not listed: {test}")
        if outcome == "passed" and names:
            problems.append(f"passed, but is listed: {test}")
    problems += [f"listed, but there is no such test: {name}" for name in [*skips, *unsteady] if name not in matched]
    passed = Counter(results.values())["passed"]
    if passed < settings["passes"]:
        problems.append(f"only {passed} tests passed; {settings['passes']} are expected")
    return problems


def run_one(suite, settings, folder, processes, aws_url):
    """Runs one suite against a bridge of its own. What went wrong, as lines."""
    print(f"{suite}: running (its output: {CACHE / suite}.out) ...", flush=True)
    folder.mkdir()
    port = free_ports(1)[0]
    bridge = start_bridge(folder, processes, aws_url, ROUTE, broker(folder, port))
    log = CACHE / f"{suite}.bridge.log"
    began = time.monotonic()
    problems = []
    try:
        results = RUNNERS[settings["runner"]](suite, settings, CACHE, port)
        if not results:
            raise Failure(f"no test of {suite} ran; see {CACHE / suite}.out")
        if bridge.child.poll() is not None:
            problems.append(f"the bridge ended during the run; its log: {log}")
    finally:
        stopped = bridge.stop(30)
        shutil.copyfile(bridge.log, log)
    if not stopped:
        problems.append(f"the bridge did not end well; its log: {log}")
    said = log.read_text(errors="replace")
    problems += [f"the bridge's log ({log}) says {text!r}" for text in BUGS if text in said]
    problems += compare(settings, results)
    count = Counter(results.values())
    known = {**settings.get("skips", {}), **settings.get("unsteady", {})}
    of_them = sum(outcome == "failed" and bool(listed(test, known)) for test, outcome in results.items())
    print(f"{suite}: {count['passed']} passed, {count['failed']} failed ({of_them} of them listed), {count['skipped']} skipped "
          f"in {time.monotonic() - began:.0f} s", flush=True)
    return problems


def run(folder, processes, checks):
    table = tomllib.loads((HERE / "suites.toml").read_text())
    names = sys.argv[1:] or os.environ.get("SUITES", "").split() or list(table)
    unknown = [name for name in names if name not in table]
    if unknown:
        raise Failure(f"no such suite: {', '.join(unknown)}; there are {', '.join(table)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    sim = start_simulator(folder, processes, DOMAIN)
    for name in names:
        try:
            problems = run_one(name, table[name], folder / name, processes, sim)
        except Failure as failure:
            problems = [str(failure)]
        # In one piece, because all of them are to be seen.
        checks.check(name, ["\n    ".join(problems)] if problems else [])


if __name__ == "__main__":
    run_suite("suites", run, needs=())
