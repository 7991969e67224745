"""The examples for KEDA in deploy/keda/ are what Kubernetes and KEDA take, and fit the manifests of the bridge. validate.py runs it."""
import copy
import json
import os
import subprocess
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent.parent / "deploy/keda"
KINDS = {"ScaledObject", "TriggerAuthentication"}


def examples():
    """The objects of each file."""
    return {path.name: list(yaml.safe_load_all(path.read_text())) for path in sorted(FOLDER.glob("*.yaml"))}


def refused_by_keda(objects):
    own = [found for found in objects if found["kind"] in KINDS]
    done = subprocess.run([os.environ["NODE"], HERE / "keda/check.mjs"], input=json.dumps(own), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def spoiled(objects):
    """The same with faults, one at a time."""
    faults = [lambda spec: spec.update(maxReplicaCount="many"), lambda spec: spec.update(minReplicaCuont=0),
              lambda spec: spec["triggers"][0].pop("type"), lambda spec: spec["fallback"].update(replica=1)]
    for fault in faults:
        wrong = copy.deepcopy(objects)
        [scaled] = [found for found in wrong if found["kind"] == "ScaledObject"]
        fault(scaled["spec"])
        yield wrong


def misfits(objects, bridges):
    """What the Service for KEDA asks for and a stand-alone bridge does not have."""
    [service] = [found for found in objects if found["kind"] == "Service"]
    problems = []
    for name, pod in bridges.items():
        if not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items():
            problems.append(f"{name}: its labels are {pod['metadata']['labels']}")
        ports = {port["name"]: port["containerPort"] for container in pod["spec"]["containers"] for port in container["ports"]}
        problems += [f"{name}: it has the ports {ports}" for port in service["spec"]["ports"] if ports.get(port["targetPort"]) != port["port"]]
    return problems


def check_keda(bridges, refusals):
    """`bridges`: the pods of stand-alone bridges by the names of their manifests. `refusals`: what Kubernetes would refuse of objects."""
    found = examples()
    every = [one for objects in found.values() for one in objects]
    unseen = [fault for fault, wrong in enumerate(spoiled(found["standalone.yaml"])) if not refused_by_keda(wrong)]
    return {
        "kubernetes_takes_the_examples_for_keda": refusals([one for one in every if one["kind"] not in KINDS]),
        "keda_takes_its_examples": refused_by_keda(every),
        "faults_in_the_examples_for_keda_are_found": [f"fault {fault} is not" for fault in unseen],
        "the_service_for_keda_selects_the_bridge": misfits(found["standalone.yaml"], bridges),
    }
