"""From batches to what people work with: Arrow, polars, pandas, numpy. Shared by all that is lazy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from booktape.core.events import Floats
from booktape.errors import UsageError
from booktape.reader.shapes import Shape, checked_depth, lobster, shaped

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Tabular(ABC):
    """Rows that are read when they are asked for. Each `to_…` reads anew."""

    depth: int | None

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns of `lists`."""

    @abstractmethod
    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches with lists, bounded in memory; only some columns if given."""

    def to_arrow(self, shape: Shape = "lists") -> pa.Table:
        """A table. `wide` and `long` are described in booktape.reader.shapes."""
        like = shaped(pa.RecordBatch.from_pylist([], self.schema), shape, self.depth)
        return pa.Table.from_batches(
            (shaped(batch, shape, self.depth) for batch in self.batches()), like.schema
        )

    def to_polars(self, shape: Shape = "lists") -> pl.DataFrame:
        """The same as a polars frame. Raises UsageError when polars is not installed."""
        polars = _extra("polars")
        frame: pl.DataFrame = polars.from_arrow(self.to_arrow(shape))
        return frame

    def to_pandas(self, shape: Shape = "lists") -> pd.DataFrame:
        """The same as a pandas frame. Raises UsageError when pandas is not installed."""
        _extra("pandas")
        return self.to_arrow(shape).to_pandas()

    def to_numpy(self) -> Floats:
        """(T, 4K) doubles in LOBSTER's order; missing levels are NaN. It needs a depth.

        The array alone does not tell where the book was not known: `epochs()` does.
        """
        depth = checked_depth(self.depth, "an array")
        arrays = [lobster(batch, depth) for batch in self.batches()]
        return np.concatenate(arrays) if arrays else np.empty((0, 4 * depth))

    def epochs(self) -> NDArray[np.int64]:
        """(T,) the epoch of each row: between two that differ, updates are missing."""
        found = [batch.column("epoch") for batch in self.batches(["epoch"])]
        return pa.chunked_array(found, pa.int64()).to_numpy()


# Any: a module that may not be installed.
def _extra(name: str) -> Any:  # noqa: ANN401
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"{name} is not installed. Try: pip install 'booktape[read]'") from error
