"""The WebSocket connections of a simulated exchange: how many are open, and their end."""

from __future__ import annotations

from booktape.sim.server.server import SimServer


def count_open(server: SimServer) -> int:
    """How many are open."""
    return sum(len(host.streams.clients) for host in server._hosts)


async def close_all(server: SimServer, *, abrupt: bool = False) -> None:
    """End every connection now, with a close frame or abruptly."""
    for host in server._hosts:
        await host.streams.close(abrupt=abrupt)
