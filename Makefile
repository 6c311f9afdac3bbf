# One command for each thing a person wants; every target works on a fresh clone with Python 3.11+ and make.
#   make demo                     the main job, live, with an outage in the middle (DEMO_SECONDS=20 ends by itself)
#   make test [ARGS="-k journal"] the tests, after setting up the foreign servers they talk to
#   make test-long                the tests that take half a minute and more: whole fleets, guides typed as written, some faults
#   make check                    lint, format, types, import contracts, generated code fresh, links, units, alerts, commands that documents show
#   make bench [ONLY=prefix]      measurements as a table and bench/results/latest.json (latest-PREFIX.json)
#   make fuzz [N=2000] [ARGS=..]  every property test with N examples each
#   make fuzz-drivers [N=10]      drivers against peers that fuzz their frames, N minutes each (ONLY=modbus, rtu, opcua, mqtt)
#   make images [N=1000000]       random Modbus registers, N images in every type and byte order, on all cores (SEED=7)
#   make crash [N=20000]          modelled power cuts over everything the journal does, one seed each (FIRST=0, or SEED=7 alone)
#   make sim [N=1000]             the whole agent and its servers, simulated, everything going wrong, one seed each (the same)
#   make soak [N=500]             N times kill -9 of the real agent and server, and three days of outage on a simulated clock (or soak-kills, soak-outage)
#   make powercut [N=3]           N real power cuts of a virtual machine (QEMU; half a minute each, minutes the first time)
#   make systemd                  the units under a real systemd as PID 1 in a container (root; two minutes, more the first time)
#   make deb [ARCH=arm64]         the Debian package of the gateway in dist/, lintian clean (a minute and a half, more the first time)
#   make bundle [ARCH=arm64]      the same for a site without a network and without Debian, in dist/: wheels, hashes, an install script
#   make package-test             both on a Debian that has never seen them: install, upgrade, downgrade, purge (root; five minutes)
#   make docs                     the site in dist/docs, every link checked (half a minute; a package index the first time)
#   make proto                    generated code from proto/
#   make lock                     pinned requirements from pyproject.toml
#   make clean                    delete everything that make made
.DEFAULT_GOAL := help
.PHONY: help demo test test-long check bench fuzz fuzz-drivers images crash sim soak soak-kills soak-outage powercut systemd deb bundle package-test docs proto lock clean
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv/bin
# The gateway, the SDK of plugins and each plugin: distributions of their own, in one environment while they are worked on.
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
EDITABLE := $(foreach project,$(PROJECTS),--editable ./$(dir $(project)))
SOAK = CRASH_KILLS=$(or $(N),500) CRASH_WORLDS=2 OUTAGE_HOURS=72 OUTAGE_TAGS=10000 $(VENV)/python -m pytest -q -rP --timeout=0
KILLS := tests/e2e/test_crash_kill9.py
OUTAGE := tests/sim/test_outage.py
PIP := $(VENV)/python -m pip --quiet --disable-pip-version-check install

help:
	@sed -n '2,/^\./{/^#/s/^# \{0,1\}//p}' Makefile

demo: .venv/.demo
	@$(VENV)/forebay demo

test: .venv/.dev
	@scripts/test $(ARGS)

test-long: .venv/.dev
	@scripts/test --long

check: .venv/.dev
	@scripts/check

bench: .venv/.dev
	@scripts/setup-testbeds
	@$(VENV)/python -m bench $(if $(ONLY),--only $(ONLY))

fuzz: .venv/.dev
	@FUZZ_EXAMPLES=$(or $(N),2000) $(VENV)/python -m pytest -m hypothesis --hypothesis-profile=fuzz -n logical --dist=worksteal --timeout=0 $(ARGS)

fuzz-drivers: .venv/.dev
	@scripts/setup-testbeds
	@PYTHONPATH=tests N=$(or $(N),10) ONLY=$(ONLY) $(VENV)/python -m fuzzing.run

images: .venv/.dev
	@MODBUS_IMAGES=$(or $(N),1000000) MODBUS_SEED=$(SEED) $(VENV)/python -m pytest -q -n auto --timeout=0 tests/unit/drivers/modbus/test_images.py

crash: .venv/.dev
	@PYTHONPATH=tests N=$(or $(N),20000) $(VENV)/python -m crash.run

sim: .venv/.dev
	@PYTHONPATH=tests N=$(or $(N),1000) $(VENV)/python -m sim.run

soak: .venv/.dev
	@$(SOAK) -n 3 $(KILLS) $(OUTAGE)

soak-kills: .venv/.dev
	@$(SOAK) -n 2 $(KILLS)

soak-outage: .venv/.dev
	@$(SOAK) $(OUTAGE)

powercut: .venv/.dev
	@scripts/setup-powercut
	@PYTHONPATH=tests N=$(or $(N),3) $(VENV)/python -m powercut.run

systemd: .venv/.dev
	@scripts/setup-systemd
	@PYTHONPATH=tests $(VENV)/python -m systemd.run

deb: .venv/.dev
	@scripts/setup-packaging
	@ARCH=$(ARCH) scripts/deb

bundle: .venv/.dev
	@scripts/setup-packaging
	@ARCH=$(ARCH) scripts/bundle

package-test: deb bundle
	@scripts/deb --again
	@scripts/setup-systemd
	@PYTHONPATH=tests $(VENV)/python -m systemd.package

docs: .cache/docs/.made
	@.cache/docs/venv/bin/sphinx-build -q -W --keep-going -c docs -d .cache/docs/trees -b html . dist/docs
	@echo "dist/docs/docs/index.html"

.cache/docs/.made: requirements/docs.txt | .venv/.made
	@$(PYTHON) -m venv .cache/docs/venv
	@.cache/docs/venv/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/docs.txt
	@touch $@

proto: .venv/.dev
	@$(VENV)/python scripts/proto

lock:
	@scripts/lock

clean:
	@rm -rf .venv .cache .hypothesis .ruff_cache .import_linter_cache .coverage build dist tests/testbeds/node_modules bench/results/latest-*.json
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "forebay needs Python 3.11 or newer; name one: make PYTHON=/usr/bin/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "venv     .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv && touch $@

# The dev set holds the demo set with the same pins, so either may come first.
.venv/.demo: requirements/demo.txt $(PROJECTS) | .venv/.made
	@echo "install  what the demo needs (pinned, about a minute the first time)"
	@$(PIP) --require-hashes -r requirements/demo.txt
	@$(PIP) --no-deps --no-build-isolation $(EDITABLE) && touch $@

.venv/.dev: requirements/dev.txt $(PROJECTS) | .venv/.made
	@echo "install  what tests and checks need (pinned, about a minute the first time)"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation $(EDITABLE) && touch $@ .venv/.demo
