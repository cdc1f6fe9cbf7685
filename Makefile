# The project's commands. They require make and Python 3.11 or newer, and install everything else into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all:
USERS ?= 250
# More workers than cores: most tests wait for other processes.
PARALLEL ?= -n 4 --dist loadfile --no-loadscope-reorder
# Percent of lines and branches that the unit and integration tests cover; servers started by tests are not measured.
MIN_COVERAGE ?= 89
# What `make matrix` runs.
TESTS ?= tests/unit tests/integration

.DEFAULT_GOAL := help
.PHONY: help run demo test test-all matrix chaos lint bench format lock messages clean

help: ## list these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(VENV)/run ## start every process of the console on this machine (PORT=8000 DATA_DIR=var)
	@exec $(BIN)/python -m opsconsole.devserver

demo: $(VENV)/run ## do the same with sample users and tasks (USERS=250)
	@exec $(BIN)/python -m opsconsole.devserver --demo $(USERS)

test: $(VENV)/dev ## run the tests; skip those that need a program that is not installed
	$(BIN)/python -m pytest $(PARALLEL)

test-all: $(VENV)/dev ## run the tests with coverage; fail if RabbitMQ, PostgreSQL or Chromium is missing
	OPSCONSOLE_TEST_ALL=1 $(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term --cov-fail-under=$(MIN_COVERAGE)

matrix: $(VENV)/dev ## run unit and integration tests on the oldest and newest Python and Django (TESTS=…)
	$(BIN)/nox -- $(PARALLEL) $(TESTS)

chaos: $(VENV)/dev ## run the chaos tests at full size (more than an hour)
	CHAOS_USERS=10000 CHAOS_RETRIED=100000 CHAOS_PAUSED=50000 CHAOS_OUTAGE=600 CHAOS_TASKS=2000 CHAOS_CROWD=60 CHAOS_REDIS=1 CHAOS_PURGED=10000 OPSCONSOLE_TEST_ALL=1 \
		$(BIN)/python -m pytest -s tests/chaos tests/stack/backend/test_database_unavailable.py tests/stack/workers/test_heartbeats.py \
		tests/stack/queues/test_real_workers.py tests/stack/workers/test_commands.py

lint: $(VENV)/dev ## check style, types, import contracts, migrations and deployment settings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy opsconsole tasks_admin
	$(BIN)/lint-imports --no-logo --no-cache
	DATA_DIR=$(VENV)/lint $(BIN)/python manage.py makemigrations --check --dry-run
	DATA_DIR=$(VENV)/lint HOST_URL=https://console.example.com ALLOWED_HOSTS=console.example.com \
		$(BIN)/python manage.py check --deploy --fail-level WARNING

bench: $(VENV)/dev ## compare the speed with that of the alternatives; write JSON to var/bench/
	$(BIN)/python -m tests.bench

format: $(VENV)/dev ## format the code and apply ruff's safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/dev ## update the pinned requirements and their hashes
	for name in base dev; do $(BIN)/uv pip compile --quiet --upgrade --universal --no-strip-extras --python-version 3.11 \
		--generate-hashes --no-header --output-file requirements/$$name.txt requirements/$$name.in || exit 1; done

messages: $(VENV)/dev ## update and compile the translations (requires gettext)
	DATA_DIR=$(VENV)/lint $(BIN)/python manage.py makemessages --locale zh_Hans --no-obsolete \
		--add-location file --ignore tests --ignore var --ignore build
	DATA_DIR=$(VENV)/lint $(BIN)/python manage.py compilemessages --locale zh_Hans --ignore '.*'

clean: ## remove installed packages and caches; keep the data in var/
	rm -rf $(VENV) .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov

$(VENV)/run: requirements/base.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "The console needs Python 3.11 or newer; $(PYTHON) is older. Set PYTHON=python3.11."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the console's requirements into $(VENV) …"
	@$(PIP) --requirement requirements/base.txt
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/run
	@echo "Installing the development requirements into $(VENV) …"
	@$(PIP) --requirement requirements/dev.txt
	@touch $@
