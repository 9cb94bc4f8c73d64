# The two commands of this project: `make quickstart` and `make test`. `make help` lists the rest.
#
# Everything happens in .venv (and, for the tests of timm and open_clip, in .venv-extras on top of it); pip's own
# configuration (index, proxies, caches) is yours and is left as it is. PYTHON=python3.12 make ... chooses the interpreter;
# ARGS="--data photos" is passed on to `vitreous quickstart`.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
EXTRAS ?= .venv-extras
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
INSTALL := $(PIP) install --quiet --disable-pip-version-check --constraint constraints.txt
JOBS ?= 2
ARGS ?=
PYTEST_ARGS ?=
TEST_EXTRAS = $(EXTRAS)/bin/python -m pytest -n $(JOBS) --durations 5 $(PYTEST_ARGS) tests/extras

.DEFAULT_GOAL := help
.PHONY: help quickstart install dev test extras lint types browser bench frontend clean

help:            ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: install      ## from images to a feature dashboard, on the embedded model
	$(BIN)/vitreous quickstart $(ARGS)

install: $(VENV)/.installed   ## .venv with vitreous and the versions of constraints.txt
dev: $(VENV)/.developed       ## the same with what tests, linters and types need

test: dev browser $(EXTRAS)/.installed   ## lint, format, types and the whole test suite, with timm's and open_clip's
	@failed=""; \
	echo "== ruff check";  $(BIN)/ruff check . || failed="$$failed lint"; \
	echo "== ruff format"; $(BIN)/ruff format --check . || failed="$$failed format"; \
	echo "== pyright";     $(BIN)/pyright --pythonpath $(BIN)/python || failed="$$failed types"; \
	echo "== pytest";      $(BIN)/python -m pytest -n $(JOBS) --durations 10 $(PYTEST_ARGS) || failed="$$failed tests"; \
	echo "== pytest, with timm and open_clip"; $(TEST_EXTRAS) || failed="$$failed extras"; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed"; exit 1; fi; echo "make test: all passed"

extras: dev $(EXTRAS)/.installed   ## the tests of timm and open_clip alone, in an environment of their own
	$(TEST_EXTRAS)

lint: dev                ## ruff alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev               ## pyright alone
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: dev               ## every script in benchmarks/
	@set -e; for script in benchmarks/bench_*.py; do \
		[ -e "$$script" ] || { echo "no benchmarks yet"; break; }; \
		echo "== $$script"; $(BIN)/python "$$script" $(ARGS); done

frontend:                ## rebuild the dashboards' static files from their source (needs npm)
	@if [ -f vitreous/dashboards/frontend/package.json ]; then \
		cd vitreous/dashboards/frontend && npm ci --no-audit --no-fund && npm run build; \
	else echo "vitreous/dashboards/frontend has no package.json: its files are used as they are"; fi

# Tests marked `browser` open the dashboards in Chromium and skip themselves where there is none.
browser: dev
	@if command -v chromium chromium-browser google-chrome >/dev/null 2>&1 \
		|| ls -d "$${PLAYWRIGHT_BROWSERS_PATH:-$$HOME/.cache/ms-playwright}"/chromium* >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		echo "== installing chromium with apt-get"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
			>$(VENV)/chromium.log 2>&1 \
		|| echo "chromium could not be installed (see $(VENV)/chromium.log): browser tests will be skipped"; \
	else echo "no Chromium: browser tests will be skipped. To run them: sudo apt-get install chromium," \
		"or $(BIN)/playwright install chromium"; fi

clean:                   ## remove .venv, .venv-extras, caches and build results
	rm -rf $(VENV) $(EXTRAS) dist build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then echo "vitreous needs Python 3.11 or newer; none was found on PATH" >&2; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# torch first and by itself, so that nothing else can choose its version.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "== installing into $(VENV) (some minutes)"
	@$(INSTALL) torch
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.developed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "== installing into $(VENV), with what tests need (some minutes)"
	@$(INSTALL) torch
	@$(INSTALL) --editable '.[dev]'
	@touch $(VENV)/.installed $@

# timm and open_clip need torchvision, which beside another build of torch cannot be imported, and then neither can
# transformers. So they are kept out of .venv: a few packages, installed without their dependencies, in a second
# environment that sees all of .venv through one .pth file. It takes seconds; nothing is installed twice.
$(EXTRAS)/.installed: $(VENV)/.developed constraints.txt
	@echo "== installing timm and open_clip into $(EXTRAS) (seconds)"
	@rm -rf $(EXTRAS)
	@$(BIN)/python -m venv --without-pip $(EXTRAS)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$($(EXTRAS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/_venv.pth"
	@$(PIP) --python $(EXTRAS)/bin/python install --quiet --disable-pip-version-check --constraint constraints.txt \
		--no-deps timm open_clip_torch torchvision ftfy wcwidth regex
	@touch $@
