#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Registers, spills and shared memory of every CUDA kernel on every architecture, as ptxas reports them.
# usage: bench/cuda_registers.sh [LOG...]   (reports of `nvcc -Xptxas -v`; without: compiles; needs nvcc, no GPU)
# Prints the table; bench/results/cuda-registers.txt keeps the one of the last change.
set -euo pipefail
cd "$(dirname "$0")/.."
nvcc=${NVCC:-$(command -v nvcc || true)}
[ -n "$nvcc" ] || { [ -x /usr/local/cuda/bin/nvcc ] && nvcc=/usr/local/cuda/bin/nvcc; } || true
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ $# -gt 0 ]; then
    cat "$@" >"$log"
else
    [ -n "$nvcc" ] || { echo "cuda_registers.sh: no nvcc" >&2; exit 77; }
    codes=()
    for arch in 75 80 86 89 90 100 120; do
        "$nvcc" --list-gpu-arch | grep -qx "compute_$arch" && codes+=(-gencode "arch=compute_$arch,code=sm_$arch")
    done
    for source in ethash ethash_probe; do
        "$nvcc" -fatbin -O3 --threads 0 -Xptxas -v -I kernels "${codes[@]}" "kernels/ethash/$source.cu" -o /dev/null \
            2>>"$log"
    done
fi
[ -z "$nvcc" ] || echo "nvcc $("$nvcc" --version | sed -n 's/.*release \([^,]*\),.*/\1/p'), bytes of spills and shared memory a block"
awk '
/Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; arch = part[4]; sub("rr_ethash_gpu_", "", kernel) }
/bytes spill stores/ { for (i = 2; i <= NF; i++) if ($i == "spill") { if ($(i + 1) ~ /stores/) stores = $(i - 2); else loads = $(i - 2) } }
/Used [0-9]+ registers/ {
    shared = 0
    for (i = 1; i <= NF; i++) { if ($i == "Used") registers = $(i + 1); if ($i ~ /^smem/) shared = $(i - 2) }
    printf "%-16s %-8s %3d registers  %3d spilled  %6d shared\n", kernel, arch, registers, stores + loads, shared
}' "$log" | sort -k1,1 -k2.4n
