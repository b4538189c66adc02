"""Who may send requests: our own page and programs on this machine; no other page, under any name."""

from __future__ import annotations

import socket
from http import HTTPStatus

import pytest

from booktape.errors import UsageError
from booktape.web.guard import Address, parse_address, refusal

LOOPBACK = Address("127.0.0.1", 8080)
NETWORK = Address("0.0.0.0", 8080)  # noqa: S104 it is what a user may ask for
OWN = "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8080", Address("127.0.0.1", 8080)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("localhost:80", Address("localhost", 80)),
        ("[::1]:8080", Address("::1", 8080)),
        ("0.0.0.0:9", Address("0.0.0.0", 9)),  # noqa: S104
    ],
)
def test_an_address_is_a_port_and_perhaps_an_ip_address(text: str, address: Address) -> None:
    """Without a host it is loopback."""
    assert parse_address("--web", text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web",
        "example.org:80",
        "1.2.3:80",
        "127.0.0.1",
        "127.0.0.1:99999",
        "[::1:80",
        ":80",
        "8 0",
        "[1.2.3.4]:x",
    ],
)
def test_any_other_address_is_refused_in_a_sentence(text: str) -> None:
    """So is a name: it may lead anywhere."""
    with pytest.raises(UsageError, match=r"--web .* is not an address to listen on"):
        parse_address("--web", text)


@pytest.mark.parametrize(
    ("host", "loopback", "network"),
    [
        (OWN, True, True),
        ("localhost:8080", True, True),
        ("LOCALHOST", True, True),
        ("[::1]:8080", True, True),
        ("127.0.0.1:9000", True, True),  # a tunnel's port
        ("192.168.1.7:8080", False, True),
        (socket.gethostname(), False, True),
        ("evil.example", False, False),
        ("evil.example:8080", False, False),
        ("localhost.evil.example:8080", False, False),
        ("127.0.0.1.evil.example", False, False),
        ("127.0.0.1@evil.example", False, False),
        ("0x7f.1", False, False),
        ("2130706433", False, False),
        ("", False, False),
        ("127.0.0.1:8080 ", False, False),
        ("127.0.0.1:8080\nX: y", False, False),
    ],
)
def test_only_our_own_address_is_answered(host: str, *, loopback: bool, network: bool) -> None:
    """Another name is refused even if it resolves to this address."""
    for address, answered in ((LOOPBACK, loopback), (NETWORK, network)):
        refused = refusal(address, "/about", [("host", host)])
        assert (refused is None) is answered
        assert refused is None or refused.status is HTTPStatus.MISDIRECTED_REQUEST


def test_exactly_one_host_must_be_named() -> None:
    """None, or two, are refused."""
    assert refusal(LOOPBACK, "/", [])
    assert refusal(LOOPBACK, "/", [("host", OWN), ("host", "evil.example")])


@pytest.mark.parametrize(
    ("origin", "answered"),
    [
        (f"http://{OWN}", True),
        (f"https://{OWN}", True),
        ("http://127.0.0.1:3000", False),
        ("http://localhost:8080", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_another_page_is_not_answered(origin: str, *, answered: bool) -> None:
    """Nor is a page on another port of this machine."""
    refused = refusal(LOOPBACK, "/live", [("host", OWN), ("origin", origin)])
    assert (refused is None) is answered
    assert refused is None or refused.status is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("site", ["cross-site", "same-site", "new-kind"])
def test_another_page_may_only_link_to_ours(site: str) -> None:
    """Links open the page; nothing is fetched into another one."""
    headers = [("host", OWN), ("sec-fetch-site", site)]
    assert refusal(LOOPBACK, "/", headers) is None
    assert refusal(LOOPBACK, "/recording/overview", headers)
    assert refusal(LOOPBACK, "/page.js", headers)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("127.8.8.8", True),
        ("10.0.0.1", False),
        ("::", False),
    ],
)
def test_addresses_that_only_this_machine_reaches(host: str, *, loopback: bool) -> None:
    """The log warns of any other."""
    assert Address(host, 1).is_loopback is loopback
