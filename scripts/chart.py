#!/usr/bin/env python3
"""The plain manifests in deploy/kubernetes/, which are rendered from the chart in deploy/chart.

    chart.py write     copies the alerts of deploy/prometheus into the chart, renders it with each file of deploy/chart/ci, and writes the
                       manifests and their sums
    chart.py check     says whether the chart or a manifest was changed since then; needs no Helm

The sums are in deploy/kubernetes/SHA256SUMS, of what goes in and of what comes out.
"""
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import venv
from system import ROOT, Failure, main

CHART = ROOT / "deploy/chart"
MANIFESTS = ROOT / "deploy/kubernetes"
SUMS = MANIFESTS / "SHA256SUMS"
# The alerts. A chart can only read its own files, so it has a copy.
RULES = ROOT / "deploy/prometheus/activity-bridge.rules.yml"
RULES_OF_CHART = CHART / "files" / RULES.name
REQUIREMENTS = ROOT / "tests/package/requirements.txt"
# The name of the release: that of the worker, or of the bridge where it is alone.
RELEASES = {"sidecar": "payments-worker", "sidecar-rabbitmq": "payments-worker", "job": "reports-worker"}
ALONE = "activity-bridge"
AGAIN = "run `make manifests`"


def values():
    """The files of values, by the name of their manifest."""
    return {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}


def release(name):
    return RELEASES.get(name, ALONE)


def render():
    """The text of each manifest, by its name. Helm is a library here, for Python."""
    python = venv.ensure(REQUIREMENTS, folder=venv.TOOLS)
    asked = {name: [release(name), str(path)] for name, path in values().items()}
    done = subprocess.run([python, Path(__file__).with_name("helm.py"), CHART], input=json.dumps(asked), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise Failure(f"the chart can't be rendered:\n{done.stderr.strip()}")
    return {name: manifest(name, text) for name, text in json.loads(done.stdout).items()}


def manifest(name, rendered):
    """A manifest with a head that says what it is: the comment of its values."""
    lines = values()[name].read_text().splitlines()
    about = lines[:next(index for index, line in enumerate(lines) if not line.startswith("#"))]
    head = [*about, "#", "# Replace the words in capitals, then: kubectl apply -f " + str(path_of(name).relative_to(ROOT)),
            "# docs/kubernetes.md says more. This file is made from the chart in deploy/chart, with its values in",
            f"# {values()[name].relative_to(ROOT)}. Don't edit it: {AGAIN}."]
    body = [line.rstrip() for line in rendered.strip().splitlines() if not line.startswith("# Source:")]
    return "\n".join([*head, *body]) + "\n"


def path_of(name):
    return MANIFESTS / f"{name}.yaml"


def inputs():
    files = [path for path in CHART.rglob("*") if path.is_file()]
    return sorted([*files, Path(__file__).resolve(), Path(__file__).resolve().with_name("helm.py")])


def sums():
    """The lines of SHA256SUMS, as they should be."""
    outputs = sorted(path for path in MANIFESTS.iterdir() if path != SUMS)
    return [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT)}" for path in [*inputs(), *outputs]]


def problems():
    """What is not as it was when the manifests were made."""
    kept, now = set(SUMS.read_text().splitlines()) if SUMS.exists() else set(), set(sums())
    changed = sorted({line.split()[1] for line in kept ^ now})
    missing = [name for name in values() if not path_of(name).exists()]
    stale = [path.name for path in MANIFESTS.glob("*.yaml") if path.stem not in values()]
    same = RULES_OF_CHART.exists() and RULES_OF_CHART.read_bytes() == RULES.read_bytes()
    return ([f"{path} was changed; {AGAIN}" for path in changed]
            + ([] if same else [f"the chart has other alerts than {RULES.relative_to(ROOT)}; {AGAIN}"])
            + [f"there is no manifest for the values {name}; {AGAIN}" for name in missing]
            + [f"there are no values for the manifest {name}; {AGAIN}" for name in stale])


def write():
    RULES_OF_CHART.parent.mkdir(exist_ok=True)
    RULES_OF_CHART.write_bytes(RULES.read_bytes())
    made = render()
    for path in MANIFESTS.glob("*.yaml"):
        path.unlink()
    for name, text in made.items():
        path_of(name).write_text(text)
    SUMS.write_text("\n".join(sums()) + "\n")
    print(f"{len(made)} manifests in {MANIFESTS.relative_to(ROOT)}")


def check():
    found = problems()
    if found:
        raise Failure("\n".join(found))
    print("the manifests are those of the chart")


def body():
    commands = {"write": write, "check": check}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        raise Failure(f"name one of {', '.join(commands)}")
    commands[sys.argv[1]]()


if __name__ == "__main__":
    main(body)
