#!/usr/bin/env python3
"""Runs the tests stage by stage and closes with the totals.

    test.py [lint] [unit] [deploy] [config] [it] [scale] [moto] [ministack] [guides] [workers] [asyncapi] [kills] [suites] [package]

All of them but `kills`, `suites` and `package`, in this order, when none is named.
"""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from functools import partial

import node
import venv
from rabbitmq import private_node
from redis import private_server
from system import ROOT, Failure, end, main, say, uninterrupted

# The closing line of each libtest binary, which the tests in Python print as well.
RESULT = re.compile(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored")
# What a test in Rust fails with: the place, and on the next lines the words.
PANIC = re.compile(r"thread '(.+?)'.* panicked at (.+):$")
FAILED = re.compile(r"test (\S+) \.\.\. FAILED")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# CI builds what was committed; at home Cargo.lock may follow Cargo.toml.
LOCKED = ["--locked"] if os.environ.get("CI") else []
# The one feature of the bridge, off by default.
OTLP = ["--features", "activity-bridge/otlp"]
KILLS = "scale::kills::twenty_kills_at_random"


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.names = []
        self.panics = {}  # by test: the place, and some lines of words
        self.panic = None  # the one whose words are being read

    def read(self, line):
        line = COLOUR.sub("", line).strip()
        if match := PANIC.match(line):
            self.panic = self.panics.setdefault(match[1], [match[2]])
        elif line.startswith(("stack backtrace:", "note: ")):
            self.panic = None
        elif self.panic and len(self.panic) < 4:
            self.panic.append(line[:500])
        if match := FAILED.match(line):
            self.names.append(match[1])
        elif match := RESULT.match(line):
            passed, failed, skipped = map(int, match.groups())
            self.passed += passed
            self.failed += failed
            self.skipped += skipped

    def failures(self):
        """Each failed test in a line, for whoever has thousands of lines above it."""
        return [f"failed: {name}: {'; '.join(self.panics.get(name, ['see above']))}" for name in self.names]

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run(totals, *command, env=None):
    """Runs a command with its output passed on and its totals read. Raises when it failed."""
    words = [str(word) for word in command]
    say(f"$ {' '.join(words)}")
    colour = {"CARGO_TERM_COLOR": "always"} if sys.stdout.isatty() else {}
    child = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1", **colour, **(env or {})},
                             text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    failed_before = totals.failed
    try:
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            totals.read(line)
        code = child.wait()
    finally:
        with uninterrupted():
            end(child, 20)
    if code != 0:
        if totals.failed == failed_before:
            totals.failed += 1  # it failed before it could count
        raise Failure(f"`{' '.join(words)}` failed with code {code}")


def cargo_test(totals, *args, env=None):
    run(totals, "cargo", "test", "--workspace", "--no-fail-fast", *LOCKED, *args, env=env)


def lint(totals):
    run(totals, "cargo", "fmt", "--all", "--check")
    for features in [], OTLP:
        run(totals, "cargo", "clippy", "--workspace", "--all-targets", *features, *LOCKED, "--", "-D", "warnings")
    if shutil.which("cargo-deny"):
        run(totals, "cargo", "deny", "--offline", "check", "bans", "licenses", "sources")
    else:
        say("cargo-deny is not installed: deny.toml is not checked here")


def unit(totals):
    cargo_test(totals, "--lib", "--bins", "--test", "flow")
    cargo_test(totals, "--doc")


def it(totals):
    # They wait most of the time, so far more run at once than there are cores.
    threads = os.environ.get("RUST_TEST_THREADS", "14")
    with broker(management=True) as env, redis_server() as more:
        env = {**env, **more, "RUST_TEST_THREADS": threads}
        # `flow` runs once more with them; it takes no time.
        cargo_test(totals, "--test", "*", "--", "--skip", "scale::", env=env)
        # The same bodies, with the bridge as the broker.
        cargo_test(totals, "--test", "it", "--", *both_brokers(), env={**env, "BROKER": "endpoint"})
        # What the feature changes and nothing else: the bridge is compiled once more for it.
        cargo_test(totals, *OTLP, "--test", "it", "--test", "docs", "--", "trace_context::", "configuration::", env=env)


def both_brokers():
    """The tests that fit both brokers, as filters; the list says what does not, and why."""
    filters = []
    for line in (ROOT / "tests/it/both_brokers.txt").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "run":
            filters.append(rest)
        elif word == "skip":
            filters += ["--skip", rest.split(": ")[0]]
    return filters


def scale(totals):
    # They measure what the machine can do, so nothing runs beside them but each other; beside the first, nothing at all.
    with broker(management=True) as env, redis_server() as more:
        env = {**env, **more, "RUST_TEST_THREADS": "3"}
        alone = "scale::ten_thousand"
        cargo_test(totals, "--test", "it", "--", "--nocapture", alone, env=env)
        skipped = ["--skip", alone, "--skip", KILLS]
        cargo_test(totals, "--test", "it", "--test", "store", "--", "--nocapture", *skipped, "scale::", env=env)


def kills(totals):
    """Kills with RabbitMQ take minutes. Those of the bridge that is the broker are in `scale`."""
    with broker(management=True) as env:
        cargo_test(totals, "--test", "it", "--", "--nocapture", KILLS, env=env)


def foreign(server, totals):
    """Against a server that no one here wrote."""
    # Builds the binary as the integration tests do: another set of features would compile everything once more.
    cargo_test(totals, "--no-run", "--test", "it")
    python = venv.ensure(venv.WORKER, venv.TESTS)
    with broker() as env:
        run(totals, python, f"tests/{server}/run.py", env=env)


def guides(totals):
    # The simulator's own tests build its binary.
    cargo_test(totals, "--no-run", "--test", "it", "--test", "wire")
    python = venv.ensure(venv.WORKER, venv.TESTS, ROOT / "tests/guides/requirements.txt")
    run(totals, python, "tests/guides/run.py")


def workers(totals):
    # The simulator's own tests build its binary.
    cargo_test(totals, "--no-run", "--test", "it", "--test", "wire")
    with broker() as env:
        run(totals, sys.executable, "tests/workers/run.py", env=env)


def asyncapi(totals):
    # The simulator's own tests build its binary.
    cargo_test(totals, "--no-run", "--test", "it", "--test", "wire")
    python, parser = venv.ensure(venv.WORKER, venv.TESTS), node.ensure(ROOT / "tests/asyncapi")
    with broker() as env:
        run(totals, python, "tests/asyncapi/run.py", env={**env, **parser})


def suites(totals):
    # The simulator's own tests build its binary.
    cargo_test(totals, "--no-run", "--test", "it", "--test", "wire")
    run(totals, sys.executable, "tests/suites/run.py")


def deploy(totals):
    # The simulator's own tests build its binary.
    cargo_test(totals, "--no-run", "--test", "it", "--test", "wire")
    run(totals, sys.executable, "tests/deploy/run.py")


def config(totals):
    # Builds the binary as the integration tests do.
    cargo_test(totals, "--no-run", "--test", "it")
    run(totals, venv.ensure(venv.WORKER, venv.TESTS), "tests/config/run.py")


def package(totals):
    # The simulator's own tests build its binary.
    # The part `pages` runs the bridge's debug binary.
    cargo_test(totals, "--no-run", "--test", "wire", "--test", "it")
    run(totals, sys.executable, "tests/package/run.py", *os.environ.get("PARTS", "").split())


@contextlib.contextmanager
def broker(management=False):
    """A private node, never one that AMQP_URI happens to name: tests kill it and delete its queues."""
    say("starting a private RabbitMQ node ...")
    began = time.monotonic()
    with private_node(management) as node:
        say(f"RabbitMQ is ready after {time.monotonic() - began:.1f} s")
        api = {"RABBITMQ_API": node.api} if management else {}
        yield {"AMQP_URI": node.amqp_uri, "RABBITMQ_NODE_DIR": str(node.dir), **api}


@contextlib.contextmanager
def redis_server():
    """A private one as well, never the one of REDIS_URL."""
    with private_server() as server:
        yield {"REDIS_URL": server.url, "REDIS_DIR": str(server.dir)}


STAGES = {"lint": lint, "unit": unit, "deploy": deploy, "config": config, "it": it, "scale": scale, "moto": partial(foreign, "moto"),
          "ministack": partial(foreign, "ministack"), "guides": guides, "workers": workers, "asyncapi": asyncapi,
          "kills": kills, "suites": suites, "package": package}
# Clients' own suites take long, and what they show depends on the client more than on the bridge. `package` makes a release build.
DEFAULT_STAGES = [name for name in STAGES if name not in ("kills", "suites", "package")]


def body():
    names = sys.argv[1:] or DEFAULT_STAGES
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise Failure(f"no such stage: {', '.join(unknown)}; there are {', '.join(STAGES)}")
    if not shutil.which("cargo"):
        raise Failure("cargo is needed: install Rust")
    totals = Totals()
    began = time.monotonic()
    try:
        for name in names:
            say(f"== {name}")
            STAGES[name](totals)
    except Failure as failure:
        totals.failed = max(totals.failed, 1)
        say(f"error: {failure}")
    say(f"{', '.join(names)}: {time.monotonic() - began:.0f} s")
    for failure in totals.failures():
        say(failure)
    print(totals, flush=True)
    return 1 if totals.failed else 0


if __name__ == "__main__":
    main(body)
