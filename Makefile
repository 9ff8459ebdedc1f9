# The commands of this project. Each does its own set-up and is safe to repeat.
.PHONY: help demo demo-down demo-there test check lint bench engine kubernetes kubernetes-plugin setup lock docs reference
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON := .venv/bin/python
# Tests with hosts mostly wait, for packages and for daemons to start.
TEST_PROCESSES ?= 3
# Each of these has a cluster of its own: two at once on two processors make each other late. So long `make test` waits
# for the node to be built, and for the plugin after it.
CLUSTER_PROCESSES ?= 1
CLUSTER_SECONDS ?= 3600
# Which relay `make demo` shows, and the stack file that says so.
PLACEMENT ?= vm
DEMO_vm := local
DEMO_docker := docker
DEMO_kubernetes := kubernetes
# A Pulumi CLI installed by scripts/install-pulumi.sh is found like one on PATH.
export PATH := $(CURDIR)/.tools/bin:$(PATH)
# Where this is set, the tests' own modules are compiled anew in each process: ten seconds of every `make check`.
unexport PYTHONDONTWRITEBYTECODE
PURE_36 := roles mailstack/postfix/files.py mailstack/postfix/render.py mailstack/postfix/platforms.py \
	mailstack/postfix/log_lines.py mailstack/postfix/exposition.py mailstack/postfix/queue_listing.py \
	mailstack/postfix/metrics.py mailstack/postfix/served_certificate.py mailstack/postfix/metrics_http.py \
	mailstack/postfix/log_search.py mailstack/postfix/queue_view.py mailstack/postal/overview.py \
	mailstack/postal/config_keys.py mailstack/postal/render.py mailstack/postal/compose.py mailstack/postal/mariadb.py

help:
	@echo "make demo       local stack on throw-away hosts, messages delivered and verified (about 3 minutes);"
	@echo "                PLACEMENT=docker: the relay as a container of this machine's Docker engine"
	@echo "                PLACEMENT=kubernetes: as pods of a node that is built first (ten minutes, once)"
	@echo "make demo-down  remove what make demo left"
	@echo "make test       everything that can be tested on this machine"
	@echo "make check      lint, types, fast tests"
	@echo "make bench      timings and throughput"
	@echo "make engine     the real Pulumi CLI, built from the Go module proxy, where none is installed"
	@echo "make kubernetes a real Kubernetes node, built from the Go module proxy, for tests and rehearsals"
	@echo "make kubernetes-plugin  Pulumi's kubernetes plugin, built from the same"
	@echo "make docs       the site of docs/, into .cache/site/html; a warning is an error"
	@echo "make reference  write what documents take from the code: settings, checks, commands, the diagram"
	@echo "make lock       refresh requirements*.txt from pyproject.toml"

setup:
	@scripts/setup.sh

demo: setup demo-there
	@scripts/install-pulumi.sh --if-missing || true
	@test "$(PLACEMENT)" != kubernetes || scripts/kubernetes.sh
	@$(PYTHON) -m cli rehearse --stack $(DEMO_$(PLACEMENT)) --keep

demo-down: setup demo-there
	@$(PYTHON) -m cli rehearse --stack $(DEMO_$(PLACEMENT)) --down

demo-there:
	@test -n "$(DEMO_$(PLACEMENT))" || { echo "PLACEMENT=$(PLACEMENT): no such demo; see make help" >&2; exit 1; }

check: lint
	# Three processes on two processors: some tests wait for a deadline, and another works meanwhile.
	$(PYTHON) -m pytest -q -n 3 --dist worksteal --hypothesis-profile=fast -m "not slow" tests/unit tests/graph

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy .
	.venv/bin/vermin -q -t=3.6- --no-tips --violations $(PURE_36)
	.venv/bin/hadolint images/*/Dockerfile
	@scripts/actionlint.sh || [ $$? -eq 3 ] # without Go it says that it is skipped
	.venv/bin/zizmor --offline --quiet .github
	shellcheck scripts/*.sh roles/*.sh .ci/run images/postfix-relay/postfix-relay $$(git ls-files 'roles/**/*.sh')

test: setup
	@PYTHON=$(PYTHON) TEST_PROCESSES=$(TEST_PROCESSES) CLUSTER_PROCESSES=$(CLUSTER_PROCESSES) \
		CLUSTER_SECONDS=$(CLUSTER_SECONDS) scripts/test.sh

engine:
	@scripts/engine.sh

kubernetes:
	@scripts/kubernetes.sh

kubernetes-plugin:
	@scripts/pulumi-kubernetes.sh

bench: setup
	$(PYTHON) -m rehearsal.bench.suite

docs: setup
	@rm -rf .cache/site
	@scripts/mermaid.sh || [ $$? -eq 3 ]
	$(PYTHON) -m sphinx -b html -q -n -W --keep-going -c docs -d .cache/site/doctrees . .cache/site/html
	@echo "open .cache/site/html/index.html"

reference: setup
	$(PYTHON) -m cli.reference

lock: setup
	$(PYTHON) -m pip install --quiet uv
	$(PYTHON) -m uv pip compile -q pyproject.toml --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header -o requirements.txt
	$(PYTHON) -m uv pip compile -q pyproject.toml --group dev --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header -o requirements-dev.txt
