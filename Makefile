# make demo       set up everything and embed the bundled genome with the bundled model
# make test       set up everything and run all tests
# make gpu-env    set up the environment of a GPU machine in .venv-gpu (6 GB; no compiler needed)
# make storage-env  add what a run needs for files at s3:// and https:// to .venv, or to .venv-gpu
# make slurm-env  add what a run needs on SLURM to .venv, or to .venv-gpu
# make export-env  add what a run needs for export: anndata and lance to .venv, or to .venv-gpu
# make test-gpu-env  resolve it for each Python, and run the tests of the engine in it (no GPU needed)
# make test-gpu   measure what only a GPU can show, with evo2_7b of random weights (6 minutes)
# make test-slurm run the workflow through a private SLURM on this machine (Debian, as root)
# make test-slurm-all   the same, with faults, two nodes and accounting (half an hour or more)
# make test-storage  run the workflow with files of an S3 server and a web server on this machine
# make test-export  open the exports with scanpy, LanceDB and others, and run the notebooks
# make test-report  open the report page in Chromium: controls, colour schemes, print (Debian)
# make lint       check the style of the code
# make docs       build the site of the documentation in build/site, and check its links
# make examples   run the notebooks of examples/ again, with the workflow and the bundled model
# make schema     write the JSON schema and docs/configuration.md after a change of the keys
# make plan       estimate a run: windows, jobs, hours, memory, sizes
# make run        run the workflow: one line with the progress, then the summary
# make status     show progress: shards done, speed, time left, failures
# make verify     read all files of a run: names those that are lost or damaged
# make tidy       delete the pack files and shards of a finished run
# make doctor     check this machine: one line per check, OK, WARN or FAIL
# make benchmark  time the engine against the stock model on a CPU (half an hour or more)
# make benchmark-contexts  time and memory of long contexts (a quarter of an hour or more)
# make benchmark-variants  time of variants that share bases (a quarter of an hour or more)
# make benchmark-reader  time and memory of the reader, 1,000,000 rows (25 GB in /tmp or FOLDER)
# make gpu-cost   count what the engine would run on GPUs, and predict its speed (minutes)
# make scale      time chunking, packing and aggregation of 3.1 Gbp (20 GB in /tmp)
# make soak       kill and damage real runs, dozens of times (half an hour or more)
# make contexts   compare long contexts with the stock model (half an hour or more)
# make tiny-model train the bundled model (an hour on two cores; genomes from Debian packages)
# make tiny-model-card  compute the numbers of its model card
# make clean      delete all files of runs; the environment stays
# make version    the version
# CONFIG=path/to/config.yaml: configuration file for make run, make plan and make doctor.
# PROFILE=profiles/slurm: workflow profile for make run; ARGS="...": further options of Snakemake.
# JSON=1: make plan, make status and make doctor print JSON.
# PYTHON=/path/to/python3.11 chooses the interpreter.

.DEFAULT_GOAL := help
.PHONY: help env test-env gpu-env slurm-env storage-env export-env demo docs examples run plan status
.PHONY: verify tidy doctor version lint schema
.PHONY: test test-storage test-export test-report test-gpu test-gpu-env test-slurm test-slurm-all
.PHONY: benchmark benchmark-contexts benchmark-variants benchmark-reader gpu-cost scale soak contexts clean tiny-model tiny-model-card

# Programs of a Python environment do not start from a path with a blank.
ifneq ($(words $(CURDIR)),1)
$(error the path of this folder has a blank, which Python environments do not allow: $(CURDIR))
endif

BIN := .venv/bin
# What looks at a run uses the environment of a GPU machine where there is one.
VENV := $(if $(wildcard .venv-gpu/.env),.venv-gpu,.venv)
GENOMES := build/genomes

help:
	@sed -n '1,/^$$/s/^# //p' Makefile

env: .venv/.env
test-env: .venv/.test-env
gpu-env: .venv-gpu/.env

slurm-env: $(VENV)/.env
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check -r envs/requirements-slurm.txt

storage-env: $(VENV)/.env
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check -r envs/requirements-storage.txt

export-env: $(VENV)/.env
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check -r envs/requirements-export.txt

demo: env
	@$(BIN)/python workflow/scripts/run_workflow.py --configfile config/demo.yaml

run: $(VENV)/.env
	@$(VENV)/bin/python workflow/scripts/run_workflow.py \
		$(if $(CONFIG),--configfile "$(CONFIG)") $(if $(PROFILE),--workflow-profile "$(PROFILE)") $(ARGS)

plan: $(VENV)/.env
	@$(VENV)/bin/python workflow/scripts/show_plan.py --configfile "$(or $(CONFIG),config/config.yaml)" \
		$(if $(JSON),--json)

