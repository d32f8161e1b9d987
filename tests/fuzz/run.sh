#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzzes every target for a while, by libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer; new inputs stay
# in BUILD, what crashes too. usage: tests/fuzz/run.sh BUILD [SECONDS each, default 60]
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:?usage: tests/fuzz/run.sh BUILD [SECONDS]}
seconds=${2:-60}
cmake -G Ninja -S . -B "$build" -DCMAKE_C_COMPILER=clang-14 -DRR_FUZZ=ON -DRR_SANITIZE=address,undefined >/dev/null
failed=0
for source in tests/fuzz/*/fuzz_*.c; do
    module=$(basename "$(dirname "$source")")
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    target=fuzz_${module}_$name
    ninja -C "$build" --quiet "$target"
    mkdir -p "$build/found/$target"
    echo "== $target"
    "$build/tests/$target" -max_total_time="$seconds" -artifact_prefix="$build/found/$target-" -verbosity=0 \
        "$build/found/$target" "tests/fuzz/$module/corpus_$name" || failed=$((failed + 1))
done
echo "fuzz: $failed targets failed"
[ "$failed" -eq 0 ]
