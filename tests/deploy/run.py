#!/usr/bin/env python3
"""What is in deploy/, as far as that needs nothing but Python, systemd and promtool: the manifests are those of the chart, systemd takes the
unit, and monitoring.py holds the alerts and the dashboard against a bridge that runs. `make package` runs what needs Helm, linters, and
roots to install into. tests/docs holds the files against each other."""
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from parts import ROOT, run_suite  # noqa: E402
from system import apt_install, has_apt  # noqa: E402

import chart  # noqa: E402
import monitoring  # noqa: E402

UNIT = ROOT / "deploy/systemd/activity-bridge.service"
# What `systemd-analyze security` gives the unit, times ten. 0 is the best, 100 the worst.
THRESHOLD = 15


def analyze(*words):
    done = subprocess.run(["systemd-analyze", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""})
    return done.returncode, done.stdout, done.stderr


def takes(folder, text):
    """What systemd has to say of a unit. It returns 0 for a key that it does not know, so its words count."""
    unit = folder / UNIT.name
    # The binary is not installed here.
    unit.write_text(text.replace("/usr/bin/activity-bridge", shutil.which("true")))
    code, out, err = analyze("verify", "--man=no", unit)
    said = [line for line in (out + err).splitlines() if UNIT.name in line]
    return said + ([f"exit code {code}: {err}"] if code and not said else [])


def run(folder, processes, checks):
    checks.check("the_manifests_are_those_of_the_chart", chart.problems())
    if not shutil.which("systemd-analyze") and has_apt():
        apt_install("systemd")
    text = UNIT.read_text()
    checks.check("systemd_takes_the_unit", takes(folder, text))
    wrong = takes(folder, text.replace("WatchdogSec=", "WatchdogSecs="))
    checks.check("systemd_names_a_key_that_it_does_not_know", [] if wrong else ["it said nothing"])
    code, out, err = analyze("security", "--offline=yes", f"--threshold={THRESHOLD}", "--no-pager", UNIT)
    checks.check("the_unit_is_hardened", [] if code == 0 else [*out.splitlines()[-1:], err])
    code, _, _ = analyze("security", "--offline=yes", "--threshold=1", "--no-pager", UNIT)
    checks.check("the_threshold_can_fail", [] if code else ["nothing is as hard as that"])
    monitoring.check(folder, processes, checks)


if __name__ == "__main__":
    run_suite("deploy", run, needs=())
