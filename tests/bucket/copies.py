"""Copies a folder into a bucket, and a bucket into a folder, without booktape: with a library alone."""

from __future__ import annotations

from pathlib import Path

import obstore
from obstore.store import ObjectStore, from_url


def store_at(address: str, port: int) -> ObjectStore:
    """The objects below an address, on a server on loopback."""
    return from_url(
        address, client_options={"allow_http": True}, endpoint=f"http://127.0.0.1:{port}"
    )


def upload(root: Path, store: ObjectStore) -> None:
    """Every file of a folder, except locks."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.name.startswith(".lock"):
            obstore.put(store, path.relative_to(root).as_posix(), path.read_bytes())


def download(store: ObjectStore, folder: Path) -> Path:
    """Every object."""
    for part in obstore.list(store):
        for each in part:
            path = folder / each["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(obstore.get(store, each["path"]).bytes())
    return folder
