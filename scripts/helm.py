#!/usr/bin/env python3
"""Helm, as a library. It runs with the Python of the tools (venv.TOOLS).

    helm.py CHART      renders the chart: the input is a JSON object of [release, file of values], and so is the output, of texts
"""
import json
import sys
from pathlib import Path

import helm_python
import yaml
from helm_python import chart as charts
from helm_python import errors

# What a template or the values' schema refuses.
Refused = errors.HelmError
# The order in which Helm installs.
ORDER = ["NetworkPolicy", "PodDisruptionBudget", "ServiceAccount", "Secret", "ConfigMap", "Service", "Deployment", "StatefulSet", "Job",
         "PodMonitor", "PrometheusRule"]
# Of a finding of `lint`.
WARNING = 2


def kind(text):
    return next(line.removeprefix("kind: ").strip() for line in text.splitlines() if line.startswith("kind: "))


def render(folder, release, values):
    """The text of a chart's objects, in the order in which they are installed."""
    with helm_python.Chart.load(str(folder)) as chart:
        chart.validate_schema(values)
        rendered = chart.render(values, name=release, namespace="default")
    texts = [text.strip("\n") for path, text in rendered.items() if path.endswith(".yaml") and text.strip()]
    return "".join(f"---\n{text}\n" for text in sorted(texts, key=lambda text: ORDER.index(kind(text))))


def lint(folder, values):
    """What Helm's linter finds, in lines."""
    report = charts.lint(str(folder), values, strict=True)
    found = [f"{one['path']}: {one['error']}" for one in report["messages"] if one["severity"] >= WARNING]
    return found + report["errors"]


def body():
    asked = json.load(sys.stdin)
    texts = {name: render(sys.argv[1], release, yaml.safe_load(Path(path).read_text())) for name, (release, path) in asked.items()}
    json.dump(texts, sys.stdout)


if __name__ == "__main__":
    body()
