"""Request weight a minute, refusals, and bans."""

from __future__ import annotations

from collections import Counter

from booktape.sim.server.limits import Owed, RequestLimits


def weights(per_minute: int = 100) -> tuple[RequestLimits, Counter[str]]:
    violations: Counter[str] = Counter()
    return RequestLimits(per_minute, violations), violations


def test_the_budget_is_for_a_minute() -> None:
    """All of it may be used, and it is available again in the next minute."""
    account, violations = weights()
    assert account.charge(100, 59.0) is None
    assert account.charge(100, 60.0) is None
    assert account.used == 100
    assert not violations


def test_a_client_beyond_the_budget_must_be_silent_until_the_minute_ends() -> None:
    """It gets 429 with the seconds that are left; afterwards requests succeed."""
    account, violations = weights()
    assert account.charge(60, 10) is None
    assert account.charge(60, 20.5) == Owed(429, 40)
    assert account.charge(60, 60) is None
    assert violations == {"weight": 1}


def test_three_requests_during_that_silence_are_a_ban() -> None:
    """418, longer than the minute; each further request starts it again."""
    account, violations = weights()
    account.charge(101, 0)
    owed = [account.charge(1, second) for second in (1, 2, 3, 90)]
    assert owed == [Owed(429, 59), Owed(429, 58), Owed(418, 120), Owed(418, 120)]
    assert account.charge(1, 209) == Owed(418, 120)
    assert account.charge(1, 329) is None
    assert violations == {"weight": 1, "retry-after": 5}


def test_a_refusal_sent_by_a_fault_demands_silence_too() -> None:
    """The fault's Retry-After holds: a request before it has passed is a violation."""
    account, violations = weights()
    account.silence(429, 5, 10)
    assert account.charge(1, 14) == Owed(429, 1)
    assert account.charge(1, 15) is None
    assert violations == {"retry-after": 1}
