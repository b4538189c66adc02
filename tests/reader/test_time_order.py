"""Each time has the rows of the latest run that recorded it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from booktape.reader.time_order import Part, Span, goes_back, time_order

spans = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 12), st.integers(0, 5)), max_size=6
).map(lambda drawn: [Span(run, first, first + length) for run, first, length in drawn])


@given(spans)
def test_every_time_has_the_rows_of_the_stretch_recorded_last(drawn: list[Span]) -> None:
    """For each time separately; a stretch is what one run recorded without its clock being set back."""
    parts = time_order(drawn)
    if not goes_back(drawn):
        assert parts == [Part(number, None, None) for number in range(len(drawn))]
        return
    stretches: list[list[int]] = []
    for number, span in enumerate(drawn):
        before = drawn[number - 1]
        follows = number and before.run == span.run and before.last_us <= span.first_us
        stretches = stretches if follows else [*stretches, []]
        stretches[-1].append(number)
    for time in range(20):
        having = [
            stretch
            for stretch in stretches
            if drawn[stretch[0]].first_us <= time <= drawn[stretch[-1]].last_us
        ]
        shown = [
            part.number
            for part in parts
            if (part.start_us or 0) <= time < (part.end_us or 0)
            and drawn[part.number].first_us <= time <= drawn[part.number].last_us
        ]
        owner = having[-1] if having else []
        assert shown == [n for n in owner if drawn[n].first_us <= time <= drawn[n].last_us]
    starts = [part.start_us or 0 for part in parts]
    assert starts == sorted(starts)


def test_a_recording_inside_the_time_of_an_earlier_one_divides_it() -> None:
    """If it follows without a step of the clock, in the same run, it also has the time between its files."""
    long, inside, later = Span("a", 0, 99), Span("b", 20, 29), Span("b", 40, 49)
    assert time_order([long, inside, later]) == [
        Part(0, 0, 20),
        Part(1, 20, 50),
        Part(2, 20, 50),
        Part(0, 50, 100),
    ]
    apart = later._replace(run="c")
    assert [part.number for part in time_order([long, inside, apart])] == [0, 1, 0, 2, 0]
