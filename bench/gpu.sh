#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the hash engine with nothing but nvcc and cc, checks every CUDA kernel against the plain law, then measures;
# writes OUT/gpu-CARD.json and a summary. Ends by itself within ten minutes. Changes no setting of the card.
# usage: bench/gpu.sh [--dry] [--device ID] [--seconds N] [--seed N]
#   OUT=folder (default bench/results), NVCC=path or none (with --dry), CC=compiler, JOBS=n
#   --dry: no GPU needed: the kernels run on an emulator behind a double of the driver, in tiny sizes; shows that all of
#          this works, measures nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
begin=$SECONDS
dry=0
seconds=520
args=()
while [ $# -gt 0 ]; do
    case $1 in
    --dry) dry=1 ;;
    --seconds) seconds=${2:?--seconds N}; shift ;;
    --device | --seed) args+=("$1" "${2:?$1 needs a value}"); shift ;;
    *)
        echo "usage: bench/gpu.sh [--dry] [--device ID] [--seconds N] [--seed N]" >&2
        exit 2
        ;;
    esac
    shift
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=${OUT:-bench/results}
[ "$dry" = 1 ] && out=${OUT:-$work}
mkdir -p "$out"
cc=${CC:-cc}
jobs=${JOBS:-$(nproc)}
nvcc=${NVCC:-$(command -v nvcc || true)}
if [ -z "$nvcc" ] && [ -x /usr/local/cuda/bin/nvcc ]; then nvcc=/usr/local/cuda/bin/nvcc; fi
if [ "$nvcc" = none ]; then nvcc=; fi
if [ -z "$nvcc" ] && [ "$dry" = 0 ]; then
    echo "gpu.sh: no nvcc in PATH or /usr/local/cuda/bin; install the CUDA toolkit or name it by NVCC=" >&2
    exit 2
fi

# ---- build ---------------------------------------------------------------------------------------------------------
flags=(-std=c17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 '-DRR_VERSION="gpu"' -fno-strict-aliasing -fPIC -pthread
    -I. -Isrc -Ikernels -Itests)
