"""`make fuzz MINUTES=60`: feeds booktape hostile messages, tapes and archives, different ones in each round, until the
time is up.

Each round runs every target of tests/fuzz with `TIMES` times as many examples as the suite, and the last round is run
to its end. Exits with 1 at the first round that finds something; Hypothesis shows the smallest example. A test that
runs longer than `HANGS_S` also counts as a finding: then the stacks of its threads are printed.

    python tests/fuzz/run.py MINUTES [--processes NUMBER]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

TIMES: Final = 5
HANGS_S: Final = 1_200
"""Ten times what the longest test of a round takes."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("minutes", type=float)
    options.add_argument("--processes", default="auto")
    asked = options.parse_args()
    began_s, rounds = time.monotonic(), 0
    while time.monotonic() - began_s < asked.minutes * 60:
        tests = [
            *(sys.executable, "-m", "pytest", str(Path(__file__).parent), "-n", asked.processes),
            *("-o", f"faulthandler_timeout={HANGS_S}", "-o", "faulthandler_exit_on_timeout=true"),
            "--max-worker-restart=0",  # otherwise the run waits for a worker that hung
        ]
        played = subprocess.run(
            tests, env=os.environ | {"BOOKTAPE_FUZZ_TIMES": str(TIMES)}, check=False
        )
        minutes = (time.monotonic() - began_s) / 60
        if played.returncode:
            sys.exit(f"Round {rounds + 1} found something, after {minutes:.0f} min.")
        rounds += 1
        print(
            f"{rounds} rounds of {TIMES} times the suite's examples in {minutes:.0f} min: nothing found",
            flush=True,
        )


if __name__ == "__main__":
    main()