status: $(VENV)/.env
	@$(VENV)/bin/python workflow/scripts/show_status.py $(if $(JSON),--json)

verify: $(VENV)/.env
	@$(VENV)/bin/python workflow/scripts/verify_results.py

tidy: $(VENV)/.env
	@$(VENV)/bin/python workflow/scripts/tidy_results.py

test: test-env
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-gpu-env: .venv-gpu/.test-env
	@tests/resolve_gpu_env.sh .venv-gpu/bin/python
	@OMP_NUM_THREADS=1 .venv-gpu/bin/python -m pytest -n 2 --dist loadfile tests/engine tests/model

test-gpu: .venv-gpu/.test-env
	@.venv-gpu/bin/python tests/gpu/measure.py

test-slurm: test-env
	@PYTHON=$(BIN)/python tests/slurm/run.sh -m "not long"

test-slurm-all: test-env
	@ACCOUNTING=true PYTHON=$(BIN)/python tests/slurm/run.sh

test-storage: test-env
	@PYTHON=$(BIN)/python tests/storage/run.sh

test-export: test-env
	@PYTHON=$(BIN)/python tests/export/run.sh

test-report: test-env
	@PYTHON=$(BIN)/python tests/browser/run.sh

lint: test-env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/python tests/lint_workflow.py

docs: env
	@PYTHON=$(BIN)/python tests/own_environment.sh .venv/docs envs/requirements-docs.txt
	@.venv/docs/bin/python docs/site/build.py

examples: test-env
	@PYTHON=$(BIN)/python tests/own_environment.sh .venv/export envs/requirements-export-test.txt
	@.venv/export/bin/python examples/run_notebooks.py

schema: env
	@$(BIN)/python workflow/scripts/write_schema.py

doctor: $(VENV)/.env
	@$(VENV)/bin/python workflow/scripts/check_machine.py $(if $(GPUS),--gpus $(GPUS)) $(if $(JSON),--json) $(CONFIG)

version: $(VENV)/.env
	@$(VENV)/bin/python workflow/scripts/run_workflow.py --version

benchmark: test-env
	@$(BIN)/python tests/benchmark/engine.py

benchmark-contexts: test-env
	@$(BIN)/python tests/benchmark/contexts.py

benchmark-variants: test-env
	@$(BIN)/python tests/benchmark/variants.py

benchmark-reader: test-env
	@$(BIN)/python tests/benchmark/reader.py "$(or $(FOLDER),/tmp/evo2-embed-reader)"

gpu-cost: test-env
	@$(BIN)/python tests/benchmark/gpu_cost.py

scale: test-env
	@$(BIN)/python tests/benchmark/scale.py

soak: test-env
	@$(BIN)/python tests/soak/campaign.py

contexts: test-env
	@$(BIN)/python tests/soak/contexts.py

clean:
	rm -rf results logs benchmarks .snakemake

tiny-model: test-env
	$(BIN)/python resources/training/fetch_genomes.py $(GENOMES)
	$(BIN)/python resources/training/train_evo2_tiny.py $(GENOMES)

tiny-model-card: test-env
	$(BIN)/python resources/training/fetch_genomes.py $(GENOMES)
	$(BIN)/python resources/training/evaluate_evo2_tiny.py $(GENOMES) $(GENOMES)/evaluation

# The first Python 3.11 or 3.12 that runs; a shim of a missing version does not run.
.venv/bin/python .venv-gpu/bin/python:
	@python=""; \
	for candidate in $(or $(PYTHON),python3.11 python3.12 python3 python); do \
		"$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' \
			2>/dev/null && { python=$$candidate; break; }; \
	done; \
	test -n "$$python" || { echo "error: no Python 3.11 or 3.12 with venv found (make PYTHON=/path/to/python3.11)" >&2; exit 1; }; \
	"$$python" -m venv $(@:/bin/python=) || { rm -rf $(@:/bin/python=); exit 1; }

.venv/.env: envs/requirements.txt | .venv/bin/python
	@echo "Installing the packages of envs/requirements.txt into .venv (a few minutes) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

.venv/.test-env: envs/requirements-test.txt .venv/.env
	@echo "Installing the packages of envs/requirements-test.txt into .venv ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

.venv-gpu/.env: envs/requirements-gpu.txt | .venv-gpu/bin/python
	@echo "Installing the packages of envs/requirements-gpu.txt into .venv-gpu (6 GB, some minutes) ..."
	@.venv-gpu/bin/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

.venv-gpu/.test-env: envs/requirements-test.txt .venv-gpu/.env
	@.venv-gpu/bin/python -m pip install -qq --disable-pip-version-check \
		$$(grep -E "^(pytest|pytest-xdist|hypothesis)==" $<)
	@touch $@
