# Python 3.11 or newer; used once, to make .venv.
PYTHON = python3
PROFILE = laptop
PORT = 8000

BIN = .venv/bin
CHECKPOINTS = $(if $(ALL),$(sort $(basename $(notdir $(wildcard checkpoints/cifar10-*.yaml)))),$(NAME))

.PHONY: help setup book test train bench serve reference data clean
.DEFAULT_GOAL = help

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup:
	@$(PYTHON) -I src/inequality_phenomenon/installation.py

book: setup ## Execute the chapters that changed and build the book (PROFILE=laptop, smoke, full, ...)
	@$(BIN)/python -m inequality_phenomenon.workflow book --profile $(PROFILE)

test: setup ## Linters, types, spelling and all tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@git ls-files -z | xargs -0 $(BIN)/codespell
	@$(BIN)/python -m pytest

train: setup ## Train a checkpoint: NAME=cifar10-resnet18w16-linf8-s0, or ALL=1; goes on where it was stopped
	@test -n "$(CHECKPOINTS)" || { echo "make train NAME=... or ALL=1; NAME is a file in checkpoints/ without .yaml"; exit 2; }
	@for name in $(CHECKPOINTS); do $(BIN)/inequality train $$name || exit; done

bench: setup ## Speed against the alternatives, as ratios measured now
	@$(BIN)/python -m benchmarks

serve: ## Serve the built book on this machine (PORT=8000)
	@$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

reference: setup ## Execute every chapter with the full profile (hours) and make its records the reference
	@$(BIN)/python -m inequality_phenomenon.workflow chapters --profile full
	@$(BIN)/inequality reference

data: setup ## Fetch and verify CIFAR-10
	@$(BIN)/inequality data

clean: ## Remove what can be made again; keeps .venv, data, checkpoints and unfinished trainings
	rm -rf _build book/_executed book/_generated .cache .snakemake
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
