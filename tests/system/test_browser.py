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

from rig import Rig, build, make_clip, media, reelrig, root, run_tests, skip

chromium = os.environ.get("RR_CHROMIUM", "/usr/bin/chromium")
screenshot = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
here = pathlib.Path(__file__).resolve().parent


def page():
    """the page shows a job, plays it, changes the rendition and fits 390 px, without an error"""
    with Rig(web=build / "web/pages") as rig:
        rig.start()
        clip = media("bbb_480p24_h264_aac_30s.mp4") if screenshot else None
        clip = clip or make_clip(rig.folder / "clip.mp4", seconds=12, size="640x360")
        job = rig.publish(clip, "--title", "Big Buck Bunny" if screenshot else 'a <b>clip</b> & "more"')
        if screenshot:  # a pool to show
            rig.fund(rig.folder / "viewer")
            reelrig("watch", f"{rig.serve}/v1/resources/{job['resource']}", "--wallet", rig.folder / "viewer", "-o",
                    rig.folder / "watched.mp4", check=True)
        else:
            rig.until("chain", lambda c: c["height"] >= 1)
        paid = rig.call("pools")["paid_units"]
        command = ["node", here / "browser.mjs", build / "web", rig.control, rig.token, job["title"]]
        result = subprocess.run([*map(str, command), *([str(screenshot)] if screenshot else [])], capture_output=True,
                                text=True, timeout=200, env={**os.environ, "RR_CHROMIUM": chromium})
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-2000:]}"
        seen = json.loads(result.stdout)
        print(f"      played to {seen['end']['time']:.1f} s, levels {seen['levels']}, {seen['end']['dropped']} of "
              f"{seen['end']['total']} frames dropped")
        serve = rig.call("status")["serve"]
        assert serve["segments"] >= 3, serve
        assert rig.call("pools")["paid_units"] == paid, "the owner does not pay himself"
        assert rig.stop() < 2


if not shutil.which(chromium) or not shutil.which("node"):
    skip(f"no {chromium} or no node")
subprocess.run([root / "packaging/web.sh", build], check=True, timeout=300)
run_tests([page])
