"""Never more weight in any minute than the exchange allows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from booktape.net.rate_limit import WINDOW_S, RateLimit


def test_the_first_requests_go_at_once() -> None:
    """24 full snapshots fit into a minute's 6,000."""
    budget = RateLimit(6_000)
    for _ in range(24):
        assert budget.wait_s(250, 0.0) == 0
        budget.spend(250, 0.0)
    assert budget.wait_s(250, 0.0) == WINDOW_S


def test_budget_returns_when_the_oldest_requests_leave_the_interval() -> None:
    """A request waits exactly until enough old weight has left the interval."""
    budget = RateLimit(100)
    budget.spend(50, 0.0)
    budget.spend(50, 10.0)
    assert budget.wait_s(50, 20.0) == WINDOW_S - 20.0
    assert budget.wait_s(60, 20.0) == WINDOW_S + 10.0 - 20.0
    assert budget.wait_s(50, WINDOW_S) == 0
    assert budget.used(WINDOW_S) == 50


def test_weight_used_by_others_at_our_address_counts() -> None:
    """The header is obeyed: weight that is not ours leaves less for us."""
    budget = RateLimit(100)
    budget.spend(10, 0.0)
    budget.observe(90, 1.0)
    assert budget.used(1.0) == 90
    assert budget.wait_s(20, 1.0) > 0


def test_a_header_that_reports_less_than_we_sent_changes_nothing() -> None:
    """A new minute at the exchange does not make us forget our own last sixty seconds."""
    budget = RateLimit(100)
    budget.spend(80, 0.0)
    budget.observe(5, 1.0)
    assert budget.used(1.0) == 80


def test_a_request_larger_than_the_budget_is_sent_when_no_other_weight_counts() -> None:
    """It could never fit, and one refusal by the exchange is better than waiting for ever."""
    budget = RateLimit(100)
    assert budget.wait_s(250, 0.0) == 0
    budget.spend(10, 5.0)
    assert budget.wait_s(250, 6.0) == WINDOW_S - 1.0


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from([5, 20, 25, 50, 250])), max_size=60))
def test_no_minute_ever_holds_more_than_the_budget(
    requests: list[tuple[float, int]],
) -> None:
    """Whatever is requested and when, the weight sent in any 60 seconds stays within the budget."""
    budget, now_s, sent = RateLimit(600), 0.0, list[tuple[float, int]]()
    for after_s, weight in requests:
        now_s += after_s
        while wait_s := budget.wait_s(weight, now_s):
            now_s += wait_s
        budget.spend(weight, now_s)
        sent.append((now_s, weight))
    for start_s, _ in sent:
        assert sum(w for at_s, w in sent if start_s <= at_s < start_s + 60) <= 600
