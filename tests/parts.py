"""What the tests in Python share: the bridge and the simulator as processes, and the closing line of a test run."""
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from system import CREDENTIALS, TARGET, Failure, Process, await_200, bridge_environment, free_ports, main  # noqa: E402, F401


def start_simulator(folder, processes, domain):
    """Its address."""
    port = free_ports(1)[0]
    sim = Process("the simulator", [TARGET / "debug/activity-sim", "--listen", f"127.0.0.1:{port}",
                                    "--domain", domain, "--hold-secs", 3], folder / "simulator.log")
    processes.append(sim)
    url = f"http://127.0.0.1:{port}"
    await_200(sim, f"{url}/_sim/summary")
    return url


def start_bridge(folder, processes, aws_url, routes, amqp=None):
    """The bridge with these routes, in TOML, and its tasks in a file, once it is ready; `admin` is the address of its admin
    endpoint. `amqp`: its table, for another broker than that of AMQP_URI."""
    amqp = amqp or f"uri = {json.dumps(os.environ['AMQP_URI'])}"
    admin = f"127.0.0.1:{free_ports(1)[0]}"
    config = folder / "bridge.toml"
    # A JSON string is a TOML string. The store is the default, but for its place.
    config.write_text(f"""
[amqp]
{amqp}
[store]
path = {json.dumps(str(folder / "tasks.redb"))}
[admin]
listen = "{admin}"
[shutdown]
grace_secs = 30
{routes}""")
    bridge = Process("the bridge", [TARGET / "debug/activity-bridge", "run", "--config", config],
                     folder / "bridge.log", bridge_environment(aws_url))
    processes.append(bridge)
    bridge.admin = f"http://{admin}"
    await_200(bridge, f"{bridge.admin}/readyz")
    return bridge


class Checks:
    """Counts tests and closes as cargo's do, which is what scripts/test.py reads."""

    def __init__(self, suite):
        self.suite, self.passed, self.failed = suite, 0, 0

    def check(self, name, problems):
        """One test: passed when the list of its problems is empty."""
        print(f"test {self.suite}::{name} ... {'FAILED' if problems else 'ok'}", flush=True)
        for problem in problems[:5]:
            print(f"    {problem}")
        self.failed += bool(problems)
        self.passed += not problems

    def close(self):
        verdict = "FAILED" if self.failed else "ok"
        print(f"\ntest result: {verdict}. {self.passed} passed; {self.failed} failed; 0 ignored", flush=True)
        return 1 if self.failed else 0


def run_suite(suite, run, needs=("AMQP_URI",), broken=()):
    """Runs `run(folder, processes, checks)` as a program; what it starts is stopped. Exceptions that it may end with, beside
    Failure, are `broken`."""
    def body():
        for variable in needs:
            if not os.environ.get(variable):
                raise Failure(f"{variable} is not set; run `make test-{suite}`")
        checks, processes = Checks(suite), []
        with tempfile.TemporaryDirectory(prefix=f"activity-bridge-{suite}-") as folder:
            try:
                run(Path(folder), processes, checks)
            except (Failure, *broken) as failure:
                checks.check("the_run_came_to_its_end", [str(failure) if isinstance(failure, Failure) else repr(failure)])
            finally:
                for process in reversed(processes):
                    process.stop()
        return checks.close()

    main(body)
