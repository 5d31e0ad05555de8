# Berth. `make run` brings up a cluster with a sample; `make test` runs every test. Both need root on Debian 12.
BUILD    := build/release
BERTH    := $(BUILD)/berth
DATA_DIR ?= $(CURDIR)/build/run
API_PORT ?= 16443

.PHONY: setup configure binary build run down test unit e2e tidy bench clean

setup:
	@tools/setup

configure: setup
	@mkdir -p build
	@cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }

# The program alone: a first cluster does not wait for the tests to compile.
binary: configure
	@cmake --build --preset release --target berth

build: configure
	@cmake --build --preset release

run: binary
	@tools/run "$(BERTH)" "$(DATA_DIR)" "$(API_PORT)"

down:
	@"$(BERTH)" down --data-dir "$(DATA_DIR)"

test: build tidy unit e2e

tidy:
	@tools/tidy

unit:
	@ctest --test-dir $(BUILD) --output-on-failure --timeout 600

e2e:
	@tools/e2e

bench: configure
	@cmake -S . -B $(BUILD) -DBERTH_BENCH=ON >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build --preset release
	@bench/run

clean:
	rm -rf build
