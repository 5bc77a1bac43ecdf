# Thin: CMake (CMakePresets.json) builds, tools/deps gets what is missing, tests/run.py tests. `make help` lists the targets.
.PHONY: all build deps demo test fast soak bench fuzz install clean help
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60

all: build

deps:
	@tools/deps/deps.sh

build: deps ## build/release/sluice, with everything it needs (the default)
	@mkdir -p build
	@cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build --preset release --target sluice

demo: build ## the whole loop on three million real flights
	@examples/flights/demo.sh

test: ## every test, from a fresh clone too
	@tools/deps/deps.sh --tests
	@python3 tests/run.py

fast: ## the tests of one build only, while developing
	@tools/deps/deps.sh --tests
	@python3 tests/run.py --fast

soak: ## one fault at every call of a small project's life, a whole life each; clocks that jump, kills at random (hours)
	@tools/deps/deps.sh --tests
	@cmake --preset dev && cmake --build --preset dev --target sluice_faults sluice unit_flow_test_flow_faults
	@SLUICE_EVERY_FAULT=1 build/dev/unit_flow_test_flow_faults
	@SLUICE_EVERY_FAULT=1 third_party/venv/bin/python -m pytest -c tests/blackbox/pytest.ini --timeout 0 tests/blackbox/test_faults.py

bench: build ## the figures of README.md, measured here
	@tools/deps/deps.sh --tests
	@cmake --build --preset release --target benches
	@third_party/venv/bin/python bench/run.py

fuzz: ## every fuzzer for FUZZ_SECONDS each (60)
	@tools/deps/deps.sh --tests
	@cmake --preset fuzz && cmake --build --preset fuzz
	@fuzz/run.sh build/fuzz $(FUZZ_SECONDS)

install: build ## into PREFIX (/usr/local); DESTDIR is honoured
	@cmake --install build/release --prefix $(PREFIX)

clean: ## removes build/, keeps third_party/
	rm -rf build

help:
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1|\2/p' Makefile | column -t -s '|'
