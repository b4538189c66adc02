"""`/metrics` is what Prometheus reads, in both of its formats, and follows its rules for names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from booktape.recorder.status import Blocked, BookStatus, RecorderStatus, RetentionStatus
from booktape.web.metrics import encode_metrics

BOOKS: Final = (
    BookStatus("XRPUSDT", "syncing", 1, 7, 3, 1, "id_gap", 10**18),
    BookStatus("BTCUSDT", "live", 1, 20, 30, 0, evidence_ns=1_780_000_000_500_000_000),
    BookStatus('A"\n\\B', "live", 1, 20, 40, 2, "", 1_780_000_001 * 10**9, failed_checks=1),
)
NOW: Final = RecorderStatus(
    *(1_780_000_002 * 10**9, 1_780_000_000 * 10**9, BOOKS, 5_000, 7, 1.25, 2, 31, 9_000_000),
    segment="first",
    lost_lines=4,
    retention=RetentionStatus(1_780_000_001 * 10**9, {Blocked.UNVERIFIED: "first: damaged"}),
)
OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0"
FORMS: Final = {"": plain_text, "text/plain": plain_text, OPEN_METRICS: open_metrics}
Parser = Callable[[str], Iterable[Metric]]


def values(families: Iterable[Metric]) -> dict[str, float]:
    """Each sample, by its name and the value of its only label."""
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize(("accept", "parse"), FORMS.items())
def test_prometheus_reads_every_figure(accept: str, parse: Parser) -> None:
    """Totals, moments in seconds, each state of books, and each symbol, whatever its name."""
    body, content_type = encode_metrics(NOW, 5_000, accept)
    assert content_type.startswith(accept.partition(";")[0])
    found = values(parse(body.decode()))
    expected = {
        "booktape_recording": 1,
        "booktape_rows_total": 73,
        "booktape_gaps_total": 3,
        "booktape_failed_checks_total": 1,
        "booktape_records_total": 5_000,
        "booktape_requests_total": 31,
        "booktape_written_bytes_total": 9_000_000,
        "booktape_lost_log_lines_total": 4,
        "booktape_waiting_records": 7,
        "booktape_connections": 2,
        "booktape_lag_seconds": 0.00125,
        "booktape_start_timestamp_seconds": 1_780_000_000,
        "booktape_oldest_evidence_timestamp_seconds": 1_780_000_000.5,
        "booktape_disk_free_bytes": 5_000,
        "booktape_retention_blocked unverified": 1,
        "booktape_retention_blocked unshipped": 0,
        "booktape_retention_blocked failed": 0,
        "booktape_retention_complete_timestamp_seconds": 1_780_000_001,
        "booktape_books live": 2,
        "booktape_books syncing": 1,
        "booktape_books cold": 0,
        "booktape_book_known XRPUSDT": 0,
        "booktape_book_known BTCUSDT": 1,
        'booktape_book_known A"\n\\B': 1,
    }
    assert {name: found[name] for name in expected} == expected
    assert found["process_resident_memory_bytes"] > 1 << 20


@pytest.mark.parametrize(("accept", "parse"), FORMS.items())
def test_before_recording_only_known_figures_are_served(accept: str, parse: Parser) -> None:
    """No total of 0, which would look like a restarted recorder; no evidence of 1970."""
    body, _ = encode_metrics(None, None, accept)
    names = {name for name in values(parse(body.decode())) if name.startswith("booktape_")}
    assert {name.split()[0] for name in names} == {"booktape_recording", "booktape_build_info"}


def test_without_limits_no_retention_figures_are_served() -> None:
    """Otherwise an alert would report passes that are never made."""
    body, _ = encode_metrics(replace(NOW, retention=None), None, "")
    assert not [name for name in values(plain_text(body.decode())) if "retention" in name]


def test_without_a_known_book_there_is_no_oldest_evidence() -> None:
    """Otherwise an alert on its age would report years."""
    lost = RecorderStatus(*(2, 1, BOOKS[:1], 0, 0, 0.0, 0, 0, 0), segment="first")
    body, _ = encode_metrics(lost, None, "")
    assert not [name for name in values(plain_text(body.decode())) if "evidence" in name]


def test_names_follow_prometheus_rules() -> None:
    """Lower case, a base unit at the end, and `_total` only for values that never fall."""
    body, _ = encode_metrics(NOW, 5_000, OPEN_METRICS)
    for family in open_metrics(body.decode()):  # type: ignore[no-untyped-call]
        if not family.name.startswith("booktape_"):
            continue
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", family.name), family.name
        assert not re.search(r"_(ms|ns|us|kb|mb|minutes|hours)$", family.name)
        assert family.documentation.endswith(".")
        totals = {sample.name.endswith("_total") for sample in family.samples}
        assert totals == {family.type == "counter"}, family.name
