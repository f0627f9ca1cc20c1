# Thin: the work is in laptop/, tools/ and benchmarks/. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
LAKEHOUSE_STATE ?= $(CURDIR)/.state
export LAKEHOUSE_STATE
# Another project's packages have no place in this one's environments, and these hide or break its own.
unexport PYTHONPATH PYTHONHOME PYTHONSAFEPATH PYTHONOPTIMIZE

# Values given on the command line reach the programs through the environment, unchanged: make expands none of them
# ($ is common in SQL and file names), and no shell interprets them.
VALUES := DATA LANDING START END SQL FORMAT KEEP FEED DRY FULL ARGS \
  MINUTES DAYS SCALE SCALES SEED LATE REPEATED CORRUPT MALFORMED MISSING INCIDENTS TRUTH PROCESSES
$(foreach name,$(VALUES),$(eval override $(name) := $$(value $(name))))
export $(VALUES)

SETUP := "$(PYTHON)" -m laptop.setup --quiet
WORKSPACE := "$(LAKEHOUSE_STATE)/venv/workspace/bin/python"
DEV := "$(LAKEHOUSE_STATE)/venv/dev/bin/python"

.PHONY: help setup demo test prove lint up down status run medallion pipeline dashboard airflow replay feed query rejected alert bench docs generate env lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+: .*## / {printf "  make %-10s%s\n", $$1, $$2}' Makefile

setup: ## everything that the other targets need (they call it themselves)
	@"$(PYTHON)" -m laptop.setup

demo: ## the whole daily run on a small feed, or on DATA=file.csv (.xz, .gz, .zip); KEEP=1 leaves it running
	@$(SETUP)
	@$(WORKSPACE) -m laptop.demo

up: ## start Airflow, the local workspace and Spark; prints the addresses and the login
	@$(SETUP)
	@$(WORKSPACE) -m laptop.services up

down: ## stop them all
	@if [ -x $(WORKSPACE) ]; then $(WORKSPACE) -m laptop.services down; else echo "Nothing was running."; fi

status: ## what runs
	@if [ -x $(WORKSPACE) ]; then $(WORKSPACE) -m laptop.services status; else echo "Nothing runs, and nothing is set up."; fi

run: ## run the landing dates START=2018-01-01 up to (without) END=2018-01-08, and follow to the end
	@$(SETUP)
	@$(WORKSPACE) -m laptop.run

medallion: ## the same without Airflow: START and END, or all that has changed; FEED=1 lands invented orders first
	@$(SETUP)
	@$(WORKSPACE) -m laptop.run_medallion

pipeline: ## update the declarative pipeline; DRY=1 only checks it, FULL=1 makes its tables again
	@$(SETUP)
	@$(WORKSPACE) -m laptop.pipeline

dashboard: ## open the dashboard in the browser, and print its address
	@$(SETUP)
	@$(WORKSPACE) -m laptop.dashboard

airflow: ## Airflow's own commands, such as ARGS="dags list"
	@$(SETUP)
	@$(WORKSPACE) -m laptop.airflow_cli

replay: ## turn the file DATA=... into daily folders in landing (or LANDING=folder)
	@$(SETUP)
	@$(WORKSPACE) -m laptop.fill_landing replay

feed: ## invented orders in landing (or LANDING=folder): START=2018-01-01 DAYS=30, and SCALE, SEED, LATE, CORRUPT, ...
	@$(SETUP)
	@$(WORKSPACE) -m laptop.fill_landing feed

query: ## print the result of SQL="select ..." (FORMAT=table, csv or json), whether or not things are up
	@$(SETUP) >&2
	@$(WORKSPACE) -m laptop.query

rejected: ## why the newest build of bronze was rejected, and its quarantined lines (FORMAT=csv, json; SQL over "rejected")
	@$(SETUP) >&2
	@$(WORKSPACE) -m laptop.rejected

alert: ## send a test message to the receivers of alerts (LAKEHOUSE_ALERTS_CONNECTION, LAKEHOUSE_ALERTS_FILE)
	@$(SETUP)
	@$(WORKSPACE) -m laptop.alert

bench: ## measure the full DataCo run (DATA=...), then a one-day run; ARGS=day or SCALES=1,10 (DAYS=1127) beside alternatives; ARGS=live, ARGS=pipeline, ARGS=anomalies
	@$(SETUP) $(if $(SCALES)$(ARGS),--dev)
	@$(if $(SCALES)$(ARGS),$(DEV),$(WORKSPACE)) -m benchmarks

test: ## the whole test suite; ARGS="tests/unit -k name" for a part of it
	@$(SETUP) --dev
	@$(DEV) -m laptop.checks test

prove: ## try to break the promises for MINUTES=60 (tests/prove; ARGS=tests/prove/histories for a part)
	@$(SETUP) --dev
	@$(DEV) -m laptop.checks prove

lint: ## ruff, mypy and import-linter
	@"$(PYTHON)" -m laptop.setup --only dev
	@$(DEV) -m laptop.checks lint

docs: ## the documentation as a site, in site/
	@"$(PYTHON)" -m laptop.setup --only dev
	@$(DEV) -m tools.generate
	@$(DEV) -m zensical build --clean --strict

generate: ## what is generated from the code: parts of docs/, and what Airflow knows of tables and landing
	@"$(PYTHON)" -m laptop.setup --only dev
	@$(DEV) -m tools.generate

env: ## write .env with generated secrets, for docker compose and Astro
	@"$(PYTHON)" -m laptop.compose_env

lock: ## compile the requirements files from pyproject.toml
	@"$(PYTHON)" -m laptop.setup --only tools
	@"$(PYTHON)" -m tools.lock_requirements

clean: ## stop everything and remove all state
	@"$(PYTHON)" -m laptop.clean
