#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No kernel may spill registers, on any architecture that was built for; the build keeps what ptxas said.
# usage: test_registers.sh LOG
set -euo pipefail
log=${1:?usage: test_registers.sh LOG}
if [ ! -s "$log" ]; then
    echo "skipped: no CUDA kernels in this build (no nvcc)"
    exit 77
fi
table=$(NVCC='' "$(dirname "$0")/../../bench/cuda_registers.sh" "$log" | grep registers)
searches=$(grep -cE '^(lanes8|bulk|persist)_' <<<"$table" || true)
if [ "$searches" -lt 7 ]; then
    echo "only $searches search kernels are in the report $log"
    exit 1
fi
if grep -v ' 0 spilled ' <<<"$table"; then
    echo "these kernels spill registers"
    exit 1
fi
echo "$(wc -l <<<"$table") kernels, none spills"
