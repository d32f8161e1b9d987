#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Measures transcoding on an NVIDIA card beside the same on the CPU and beside ffmpeg's own hardware paths, checks that
# class exact gives the CPU's bytes; writes OUT/gpu-transcode-CARD.json and a summary. Ends by itself within ten minutes.
# Changes no setting of the card.
# usage: bench/gpu_transcode.sh [--dry] [--bin FOLDER] [--device ID] [--ladder LIST] [--rounds N] [--seconds N]
#                               [--double PROGRAM] [CLIP ...]
#        bench/gpu_transcode.sh --pack FILE.tar.xz [--bin FOLDER]
#   CLIPs: videos to measure on; none: ffmpeg draws two
#   --bin: where reelrig, reelrig-worker and reelrig-worker-device lie (default: bin of RR_PREFIX, build/bin, PATH)
#   --pack: here, on a machine that can build: the programs, ffmpeg and all libraries they need in one file (about 60 MB)
#   RR_PREFIX=that file or its folder, or a folder of unpacked Debian packages (dpkg -x PACKAGE FOLDER), for a bare
#             machine; libc of the folder is not used, the machine's must be as new as the build's
#   OUT=folder (default bench/results)
#   --dry: no GPU needed: tiny clip, the device may be missing (a row says so) or a double of it (--double, a build's
#          tests/reelrig-worker-double); shows that all of this works, measures nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
begin=$SECONDS
dry=0 seconds=540 bin='' double='' pack='' device=cuda:0
args=() clips=()
usage() {
    sed -n 's/^# usage: /usage: /p; s/^#        bench/       bench/p; s/^#   *\(\[--double\)/           \1/p' "$0" >&2
    exit 2
}
fail() {
    echo "gpu_transcode.sh: $*" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case $1 in
    --dry) dry=1 ;;
    --seconds) seconds=${2:?--seconds N}; shift ;;
    --bin) bin=$(cd "${2:?--bin FOLDER}" && pwd) || exit 2; shift ;;
    --double) double=$(readlink -f "${2:?--double PROGRAM}"); shift ;;
    --pack) pack=${2:?--pack FILE.tar.xz}; shift ;;
    --device) device=${2:?--device ID}; shift ;;
    --ladder | --rounds) args+=("$1" "${2:?$1 needs a value}"); shift ;;
    -*) usage ;;
    *)
        [ -r "$1" ] || fail "clip $1 cannot be read"
        clips+=("$(readlink -f "$1")")
        ;;
    esac
    shift
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
programs=(reelrig reelrig-worker reelrig-worker-device)
libc='^(ld-linux|libc|libm|libdl|librt|libpthread|libresolv|libutil|libanl|libmvec|libnss_|libBrokenLocale)[-.a-z0-9_]*\.so'

# ---- what there is ---------------------------------------------------------------------------------------------------
prefix=${RR_PREFIX:-}
if [ -f "$prefix" ]; then
    mkdir "$work/prefix"
    tar -xf "$prefix" -C "$work/prefix" || fail "RR_PREFIX=$prefix cannot be unpacked"
    prefix=$work/prefix
elif [ -n "$prefix" ]; then
    prefix=$(cd "$prefix" && pwd) || exit 2
fi
found=
for folder in "$bin" ${prefix:+"$prefix/bin" "$prefix/usr/bin"} "$here/../build/bin" \
    "$(dirname "$(command -v reelrig || echo /none/reelrig)")"; do
    if [ -n "$folder" ] && [ -x "$folder/reelrig" ]; then
        found=$(cd "$folder" && pwd)
        break
    fi
    if [ -n "$bin" ]; then break; fi
done
[ -n "$found" ] || fail "no reelrig in ${bin:-RR_PREFIX, build/bin or PATH}; build it, or name a folder of a build by --bin"
for program in "${programs[@]}"; do
    [ -x "$found/$program" ] || fail "$found has no $program; build the target $program"
done
command -v python3 >/dev/null || fail "no python3 in PATH; it runs the jobs and writes the report"
ffmpeg=$(command -v ffmpeg || true)
for folder in ${prefix:+"$prefix/bin" "$prefix/usr/bin"}; do
    if [ -x "$folder/ffmpeg" ]; then ffmpeg=$folder/ffmpeg; fi
done

