"""Keeps the result of each segment in a folder, so that a later run need not verify the segment again.

A result is a JSON file with the name of its segment. It holds for the same version of booktape, the same symbols, and
files of the same names, sizes and times of change. Known weakness: a change that alters neither the size nor the time of
a file is noticed only by a run without kept results.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from booktape import __version__
from booktape.processes.descriptors import refuse_used_up
from booktape.store.durable_files import disk_errors_named
from booktape.store.layout import Layout
from booktape.store.opening import open_file
from booktape.verify.files import SegmentFiles
from booktape.verify.findings import Counts, Finding, Findings, Kind
from booktape.verify.model.replay import SegmentEdge
from booktape.verify.segment import SegmentResult
from booktape.verify.stored_files import StoredFiles

_NO_RESULT: Final = (
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)


class KeptResults:
    """The results in one folder, for one archive and some of its symbols (None: all)."""

    def __init__(self, folder: Path, stored: StoredFiles, symbols: frozenset[str] | None) -> None:
        self._folder = folder
        self._stored = stored
        self._symbols = None if symbols is None else sorted(symbols)
        self._seen: dict[str, object] = {}

    def load(self, files: SegmentFiles) -> SegmentResult | None:
        """The result of a segment. None if it has to be verified; `store` then expects its files as they are now."""
        name = files.segment.name
        self._seen[name] = self._key(files)
        try:
            with open_file(self._path(name)) as file:
                kept = json.loads(file.read(), object_hook=_decimal)
            if kept["of"] == self._seen[name]:
                return _read(files, kept["result"])
        except _NO_RESULT as error:
            refuse_used_up(error)  # else it is not there, or no result of ours: it is made again
        return None

    def store(self, files: SegmentFiles, result: SegmentResult) -> None:
        """Keep a result, replacing an older one. Raises WriteFailed."""
        name = files.segment.name
        text = json.dumps({"of": self._seen[name], "result": _written(result)}, default=_exact)
        path = self._path(name)
        partial = path.with_name(f"{name}-{secrets.token_hex(8)}.partial")
        with disk_errors_named(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_text(text)
            partial.replace(path)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _key(self, files: SegmentFiles) -> object:
        """Everything that a result depends on."""
        manifest = [files.manifest] if files.manifest else []
        removal = Layout(Path()).removal(files.segment).as_posix()
        names = [*files.sealed, *manifest, *([removal] if files.removed else [])]
        stamps = {file: self._stored.stamp(file) for file in names}
        return {"booktape": __version__, "symbols": self._symbols, "files": stamps}


def _written(result: SegmentResult) -> dict[str, Any]:
    found = result.found
    return {
        "kept": [asdict(finding) for finding in found.kept],
        "count": found.count,
        "symbols": [[symbol, vars(counts)] for symbol, counts in found.symbols.items()],
        "start": result.start,
        "format": result.format,
        "reason": result.reason,
        "begin": asdict(result.begin),
        "end": asdict(result.end) if result.end else None,
        "rests": sorted(result.rests),
        "epochs": result.epochs,
    }


def _read(files: SegmentFiles, kept: dict[str, Any]) -> SegmentResult:
    found = Findings()
    found.kept = [Finding(**{**each, "kind": Kind(each["kind"])}) for each in kept["kept"]]
    found.count = Counter({Kind(kind): count for kind, count in kept["count"].items()})
    for symbol, counts in kept["symbols"]:
        tables = {name: Counter(counts[name]) for name in ("equal", "different")}
        found.symbols[symbol] = Counts(**{**counts, **tables})
    return SegmentResult(
        files.segment,
        found,
        kept["start"],
        kept["format"],
        kept["reason"],
        _edge(kept["begin"]),
        _edge(kept["end"]) if kept["end"] else None,
        frozenset(kept["rests"]),
        kept["epochs"],
    )


def _edge(kept: dict[str, Any]) -> SegmentEdge:
    connections = {int(number): tuple(of) for number, of in kept["connections"].items()}
    return SegmentEdge(tuple(kept["symbols"]), kept["books"], connections)


def _exact(value: object) -> dict[str, str]:
    """A number of the tape's start record, which JSON would round."""
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    raise TypeError(value)


def _decimal(fields: dict[str, Any]) -> object:
    return Decimal(fields["decimal"]) if fields.keys() == {"decimal"} else fields
