#!/usr/bin/env python3
"""Holds what the chart renders against the schemas of Kubernetes. It runs with the tools' Python, and prints a JSON object: each test, and
what is wrong. The tests of containers.py are among them.

    validate.py OLDEST      the oldest minor version of Kubernetes 1 to validate for; the newest is the newest that there is a schema of
"""
import json
import shutil
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml
from kubernetes_validate.utils import all_versions

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import chart  # noqa: E402
import helm  # noqa: E402
from containers import check_compose, check_ecs  # noqa: E402
from keda import check_keda  # noqa: E402

# What the schemas know, beside custom resources.
CUSTOM = {"PodMonitor", "PrometheusRule"}
EXAMPLES = {name: yaml.safe_load(path.read_text()) for name, path in chart.values().items()}


def render(values, name="activity-bridge", folder=chart.CHART):
    """The objects that a chart makes of values."""
    return [found for found in yaml.safe_load_all(helm.render(folder, name, values)) if found]


def merged(*values):
    result = {}
    for more in values:
        for key, value in more.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def versions(oldest):
    minors = [int(version.split(".")[1]) for version in all_versions()]
    return [f"1.{minor}" for minor in sorted(set(minors)) if minor >= oldest]


def refusals(objects, version):
    """What Kubernetes of this version would refuse."""
    problems = []
    for found in objects:
        if found["kind"] in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            problems.append(f"{version} {found['kind']} {found['metadata']['name']}: {str(error)[:300]}")
    return problems


def pods(objects):
    return [found["spec"]["template"] for found in objects if found["kind"] in ("Deployment", "StatefulSet", "Job")]


def mismatches(objects):
    """Names and labels of one object that another does not have."""
    names = {kind: {found["metadata"]["name"] for found in objects if found["kind"] == kind} for kind in ("ConfigMap", "Secret", "ServiceAccount")}
    problems = []
    for pod in pods(objects):
        labels, spec = pod["metadata"]["labels"], pod["spec"]
        for found in objects:
            spec_of = found["spec"] if "spec" in found else {}
            selector = spec_of.get("podSelector") or spec_of.get("selector") or {}
            wanted = selector.get("matchLabels", selector if found["kind"] == "Service" else {})
            if not wanted.items() <= labels.items():
                problems.append(f"{found['kind']} selects {wanted}, and the pods have {labels}")
        if spec["serviceAccountName"] not in names["ServiceAccount"]:
            problems.append(f"no service account {spec['serviceAccountName']}")
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        claims = {claim["metadata"]["name"] for found in objects for claim in found.get("spec", {}).get("volumeClaimTemplates", [])}
        for volume in volumes.values():
            if "configMap" in volume and volume["configMap"]["name"] not in names["ConfigMap"]:
                problems.append(f"no ConfigMap {volume['configMap']['name']}")
            tls = volume["name"].endswith("-tls")
            if "secret" in volume and not tls and volume["secret"]["secretName"] not in names["Secret"]:
                problems.append(f"no Secret {volume['secret']['secretName']}")
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes.keys() | claims:
                    problems.append(f"no volume {mount['name']}")
            for variable in container.get("env", []):
                key = variable.get("valueFrom", {}).get("secretKeyRef")
                if key and key["name"] not in names["Secret"]:
                    problems.append(f"no Secret {key['name']}")
    return problems


def missing(objects):
    """What is asked for and not made."""
    kinds = {found["kind"] for found in objects}
    wanted = {"ConfigMap", "NetworkPolicy", "PodMonitor", "PrometheusRule", "ServiceAccount"} | (set() if "Job" in kinds else {"PodDisruptionBudget"})
    return [f"no {kind}" for kind in sorted(wanted - kinds)]


GUARDED = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
           "seccompProfile": {"type": "RuntimeDefault"}}


def bridges(objects):
    containers = [container for pod in pods(objects) for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]]
    return [container for container in containers if container["name"] == "activity-bridge"]


def unguarded(objects):
    """What a bridge's container could do, and need not."""
    found = bridges(objects)
    problems = [] if found else ["there is no bridge"]
    for bridge in found:
        problems += [f"{key}: {bridge['securityContext'].get(key)}" for key, value in GUARDED.items() if bridge["securityContext"].get(key) != value]
        problems += [] if "memory" in bridge["resources"]["limits"] else ["no limit of memory"]
    return problems


