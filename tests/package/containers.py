"""The files of ECS and of compose: what one part names, another one has."""
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent


class Tagged(yaml.SafeLoader):
    """YAML with CloudFormation's tags, which stand for what they say."""


Tagged.add_multi_constructor("!", lambda loader, suffix, node: f"!{suffix} {node.value}" if isinstance(node, yaml.ScalarNode) else suffix)


def cycles(needs):
    """Names that, in the end, need themselves or one that is not there."""
    left = dict(needs)
    while ready := [name for name, wanted in left.items() if not set(wanted) & left.keys()]:
        for name in ready:
            del left[name]
    unknown = [f"{name} needs {one}, which is not there" for name, wanted in needs.items() for one in wanted if one not in needs]
    return unknown + [f"{name} needs itself" for name in left]


def check_ecs():
    template = yaml.load((ROOT / "deploy/ecs/service.yaml").read_text(), Tagged)
    task = template["Resources"]["TaskDefinition"]["Properties"]
    containers = {container["Name"]: container for container in task["ContainerDefinitions"]}
    problems = cycles({name: [need["ContainerName"] for need in found.get("DependsOn", [])] for name, found in containers.items()})
    volumes = {volume["Name"] for volume in task["Volumes"]}
    for name, container in containers.items():
        # The most that Fargate allows; cfn-lint does not look.
        if container.get("StopTimeout", 30) > 120:
            problems.append(f"{name}: StopTimeout")
        problems += [f"{name}: no volume {mount['SourceVolume']}" for mount in container.get("MountPoints", [])
                     if mount["SourceVolume"] not in volumes]
    needs = {need["ContainerName"]: need["Condition"] for need in containers["worker"]["DependsOn"]}
    if needs.get("activity-bridge") != "HEALTHY" or "HealthCheck" not in containers["activity-bridge"]:
        problems.append("the worker does not wait until the bridge is healthy")
    return {"the_containers_of_ecs_fit": problems}


def check_compose():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = compose["services"]
    problems = cycles({name: list(found.get("depends_on", {})) for name, found in services.items()})
    for name, service in services.items():
        profile = service.get("profiles", [])
        for need in service.get("depends_on", {}):
            if not set(services.get(need, {}).get("profiles", profile)) <= set(profile):
                problems.append(f"{name} needs {need}, which has another profile")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]
            problems += [] if there else [f"{name}: no {source}"]
        problems += [f"{name}: no secret {one}" for one in service.get("secrets", []) if one not in compose["secrets"]]
    problems += [f"no file {secret['file']}" for secret in compose["secrets"].values() if not (ROOT / secret["file"]).exists()]
    password = (ROOT / compose["secrets"]["worker-password"]["file"]).read_text().strip()
    if f"//worker:{password}@" not in services["worker"]["environment"]["AMQP_URI"]:
        problems.append("the worker has another password")
    return {"the_services_of_compose_fit": problems}
