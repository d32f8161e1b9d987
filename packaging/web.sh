#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Puts the pages and their assets into BUILD/web/pages; packages by `npm ci`, never checked in.
# usage: packaging/web.sh BUILD [test]   (test: also what drives the pages in tests)
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:?usage: packaging/web.sh BUILD [test]}/web
omit=(--omit=dev)
[ "${2:-}" = test ] && omit=()
mkdir -p "$out/pages/vendor"
if ! cmp -s "$here/src/web/package-lock.json" "$out/.installed" || { [ "${2:-}" = test ] && [ ! -e "$out/.installed-test" ]; }; then
    rm -f "$out/.installed" "$out/.installed-test"
    cp "$here/src/web/package.json" "$here/src/web/package-lock.json" "$out/"
    (cd "$out" && npm ci "${omit[@]}" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
    [ "${2:-}" = test ] && touch "$out/.installed-test"
    cp "$out/package-lock.json" "$out/.installed"
fi
cp "$here"/src/web/*.html "$here"/src/web/*.js "$here"/src/web/*.css "$here"/src/web/*.svg "$out/pages/"
cp "$out/node_modules/hls.js/dist/hls.light.min.mjs" "$out/pages/vendor/hls.mjs"
cp "$out/node_modules/hls.js/LICENSE" "$out/pages/vendor/hls.LICENSE"
