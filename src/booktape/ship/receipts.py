"""Receipts: files in the archive that say which segments are in which bucket.

    shipped/s3%3A%2F%2Fbucket%2Fprefix/date=2026-11-22/<segment>

Each is an empty file, made once every object of the segment, including its manifest, has been verified. So a start
asks the bucket only about segments without a receipt. A lost receipt costs a check of the objects, which are not put
again.
"""

from __future__ import annotations

from urllib.parse import unquote

from booktape.store.catalog import segments_in
from booktape.store.durable_files import disk_errors_named, make_folder, sync_path
from booktape.store.layout import Layout, Segment


def open_receipts(layout: Layout, address: str) -> None:
    """Note that segments go to this bucket, so that `booktape info` shows what is not yet there."""
    with disk_errors_named(layout.receipts(address)):
        make_folder(layout.receipts(address))


def write_receipt(layout: Layout, address: str, segment: Segment) -> None:
    """Note that a segment is in a bucket. Raises WriteFailed."""
    receipt = layout.receipt(address, segment)
    with disk_errors_named(receipt):
        make_folder(receipt.parent)
        receipt.touch()
        sync_path(receipt.parent)


def read_receipts(layout: Layout, address: str) -> set[Segment]:
    """The segments that are in a bucket."""
    return set(segments_in(layout.receipts(address), ""))


def buckets(layout: Layout) -> list[str]:
    """The addresses of all buckets to which segments of this archive were ever shipped."""
    return sorted(unquote(path.name) for path in layout.shipped.glob("*") if path.is_dir())
