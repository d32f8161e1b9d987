#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The unit tests whose subject is threads, under ThreadSanitizer, in short form: one finding fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
build="build-threads"
tests='hash_test_(engine|devices|epochs|load|jobs|telemetry)|loop_test_loop|db_test_db|(ledger|storage|pay)_test_threads|serve_test_(cache|limits)'
cmake -G Ninja -S . -B $build -DRR_SANITIZE=thread -DRR_WERROR=ON >/dev/null
mapfile -t targets < <(ninja -C $build -t targets all | sed -nE "s/^($tests): phony\$/\1/p")
[ ${#targets[@]} -gt 0 ] || exit 1
ninja -C $build --quiet "${targets[@]}"
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 RR_SHORT=1
tests/run.sh $build -R "^unit\.($(printf '%s|' "${targets[@]}" | sed 's/_test_/.test_/g; s/|$//'))\$"
