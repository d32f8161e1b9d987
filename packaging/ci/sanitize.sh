#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All tests and the fuzz corpora under AddressSanitizer and UndefinedBehaviorSanitizer, in short form.
set -euo pipefail
cd "$(dirname "$0")/../.."
build="build-sanitize"
cmake -G Ninja -S . -B $build -DRR_SANITIZE=address,undefined -DRR_WERROR=ON >/dev/null
ninja -C $build --quiet
packaging/web.sh $build
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 RR_SHORT=1
tests/run.sh $build