def grace_periods():
    objects = render(merged(EXAMPLES["sidecar"], {"shutdown": {"graceSecs": 200, "moreSecs": 33}}))
    [pod] = pods(objects)
    [config] = [found["data"]["config.toml"] for found in objects if found["kind"] == "ConfigMap"]
    seconds = pod["spec"]["terminationGracePeriodSeconds"]
    return ([] if seconds == 233 else [f"the pod has {seconds} s"]) + ([] if "\ngrace_secs = 200\n" in config else [config])


def roles():
    def annotations(role):
        objects = render(merged(EXAMPLES["sidecar"], {"aws": {"roleArn": role}}))
        [account] = [found for found in objects if found["kind"] == "ServiceAccount"]
        return account["metadata"].get("annotations", {})

    role = "arn:aws:iam::123456789012:role/A"
    irsa, pod_identity = annotations(role), annotations("")
    return ([] if irsa == {"eks.amazonaws.com/role-arn": role} else [str(irsa)]) + ([] if pod_identity == {} else [str(pod_identity)])


def rules():
    """The PrometheusRule has the rules of deploy/prometheus, with links to where the documents are."""
    objects = render(merged(EXAMPLES["sidecar"], MORE))
    [found] = [found for found in objects if found["kind"] == "PrometheusRule"]
    text = chart.RULES.read_text().replace("https://YOUR-DOCS", "https://docs.example/bridge")
    problems = [] if found["spec"] == yaml.safe_load(text) else ["the rules are others"]
    return problems + ([] if found["metadata"]["labels"].get("release") == "prometheus" else ["its label is missing"])


WRONG = {
    "a grace period of less than a poll": {"shutdown": {"graceSecs": 60}},
    "an unknown key": {"shutdwon": {"graceSecs": 90}},
    "an unknown mode": {"mode": "side-car"},
    "a store in memory": {"store": {"kind": "memory"}},
    "a role that is none": {"aws": {"roleArn": "payments"}},
    "an open endpoint without TLS": {"mode": "standalone", "secret": {"existing": "s"},
                                     "broker": {"kind": "endpoint", "endpoint": {"users": [{"name": "a"}]}}},
    "an open endpoint without users": {"mode": "standalone", "secret": {"existing": "s"},
                                       "broker": {"kind": "endpoint", "endpoint": {"plaintext": True}}},
    "users without passwords": {"mode": "standalone",
                                "broker": {"kind": "endpoint", "endpoint": {"plaintext": True, "users": [{"name": "a"}]}}},
    "RabbitMQ without its address": {"broker": {"kind": "rabbitmq"}},
    "Redis without its address": {"store": {"kind": "redis"}},
    "a variable with a typo": {"env": [{"name": "A", "vlaue": "b"}]},
    "resources with a typo": {"resources": {"limit": {"memory": "1Gi"}}},
    "a second hook of the worker": {"worker": {"container": {"lifecycle": {}}}},
    "a Deployment whose bridge ends by itself": {"worker": {"untilIdleSecs": 60}},
    "a budget that is none": {"podDisruptionBudget": {"maxUnavailable": "some"}},
    "documents at no address": {"prometheusRule": {"docsUrl": "docs"}},
    "an address that is a name": {"listenHost": "localhost"},
    "no route": {"config": ""},
}

