#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs whose GOPs are judged by margins: another preset passes, a cheat is refused.

On one rig owner and provider are one key, so that the price itself shows nowhere: the ledger's own tests hold that a
failed attestation sends it back.
"""
import os
import pathlib
import shutil
import tempfile

from rig import Rig, bin_folder, build, make_clip, run_tests

CLASS = 'gop_ms = 1000\nclass = "build"\nmaker_preset = "medium"\n'
FINAL = ("proved", "refused", "failed")


def rig_in(folder):
    rig = Rig(folder / "rig")
    rig.config.write_text(rig.config.read_text().replace('[transcode]\nladder = "360,180"\n',
                                                         f'[transcode]\nladder = "180"\n{CLASS}'))
    assert "maker_preset" in rig.config.read_text()
    return rig


def stage(rig, job, stages):
    return rig.until(f"jobs/{job}", lambda answer: answer["stage"] in stages, timeout=400)


def test_other_preset():
    """a job of class build that another preset encodes is proved, and its GOPs are not kept"""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        clip = make_clip(folder / "clip.mp4")
        with rig_in(folder).start() as rig:
            job = rig.upload(clip)
            end = stage(rig, job, FINAL)
            assert end["stage"] == "proved", end
            assert not list(rig.data.glob("jobs/*/work")), "the GOPs are still there"
            rig.stop()


def test_cheat():
    """a maker that upscales half a picture is refused: the attestation that would pay it says failed"""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        clip = make_clip(folder / "clip.mp4")
        worker = folder / "cheat-upscale"
        shutil.copy(build / "tests" / "cheating-worker", worker)
        with rig_in(folder).start(env={**os.environ, "RR_WORKER": str(worker)}) as rig:
            job = rig.upload(clip)
            stage(rig, job, ("published", "claimed"))
            # The verifier's program is its own: the beacon's blocks leave time to put it there.
            shutil.copy(bin_folder / "reelrig-worker", folder / "honest")
            (folder / "honest").rename(worker)
            end = stage(rig, job, FINAL)
            assert end["stage"] == "refused", end
            assert end["proofs_failed"] > 0, end
            assert "is refused (" in rig.log(), rig.log()[-2000:]
            rig.stop()


if __name__ == "__main__":
    run_tests([test_other_preset, test_cheat])
