#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The rig's page in Chromium: shows the job, plays it, changes the rendition, fits a small screen.
usage: test_browser.py [SCREENSHOT]"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from rig import Rig, build, make_clip, media, reelrig, root, run_tests, skip

chromium = os.environ.get("RR_CHROMIUM", "/usr/bin/chromium")
screenshot = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
here = pathlib.Path(__file__).resolve().parent


def plays(title, pages, clip=None, publish=(), funded=False):
    """Publishes, plays the page in Chromium; returns what it saw."""
    with Rig(web=pages) as rig:
        rig.prefix = ["nice", "-n", "10"]  # a viewer's browser has a machine of its own
        rig.start()
        clip = clip or make_clip(rig.folder / "clip.mp4", seconds=12, size="640x360")
        job = rig.publish(clip, "--title", title, *publish)
        if funded:  # a pool to show
            rig.fund(rig.folder / "viewer")
            reelrig("watch", f"{rig.serve}/v1/resources/{job['resource']}", "--wallet", rig.folder / "viewer", "-o",
                    rig.folder / "watched.mp4", check=True)
        else:
            rig.until("chain", lambda c: c["height"] >= 1)
        paid = rig.call("pools")["paid_units"]
        command = ["node", here / "browser.mjs", build / "web", rig.control, rig.token, job["title"]]
        result = subprocess.run([*map(str, command), *([str(screenshot)] if funded else [])], capture_output=True,
                                text=True, timeout=200, env={**os.environ, "RR_CHROMIUM": chromium})
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-2000:]}"
        seen = json.loads(result.stdout)
        print(f"      played to {seen['end']['time']:.1f} s, levels {seen['levels']}, "
              f"{seen['end']['dropped'] - seen['before']['dropped']} of "
              f"{seen['end']['total'] - seen['before']['total']} frames dropped from the third second on")
        assert "cpu" in seen["device"], seen["device"]
        serve = rig.call("status")["serve"]
        assert serve["segments"] >= 3, serve
        assert rig.call("pools")["paid_units"] == paid, "the owner does not pay himself"
        assert rig.stop() < 2
        return job


def page():
    """the page shows a job, plays it, changes the rendition and fits 390 px, without an error"""
    clip = media("bbb_480p24_h264_aac_30s.mp4") if screenshot else None
    plays("Big Buck Bunny" if screenshot else 'a <b>clip</b> & "more"', build / "web/pages", clip, funded=bool(screenshot))


def page_with_puzzles():
    """with puzzles in segments and playlists it plays just so, on hls.js light and whole"""
    puzzles = ["--puzzle", "c0" * 32, "--puzzle-prize", "0.5", "--puzzle-difficulty", "1000", "--puzzles-per-segment", "3"]
    with tempfile.TemporaryDirectory() as folder:
        whole = pathlib.Path(folder) / "pages"  # the whole build looks into emsg boxes, the light one does not
        shutil.copytree(build / "web/pages", whole)
        shutil.copy(build / "web/node_modules/hls.js/dist/hls.min.mjs", whole / "vendor/hls.mjs")
        for pages in (build / "web/pages", whole):
            job = plays("puzzles inside", pages, publish=puzzles)
            assert job["puzzles"]["count"] >= 3 * 2 * 6, job["puzzles"]


def dash(codec, name):
    """Publishes for free in a codec; Shaka plays the DASH manifest."""
    with Rig(web=build / "web/pages") as rig:
        rig.config.write_text(rig.config.read_text().replace("[transcode]\n", f'[transcode]\ncodec = "{codec}"\n'))
        rig.start()
        clip = make_clip(rig.folder / "clip.mp4", seconds=8, size="428x240")
        job = rig.publish(clip, "--title", codec, "--price", "0", "--ladder", "240,120")
        url = f"{rig.serve}/v1/resources/{job['resource']}/dash/manifest.mpd"
        result = subprocess.run(["node", here / "dash.mjs", build / "web", url], capture_output=True, text=True,
                                timeout=200, env={**os.environ, "RR_CHROMIUM": chromium})
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-2000:]}"
        seen = json.loads(result.stdout)
        assert all(name in track["codecs"] for track in seen["tracks"]), seen["tracks"]
        # How many a machine can show in time is its own matter; test_ladders.py has the bound.
        assert seen["after"]["total"] - seen["after"]["dropped"] > 24, seen
        print(f"      {seen['tracks'][0]['codecs']}: played to {seen['after']['time']:.1f} s, "
              f"{seen['after']['dropped']} of {seen['after']['total']} frames dropped")


def dash_h264():
    """the DASH manifest plays in Shaka Player and changes the rendition: H.264"""
    dash("h264", "avc1")


def dash_av1():
    """the DASH manifest plays in Shaka Player and changes the rendition: AV1"""
    dash("av1", "av01")


def dash_vp9():
    """the DASH manifest plays in Shaka Player and changes the rendition: VP9"""
    dash("vp9", "vp09")


if not shutil.which(chromium) or not shutil.which("node"):
    skip(f"no {chromium} or no node")
subprocess.run([root / "packaging/web.sh", build, "test"], check=True, timeout=300)
only = os.environ.get("RR_ONLY")
run_tests([page] if screenshot else
          [t for t in [page, page_with_puzzles, dash_h264, dash_av1, dash_vp9] if not only or t.__name__ in only.split(",")])
