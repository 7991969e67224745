#!/usr/bin/env python3
"""config/schema.json takes the configurations of the project, and refuses what the documents say is refused. `jsonschema`, which others
wrote, reads it as both drafts that editors know.

`make test-config` runs it: needs the built bridge, and the packages of tests/requirements.txt. tests/docs holds the schema against the
binary and the documents.
"""
import json
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

from jsonschema import Draft4Validator, Draft7Validator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from parts import ROOT, TARGET, run_suite  # noqa: E402

SCHEMA = ROOT / "config/schema.json"
REFERENCE = ROOT / "docs/configuration.md"
BRIDGE = TARGET / "debug/activity-bridge"
FENCE = re.compile(r"^```toml\n(.*?)^```", re.M | re.S)
KEY = re.compile(r"^#### `(?P<path>[^`]+)`\n\n- Type: (?P<type>.*)\n- Default: .*\n- Example: `(?P<example>.*)`\n", re.M)
# A block of a YAML file: its first line, and all lines that are indented further, or are empty.
BLOCK = re.compile(r"^(?P<indent> *)\S[^\n]*: \|\n(?P<text>(?:(?P=indent) +[^\n]*\n|\n)+)", re.M)
VARIABLE = "${NAME:-1}"


def files(folder, *endings):
    return sorted(path for ending in endings for path in (ROOT / folder).rglob(f"*.{ending}") if "templates" not in path.parts)


def configurations():
    """Each configuration of the project, with its name. A part of a route in the documents is none."""
    for path in files("config", "toml") + files("deploy", "toml"):
        yield path.relative_to(ROOT), path.read_text()
    for path in files("deploy", "yaml", "yml"):
        for block in BLOCK.finditer(path.read_text()):
            text = textwrap.dedent(block["text"])
            if "[[routes]]" in text:
                yield path.relative_to(ROOT), text
    for path in [ROOT / "README.md", *files("docs", "md")]:
        for text in FENCE.findall(path.read_text()):
            if re.search(r"^\[", text, re.M):
                yield path.relative_to(ROOT), text


def errors(validators, instance, path=None):
    """What each validator has to say; with a path, of that value alone."""
    found = [error for validator in validators for error in validator.iter_errors(instance)]
    if path is not None:
        found = [error for error in found if list(error.absolute_path)[:len(path)] == path]
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def refused(validators, configurations):
    """The problems of configurations that the schema should take."""
    for name, text in configurations:
        yield from (f"{name}: {error}" for error in errors(validators, tomllib.loads(text)))


def nested(path, value):
    """A configuration with this value alone, and where it is: `routes[].name` is in the first route."""
    steps = []
    for part in path.split("."):
        steps += [part.removesuffix("[]"), 0] if part.endswith("[]") else [part]
    for step in reversed(steps):
        value = [value] if step == 0 else {step: value}
    return value, steps


def bounds(kind):
    """The two numbers of `whole number, 1 to 60,000`."""
    found = re.match(r"whole number, ([\d,]+) to ([\d,]+)", kind)
    return [int(number.replace(",", "")) for number in found.groups()] if found else []


def wrong_values(kind):
    """Values that a key of this documented type must not take."""
    if found := bounds(kind):
        return [found[0] - 1, found[1] + 1, 1.5, True, "zzz"]
    if kind == "true or false":
        return [1, "true"]
    if kind.startswith("list of at least one text"):
        return [[], [1], "a"]
    if kind.startswith("list of texts"):
        return [[1], "a"]
    if kind.startswith("text"):
        return [1, True, ["a"]]
    return ["zzz", 1]


def right_values(kind, example):
    values = [example, *bounds(kind)]
    if '`"' in kind:
        values += re.findall(r'`"([^"]+)"`', kind)
    if not kind.startswith("list"):
        values.append(VARIABLE)
    return values


def of_the_reference(validators):
    """Where the schema and the reference of the keys say different things."""
    keys = list(KEY.finditer(REFERENCE.read_text()))
    if len(keys) < 50:
        yield f"only {len(keys)} keys are found in {REFERENCE.name}"
    for key in keys:
        path, kind = key["path"], key["type"]
        example = tomllib.loads(f"value = {key['example']}")["value"]
        for value in right_values(kind, example):
            instance, place = nested(path, value)
            yield from (f"{path} = {value!r} is refused: {error}" for error in errors(validators, instance, place))
        for value in wrong_values(kind):
            instance, place = nested(path, value)
            for validator in validators:
                if not errors([validator], instance, place):
                    yield f"{path} = {value!r} is taken by {type(validator).__name__}"
        if not any("zzz" in error for error in errors(validators, nested(f"{path}_zzz", example)[0])):
            yield f"{path}_zzz is taken"


def printed(folder):
    """What `config print` prints of the configurations that need no other file, with their names."""
    for path in files("config", "toml"):
        done = subprocess.run([BRIDGE, "config", "print", "--config", path], cwd=folder, env={}, capture_output=True, text=True)
        if done.returncode == 0:
            yield f"what is printed of {path.name}", done.stdout


def run(folder, processes, checks):
    schema = json.loads(SCHEMA.read_text())
    for draft in Draft4Validator, Draft7Validator:
        draft.check_schema(schema)
    validators = [Draft4Validator(schema), Draft7Validator(schema)]
    all_of_them = list(configurations())
    few = [] if len(all_of_them) > 20 else [f"only {len(all_of_them)} configurations are found"]
    checks.check("the_schema_takes_the_configurations_of_the_project", few + list(refused(validators, all_of_them)))
    checks.check("the_schema_and_the_reference_say_the_same", list(of_the_reference(validators)))
    texts = list(printed(folder))
    few = [] if len(texts) > 1 else ["nothing was printed"]
    checks.check("what_is_printed_is_a_configuration", few + list(refused(validators, texts)))
    mistakes = ["[shutdown]\ngrace = 1", "[[routes]]\nqueue = \"a\"", "log.level = \"loud\"", "amqp = []"]
    taken = [text for text in mistakes if not list(refused(validators, [("", text)]))]
    checks.check("a_mistake_is_refused", taken)


if __name__ == "__main__":
    run_suite("config", run, needs=())
