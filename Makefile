# Nothing but python3 and make is assumed: every target sets up .venv by itself.
# `make PYTHON=python3.13 test` chooses the interpreter the first time.

PYTHON ?= python3
SYMBOLS ?= BTCUSDT
EVERY ?= 10
OUT ?= data
MINUTES ?= 60
SEGMENTS ?= 1000
JOBS ?= 12
BENCH ?= $(addprefix tests/bench/test_,core_costs.py scaling.py instructions.py loop.py throughput.py recovery.py segment_length.py sizes.py packing.py best_levels.py questions.py verify.py reader_costs.py)
# What docs/performance.md shows, except for the other libraries' books.
PERFORMANCE := $(addprefix tests/bench/test_,machine.py core_costs.py instructions.py scaling.py loop.py throughput.py recovery.py segment_length.py sizes.py packing.py best_levels.py questions.py)

VENV := .venv
BIN := $(VENV)/bin
# The stamps of two installations: what the recorder and the demo need; and in addition what the tests and checks need.
RUN := $(VENV)/.run-installed
DEV := $(VENV)/.dev-installed
# The tools that load our exports need older versions of shared packages, so they have an environment of their own.
INTEROP := .venv-interop
# So do the books that ours is compared with, and the clients that follow our exchanges.
PEERS := .venv-peers
# So does the server that answers as S3 does.
S3_SERVER := .venv-s3-server
# So does the tool that compares the locks with the advisories.
AUDIT := .venv-audit

# The tests start `booktape` hundreds of times. With this set, each start would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo record test test-system test-long test-branches check bucket clients interop page dist locks audit bench peers performance scale soak coverage proofs fuzz mutants docs pictures format lock clean

demo: $(RUN)  ## record the built-in exchange for 20 s, then read, verify and draw the rows; needs no network once it is installed
	$(BIN)/python examples/demo.py

record: $(RUN)  ## record the real exchange: make record SYMBOLS="BTCUSDT ETHUSDT" EVERY=10
	$(BIN)/booktape record $(SYMBOLS) --every $(EVERY) --out $(OUT)

test: $(DEV)  ## every promise, in one process and in virtual time; minutes on two cores
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not system and not long and not bench" $(MEASURED)

test-system: $(DEV)  ## the commands, with processes, signals, full disks, servers, a browser and real captures; some minutes more
	$(BIN)/python -m pytest -n auto --dist worksteal -m "system and not long and not bench"

test-long: $(DEV)  ## kills at every step, floods, random worlds, installations; and four times as many random examples
	$(BIN)/python -m pytest -n auto --dist worksteal -m "(long or hypothesis) and not bench" --hypothesis-profile=many

test-branches: $(DEV)  ## make test, and list the branches of the source that it does not take; fails if there are too many
	$(MAKE) test MEASURED="--cov --cov-report=term-missing:skip-covered"

check: $(DEV)  ## format, lint, types, import rules and documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest tests/docs

bucket: $(DEV) $(S3_SERVER)/.installed  ## segments in a bucket of a real S3 server on loopback, with faults: make bucket SEGMENTS=100 JOBS=200
	BOOKTAPE_BUCKET_SEGMENTS=$(SEGMENTS) BOOKTAPE_BUCKET_JOBS=$(JOBS) $(BIN)/python -m pytest -rs -m "not bench" tests/bucket

clients: $(DEV) $(PEERS)/.installed  ## ccxt, cryptofeed and python-binance follow `simulate` and `replay` (up to Python 3.13)
	BOOKTAPE_CLIENTS=1 $(BIN)/python -m pytest -rs tests/clients

page: $(DEV)  ## the page in a real headless browser; as root, installs Debian's Chromium if there is none
	@command -v chromium || if [ "$$(id -u)" = 0 ] && command -v apt-get; \
	then timeout 300 apt-get update -q && timeout 300 apt-get install -q -y --no-install-recommends chromium chromium-driver \
	    || echo "Chromium cannot be installed. These tests are skipped."; \
	else echo "There is no Chromium: install Debian's chromium as root. These tests are skipped."; fi
	$(BIN)/python -m pytest -rs -m "not bench" tests/web/test_page.py

interop: $(INTEROP)/.installed  ## hftbacktest and nautilus_trader load our exports (up to Python 3.13)
	BOOKTAPE_INTEROP=1 $(INTEROP)/bin/python -m pytest -rs tests/export/test_interop.py tests/examples/test_backtest.py

dist: $(RUN)  ## build the wheel and the sdist in dist/
	$(BIN)/python -m hatchling build

locks: $(DEV)  ## install each lock into a fresh environment with the oldest pip, then the wheel alone; needs the index, takes minutes
	BOOKTAPE_WHOLE_LOCKS=1 $(BIN)/python -m pytest -rs -m "not bench" tests/install

