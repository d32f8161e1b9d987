#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All checks of form; each prints its findings, the last line says how many failed.
# usage: packaging/lint/lint.sh BUILD   (a build folder of its own, for compile_commands.json)
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
build=${1:?usage: packaging/lint/lint.sh BUILD}
failed=0
check() {
    local name=$1
    shift
    if "$@" >"$log" 2>&1; then echo "lint: $name: ok"; else
        failed=$((failed + 1))
        echo "lint: $name: FAILED"
        tail -n 60 "$log"
    fi
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

mapfile -t sources < <(git ls-files '*.c' '*.h')
mapfile -t units < <(git ls-files 'src/*.c' 'kernels/*.c' 'bench/*.c')
# Not alone: *_wide.h are the part of an algorithm whose registers the including file brings.
mapfile -t headers < <(git ls-files 'src/*.h' 'kernels/*.h' 'bench/*.h' ':!kernels/*_wide.h')
mapfile -t scripts < <(git ls-files '*.sh'; echo .ci/run)

flags=(-std=c17 -D_GNU_SOURCE '-DRR_VERSION="lint"' -I. -Isrc -Ikernels)
headers_alone() {
    local header rc=0
    for header in "${headers[@]}"; do
        gcc "${flags[@]}" -Wall -Wextra -fsyntax-only -x c "$header" 2>&1 | grep -v 'pragma once' && rc=1
        clang-14 "${flags[@]}" -Wall -Wextra -fsyntax-only -x c "$header" || rc=1
    done
    return $rc
}
# Every finding of the analyzer fails, but for three that are false: it does not follow that a hasher's stack is filled
# before it is read (blake3_ref), nor that CMSG_FIRSTHDR of a buffer large enough is never NULL (transcode_proto), nor that
# a light batch has at least one group (ethash_avx*).
analyze_one() {
    local machine=() except=()
    case $1 in
    *_avx2.c) machine=(-mavx2 -mbmi -mbmi2) ;;
    *_avx512.c) machine=(-mavx512f -mavx512bw -mavx512dq -mavx512vl) ;;
    esac
    case $1 in
    kernels/ethash/ethash_avx*.c) except=(-Wno-analyzer-use-of-uninitialized-value) ;;
    kernels/blake3/blake3_ref.c) except=(-Wno-analyzer-use-of-uninitialized-value) ;;
    src/transcode/transcode_proto.c) except=(-Wno-analyzer-null-dereference) ;;
    esac
    gcc -std=c17 -D_GNU_SOURCE '-DRR_VERSION="lint"' '-DRR_BIN_DIR=""' -I. -Isrc -Ikernels -O1 -fanalyzer -Werror \
        "${machine[@]}" "${except[@]}" -c "$1" -o /dev/null
}
export -f analyze_one
analyzer() {
    printf '%s\n' "${units[@]}" | xargs -P "$(nproc)" -I{} bash -c 'analyze_one {}'
}
tidy() {
    printf '%s\n' "${units[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy-14 --quiet -p "$build"
}

check format clang-format-14 --dry-run -Werror "${sources[@]}"
check house packaging/lint/house.py
check shellcheck shellcheck "${scripts[@]}"
check codespell codespell --quiet-level=2 --skip='*.hex,*.txt,package-lock.json,LICENSE,corpus_*' \
    --ignore-words packaging/lint/words.txt README.md docs src kernels bench tests packaging
check headers headers_alone
cmake -G Ninja -S . -B "$build" -DCMAKE_C_COMPILER=clang-14 -DRR_WERROR=ON >/dev/null || exit 1
check clang-build ninja -C "$build" --quiet
check clang-tidy tidy
check analyzer analyzer
[ "$failed" -eq 0 ] && echo "lint: all checks hold" || echo "lint: $failed checks failed"
[ "$failed" -eq 0 ]
