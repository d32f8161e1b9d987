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
        assert job["puzzles"]["count"] == 2 * 3 * 2 and job["puzzles"]["difficulty"] == "1000", job["puzzles"]
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


def claims_of(wallet):
    return sorted((wallet / "puzzle-claims").iterdir())


def check(*arguments):
    """(exit status, reasons) of reelrig puzzle check."""
    result = reelrig("puzzle", "check", *arguments, "--json")
    return result.returncode, [c["reason"] for c in json.loads(result.stdout)["claims"]]


def watched_and_claimed():
    """a paying viewer solves the puzzles of what it pulls; each claim counts, and no forged one does"""
    with Rig() as rig:
        rig.start()
        clip = make_clip(rig.folder / "clip.mp4", seconds=5)
        job = rig.publish(clip, "--puzzle", CONTRACT, "--puzzle-prize", "0.01", "--puzzle-difficulty", "300",
                          "--puzzles-per-segment", "2")
        url = f"{rig.serve}/v1/resources/{job['resource']}"
        wallet, out = rig.folder / "viewer", rig.folder / "a.mp4"
        rig.fund(wallet)
        watch = ["watch", url, "--rendition", "180p", "--wallet", wallet, "--puzzles", "--puzzle-seconds", "60", "--json"]
        seen = json.loads(reelrig(*watch, "-o", out, check=True).stdout)
        assert seen["paid_units"] > 0 and seen["certificates"] > 0, seen
        assert seen["puzzles"]["seen"] == seen["puzzles"]["solved"] == 6 and seen["puzzles"]["unsolved"] == 0, seen
        assert seen["puzzles"]["hashes"] > 0, seen
        silent("ffmpeg", "-v", "warning", "-xerror", "-i", out, "-f", "null", "-")
        assert seen["puzzles"]["accepted"] == 6, "the rig takes them"
        claims = claims_of(wallet)
        assert len(claims) == 6 and all(c.stat().st_size == 306 for c in claims), claims
        kept = {c: c.read_bytes() for c in claims}
        again = json.loads(reelrig(*watch, "-o", rig.folder / "b.mp4", check=True).stdout)
        assert again["puzzles"]["solved"] == 6 and again["puzzles"]["hashes"] == 0, "what is claimed is searched again"
        assert again["puzzles"]["accepted"] == 6, "who asks again is told the same"
        assert kept == {c: c.read_bytes() for c in claims_of(wallet)}, "a claim has changed"
        listed = json.loads(reelrig("puzzle", "list", "--claims", "--wallet", wallet, "--json", check=True).stdout)
        assert len(listed["claims"]) == 6, listed
        tagged = json.loads(reelrig("puzzle", "list", url, "--json", check=True).stdout)["puzzles"]
        assert len(tagged) == 6 and {p["rendition"] for p in tagged} == {"180p"}, tagged
        assert reelrig("puzzle", "list", url).stdout.count("prize 0.01 coins") == 6

        # A run that goes on with half a file takes the puzzles of what is there already, too.
        half = rig.folder / "c.mp4.part"
        half.write_bytes(out.read_bytes()[:out.stat().st_size // 2])
        other_claims = rig.folder / "other"
        (wallet / "puzzle-claims").rename(other_claims)
        third = json.loads(reelrig(*watch, "-o", rig.folder / "c.mp4", check=True).stdout)
        assert third["puzzles"]["seen"] == third["puzzles"]["solved"] == 6, third
        assert {c.name for c in claims_of(wallet)} == {c.name for c in claims}, "other puzzles"
        for claim in claims_of(wallet):
            claim.unlink()
        (wallet / "puzzle-claims").rmdir()
        other_claims.rename(wallet / "puzzle-claims")

        # What was pulled, segment by segment, as the manifest has it.
        manifest_json = json.loads(rig.get(f"/v1/resources/{job['resource']}/manifest", {"Accept": "application/json"})[2])
        manifest = rig.folder / "manifest"
        manifest.write_bytes(rig.get(f"/v1/resources/{job['resource']}/manifest")[2])
        rendition = next(r for r in manifest_json["renditions"] if r["name"] == "180p")
        data, at, segments = out.read_bytes(), rendition["init"]["bytes"], []
        for number, segment in enumerate(rendition["segments"]):
            segments.append(rig.folder / f"seg_{number}.m4s")
            segments[-1].write_bytes(data[at:at + segment["bytes"]])
            at += segment["bytes"]
        by_segment = {n: [c["file"] for c in listed["claims"] if c["segment"] == n] for n in range(3)}
        offline = ["--wallet", wallet, "--manifest", manifest]
        for number, files in by_segment.items():
            assert len(files) == 2, by_segment
            assert check(*files, "--segment", segments[number], *offline) == (0, [None, None])
            assert check(*files, "--segment", segments[number], "--genesis", "dev") == (0, [None, None])
        here = json.loads(reelrig("puzzle", "list", segments[0], "--json", check=True).stdout)
        assert here["unknown"] == 0 and [p["own"] for p in here["puzzles"]] == [True, True], here

        # Forged in every way there is.
        good, other = by_segment[0]
        forged = rig.folder / "forged"

        def refused(data, segment=segments[0], arguments=offline):
            forged.write_bytes(data)
            status, (reason,) = check(forged, "--segment", segment, *arguments)
            assert status == 1 and reason, "a forged claim counts"
            return reason

        claim = kept[next(c for c in claims if str(c) == good)]
        assert "not signed" in refused(claim[:234] + bytes(8) + claim[242:]), "wrong nonce"
        assert "not signed" in refused(claim[:242] + bytes(64)), "no signature"
        assert "for this viewer" in refused(claim[:202] + bytes(31) + b"\x01" + claim[234:]), "another viewer's key"
        assert "manifest" in refused(claim, segments[1]), "another segment"
        assert "another segment" in refused(claim, segments[1], ["--genesis", "dev"]), "another segment, no manifest"
        assert "chain" in refused(claim, segments[0], ["--genesis", "test"]), "another network"
        assert "no segment" in refused(claim[:71] + struct.pack("<I", 9) + claim[75:]), "a segment that is not there"
        assert "not a puzzle claim" in refused(claim[:-1]), "cut short"
        altered = rig.folder / "altered.m4s"
        damaged = bytearray(segments[0].read_bytes())
        damaged[-1] ^= 1
        altered.write_bytes(damaged)
        assert "manifest" in refused(claim, altered), "altered segment"
        assert "another segment" in refused(claim, altered, ["--genesis", "dev"]), "altered segment, no manifest"
        status, reasons = check(good, good, other, "--segment", segments[0], *offline)
        assert status == 1 and reasons[0] is None and "is won" in reasons[1] and reasons[2] is None, reasons

        # Another viewer solves from the file alone; its claim of the same puzzle comes too late.
        second = rig.folder / "second"
        solve = reelrig("puzzle", "solve", segments[0], "--url", url, "--wallet", second, "--share", "100", "--json")
        assert solve.returncode == 0, solve.stderr
        theirs = [c["file"] for c in json.loads(solve.stdout)["claims"]]
        assert len(theirs) == 2
        assert check(*theirs, "--segment", segments[0], "--url", url, "--wallet", second) == (0, [None, None])
        status, reasons = check(good, other, *theirs, "--segment", segments[0], *offline)
        assert [bool(r) for r in reasons] == [False, False, True, True], reasons
        status, reasons = check(*theirs, good, other, "--segment", segments[0], *offline)
        assert [bool(r) for r in reasons] == [False, False, True, True], reasons

        # The rig judges for itself: theirs are too late, forged ones are refused, its own files survive it.
        late = reelrig("puzzle", "post", *theirs, good, "--url", url, "--json")
        answer = json.loads(late.stdout)
        assert late.returncode == 1 and answer["accepted"] == 1 and answer["claims"][2] is None, answer
        assert all("is won" in r for r in answer["claims"][:2]), answer
        forged.write_bytes(claim[:202] + bytes(31) + b"\x01" + claim[234:])
        rig.stop()
        for file in (rig.data / "puzzle-claims").iterdir():
            file.unlink()
        rig.start()
        url = f"{rig.serve}/v1/resources/{job['resource']}"
        answer = json.loads(reelrig("puzzle", "post", forged, *theirs, good, "--url", url, "--json").stdout)
        assert answer["accepted"] == 2 and "for this viewer" in answer["claims"][0] and "is won" in answer["claims"][3], answer
        rig.stop()
        rig.start()
        taken = json.loads(reelrig("puzzle", "list", "--claims", "--data", rig.data, "--json", check=True).stdout)
        assert taken["count"] == 2 and {c["prize"] for c in taken["claims"]} == {"0.01"}, taken
        assert reelrig("puzzle", "list", "--claims", "--data", rig.data, check=True).stdout.count("prize 0.01 coins") == 2
        url = f"{rig.serve}/v1/resources/{job['resource']}"
        strange = reelrig("puzzle", "post", rig.config, "--url", url)
        assert strange.returncode == 1 and "not a puzzle claim" in strange.stderr, strange.stderr
        lost = reelrig("puzzle", "solve", altered, "--url", url, "--wallet", second)
        assert lost.returncode == 1 and "no segment of this resource" in lost.stderr, lost.stderr


def killed():
    """a rig that is killed while it publishes goes on to the same puzzles"""
    with Rig() as rig:
        rig.start()
        clip = make_clip(rig.folder / "clip.mp4", seconds=9)
        handle = rig.upload(clip, price="0", puzzle=CONTRACT, puzzle_prize="0.25", puzzle_difficulty="7",
                            puzzles_per_segment="3")
        rig.until(f"jobs/{handle}", lambda j: j["stage"] != "uploaded")
        rig.kill()
        record = json.loads((rig.data / "jobs" / handle / "job.json").read_text())["puzzles"]
        assert len(record["seed"]) == 64 and record["per_segment"] == 3, record
        rig.start()
        job = rig.until(f"jobs/{handle}", lambda j: j["final"])
        assert job["stage"] == "proved" and job["proofs_failed"] == 0, job
        assert job["puzzles"]["count"] == 15 and job["puzzles"]["prizes"] == "3.75", job["puzzles"]
        hls = f"/v1/resources/{job['resource']}/hls/180p"
        tagged = tags(rig.get(f"{hls}/index.m3u8")[2].decode())
        rands = set()
        for number, segment in enumerate(sorted(tagged)):
            carried = puzzles(rig.get(f"{hls}/{segment}")[2])
            assert carried == tagged[segment], segment
            for place, puzzle in enumerate(carried):
                text = struct.pack("<III", 0, number, place)
                seed = hashlib.blake2b(text, digest_size=32, key=bytes.fromhex(record["seed"])).digest()
                assert puzzle[15:31] == seed[:16], "another rand than the job's seed gives"
                rands.add(puzzle[15:31])
        assert len(rands) == 15


def too_hard():
    """a puzzle that is too hard ends in time and makes no claim; by stake there is no work"""
    with Rig() as rig:
        rig.start()
        clip = make_clip(rig.folder / "clip.mp4", seconds=3)
        hard = rig.publish(clip, "--price", "0", "--puzzle", CONTRACT, "--puzzle-prize", "1", "--puzzle-difficulty", str(2**64 - 1))
        assert hard["puzzles"]["difficulty"] == str((2**32 - 1) << 32), hard
        stake = rig.publish(clip, "--price", "0", "--puzzle", CONTRACT, "--puzzle-prize", "1", "--puzzle-kind", "stake")
        wallet = rig.folder / "viewer"
        for job, solved in ((hard, 0), (stake, 2)):
            url = f"{rig.serve}/v1/resources/{job['resource']}"
            seen = json.loads(reelrig("watch", url, "--rendition", "180p", "--wallet", wallet, "-o", rig.folder / "x.mp4",
                                      "--puzzles", "--puzzle-seconds", "1", "--share", "100", "--json", check=True).stdout)
            assert seen["puzzles"]["seen"] == 2 and seen["puzzles"]["solved"] == solved, seen["puzzles"]
        claims = seen["puzzles"]["claims"]
        assert {c["kind"] for c in claims} == {"stake"} and {c["nonce"] for c in claims} == {"0"}, claims
        for claim in claims:
            segment = rig.folder / "segment.m4s"
            segment.write_bytes(rig.get(f"/v1/resources/{stake['resource']}/hls/180p/seg_{claim['segment']:05}.m4s")[2])
            assert check(claim["file"], "--segment", segment, "--wallet", wallet, "--url", url) == (0, [None])
            status, reasons = check(claim["file"], claim["file"], "--segment", segment, "--wallet", wallet, "--url", url)
            assert reasons[0] is None and "claimed this puzzle before" in reasons[1], reasons


if __name__ == "__main__":
    run_tests([in_the_stream, watched_and_claimed, killed, too_hard])
