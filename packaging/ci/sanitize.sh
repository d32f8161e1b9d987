#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Unit tests and fuzz corpora under AddressSanitizer and UndefinedBehaviorSanitizer, in short form; the system tests, whose
# time limits are those of the product, run in the plain build.
set -euo pipefail
cd "$(dirname "$0")/../.."
build="build-sanitize"
cmake -G Ninja -S . -B $build -DRR_SANITIZE=address,undefined -DRR_WERROR=ON >/dev/null
ninja -C $build --quiet
export LSAN_OPTIONS=suppressions=$PWD/packaging/ci/lsan.supp:print_suppressions=0
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 RR_SHORT=1
tests/run.sh $build -LE system
