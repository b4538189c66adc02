"""The recorder's state as Prometheus reads it: `/metrics`.

The names follow its rules: base units (seconds, bytes), `_total` for counters, and moments instead of ages (an age is
wrong as soon as it is read; `time() - booktape_oldest_evidence_timestamp_seconds` never is). There are few labels:
the state of books, what blocks retention, and, only in `booktape_book_known`, the symbol.
https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from booktape import __version__
from booktape.core.sync import State
from booktape.recorder.status import Blocked, RecorderStatus, RetentionStatus

_COUNTERS: Final = {
    "booktape_rows": ("Snapshots written, of all symbols.", "rows"),
    "booktape_gaps": ("Gaps stored, of all symbols.", "gaps"),
    "booktape_failed_checks": ("Comparisons that found a book wrong.", "failed_checks"),
    "booktape_records": ("Tape records handled.", "records"),
    "booktape_requests": ("Requests sent to the exchange's REST interface.", "requests"),
    "booktape_written_bytes": ("Bytes written to the disk.", "written_bytes"),
    "booktape_lost_log_lines": ("Log lines that were dropped.", "lost_lines"),
}
_GAUGES: Final = {
    "booktape_waiting_records": ("Records waiting in the queue.", "waiting"),
    "booktape_connections": ("Open connections to the exchange.", "connections"),
}


def encode_metrics(
    status: RecorderStatus | None, disk_free_bytes: int | None, accept: str
) -> tuple[bytes, str]:
    """The text, and its content type, in the newest form that `accept` (the request's header) allows.

    `status` is None before the recording has begun and while it ends; then only `booktape_recording` says so.
    `disk_free_bytes` is None if it could not be read.
    """
    registry = CollectorRegistry()
    registry.register(_Recording(status, disk_free_bytes))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Recording(Collector):
    """One moment of a recording."""

    def __init__(self, status: RecorderStatus | None, disk_free_bytes: int | None) -> None:
        self._status = status
        self._disk_free_bytes = disk_free_bytes

    def collect(self) -> list[Metric]:
        """All metrics."""
        status = self._status
        build = GaugeMetricFamily("booktape_build_info", "Always 1.", labels=["version"])
        build.add_metric([__version__], 1)
        found: list[Metric] = [
            build,
            GaugeMetricFamily(
                "booktape_recording", "1 while it records, else 0.", value=float(status is not None)
            ),
        ]
        if self._disk_free_bytes is not None:
            help_text = "Bytes free on the archive's disk."
            found.append(
                GaugeMetricFamily(
                    "booktape_disk_free_bytes", help_text, value=float(self._disk_free_bytes)
                )
            )
        return [*found, *_of(status)] if status else found


def _of(status: RecorderStatus) -> list[Metric]:
    states = Counter(book.state for book in status.books)
    books = GaugeMetricFamily("booktape_books", "Books in each state.", labels=["state"])
    for state in State:
        books.add_metric([state], states[state])
    known = GaugeMetricFamily(
        "booktape_book_known", "1 while the book is known, else 0.", labels=["symbol"]
    )
    for book in status.books:
        known.add_metric([book.symbol], float(book.is_known))
    found: list[Metric] = [
        *(
            CounterMetricFamily(name, help_text, value=float(getattr(status, attribute)))
            for name, (help_text, attribute) in _COUNTERS.items()
        ),
        *(
            GaugeMetricFamily(name, help_text, value=float(getattr(status, attribute)))
            for name, (help_text, attribute) in _GAUGES.items()
        ),
        GaugeMetricFamily(
            "booktape_lag_seconds",
            "Time from the socket until the last record was handled.",
            value=status.lag_ms / 1e3,
        ),
        GaugeMetricFamily(
            "booktape_start_timestamp_seconds",
            "When the recording began.",
            value=status.started_ns / 1e9,
        ),
        books,
        known,
    ]
    # Without a known book there is no such time: 0 would be 1970, and an alert on its age would report decades.
    if status.oldest_evidence_ns is not None:
        found.append(
            GaugeMetricFamily(
                "booktape_oldest_evidence_timestamp_seconds",
                "The last evidence of the known book whose evidence is oldest.",
                value=status.oldest_evidence_ns / 1e9,
            )
        )
    return [*found, *_of_retention(status.retention)] if status.retention else found


def _of_retention(retention: RetentionStatus) -> list[Metric]:
    blocked = GaugeMetricFamily(
        "booktape_retention_blocked",
        "1 while this reason keeps segments that are past their limit, else 0.",
        labels=["reason"],
    )
    for reason in Blocked:
        blocked.add_metric([reason], float(reason in retention.blocked))
    complete = GaugeMetricFamily(
        "booktape_retention_complete_timestamp_seconds",
        "When a pass last removed all that was past its limit.",
        value=retention.complete_ns / 1e9,
    )
    return [blocked, complete]
