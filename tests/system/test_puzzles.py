#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Engagement puzzles on a real rig: in the stream, where players pass over them, and solved by a viewer."""
import hashlib
import json
import struct
import subprocess

from rig import Rig, make_clip, reelrig, run_tests

CONTRACT = "c0" * 16 + "de" * 16
SCHEME = b"urn:reelrig:puzzle\0"


def boxes(data):
    """(type, bytes) of the boxes at the top."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        yield kind, data[at:at + size]
        at += size


def is_puzzle(kind, box):
    return kind == b"emsg" and box[32:].startswith(SCHEME)


def plain(data):
    return b"".join(box for kind, box in boxes(data) if not is_puzzle(kind, box))


def puzzles(data):
    return [box[-63:] for kind, box in boxes(data) if is_puzzle(kind, box)]


def digest(data):
    return hashlib.blake2b(data, digest_size=32, person=b"rr.segment.v1".ljust(16, b"\0")).digest()


def silent(*command):
    """Runs a player; nothing may be on its standard error."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and result.stderr == "", f"{command}: {result.returncode}\n{result.stderr}"
    return result.stdout


def names(playlist):
    return [line for line in playlist.splitlines() if line.endswith(".m4s")]


def tags(playlist):
    """Segment name: puzzles of its tags."""
    found, waiting = {}, []
    for line in playlist.splitlines():
        if line.startswith("#EXT-X-REELRIG-PUZZLE:"):
            contract, puzzle = line.split(":", 1)[1].split(",")
            assert contract == "CONTRACT=0x" + CONTRACT.upper(), line
            assert puzzle.startswith("PUZZLE=0x"), line
            waiting.append(bytes.fromhex(puzzle[len("PUZZLE=0x"):]))
        elif line.endswith(".m4s"):
            found[line], waiting = waiting, []
    return found


def in_the_stream():
    """players play on in silence; boxes, tags and the manifest agree; prizes rise; the proof holds"""
    with Rig() as rig:
        rig.start()
        clip = make_clip(rig.folder / "clip.mp4", seconds=6, size="640x360")
        job = rig.publish(clip, "--price", "0", "--puzzle", CONTRACT, "--puzzle-prize", "0.5", "--puzzle-difficulty", "1000",
                          "--puzzle-rise", "10", "--puzzles-per-segment", "2")
        assert job["proofs_failed"] == 0 and job["proofs_checked"] > 0, job
        assert job["puzzles"]["count"] == 2 * 3 * 2 and job["puzzles"]["difficulty"] == 1000, job["puzzles"]
        assert job["puzzles"]["prizes"] == "6.6", job["puzzles"]  # (0.5 + 0.55 + 0.6) x 2 x 2
        base = f"/v1/resources/{job['resource']}"
        manifest = json.loads(rig.get(base + "/manifest", {"Accept": "application/json"})[2])
        by_name = {r["name"]: r for r in manifest["renditions"]}
        for name in ("360p", "180p", "audio"):
            playlist = rig.get(f"{base}/hls/{name}/index.m3u8")[2].decode()
            tagged = tags(playlist)
            for number, segment in enumerate(names(playlist)):
                path = f"{base}/hls/{name}/{segment}"
                data = rig.get(path)[2]
                assert digest(data).hex() == by_name[name]["segments"][number]["digest"]
                carried = puzzles(data)
                assert carried == tagged[segment], f"{name}/{segment}: box and tag differ"
                assert len(carried) == (0 if name == "audio" else 2), (name, segment, len(carried))
                for puzzle in carried:
                    version, kind, prize, mantissa, exponent = struct.unpack("<BBQIB", puzzle[:15])
                    assert (version, kind, mantissa, exponent) == (1, 1, 1000, 0), puzzle.hex()
                    assert prize == 50_000_000 * (100 + 10 * number) // 100, prize
                    assert puzzle[31:47] == digest(plain(data))[:16], "not a puzzle of this segment"
                    assert puzzle[47:] == bytes.fromhex(CONTRACT)[:16]
                if carried:
                    assert len({p[15:31] for p in carried}) == 2, "two puzzles, one rand"
                    kinds = [kind for kind, _ in boxes(data)]
                    assert kinds[:3] == [b"emsg", b"emsg", b"moof"], kinds
                status, headers, part = rig.get(path, {"Range": "bytes=100-299"})
                assert status == 206 and part == data[100:300], (status, headers)
        master = f"{rig.serve}{base}/hls/master.m3u8"
        silent("ffprobe", "-v", "warning", master)
        silent("ffmpeg", "-v", "warning", "-xerror", "-i", master, "-map", "0", "-f", "null", "-")
        one = rig.folder / "one.mp4"
        one.write_bytes(rig.get(f"{base}/hls/360p/init.mp4")[2] + rig.get(f"{base}/hls/360p/seg_00001.m4s")[2])
        silent("ffprobe", "-v", "warning", "-show_entries", "stream=nb_read_frames", "-count_frames", one)
        bandwidth = [int(line.split("BANDWIDTH=")[1].split(",")[0]) for line in
                     rig.get(f"{base}/hls/master.m3u8")[2].decode().splitlines() if line.startswith("#EXT-X-STREAM-INF")]
        for name, most in zip(("360p", "180p"), bandwidth):
            rates = [s["bytes"] * 8 * by_name[name]["timescale"] / s["duration"] for s in by_name[name]["segments"][:2]]
            assert max(rates) <= most, f"{name}: {rates} above {most}"
        for arguments, why in (([], "prize"), (["--puzzle-prize", "1"], "difficulty"),
                               (["--puzzle-prize", "1", "--puzzle-difficulty", "0"], "difficulty"),
                               (["--puzzle-prize", "1", "--puzzle-difficulty", "5", "--puzzles-per-segment", "17"], "16"),
                               (["--puzzle-prize", "1", "--puzzle-difficulty", "5", "--puzzle-kind", "stake"], "stake")):
            refused = reelrig("publish", clip, "--data", rig.data, "--puzzle", CONTRACT, *arguments)
            assert refused.returncode != 0 and why in refused.stderr, (arguments, refused.stderr)
        refused = reelrig("publish", clip, "--data", rig.data, "--puzzle-prize", "1")
        assert refused.returncode != 0 and "contract" in refused.stderr, refused.stderr


if __name__ == "__main__":
    run_tests([in_the_stream])
