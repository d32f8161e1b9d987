#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs every test of a build folder and counts them; with RR_COUNTS=FILE adds "passed failed skipped" to it.
# usage: tests/run.sh BUILD [ctest arguments]
set -uo pipefail
build=${1:?usage: tests/run.sh BUILD}
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$(nproc)" "$@" | tee "$log"
rc=${PIPESTATUS[0]}
total=$(sed -n 's/.* tests failed out of \([0-9]*\)$/\1/p' "$log")
failed=$(sed -n 's/.*, \([0-9]*\) tests failed out of .*/\1/p' "$log")
skipped=$(grep -c '\*\*\*Skipped' "$log")
passed=$((${total:-0} - ${failed:-0} - skipped))
[ -z "${RR_COUNTS:-}" ] || echo "$passed ${failed:-0} $skipped" >>"$RR_COUNTS"
echo "$passed passed, ${failed:-0} failed, $skipped skipped"
exit "$rc"
