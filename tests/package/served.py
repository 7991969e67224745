"""A bridge that is built or installed, and a task that goes through it."""
import json
import os

import venv
from parts import ROOT
from roots import ENVIRONMENT
from system import CREDENTIALS, Process, free_ports, http, wait_for

DOMAIN = "shop"
ROUTE = f"""
[[routes]]
name = "payments"
queue = "payments"
pollers = {{ min = 1, max = 1 }}
start_to_close_secs = 60
heartbeat = {{ timeout_secs = 30 }}
swf = {{ domain = "{DOMAIN}", task_list = "payments" }}
"""
CONFIG = """
[admin]
listen = "ADMIN"
[amqp]
listen = "AMQP"
[shutdown]
grace_secs = 20
"""


def configuration(path, more=""):
    """Writes a configuration; the addresses of the endpoint and of the admin endpoint."""
    amqp, admin = (f"127.0.0.1:{port}" for port in free_ports(2))
    path.write_text(CONFIG.replace("ADMIN", admin).replace("AMQP", amqp) + more + ROUTE)
    path.chmod(0o644)
    return amqp, admin


def environment(sim_url):
    return {**CREDENTIALS, "PATH": ENVIRONMENT["PATH"], "AWS_ENDPOINT_URL_SWF": sim_url, "AWS_ENDPOINT_URL_SFN": sim_url}


def serves_a_task(folder, processes, sim_url, amqp):
    """Whether a worker gets a task and its acknowledgement completes it."""
    python = venv.ensure(venv.WORKER)
    env = {**os.environ, "AMQP_URI": f"amqp://{amqp}"}
    worker = Process("a worker", [python, ROOT / "examples/python/ack_worker.py", "payments"], folder / "worker.log", env)
    processes.append(worker)
    http(f"{sim_url}/_sim/schedule", {"domain": DOMAIN, "task_list": "payments", "input": "one"})
    done = wait_for(lambda: json.loads(http(f"{sim_url}/_sim/summary"))["completed"] == 1, 60)
    worker.stop()
    return [] if done else [http(f"{sim_url}/_sim/summary")]
