# The one door to the project; CI calls the same targets. `make help` lists them.
# .venv is made by scripts/bootstrap.py from requirements/*.txt; every target brings it up to date
# itself and grows it by what the target needs.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:
MAKEFLAGS += --no-print-directory

# auto: gpu on Linux/x86-64 with an NVIDIA driver, else cpu
ACCELERATOR ?= auto
# of `make train` and `make samples`: a configuration by name or path, and a local copy of its data
CONFIG ?= cifar10
DATA ?=
# passed on by `make test`, `make docker-test`, `make fuzz`, `make soak`, `make tensorboard`,
# `make bench`, `bench-peers`, `-train`, `-swaps`, `-engines` and `-decoders`
ARGS ?=
# of `make test`: how many tests run at a time. One where tests are chosen, so that all that pytest
# can do works there (-s, --pdb) and nothing is started in vain.
WORKERS ?= $(if $(strip $(ARGS)),1,2)
# of `make lock`: non-empty takes the newest versions instead of keeping the pins
UPGRADE ?=

# Only where it is set, so that KERASERVE_PORT and .env go on working.
ifneq ($(strip $(PORT)),)
export KERASERVE_PORT := $(strip $(PORT))
endif

bin := .venv/bin
system_python = $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,\
	$(shell command -v $(name) 2>/dev/null)))
bootstrap = $(or $(system_python),$(error Python 3.11 or later is not installed)) \
	-m scripts.bootstrap --accelerator $(ACCELERATOR)
sources := app training tests benchmarks scripts docs .ci

.PHONY: help venv serve samples train tensorboard test fuzz lint typecheck check format docker-test soak bench bench-peers bench-train bench-swaps bench-engines bench-decoders lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: ## Make .venv with everything: serving, training, development
	@$(bootstrap) serve tensorflow train dev

# exec: the server is make's own child and gets its signals. Make waits for it to end, also after
# Ctrl-C, and then reports the signal; the server's own exit code is 0.
serve: ## Serve the models on 127.0.0.1:8000 (PORT=9000 moves it)
	@$(bootstrap) serve
	@exec $(bin)/keraserve serve

# A local copy is of one data set.
models_of_samples = $(if $(DATA)$(filter-out file,$(origin CONFIG)),$(CONFIG),cifar10 fashion_mnist)

samples: ## Make labelled samples of the public test sets (CONFIG=cifar10 DATA=local copy for one)
	@$(bootstrap) samples
	@for name in $(models_of_samples); do \
		$(bin)/keraserve-train samples "$$name" $(if $(DATA),--data '$(DATA)') || exit $$?; \
	done

train: ## Train, evaluate and publish a version (CONFIG=cifar10, DATA=local copy of the data)
	@$(bootstrap) serve tensorflow train
	@exec $(bin)/keraserve-train run '$(CONFIG)' $(if $(DATA),--data '$(DATA)')

tensorboard: ## Show the curves of all runs in a browser (ARGS="--port 6007" moves it)
	@$(bootstrap) serve tensorflow train
	@exec $(bin)/tensorboard --logdir data/runs $(ARGS)

# By file: fixtures of a module are made once. In the order of the folders: the slow files first, and
# the many short ones at the end, where they leave no worker idle.
in_parallel = $(if $(filter-out 1,$(WORKERS)),-n $(WORKERS) --dist loadfile --no-loadscope-reorder)

test: ## Run the tests, two at a time (ARGS="-k name" chooses, WORKERS=1 is one after the other)
	@$(bootstrap) serve tensorflow train dev
	@$(bin)/python -m pytest $(strip $(in_parallel) $(ARGS))

fuzz: ## Look for input that breaks what reads it (ARGS="--seconds 3600 decode"; Linux on x86-64)
	@$(bootstrap) serve dev fuzz
	@exec $(bin)/python -m tests.fuzz $(ARGS)

lint: ## Check style and formatting
	@$(bootstrap) dev
	@$(bin)/ruff check $(sources)
	@$(bin)/ruff format --check $(sources)

typecheck: ## Check types
	@$(bootstrap) train dev
	@$(bin)/mypy

check: lint typecheck test ## What CI runs: lint, typecheck, test

format: ## Format the sources and mend what ruff can mend
	@$(bootstrap) dev
	@$(bin)/ruff check --fix-only --quiet $(sources)
	@$(bin)/ruff format $(sources)

# Without .venv: what is tested is in the image.
docker-test: ## Build an image, run it confined, classify, stop (ARGS=gpu for the one for GPUs)
	@exec $(or $(system_python),$(error Python 3.11 or later is not installed)) \
		-m scripts.container_check $(ARGS)

soak: ## Send 200,000 requests of every kind while versions come and go (ARGS are the soak's)
	@$(bootstrap) serve dev
	@exec $(bin)/python -m benchmarks.soak $(ARGS)

bench: ## Measure throughput and latency (ARGS are the harness's)
	@$(bootstrap) serve tensorflow dev
	@$(bin)/python -m benchmarks $(ARGS)

bench-peers: ## Measure Keraserve against other servers, each in its own environment (ARGS too)
	@$(bootstrap) serve tensorflow train dev
	@exec $(bin)/python -m benchmarks.peers $(ARGS)

bench-train: ## Measure what the input pipeline costs a training (ARGS are the benchmark's)
	@$(bootstrap) serve tensorflow train dev
	@$(bin)/python -m benchmarks.training $(ARGS)

bench-swaps: ## Measure what new versions cost while requests come in (ARGS are the benchmark's)
	@$(bootstrap) serve tensorflow dev
	@$(bin)/python -m benchmarks.swaps $(ARGS)

bench-engines: ## Measure a version on every engine and precision (ARGS are the benchmark's)
	@$(bootstrap) serve tensorflow dev
	@$(bin)/python -m benchmarks.engines $(ARGS)

bench-decoders: ## Measure decoding of thumbnails and photographs (ARGS are the benchmark's)
	@$(bootstrap) serve dev
	@$(bin)/python -m benchmarks.decoders $(ARGS)

lock: ## Compile requirements/*.txt (UPGRADE=1 takes the newest versions)
	@$(bootstrap) dev
	@sh scripts/lock.sh $(bin)/uv $(UPGRADE)

clean: ## Remove .venv, caches and build leftovers; data/ and models/ stay
	rm -rf .venv build dist *.egg-info .coverage htmlcov .pytest_cache .mypy_cache .ruff_cache
	find $(wildcard $(sources)) -name __pycache__ -type d -prune -exec rm -rf {} +