# --strict: an index without advisories, like many mirrors, means that nothing was compared, which is a failure.
audit: $(AUDIT)/.installed  ## compare the locked versions with published advisories, which the index must serve
	failed=0; for lock in requirements/*.txt; do echo "$$lock"; \
	    $(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes -r "$$lock" || failed=1; done; exit $$failed

bench: $(DEV)  ## measure the costs on this machine, or some of them: make bench BENCH=tests/bench/test_throughput.py
	$(BIN)/python -m pytest $(BENCH) -o addopts=--import-mode=importlib -s -m bench

peers: $(PEERS)/.installed  ## compare our book with those of other Python libraries (up to Python 3.13)
	$(PEERS)/bin/python -m pytest tests/bench/test_peers.py -o addopts=--import-mode=importlib -rs -s -m bench

performance: $(DEV) $(PEERS)/.installed  ## measure everything in docs/performance.md again, and write it
	BOOKTAPE_BENCH_WRITE=1 $(MAKE) bench BENCH="$(PERFORMANCE)"
	BOOKTAPE_BENCH_WRITE=1 $(MAKE) peers

scale: $(DEV)  ## compute a year of all symbols from the real captures, into docs/scale.md
	BOOKTAPE_BENCH_WRITE=1 $(BIN)/python -m pytest tests/bench/test_scale.py -o addopts=--import-mode=importlib -rs -s -m bench

soak: $(DEV)  ## run under load and faults for a while: BOOKTAPE_SOAK_S=1800 make soak
	$(BIN)/python -m pytest tests/bench/test_soak.py -o addopts=--import-mode=importlib -s -m bench

proofs: $(DEV)  ## measure the figures of docs/proofs.md: a fall by a tenth, an hour of witnesses, false messages, 1,400 symbols
	$(BIN)/python -m pytest tests/bench/test_proofs.py -o addopts=--import-mode=importlib -s -m bench

coverage: $(DEV)  ## measure what each fault costs, into docs/reliability.md
	PYTHONPATH=tests $(BIN)/python tests/faults/losses.py

fuzz: $(DEV)  ## try hostile messages, tapes and archives for a while: make fuzz MINUTES=60
	$(BIN)/python tests/fuzz/run.py $(MINUTES)

mutants: $(DEV)  ## change the core in small ways, one at a time, and list the changes that its tests miss; takes a while
	PYTHONPATH=tests $(BIN)/python tests/mutants/run.py

docs: $(DEV)  ## regenerate the generated tables of docs/
	$(BIN)/python tests/docs/generated.py

pictures: $(DEV)  ## redraw the pictures of docs/
	PYTHONPATH=tests $(BIN)/python tests/plot/pictures.py
	PYTHONPATH=tests $(BIN)/python tests/web/pictures.py

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The locks name versions and hashes, and no host. Run `pip install uv` first.
# A lock is complete, so it is installed without resolving (--no-deps): a pip of 2023 looks for the
# newest version of any package that is required with an extra, and stops if there has been a release since.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	    pyproject.toml --group build --group demo -o requirements/run.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	    pyproject.toml --extra bucket --extra dask --extra plot --extra read \
	    --group build --group demo --group dev \
	    -c requirements/run.txt -o requirements/dev.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	    pyproject.toml --group build --group export-tests -o requirements/interop.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	    pyproject.toml --group build --group peers -o requirements/peers.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	    --group s3-server -o requirements/s3-server.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	    --group audit -o requirements/audit.txt

clean:
	rm -rf $(VENV) $(INTEROP) $(PEERS) $(S3_SERVER) $(AUDIT) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(RUN): requirements/run.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(DEV): requirements/dev.txt $(RUN)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/dev.txt
	touch $@

$(INTEROP)/.installed: requirements/interop.txt pyproject.toml
	test -x $(INTEROP)/bin/python || $(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements/interop.txt
	$(INTEROP)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(INTEROP)/bin/python -m pip check
	touch $@

# This environment has no booktape: the server runs beside the tests, in its own process.
$(S3_SERVER)/.installed: requirements/s3-server.txt
	test -x $(S3_SERVER)/bin/python || $(PYTHON) -m venv $(S3_SERVER)
	$(S3_SERVER)/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements/s3-server.txt
	$(S3_SERVER)/bin/python -m pip check
	touch $@

$(AUDIT)/.installed: requirements/audit.txt
	test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements/audit.txt
	$(AUDIT)/bin/python -m pip check
	touch $@

$(PEERS)/.installed: requirements/peers.txt pyproject.toml
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements/peers.txt
	$(PEERS)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(PEERS)/bin/python -m pip check
	touch $@