if [ "$dry" = 1 ]; then flags+=(-O1); else flags+=(-O3); fi
sources=(kernels/*/*.c src/base/*.c bench/gpu_bench*.c)
for source in src/hash/*.c; do
    case $source in
    src/hash/hash_opencl*.c) [ "$source" = src/hash/hash_opencl_none.c ] && sources+=("$source") ;;
    *) sources+=("$source") ;;
    esac
done
[ "$dry" = 1 ] && doubles=(tests/cuda/*.c) || doubles=()

fatbin() { # name, source, architectures...: a fatbin of machine code for each and PTX of the last
    local name=$1 source=$2 codes=() arch
    shift 2
    for arch in "$@"; do codes+=(-gencode "arch=compute_$arch,code=sm_$arch"); done
    codes+=(-gencode "arch=compute_$arch,code=compute_$arch")
    "$nvcc" -fatbin -O3 --threads 0 -Xptxas -v -I kernels "${codes[@]}" "$source" -o "$work/$name" \
        >"$work/$name.log" 2>&1 || { cat "$work/$name.log" >&2; return 1; }
}
if [ -n "$nvcc" ]; then
    release=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    version=$((${release% *} * 1000 + ${release#* } * 10))
    known=$("$nvcc" --list-gpu-arch | sed 's/compute_//')
    if [ "$dry" = 1 ]; then all=90 mine=90; else
        all=$(for a in 75 80 86 89 90 100 120; do if grep -qx "$a" <<<"$known"; then echo "$a"; fi; done)
        mine=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d . | sort -nu || true)
        mine=$(for a in $mine; do if grep -qx "$a" <<<"$known"; then echo "$a"; fi; done)
    fi
    # The kernels as they ship, for all cards; the probes for those of this machine.
    # shellcheck disable=SC2086
    fatbin ethash.fatbin kernels/ethash/ethash.cu $all &
    first=$!
    # shellcheck disable=SC2086
    fatbin probe.fatbin kernels/ethash/ethash_probe.cu ${mine:-$all} &
    second=$!
    flags+=("-DRR_CUDA_FATBIN=\"$work/ethash.fatbin\"" "-DRR_CUDA_VERSION=$version"
        "-DRR_PROBE_FATBIN=\"$work/probe.fatbin\"")
    if ! wait "$first" || ! wait "$second"; then
        echo "gpu.sh: nvcc failed" >&2
        exit 1
    fi
    grep -h "spill stores" "$work"/*.log | grep -v " 0 bytes spill stores" && echo "gpu.sh: some kernels spill" >&2
else
    echo "gpu.sh: no nvcc: the kernels run as compiled by $cc alone"
fi

# The flags of wide registers are those of kernels/CMakeLists.txt.
# shellcheck disable=SC2317 # xargs calls it
compile() {
    local source=$1 more=()
    case $source in
    *_avx2.c) more=(-mavx2 -mbmi -mbmi2) ;;
    *_avx512.c) more=(-mavx512f -mavx512bw -mavx512dq -mavx512vl -mbmi -mbmi2) ;;
    esac
    # shellcheck disable=SC2086
    $RR_CC $RR_FLAGS "${more[@]}" -c "$source" -o "$RR_WORK/${source//\//-}.o"
}
export -f compile
export RR_CC=$cc RR_WORK=$work
RR_FLAGS=$(printf '%s ' "${flags[@]}")
export RR_FLAGS
wide=1
case $(uname -m) in x86_64 | amd64) ;; *) wide=0 ;; esac
chosen=()
for source in "${sources[@]}"; do
    case $source in *_avx2.c | *_avx512.c) [ "$wide" = 1 ] || continue ;; esac
    chosen+=("$source")
done
# shellcheck disable=SC2016
printf '%s\n' "${chosen[@]}" "${doubles[@]}" | xargs -P "$jobs" -I{} bash -c 'compile "$1"' _ {}
objects=()
for source in "${chosen[@]}"; do objects+=("$work/${source//\//-}.o"); done
"$cc" -pthread "${objects[@]}" -o "$work/gpu_bench" -ldl -lm
if [ "$dry" = 1 ]; then
    "$cc" -shared -pthread -Wl,-Bsymbolic "$work"/tests-cuda-*.o -o "$work/fake.so"
    args+=(--dry "$work/fake.so")
fi
echo "built in $((SECONDS - begin)) s"

# ---- run -----------------------------------------------------------------------------------------------------------
smi() { # a fact of the first card, without quotes
    nvidia-smi "--query-gpu=$1" --format=csv,noheader 2>/dev/null | head -1 | tr -d '"' || true
}
card=dry
if [ "$dry" = 0 ]; then
    card=$(smi name | tr -cs '[:alnum:]\n' '-' | sed 's/-*$//')
    for name in driver_version clocks.sm clocks.mem clocks.max.sm clocks.max.mem power.limit temperature.gpu; do
        args+=(--fact "smi_$name=$(smi "$name")")
    done
fi
args+=(--fact "date=$(date -u +%Y-%m-%dT%H:%MZ)" --fact "commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
    --fact "nvcc=$([ -n "$nvcc" ] && "$nvcc" --version | sed -n 's/.*release \([^,]*\),.*/\1/p' || echo none)")
json=$out/gpu-${card:-unknown}.json
left=$((seconds - (SECONDS - begin)))
[ "$left" -gt 20 ] || left=20
status=0
timeout -k 5 "$((left + 25))" "$work/gpu_bench" --out "$json" --seconds "$left" "${args[@]}" || status=$?
if [ "$dry" = 0 ]; then
    echo "clocks after: $(smi clocks.sm), memory $(smi clocks.mem), $(smi temperature.gpu) C"
    # Which registers the kernels of this build take, as ptxas said it.
    grep -hE "Compiling entry|Used [0-9]+ registers|spill stores" "$work/ethash.fatbin.log" \
        >"$out/gpu-${card:-unknown}-ptxas.txt" || true
fi
echo "gpu.sh: $((SECONDS - begin)) s in all, status $status"
exit "$status"
