# Where a site turns Python's bytecode off, each of many processes would compile PyTorch again.
unexport PYTHONDONTWRITEBYTECODE
# Python 3.11 or newer; used once, to make .venv.
PYTHON = python3
PROFILE = laptop
PORT = 8000
# Where `make grid` runs: nothing is this machine; slurm, cluster-generic or another folder of profiles/.
CLUSTER =
# A class: the course folder, and what was handed in, a folder for each student.
COURSE = classroom
SUBMISSIONS =
SAMPLE = _build/sample_class

BIN = .venv/bin
# Two processes, each on one thread; the files come in the order of tests/conftest.py.
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
KINDS = not slow and not faults
# Networks of the paper's size, for a GPU: `make gpu` trains them, `make train ALL=1` does not.
FULL_SIZE = cifar10-resnet18w64-% cifar10-densenet121-%
SETTINGS = $(sort $(basename $(notdir $(wildcard checkpoints/cifar10-*.yaml))))
CHECKPOINTS = $(if $(ALL),$(filter-out $(FULL_SIZE),$(SETTINGS)),$(NAME))
# For a GPU that is lent for minutes: start no further piece after so many; or do one piece alone.
MINUTES =
PIECE =

.PHONY: help setup book lab pdf site lint test test-slow test-faults train gpu grid assignments grade bench serve reference data clean
.DEFAULT_GOAL = help

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup:
	@$(PYTHON) -I src/inequality_phenomenon/book/installation.py

book: setup ## Execute the chapters that changed and build the book (PROFILE=laptop, smoke, full, ...)
	@$(BIN)/inequality build book --profile $(PROFILE)

lab: setup ## Open the notebooks in JupyterLab, where the scripts are notebooks; 00_playground is for trying things
	@$(BIN)/jupytext-config --settings-file .venv/etc/jupyter/labconfig/default_setting_overrides.json set-default-viewer python
	@$(BIN)/jupyter lab notebooks

pdf: book ## Build the book and print it into one PDF (needs a Chromium, and says what to do without)
	@$(BIN)/inequality pdf

site: book ## Build the book and put all that is published into _build/site
	@$(BIN)/inequality site

lint: setup ## Linters, layers of imports, types and spelling
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/mypy
	@git ls-files -z | xargs -0 $(BIN)/codespell

test: lint ## Linters and the tests that one can run often (KINDS='not faults': the slow ones as well)
	@$(PYTEST) -m '$(KINDS)'

test-slow: setup ## The tests that build the book, grade a class, execute chapters or train for long
	@$(PYTEST) -m slow

test-faults: setup ## The long tests of faults, wrong calls and repeated runs (under 40 minutes)
	@$(BIN)/python -m pytest -m faults --durations 10

train: setup ## Train a checkpoint: NAME=cifar10-resnet18w16-linf8-s0, or ALL=1; goes on where it was stopped
	@test -n "$(CHECKPOINTS)" || { echo "make train NAME=... or ALL=1; NAME is a file in checkpoints/ without .yaml"; exit 2; }
	@for name in $(CHECKPOINTS); do $(BIN)/inequality train $$name || exit; done

gpu: setup ## Paper scale, in pieces that resume: MINUTES=8 starts no more after that, PIECE=name does one; see book/scale.md
	@$(BIN)/inequality pieces gpu $(if $(MINUTES),--minutes $(MINUTES)) $(if $(PIECE),--only $(PIECE))

grid: setup ## Train and measure every cell of profiles/grid.yaml, here or on CLUSTER=slurm, and gather one table
	@$(BIN)/inequality build grid --cluster "$(CLUSTER)"

assignments: setup ## Fetch the data and make the student notebooks, in COURSE=classroom
	@$(BIN)/inequality release --course "$(COURSE)"

grade: setup ## Grade SUBMISSIONS=folder into grades.csv of COURSE=classroom; without SUBMISSIONS, a made-up class
ifdef SUBMISSIONS
	@$(BIN)/inequality grade --course "$(COURSE)" "$(SUBMISSIONS)"
else
	@$(BIN)/python tests/sample_class.py $(SAMPLE)
	@$(BIN)/inequality grade --course $(SAMPLE) $(SAMPLE)/handed_in
endif

bench: setup ## Speed against the alternatives, as ratios measured now
	@$(BIN)/python -m benchmarks

serve: ## Serve the built book on this machine (PORT=8000)
	@$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

reference: setup ## Execute every chapter with the full profile (hours) and make its records the reference
	@$(BIN)/inequality build chapters --profile full
	@$(BIN)/inequality reference

data: setup ## Fetch and verify CIFAR-10
	@$(BIN)/inequality data

clean: ## Remove what can be made again; keeps .venv, data, checkpoints and unfinished trainings
	rm -rf _build book/_executed book/_generated .cache .snakemake
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
