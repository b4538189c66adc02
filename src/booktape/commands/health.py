"""`booktape health`: asks a recorder whether it is healthy. For containers, which have no curl."""

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
    """Ask a recorder that runs with --web whether it is healthy. Exit code 0 if it is.

    Parameters
    ----------
    url
        The address of the recorder's page.
    ready
        Ask whether all books are known and nothing is running short, not only whether the recorder is alive. A
        container should not be restarted because of this answer.
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
    """An opener that follows no redirect and uses no proxy: a recorder is on this machine, or the next one."""
    opener = OpenerDirector()
    for handler in (HTTPHandler(), HTTPSHandler(), HTTPDefaultErrorHandler(), HTTPErrorProcessor()):
        opener.add_handler(handler)
    return opener


def _reasons(body: bytes) -> str:
    """The recorder's reasons, one per line; the answer itself if it does not come from a recorder."""
    try:
        reasons = json.loads(body)["reasons"]
        lines = [" ".join((each["detail"], *each["symbols"])) for each in reasons]
    except (ValueError, KeyError, TypeError, RecursionError):
        return body.decode(errors="replace") or "It answered with an error and gave no reason."
    return "\n".join(lines)
