"""How each kind of test suite is fetched and run. Each runner returns the outcome of every test, by its name."""
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
import tomllib
import xml.etree.ElementTree as xml
from pathlib import Path

import tls_front
import venv
from system import ROOT, Failure, apt_install, has_apt

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
GO_PACKAGE = "golang-github-rabbitmq-amqp091-go-dev"
GO_SOURCES = Path("/usr/share/gocode/src/github.com/rabbitmq/amqp091-go")
TIMEOUT_SECS = 1800  # of one suite


def run_to_log(command, folder, env, log):
    """Runs a suite, whose exit code says less than its report."""
    with open(log, "w") as out:
        try:
            subprocess.run([str(word) for word in command], cwd=folder, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                           stdout=out, stderr=subprocess.STDOUT, timeout=TIMEOUT_SECS)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"the suite did not end within {TIMEOUT_SECS} s; see {log}") from error


# --- pytest -------------------------------------------------------------------------------------

def source_distribution(cache, python, package, version):
    """The folder of a package's source distribution, unpacked anew."""
    archives = cache / "archives"
    archives.mkdir(exist_ok=True)
    stem = f"{package.replace('-', '?')}-{version}"
    if not list(archives.glob(f"{stem}.tar.gz")):
        # The metadata is built with what the environment has, and uv_build looks for its own program in the path.
        env = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
        venv.run(f"downloading the sources of {package} {version}",
                 [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation",
                  "--no-binary", package, "-d", archives, f"{package}=={version}"], env)
    for old in cache.glob(stem):
        shutil.rmtree(old)
    with tarfile.open(next(archives.glob(f"{stem}.tar.gz"))) as archive:
        archive.extractall(cache, filter="data")
    return next(cache.glob(stem))


def certificate(cache):
    """A certificate that nobody has signed, and its key, for a suite that brings none and checks none."""
    files = cache / "server.pem", cache / "server.key"
    if not all(file.exists() for file in files):
        if not shutil.which("openssl"):
            raise Failure("openssl is needed, to make a certificate")
        venv.run("making a certificate", ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj",
                                          "/CN=localhost", "-out", files[0], "-keyout", files[1]])
    return files


def tls_port(port, files):
    """The port of a TLS server in front of the bridge, with this certificate and key."""
    found, ready = [], threading.Event()

    def tell(number):
        found.append(number)
        ready.set()

    arguments = (port, *files, tell)
    threading.Thread(target=tls_front.run, args=arguments, daemon=True).start()
    if not ready.wait(10):
        raise Failure("the TLS server in front of the bridge did not start")
    return found[0]


def pytest(suite, settings, cache, port):
    python = venv.ensure(REQUIREMENTS)
    folder = source_distribution(cache, python, settings["package"], settings["version"])
    report = cache / f"{suite}.xml"
    report.unlink(missing_ok=True)
    own = folder / "tests/certs/server.pem", folder / "tests/certs/server.key"
    files = own if own[0].exists() else certificate(cache)
    env = {
        "RABBITMQ_HOST": "127.0.0.1",
        "RABBITMQ_5672_TCP": str(port),
        "RABBITMQ_5671_TCP": str(tls_port(port, files)),
        "PYTHONPATH": f"{HERE / 'plugins'}:{folder}",
    }
    command = [python, "-m", "pytest", "-v", "--tb=short", "-W", "ignore", "-p", "no:cacheprovider",
               "--timeout", settings["timeout_secs"], f"--junitxml={report}", "-o", "junit_family=xunit1"]
    for plugin in settings.get("plugins", []):
        command += ["-p", plugin]
    if never := settings.get("never"):
        command += ["-k", f"not ({' or '.join(never)})"]
    run_to_log([*command, *settings["tests"]], folder, env, cache / f"{suite}.out")
    if not report.exists():
        raise Failure(f"the suite of {suite} did not run; see {cache / suite}.out")
    results = {}
    for case in xml.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').removeprefix('tests.')}::{case.get('name')}"
        outcome = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = "failed"
            elif child.tag == "skipped":
                outcome = "skipped"
        # A test and its tear-down are two cases; the worse one counts.
        results[name] = "failed" if "failed" in (outcome, results.get(name)) else outcome
    return results


# --- go -----------------------------------------------------------------------------------------

def go(suite, settings, cache, port):
    """The suite of amqp091-go, as Debian packages it."""
    if not shutil.which("go") or not GO_SOURCES.exists():
        if not has_apt():
            raise Failure(f"go and {GO_SOURCES} are needed (on Debian and Ubuntu: golang-go and {GO_PACKAGE})")
        apt_install("golang-go", GO_PACKAGE)
    folder = cache / "gopath/src/github.com/rabbitmq/amqp091-go"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(GO_SOURCES, folder, ignore=shutil.ignore_patterns("_examples"))
    env = {
        "AMQP_URL": f"amqp://guest:guest@127.0.0.1:{port}/",
        "GO111MODULE": "off",
        "GOPATH": f"{cache / 'gopath'}:/usr/share/gocode",
        "GOFLAGS": "-p=1",
        "GOCACHE": str(cache / "go-build"),
    }
    out = cache / f"{suite}.out"
    run_to_log(["go", "test", "-json", "-timeout", "300s", "-tags", "integration", "."], folder, env, out)
    results = {}
    for line in out.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            # A test that has begun and is never heard of again has failed.
            outcome = {"pass": "passed", "fail": "failed", "skip": "skipped", "run": "failed"}.get(event["Action"])
            if outcome and event.get("Test"):
                results[event["Test"]] = outcome
    return results


# --- cargo --------------------------------------------------------------------------------------

def cargo(suite, settings, cache, port):
    """The tests of a crate that the project is built with, in that version, because cargo has its sources."""
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    version = next(package["version"] for package in locked if package["name"] == settings["package"])
    name = f"{settings['package']}-{version}"
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    found = next(home.glob(f"registry/src/*/{name}"), None)
    if not found:
        raise Failure(f"cargo has not fetched {name}; run cargo fetch")
    folder = cache / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(found, folder)  # with the times of the files, so that what is built stays built
    # Of its own, because the folder lies in the project's.
    with open(folder / "Cargo.toml", "a") as manifest:
        manifest.write("\n[workspace]\n")
    for file in (folder / "tests").glob("*.rs"):
        before = text = file.read_text()
        for old, new in settings["replace"].items():
            text = text.replace(old, new)
        if text != before:
            seen = file.stat()
            file.write_text(text)
            os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    env = {"AMQP_ADDR": f"amqp://guest:guest@127.0.0.1:{port}/%2f", "CARGO_TARGET_DIR": str(cache / "cargo-target")}
    out = cache / f"{suite}.out"
    run_to_log(["cargo", "test", "-j1", "--tests", "--no-fail-fast", *settings["options"]], folder, env, out)
    results, binary = {}, ""
    for line in out.read_text(errors="replace").splitlines():
        if running := re.match(r"\s+Running (\S+)", line):
            binary = running[1]
        elif (test := re.match(r"test (\S+)(?: - should panic)? \.\.\. (\w+)", line)) and binary.startswith("tests/"):
            outcome = {"ok": "passed", "ignored": "skipped"}.get(test[2], "failed")
            results[f"{binary.removeprefix('tests/')}::{test[1]}"] = outcome
    return results


RUNNERS = {"pytest": pytest, "go": go, "cargo": cargo}
