# Needs make and a Python >= 3.10, nothing else. PYTHON=... chooses another one.
PYTHON ?= $(shell for p in python3 python3.10 python3.11 python3.12 python3.13 python3.14 python3.15; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV_PYTHON = $$($(PYTHON) tools/bootstrap.py

.PHONY: demo test check format clean python
.DEFAULT_GOAL := test

python:
	@test -n "$(PYTHON)" || { echo "Clustrix needs a Python >= 3.10 on PATH (or make PYTHON=/path/to/python3)" >&2; exit 1; }

demo: python
	@py=$(VENV_PYTHON) demo) && exec "$$py" examples/demo.py

test: python
	@py=$(VENV_PYTHON) dev) && exec "$$py" tools/test.py $(ARGS)

check: python
	@py=$(VENV_PYTHON) dev) && exec "$$py" tools/check.py

format: python
	@py=$(VENV_PYTHON) dev) && "$$py" -m ruff check --fix-only -q . ; "$$py" -m ruff format .

clean: python
	@rm -rf .venv .venvs build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