# What examples don't have.
MORE = {
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True, "docsUrl": "https://docs.example/bridge/", "labels": {"release": "prometheus"}},
    "podDisruptionBudget": {"enabled": True},
    "networkPolicy": {"enabled": True, "egress": True, "metricsFrom": [{"namespaceSelector": {}}], "workersFrom": [{"podSelector": {}}]},
    "checksumAnnotation": True,
    "env": [{"name": "ACTIVITY_BRIDGE_LOG__LEVEL", "value": "debug"}],
    "image": {"digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "serviceAccount": {"annotations": {"a": "b"}},
    "worker": {"command": ["a"], "args": ["b"], "resources": {"limits": {"memory": "1Gi"}},
               "container": {"envFrom": [{"configMapRef": {"name": "c"}}], "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]},
               "volumes": [{"name": "tmp", "emptyDir": {}}], "securityContext": {"runAsUser": 1000}},
    "readinessProbe": False,
}


def accepted(values):
    try:
        helm.render(chart.CHART, "activity-bridge", values)
        return True
    except helm.Refused:
        return False


def parent_chart():
    """The objects of a chart that has this one as a dependency, as the chart's README.md shows it."""
    [metadata, template] = [block for block in (chart.CHART / "README.md").read_text().split("```yaml\n")[1:]]
    metadata, template = metadata.split("```")[0], template.split("```")[0]
    with tempfile.TemporaryDirectory() as folder:
        parent = Path(folder) / "payments"
        (parent / "templates").mkdir(parents=True)
        (parent / "Chart.yaml").write_text("apiVersion: v2\nname: payments\nversion: 1.0.0\n" + metadata)
        shutil.copytree(chart.CHART, parent / "charts/activity-bridge")
        labels = {"app": "payments"}
        head = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: payments\n"
        # The README leaves out what each Deployment has.
        template = template.replace("spec:\n  template:\n    metadata:\n",
                                    "spec:\n  selector:\n    matchLabels:\n      app: payments\n  template:\n    metadata:\n      labels:\n"
                                    "        app: payments\n")
        template = template.replace("- name: worker\n", "- name: worker\n          image: payments\n")
        (parent / "templates/deployment.yaml").write_text(head + template)
        mine = {**EXAMPLES["sidecar"], "worker": {"image": ""}, "selectorLabels": labels}
        return render({"activity-bridge": mine}, "shop", parent)


def check_chart(oldest):
    tests = {}
    every = versions(oldest)
    for name, values in EXAMPLES.items():
        objects = render(values, chart.release(name))
        tests[f"kubernetes_takes_{name}"] = [problem for version in every for problem in refusals(objects, version)]
        tests[f"the_names_and_labels_of_{name}_fit"] = mismatches(objects)
        full = render(merged(values, MORE, {"worker": {**MORE["worker"], **values.get("worker", {})}}), chart.release(name))
        tests[f"kubernetes_takes_{name}_with_everything_else"] = (
            [problem for version in every for problem in refusals(full, version)] + mismatches(full) + missing(full))
        tests[f"the_bridge_of_{name}_has_no_rights"] = unguarded(objects)
        tests[f"helm_lint_takes_{name}"] = helm.lint(chart.CHART, values)
    typo = render(EXAMPLES["sidecar"])
    pods(typo)[0]["spec"]["restartPolicies"] = "Always"
    tests["a_typo_is_found"] = [] if refusals(typo, every[-1]) else ["it was not"]
    tests["wrong_values_are_refused"] = [f"{what} is accepted" for what, wrong in WRONG.items()
                                         if accepted(merged(EXAMPLES["sidecar"], wrong))]
    tests["the_grace_period_of_the_pod_follows_that_of_the_bridge"] = grace_periods()
    tests["a_role_is_an_annotation_and_pod_identity_needs_none"] = roles()
    tests["the_rules_of_the_chart_are_those_of_prometheus"] = rules()
    objects = parent_chart()
    tests["the_templates_serve_another_chart"] = [problem for version in every for problem in refusals(objects, version)] + mismatches(objects)
    [pod] = pods(objects)
    sidecar = pod["spec"]["initContainers"][0]
    tests["the_sidecar_of_another_chart_is_native"] = [] if sidecar.get("restartPolicy") == "Always" else [str(sidecar)]
    return tests


def check_examples_for_keda(oldest):
    alone = [name for name in EXAMPLES if name.startswith("standalone")]
    bridges = {name: pods(render(EXAMPLES[name], chart.release(name)))[0] for name in alone}
    return check_keda(bridges, lambda objects: [problem for version in versions(oldest) for problem in refusals(objects, version)])


if __name__ == "__main__":
    oldest_minor = int(sys.argv[1])
    print(json.dumps({**check_chart(oldest_minor), **check_examples_for_keda(oldest_minor), **check_ecs(), **check_compose()}, indent=1))
