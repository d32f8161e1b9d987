#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The product with every optional part OFF and without its tests, by clang with warnings as errors.
set -euo pipefail
cd "$(dirname "$0")/../.."
cmake -G Ninja -S . -B build-minimal -DCMAKE_C_COMPILER=clang-14 -DRR_WERROR=ON -DRR_TESTS=OFF \
    -DRR_OPENCL=OFF -DRR_CUDA=OFF -DRR_NATS=OFF >/dev/null
ninja -C build-minimal --quiet
build-minimal/bin/reelrig --version
