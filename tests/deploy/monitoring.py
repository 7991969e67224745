"""The alerts and the dashboard in deploy/, by Prometheus's own tool, and against the metrics of a bridge that runs."""
import json
import re
import subprocess
import tempfile
from pathlib import Path

from parts import ROOT, start_bridge, start_simulator
from system import free_ports, http

import promtool

RULES = ROOT / "deploy/prometheus/activity-bridge.rules.yml"
TESTS = ROOT / "deploy/prometheus/activity-bridge.test.yml"
DASHBOARD = ROOT / "deploy/grafana/activity-bridge.json"
# Any metric that can be the bridge's, as a sample of it is called.
METRIC = re.compile(r"\b(?:activity_bridge|process)_[a-z_]+")
# What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "5m", "$namespace": ".*", "$route": ".*"}
ROUTE = """
[[routes]]
name = "payments"
queue = "payments"
[routes.swf]
domain = "shop"
task_list = "payments"
"""


def outcome(*words, stdin=None):
    """What is wrong by promtool, in lines."""
    done = subprocess.run([promtool.ensure(), *map(str, words)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return [] if done.returncode == 0 else [*done.stdout.splitlines(), f"exit code {done.returncode}"]


def tests_of(rules):
    """What promtool's unit tests say of rules that may be changed."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / RULES.name).write_text(rules)
        (Path(folder) / TESTS.name).write_text(TESTS.read_text())
        return outcome("test", "rules", Path(folder) / TESTS.name)


def untested(rules, tests):
    """Alerts that fire in no unit test. One that fires where no test says so fails that test."""
    alerts, fire = set(re.findall(r"- alert: (\w+)", rules)), set(re.findall(r'alertname="(\w+)"', tests))
    return [f"{alert} fires in no test" for alert in sorted(alerts - fire)] + ([] if alerts else ["there is no alert"])


def expressions(dashboard):
    """Every expression of a dashboard, by the title of its panel."""
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]


def plain(expression):
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def wrong_expressions(dashboard):
    """What promtool has to say of the expressions: each is a recording rule here."""
    rules = [{"record": "dashboard", "expr": plain(expression), "labels": {"number": str(number)}}
             for number, (_, expression) in enumerate(expressions(dashboard))]
    # JSON is YAML too.
    groups = {"groups": [{"name": "dashboard", "rules": rules}]}
    left = [f"{title}: {expression}" for title, expression in expressions(dashboard) if "$" in plain(expression)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump(groups, file)
        file.flush()
        return outcome("check", "rules", file.name) + left


def unknown(text, exported):
    """Metrics that a text names and that no bridge exports."""
    samples = {line.split("{")[0].split(" ")[0] for line in exported.splitlines() if not line.startswith("#")}
    return [f"no bridge exports {name}" for name in sorted(set(METRIC.findall(text)) - samples)]


def unused(dashboard, exported):
    """Metrics of the bridge that the dashboard does not show."""
    families = set(re.findall(r"(?m)^# TYPE (activity_bridge_\w+)", exported))
    shown = {re.sub(r"_bucket$", "", name) for _, expression in expressions(dashboard) for name in METRIC.findall(expression)}
    # The parts of them are shown: by route, and by state.
    in_parts = {"activity_bridge_tasks_in_flight", "activity_bridge_route_ready", "activity_bridge_route_work"}
    return [f"{name} is on no panel" for name in sorted(families - shown - in_parts)]


def variables(dashboard):
    """The variables that a person chooses from; a panel that asks for one route only would show too much or too little."""
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    wanted = ["datasource", "namespace", "route"]
    problems = [] if names == wanted else [f"the variables are {names}"]
    for panel in dashboard["panels"]:
        if panel["type"] != "row" and panel["datasource"]["uid"] != "${datasource}":
            problems.append(f"{panel['title']} has a data source of its own")
    for title, expression in expressions(dashboard):
        if "$namespace" not in expression:
            problems.append(f"{title} shows all namespaces: {expression}")
    return problems


def check(folder, processes, checks):
    rules, text = RULES.read_text(), DASHBOARD.read_text()
    dashboard = json.loads(text)
    checks.check("promtool_takes_the_alerts", outcome("check", "rules", RULES))
    checks.check("the_alerts_fire_and_do_not_fire_as_their_tests_say", outcome("test", "rules", TESTS))
    checks.check("each_alert_fires_in_a_test", untested(rules, TESTS.read_text()))
    checks.check("an_alert_for_one_throttle_or_one_deploy_is_found", [] if tests_of(re.sub(r"for: \w+", "for: 0s", rules)) else ["it is not"])
    checks.check("promtool_takes_each_expression_of_the_dashboard", wrong_expressions(dashboard))
    wrong = {"panels": [{"title": "wrong", "targets": [{"expr": "sum(rate(activity_bridge_polls_total[5m])"}]}]}
    checks.check("an_expression_that_is_wrong_is_found", [] if wrong_expressions(wrong) else ["it is not"])
    checks.check("the_dashboard_has_its_variables", variables(dashboard))
    aws = start_simulator(folder, processes, "shop")
    bridge = start_bridge(folder, processes, aws, ROUTE, amqp=f'listen = "127.0.0.1:{free_ports(1)[0]}"')
    exported = http(f"{bridge.admin}/metrics")
    checks.check("promtool_takes_the_metrics_of_a_bridge", outcome("check", "metrics", stdin=exported))
    odd = "# HELP wrong Wrong.\n# TYPE wrong counter\nwrong 1\n"
    checks.check("a_metric_against_the_conventions_is_found", [] if outcome("check", "metrics", stdin=odd) else ["it is not"])
    checks.check("a_bridge_exports_each_metric_of_the_alerts", unknown(rules, exported))
    checks.check("a_bridge_exports_each_metric_of_the_tests_of_the_alerts", unknown(TESTS.read_text(), exported))
    checks.check("a_bridge_exports_each_metric_of_the_dashboard", unknown(text, exported))
    checks.check("the_dashboard_shows_each_metric_of_a_bridge", unused(dashboard, exported))
    checks.check("a_metric_that_no_bridge_exports_is_found", [] if unknown("activity_bridge_none_total", exported) else ["it is not"])
