"""`booktape health`: asks a recorder whether it is well. For containers, which have no curl."""

from __future__ import annotations

import http.client
import json
from typing import Final
from urllib.error import HTTPError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
)

from booktape.commands.options import address
from booktape.errors import NotHealthy
from booktape.processes import terminal

TIMEOUT_S: Final = 5.0
_ANSWER_BYTES_MAX: Final = 1 << 20


def health(url: str = "http://127.0.0.1:8080", *, ready: bool = False) -> None:
    """Ask a recorder that runs with --web. Exit code 0: it is well.

    Parameters
    ----------
    url
        The address of its page.
    ready
        Ask whether all books are known and nothing is short, not only whether it is alive. A
        container should not be restarted for this.
    """
    asked = address("url", url, "http", "https") + ("/readyz" if ready else "/healthz")
    try:
        with _opener().open(asked, timeout=TIMEOUT_S) as answer:
            terminal.write_line(answer.read(_ANSWER_BYTES_MAX).decode(errors="replace"))
    except HTTPError as error:
        raise NotHealthy(_reasons(error.read(_ANSWER_BYTES_MAX))) from error
    except (OSError, http.client.HTTPException) as error:
        raise NotHealthy(f"{asked} does not answer: {error}.") from error


def _opener() -> OpenerDirector:
    """Follows no redirect, and asks no proxy: a recorder is on this machine, or the next one."""
    opener = OpenerDirector()
    for handler in (HTTPHandler(), HTTPSHandler(), HTTPDefaultErrorHandler(), HTTPErrorProcessor()):
        opener.add_handler(handler)
    return opener


def _reasons(body: bytes) -> str:
    """What the recorder gives as its reasons, in a line each; the answer itself where it is not ours."""
    try:
        reasons = json.loads(body)["reasons"]
        lines = [" ".join((each["detail"], *each["symbols"])) for each in reasons]
    except (ValueError, KeyError, TypeError, RecursionError):
        return body.decode(errors="replace") or "It answered with an error, and no more."
    return "\n".join(lines)
