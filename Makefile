# The two commands of this project: `make all` and `make test`. Neither does anything that cannot be typed
# by hand: see environment.yml for conda, and the comments below for what each line stands for.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3

.PHONY: all test check lock clean

# The environment, then the whole default configuration.
all: $(VENV)/.installed
	. $(BIN)/activate && snakemake --cores 8 all

# The environment, then the test suite, in two processes: one of them begins with the tests that run Snakemake.
test: $(VENV)/.installed
	. $(BIN)/activate && python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

# What a commit must pass besides the tests.
check: $(VENV)/.installed
	. $(BIN)/activate && ruff check . && ruff format --check . && mypy \
		&& snakefmt --check Snakefile workflow/rules && snakemake --lint

# Packages are compiled at once: every job is a process of its own, and would wait for it where Python may not keep it.
$(VENV)/.installed: requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode -r requirements.lock
	touch $@

# Resolve requirements.in anew.
lock: $(VENV)/.installed
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --python-version 3.11 requirements.in -o requirements.lock

clean:
	rm -rf $(VENV) .snakemake
