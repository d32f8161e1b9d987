#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Puts the pages and their assets into BUILD/web/pages; packages by `npm ci`, never checked in.
# usage: packaging/web.sh BUILD
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:?usage: packaging/web.sh BUILD}/web
mkdir -p "$out/pages/vendor"
if ! cmp -s "$here/src/web/package-lock.json" "$out/.installed"; then
    cp "$here/src/web/package.json" "$here/src/web/package-lock.json" "$out/"
    (cd "$out" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
    cp "$out/package-lock.json" "$out/.installed"
fi
cp "$here"/src/web/*.html "$here"/src/web/*.js "$here"/src/web/*.css "$here"/src/web/*.svg "$out/pages/"
cp "$out/node_modules/hls.js/dist/hls.light.min.mjs" "$out/pages/vendor/hls.mjs"
cp "$out/node_modules/hls.js/LICENSE" "$out/pages/vendor/hls.LICENSE"
