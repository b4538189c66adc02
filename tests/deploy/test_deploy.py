"""Everything that `deploy/` names exists: every metric, every option, a panel for every alert."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from booktape.recorder.status import BookStatus, RecorderStatus, RetentionStatus
from booktape.web.metrics import encode_metrics
from e2e.commands import run

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
ALERTS: Final = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD: Final = DEPLOY / "grafana" / "dashboard.json"
PROMETHEUS_OWN: Final = {"up"}


def served() -> set[str]:
    """The names of all samples from a recorder that knows a book."""
    books = (BookStatus("BTCUSDT", "live", 1, 1, 1, 0, evidence_ns=1),)
    status = RecorderStatus(
        *(2, 1, books, 1, 0, 0.0, 1, 1, 1), segment="first", retention=RetentionStatus(1)
    )
    body, _ = encode_metrics(status, 1, "")
    families = text_string_to_metric_families(body.decode())
    return {sample.name for family in families for sample in family.samples}


def metrics_of(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    return set(re.findall(r"\b(?:booktape|process)_[a-z_]+\b|\bup\b", expression))


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def test_every_metric_that_is_read_is_served() -> None:
    """Renaming it in the program would silence its alert."""
    read = [alert["expr"] for alert in alerts()]
    read += [target["expr"] for panel in panels() for target in panel["targets"]]
    for expression in read:
        names = metrics_of(expression)
        assert names, expression
        assert names <= served() | PROMETHEUS_OWN, expression


def test_every_alert_has_a_panel() -> None:
    """The person on call sees at once how long the condition has lasted."""
    shown = {panel["description"]: panel["targets"] for panel in panels()}
    for alert in alerts():
        expressions = " ".join(target["expr"] for target in shown[alert["alert"]])
        assert metrics_of(alert["expr"]) & metrics_of(expressions), alert["alert"]


def test_prometheus_accepts_the_rules() -> None:
    """Checked with its own tool."""
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("needs promtool, which Debian's package prometheus has")
    for words in (
        ("check", "rules", ALERTS),
        ("check", "config", ALERTS.with_name("prometheus.yml")),
    ):
        done = subprocess.run([promtool, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.y*ml")), ids=lambda file: file.name)
def test_every_yaml_file_can_be_read(file: Path) -> None:
    """By any YAML reader."""
    assert all(yaml.safe_load_all(file.read_text()))


def test_every_file_that_is_mounted_or_copied_exists() -> None:
    """Docker would make an empty folder in place of a missing file."""
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
    volumes = [v for service in compose["services"].values() for v in service.get("volumes", ())]
    mounted = [volume.split(":")[0] for volume in volumes if volume.startswith(".")]
    assert mounted
    for name in mounted:
        assert (DEPLOY / "docker" / name).is_file(), name
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
    sent = re.findall(
        r"^!(.*)$", (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text(), re.MULTILINE
    )
    for name in " ".join(copied).split():
        assert (DEPLOY.parent / name).exists(), name
        assert name.partition("/")[0] in sent, name


def test_the_cluster_has_a_shard_for_each_replica() -> None:
    """Otherwise some symbols would not be recorded at all; its Service must also exist."""
    text = (DEPLOY / "kubernetes" / "statefulset.yaml").read_text()
    service, recorders = yaml.safe_load_all(text)
    assert recorders["spec"]["serviceName"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == recorders["spec"]["selector"]["matchLabels"]
    assert f'/{recorders["spec"]["replicas"]}"' in text


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Checked with its own tool; a stand-in replaces the command, which is not installed there."""
    tool = shutil.which("systemd-analyze")
    if not tool:
        pytest.skip("needs systemd-analyze, which Debian's package systemd has")
    unit = tmp_path / "booktape.service"
    text = (DEPLOY / "systemd" / "booktape.service").read_text()
    unit.write_text(text.replace("/opt/booktape/bin/booktape", "/bin/true"))
    done = subprocess.run(
        [tool, "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_option_that_is_used_exists() -> None:
    """In the unit, the image and the cluster."""
    texts = [file.read_text() for file in DEPLOY.rglob("*") if file.is_file()]
    commands = " ".join(
        re.findall(r"booktape\"?,? (?:\")?record[^\n]*(?:\n +--[^\n]*)*", "\n".join(texts))
    )
    used = set(re.findall(r"--[a-z-]+", commands))
    assert "--out" in used
    _, shown, _ = asyncio.run(run("record", "--help", COLUMNS="200"))
    assert used <= set(re.findall(r"--[a-z-]+", shown))
