#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The road as a user walks it, on a small clip: everything that its JSON says adds up, and the file plays."""
import json
import pathlib
import subprocess
import tempfile

from rig import Rig, make_clip, reelrig, run_tests


def frames(path):
    out = subprocess.run(["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries",
                          "stream=nb_read_frames", "-of", "csv=p=0", str(path)], capture_output=True, text=True, check=True)
    return int(out.stdout.strip().strip(","))


def road_adds_up():
    """a small clip goes the whole road, and the last line adds up"""
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(pathlib.Path(folder) / "clip.mp4", seconds=21, size="640x360")
        data = pathlib.Path(folder) / "run"
        result = reelrig("road", clip, "--once", "--data", data, timeout=480)
        assert result.returncode == 0, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        last = json.loads(result.stdout.strip().split("\n")[-1])
        for key in ("frames_in renditions gops frames_out_ok proofs_checked proofs_failed shards shards_repaired "
                    "served_bytes segments_served paid_units settled_units certificates reputation_q32 puzzles puzzle_claims height state_root").split():
            assert key in last, f"{key} is missing in {last}"
        for key in ("transcode", "prove", "store", "serve", "total"):
            assert last["seconds"][key] > 0, f"seconds.{key} in {last}"
        assert last["frames_in"] == 21 * 24, last
        assert last["frames_out_ok"] is True, last
        assert last["proofs_checked"] >= 8 and last["proofs_failed"] == 0, last
        assert last["shards_repaired"] >= 2, last
        assert last["paid_units"] > 0 and last["settled_units"] == last["paid_units"], last
        assert last["certificates"] > 0 and 0 < last["reputation_q32"] < 2**32, last
        assert last["puzzle_claims"] == last["puzzles"] == 11, last
        assert last["segments_served"] >= 11 and last["served_bytes"] > 100000, last
        assert len(last["state_root"]) == 64, last
        watched = data / "watched.mp4"
        assert frames(watched) == 21 * 24, frames(watched)
        decode = subprocess.run(["ffmpeg", "-v", "warning", "-xerror", "-i", str(watched), "-f", "null", "-"],
                                capture_output=True, text=True)
        assert decode.returncode == 0 and decode.stderr == "", decode.stderr


def by_hand():
    """publish, watch twice, settle: the same bytes, the second watching opens no second pool"""
    with Rig() as rig:
        rig.start()
        clip = make_clip(rig.folder / "clip.mp4", seconds=5)
        job = rig.publish(clip, "--title", "a \"title\" & more")
        assert job["proofs_failed"] == 0 and job["frames_in"] == 120, job
        url = f"{rig.serve}/v1/resources/{job['resource']}"
        wallet = rig.folder / "viewer"
        poor = reelrig("watch", url, "--wallet", wallet, "-o", rig.folder / "x.mp4", "--json")
        assert poor.returncode == 1 and "coins are needed" in poor.stderr, poor.stderr
        rig.fund(wallet)
        results = []
        for name in ("a.mp4", "b.mp4"):
            watch = reelrig("watch", url, "--wallet", wallet, "-o", rig.folder / name, "--json")
            assert watch.returncode == 0, watch.stderr
            results.append(json.loads(watch.stdout))
        assert (rig.folder / "a.mp4").read_bytes() == (rig.folder / "b.mp4").read_bytes()
        assert results[0]["pool"] == results[1]["pool"], results
        assert results[1]["paid_units"] == results[0]["paid_units"], "slices that were paid are free"
        rig.call("pay/settle", {})
        pools = rig.until("pools", lambda p: p["settled_units"] == p["paid_units"] > 0)
        assert pools["paid_units"] == results[0]["paid_units"], pools
        for verb in (["status"], ["chain", "show"], ["pool", "show"], ["job", "show"], ["job", "show", job["job"]],
                     ["store", "show"], ["wallet", "show"], ["chain", "show", "1"], ["pool", "show", results[0]["pool"]]):
            plain = reelrig(*verb, "--data", rig.data)
            assert plain.returncode == 0 and plain.stdout, (verb, plain.stderr)
            as_json = reelrig(*verb, "--data", rig.data, "--json")
            assert as_json.returncode == 0 and json.loads(as_json.stdout), (verb, as_json.stderr)
        verified = json.loads(reelrig("chain", "verify", "--data", rig.data, "--json", check=True).stdout)
        assert verified["equal"] is True, verified
        seconds = rig.stop()
        assert seconds < 2, f"a clean stop took {seconds:.1f} s"
        assert rig.process.returncode == 0, rig.process.returncode


if __name__ == "__main__":
    run_tests([by_hand, road_adds_up])
