#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what Reelrig needs on Debian 12, without questions, through sudo when not root.
# usage: packaging/deps.sh [run|test|lint|all]   (default all; each includes the one before it)
set -euo pipefail

run_packages="gcc libc6-dev make cmake ninja-build pkg-config git ca-certificates
  libavformat-dev libavcodec-dev libavfilter-dev libswscale-dev libswresample-dev libavutil-dev libsrt-gnutls-dev
  libisal-dev libsodium-dev libsecp256k1-dev liblmdb-dev libuv1-dev libmicrohttpd-dev
  libseccomp-dev libjansson-dev libcurl4-openssl-dev libssl-dev opencl-c-headers ocl-icd-libopencl1
  libnats-dev"
test_packages="libcmocka-dev ffmpeg curl python3 chromium b3sum binutils procps
  pocl-opencl-icd nats-server"
lint_packages="clang-14 clang-tidy-14 clang-format-14 libclang-rt-14-dev codespell shellcheck"

level=${1:-all}
case $level in
run) packages=$run_packages ;;
test) packages="$run_packages $test_packages" ;;
lint | all) packages="$run_packages $test_packages $lint_packages" ;;
*)
    echo "deps.sh: '$level' is none of run, test, lint, all" >&2
    exit 2
    ;;
esac
# The panel's assets and the default video come as npm packages; any npm will do.
command -v npm >/dev/null && command -v node >/dev/null || packages="$packages nodejs npm"

missing=()
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps.sh: neither root nor sudo; install by hand: ${missing[*]}" >&2
        exit 1
    }
    as_root=(sudo)
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