needs() { # programs: the libraries that they load, as paths
    ldd "$@" 2>/dev/null | awk '/=> \// { print $3 }' | sort -u
}
if [ -n "$pack" ]; then
    [ -n "$ffmpeg" ] || fail "no ffmpeg in PATH to pack"
    mkdir -p "$work/pack/bin" "$work/pack/lib"
    cp "${programs[@]/#/$found/}" "$(readlink -f "$ffmpeg")" "$work/pack/bin/"
    needs "$work/pack/bin/"* | while read -r library; do
        if ! [[ $(basename "$library") =~ $libc ]]; then cp -L "$library" "$work/pack/lib/"; fi
    done
    # Voices of a speech filter that no job uses are 20 MB; what loads them needs their names alone.
    for library in "$work/pack/lib"/libflite_cmu_us_*.so.1; do
        name=$(basename "$library" .so.1)
        [ -f "$library" ] || continue
        voice=register_${name#libflite_}
        echo "void *$voice(void) { return 0; } void un$voice(void *v) { (void)v; }" |
            "${CC:-cc}" -shared -fPIC -Wl,-soname,"$name.so.1" -xc - -o "$library"
    done
    strip --strip-unneeded "$work/pack/bin/"* "$work/pack/lib/"* 2>/dev/null || true
    tar -C "$work/pack" -cf - bin lib | xz -T0 --x86 --lzma2=preset=6 >"$pack"
    echo "gpu_transcode.sh: $pack, $(du -h "$pack" | cut -f1); there: RR_PREFIX=$(basename "$pack") bench/gpu_transcode.sh"
    exit 0
fi

# ---- a bare machine: every program gets its libraries by way of a line of shell ----------------------------------------
if [ -n "$prefix" ]; then
    mkdir "$work/lib" "$work/bin"
    while read -r library; do
        if ! [[ $(basename "$library") =~ $libc ]]; then ln -sf "$library" "$work/lib/"; fi
    done < <(find "$prefix" -name '*.so*' \( -type f -o -type l \))
    for program in "${programs[@]/#/$found/}" ${ffmpeg:+"$ffmpeg"}; do
        # shellcheck disable=SC2016
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\nexport LD_LIBRARY_PATH\nexec %s "$@"\n' \
            "'$work/lib'" "'$program'" >"$work/bin/$(basename "$program")"
    done
    chmod +x "$work/bin/"*
    missing=$(for program in "${programs[@]/#/$found/}" ${ffmpeg:+"$ffmpeg"}; do
        LD_LIBRARY_PATH=$work/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} ldd "$program" 2>&1
    done | grep -E 'not found' | sed 's/^[[:space:]]*//' | sort -u || true)
    found=$work/bin
    if [ -n "$ffmpeg" ]; then ffmpeg=$work/bin/ffmpeg; fi
else
    missing=$(ldd "${programs[@]/#/$found/}" 2>&1 | grep -E 'not found' | sed 's/^[[:space:]]*//' | sort -u || true)
fi
[ -z "$missing" ] || fail "these are missing; unpack the packages that hold them and name the folder by RR_PREFIX, or
make one file with --pack where they are:
$missing"
export RR_WORKER=$found/reelrig-worker
if [ -n "$double" ]; then
    [ -x "$double" ] || fail "no double at $double; build the target reelrig-worker-double"
    [ "$dry" = 1 ] || fail "--double is for --dry: it measures nothing"
    mkdir "$work/cards"
    ln -s "$found/reelrig-worker" "$work/cards/reelrig-worker"
    cp "$double" "$work/cards/reelrig-worker-device" # its cards stand beside the program
    echo "$device name=Double dec=h264,hevc enc=h264 sessions=2 scale=1" >"$work/cards/devices.conf"
    export RR_WORKER=$work/cards/reelrig-worker
    args+=(--double)
fi

# ---- run -------------------------------------------------------------------------------------------------------------
out=${OUT:-$here/results}
[ "$dry" = 1 ] && out=${OUT:-$work}
mkdir -p "$out"
smi() { # a fact of the card, without quotes
    nvidia-smi ${device:+-i "${device#*:}"} "--query-gpu=$1" --format=csv,noheader 2>/dev/null | head -1 | tr -d '"' || true
}
card=dry
if [ "$dry" = 1 ]; then
    args+=(--dry)
else
    card=$(smi name | tr -cs '[:alnum:]\n' '-' | sed 's/-*$//')
    for name in name driver_version clocks.sm clocks.max.sm clocks.video power.limit temperature.gpu; do
        args+=(--fact "smi_$name=$(smi "$name")")
    done
fi
args+=(--fact "date=$(date -u +%Y-%m-%dT%H:%MZ)" --fact "cores=$(nproc)"
    --fact "commit=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)")
status=0
left=$((seconds - (SECONDS - begin)))
# The report is written after every row, so that a run cut short has what it measured.
timeout -k 5 "$((left + 30))" python3 "$here/gpu_transcode.py" --reelrig "$found/reelrig" --ffmpeg "${ffmpeg:-}" \
    --work "$work" --out "$out/gpu-transcode-${card:-none}.json" --device "$device" --seconds "$left" \
    "${args[@]}" ${clips[@]+"${clips[@]}"} || status=$?
echo "gpu_transcode.sh: $((SECONDS - begin)) s in all, status $status"
exit "$status"
