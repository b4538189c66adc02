"""Profiles for property tests: reproducible, no time limit per example, nothing kept on disk.

`pytest --hypothesis-profile=explore` looks further than the same examples on every run.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "booktape",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("booktape")
settings.register_profile("few", max_examples=10)
settings.register_profile("explore", derandomize=False, max_examples=5_000)
