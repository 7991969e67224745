"""docs/asyncapi.yaml as the official parser reads it, and messages held against it."""
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from jsonschema import Draft7Validator

from parts import ROOT
from system import Failure

YAML = ROOT / "docs/asyncapi.yaml"
PARSER = Path(__file__).parent / "parse.js"
# What the parser may say: nothing but that there is a newer AsyncAPI. Few tools read 3.1 yet, and nothing in it is needed.
ACCEPTED = {"asyncapi-latest-version"}

BASIC_PROPERTIES = ("content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to",
                    "expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id")


def parse(file):
    """What the parser says against a document, and the dereferenced document or None where it is refused."""
    done = subprocess.run([os.environ["NODE"], str(PARSER), str(file)], text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise Failure(f"the AsyncAPI parser failed:\n{done.stderr.strip()}")
    answer = json.loads(done.stdout)
    problems = [f"{one['severity']} {one['code']}: {one['message']}"
                for one in answer["problems"] if one["code"] not in ACCEPTED]
    return problems, answer["document"]


@dataclass
class Message:
    """A message in the document's terms."""
    headers: dict
    properties: dict
    body: bytes

    @classmethod
    def of_pika(cls, properties, body):
        given = {name: getattr(properties, name) for name in BASIC_PROPERTIES}
        return cls(properties.headers or {}, {name: value for name, value in given.items() if value is not None}, body)

    @classmethod
    def of_example(cls, message, example):
        """An example of a message of the document, as a worker or the bridge would send it."""
        payload = example["payload"]
        if message["contentType"] == "application/json":
            payload = json.dumps(payload)
        return cls(dict(example.get("headers", {})), dict(message["x-amqp-examples"][example["name"]]), payload.encode())

    def payload(self, content_type):
        if content_type == "application/json":
            return json.loads(self.body)
        return self.body.decode(errors="replace")


def problems_of(described, message):
    """What of a message is not as the document describes it."""
    try:
        payload = message.payload(described["contentType"])
    except ValueError as error:
        return [f"the body: {error}"]
    problems = []
    for part, schema, value in (("headers", described["headers"], message.headers),
                                ("properties", described["x-amqp-properties"], message.properties),
                                ("payload", described["payload"], payload)):
        for error in Draft7Validator(schema).iter_errors(value):
            where = ".".join([part, *map(str, error.absolute_path)])
            problems.append(f"{where}: {error.message}")
    return problems


def problems_in(channel, name, message):
    """A message in a channel must be as the one described under this name, and as no other of that channel."""
    problems = problems_of(channel["messages"][name], message)
    for other, described in channel["messages"].items():
        if other != name and not problems_of(described, message):
            problems.append(f"it would pass for {other} as well")
    return problems


# --- Mutations ----------------------------------------------------------------------------------

def undetected(described, message):
    """Changes to a message that matches, each of which should make it fail, but does not."""
    missed = []
    for part, schema in (("headers", described["headers"]), ("properties", described["x-amqp-properties"])):
        value = getattr(message, part)
        if any(one.get("additionalProperties") is False for one in parts_of(schema)):
            if not problems_of(described, Message(**{**vars(message), part: {**value, "surplus": "1"}})):
                missed.append(f"{part}: one more passes")
        for key in sorted(required(schema)):
            for change, changed in changes(schema, key, value):
                mutant = Message(**{**vars(message), part: changed})
                if not problems_of(described, mutant):
                    missed.append(f"{part}.{key}: {change} passes")
    return missed


def parts_of(schema):
    return [schema, *(part for inner in schema.get("allOf", []) for part in parts_of(inner))]


def required(schema):
    return {key for part in parts_of(schema) for key in part.get("required", [])}


def changes(schema, key, value):
    """The key missing; of another type; empty; and, where the schema has only certain values, another one."""
    rest = {name: one for name, one in value.items() if name != key}
    yield "leaving it out", rest
    yield "another type", {**rest, key: 7 if isinstance(value[key], (str, list)) else "seven"}
    yield "an empty one", {**rest, key: type(value[key])()}
    rules = [part["properties"][key] for part in parts_of(schema) if key in part.get("properties", {})]
    if any(word in rule for rule in rules for word in ("const", "enum", "pattern")):
        other = f"{value[key]}/" if isinstance(value[key], str) else value[key] + 1
        yield f"{other!r}", {**rest, key: other}
