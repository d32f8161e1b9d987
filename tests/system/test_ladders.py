#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ladders in hls.js on a real Chromium, every rendition forced in turn: less than one frame in a hundred is dropped.
RR_FULL=1: every real clip at 720,480,360 in every codec that Chromium decodes, with a table in the file RR_TABLE; RR_CLIP=part,part, RR_CODECS=name,name choose."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from rig import build, make_clip, reelrig, root, run_tests, skip

here = pathlib.Path(__file__).resolve().parent
chromium = os.environ.get("RR_CHROMIUM", "/usr/bin/chromium")
full = os.environ.get("RR_FULL") == "1"
codecs = os.environ.get("RR_CODECS", "h264,av1,vp9").split(",")  # Debian's Chromium has no decoder of HEVC
SECONDS, DROPPED_MAX, TRIES = 9, 0.01, 3
# Of pictures at uneven times Chromium drops some of any stream: such a clip is held against a plain copy of itself.
UNEVEN = ("vfr",)
table = []


def play(out):
    """What one play saw."""
    result = subprocess.run(["node", here / "ladders.mjs", build / "web", out, str(SECONDS)], capture_output=True,
                            text=True, timeout=300, env={**os.environ, "RR_CHROMIUM": chromium})
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-2000:]}"
    return json.loads(result.stdout)


def dropped_of_a_copy(clip, folder):
    """The share that the player drops of the source itself, as HLS with nothing encoded."""
    out = folder / "copy"
    out.mkdir()
    subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-c", "copy", "-f", "hls", "-hls_segment_type", "fmp4", "-hls_time",
                    "2", "-hls_playlist_type", "vod", "-master_pl_name", "master.m3u8", out / "index.m3u8"], check=True,
                   timeout=100)
    plays = [play(out) for _ in range(TRIES)]
    return max(seen["dropped"] / seen["total"] for seen in plays)


def check(clip, codec, ladder):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out"
        result = reelrig("transcode", clip, "-o", out, "--ladder", ladder, "--codec", codec, timeout=1200)
        assert result.returncode == 0, result.stderr
        most = DROPPED_MAX
        if any(word in pathlib.Path(clip).name for word in UNEVEN):
            most += 2 * dropped_of_a_copy(clip, out.parent)
        # A stream that makes a player drop frames does so in every play; a busy machine does in some.
        for tries in range(1, TRIES + 1):
            seen = play(out)
            share = seen["dropped"] / max(1, seen["total"])
            if share < most:
                break
        assert share < most, f"{seen['dropped']} of {seen['total']} frames dropped in the last of {tries} plays"
        table.append(f"{pathlib.Path(clip).name:38} {codec:5} {'/'.join(map(str, seen['levels'])):>12} "
                     f"{seen['seconds']:7.1f} {seen['total']:6} {seen['dropped']:7} {tries:5}")
        print(f"      {codec}: {seen['levels']} to {seen['seconds']:.1f} s, {seen['dropped']} of {seen['total']} frames "
              f"dropped, play {tries}", flush=True)


def test_of(clip, codec):
    def test():
        with tempfile.TemporaryDirectory() as folder:
            cut = pathlib.Path(folder) / clip.name  # what is played, and a little more
            subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-t", str(SECONDS + 3), "-map", "0:v:0", "-map", "0:a:0?",
                            "-c", "copy", cut], check=True, timeout=100)
            check(cut, codec, "720,480,360")

    test.__doc__ = f"{clip.name} in {codec}"
    return test


def short_of(codec):
    def test():
        with tempfile.TemporaryDirectory() as folder:
            clip = make_clip(pathlib.Path(folder) / "clip.mp4", seconds=10, size="640x360")
            check(clip, codec, "360,180")

    test.__doc__ = f"two renditions in turn: {codec}"
    return test


def write_table():
    """the table is written, with a line for each clip and codec"""
    assert len(table) == len(clips) * len(codecs), f"{len(table)} lines"
    head = f"{'clip':38} {'codec':5} {'levels':>12} {'seconds':>7} {'frames':>6} {'dropped':>7} {'plays':>5}"
    pathlib.Path(os.environ["RR_TABLE"]).write_text("\n".join([
        "The first seconds of every clip at 720,480,360 (smaller ones at their own size) in hls.js, every rendition forced in turn,",
        "by tests/system/test_ladders.py with RR_FULL=1. Frames after the first second; plays: until one dropped less than",
        "1 %, of at most three. The clip of uneven times: less than 1 % more than twice what is dropped of a plain copy of it.", "", head, *table]) + "\n")


if not shutil.which(chromium) or not shutil.which("node"):
    skip(f"no {chromium} or no node")
subprocess.run([root / "packaging/web.sh", build, "test"], check=True, timeout=300)
media_folder = pathlib.Path(os.environ.get("RR_MEDIA_DIR", root.parent / "shared/media"))
clips = sorted(p for p in media_folder.glob("*") if p.suffix in (".mp4", ".ts", ".webm", ".avi")) if full else []
only = os.environ.get("RR_CLIP")
clips = [c for c in clips if not only or any(o in c.name for o in only.split(","))]
run_tests([test_of(clip, codec) for codec in codecs for clip in clips] + ([write_table] if "RR_TABLE" in os.environ else [])
          if full else [short_of(c) for c in codecs])
