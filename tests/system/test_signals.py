#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the master playlist and the MPD say of each rendition, beside what ffprobe, the boxes of its initialization
segment and the bytes of its segments say: CODECS, BANDWIDTH, AVERAGE-BANDWIDTH, FRAME-RATE, VIDEO-RANGE, RESOLUTION."""
import json
import math
import os
import pathlib
import re
import subprocess
import tempfile
import xml.etree.ElementTree

from rig import Rig, reelrig, root, run_tests, skip

FAST = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "12", "vp9": "8"}
RANGES = {"smpte2084": "PQ", "arib-std-b67": "HLG"}


def run(*command):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, f"{command}: {result.stderr[-1500:]}"
    return result.stdout


def boxes(data, path):
    """The payloads of the boxes at a path like moov/trak/mdia; sample entries and stsd are containers too."""
    heads = {"stsd": 8, "avc1": 78, "hvc1": 78, "av01": 78, "vp09": 78}
    name, _, rest = path.partition("/")
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        kind, body = data[at + 4:at + 8].decode("latin1"), data[at + 8:at + size]
        if kind == name:
            if not rest:
                yield body
            else:
                yield from boxes(body[heads.get(kind, 0):], rest)
        at += max(size, 8)


def codec_name(init):
    """RFC 6381, out of the configuration record; for AV1 without colours, which stand in another box."""
    entry = "moov/trak/mdia/minf/stbl/stsd/"
    for avcc in boxes(init, entry + "avc1/avcC"):
        return f"avc1.{avcc[1]:02x}{avcc[2]:02x}{avcc[3]:02x}"
    for hvcc in boxes(init, entry + "hvc1/hvcC"):
        fits = int(f"{int.from_bytes(hvcc[2:6], 'big'):032b}"[::-1], 2)
        limits = hvcc[6:12].rstrip(b"\0")
        return (f"hvc1.{['', 'A', 'B', 'C'][hvcc[1] >> 6]}{hvcc[1] & 31}.{fits:X}.{'H' if hvcc[1] & 32 else 'L'}"
                f"{hvcc[12]}" + "".join(f".{b:X}" for b in limits))
    for av1c in boxes(init, entry + "av01/av1C"):
        depth = 8 + 2 * (av1c[2] >> 6 & 1)
        return f"av01.{av1c[1] >> 5}.{av1c[1] & 31:02d}{'MH'[av1c[2] >> 7]}.{depth:02d}"
    for vpcc in boxes(init, entry + "vp09/vpcC"):
        depth, chroma, full = vpcc[6] >> 4, vpcc[6] >> 1 & 7, vpcc[6] & 1
        return (f"vp09.{vpcc[4]:02d}.{vpcc[5]:02d}.{depth:02d}.{chroma:02d}.{vpcc[7]:02d}.{vpcc[8]:02d}."
                f"{vpcc[9]:02d}.{full:02d}")
    raise AssertionError("no sample entry that a player knows")


def colour_tail(init):
    """The colours of an AV1 name, out of the colr box; empty for BT.709 in limited range and for none."""
    for colr in boxes(init, "moov/trak/mdia/minf/stbl/stsd/av01/colr"):
        numbers = [int.from_bytes(colr[i:i + 2], "big") for i in (4, 6, 8)]
        if any(n not in (1, 2) for n in numbers):
            return ".".join(f"{n:02d}" for n in numbers) + f".{colr[10] >> 7}"
    return ""


def rates(folder):
    """Mean and peak in bit/s, the latter over all runs of segments of 0.5 to 1.5 target durations."""
    text = (folder / "index.m3u8").read_text()
    target = int(re.search(r"TARGETDURATION:(\d+)", text)[1])
    parts = [(float(s), (folder / name).stat().st_size * 8)
             for s, name in re.findall(r"#EXTINF:([\d.]+),\n(\S+)", text)]
    mean = sum(b for _, b in parts) / sum(s for s, _ in parts)
    peak = mean
    for i in range(len(parts)):
        for j in range(i + 1, len(parts) + 1):
            seconds = sum(s for s, _ in parts[i:j])
            if target * 0.5 <= seconds <= target * 1.5:
                peak = max(peak, sum(b for _, b in parts[i:j]) / seconds)
    return mean, peak, sum(s for s, _ in parts)


def attributes(line):
    return {k: v.strip('"') for k, v in re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', line.split(":", 1)[1])}


def check_dash(out, name, said, peak, stream):
    tree = xml.etree.ElementTree.parse(out / "manifest.mpd")
    space = {"d": "urn:mpeg:dash:schema:mpd:2011"}
    rows = [r for r in tree.findall(".//d:Representation", space) if r.get("id") == name]
    assert len(rows) == 1, f"{name} is {len(rows)} times in the MPD"
    row = rows[0]
    assert row.get("codecs") == said["CODECS"].split(",")[0], row.attrib
    assert -2 <= int(row.get("bandwidth")) - peak <= 2 + peak * 1e-5, (row.get("bandwidth"), peak)
    assert (int(row.get("width")), int(row.get("height"))) == (stream["width"], stream["height"]), row.attrib
    num, den = (int(n) for n in row.get("frameRate").split("/"))
    assert abs(num / den - float(said["FRAME-RATE"])) < 0.001, row.attrib


def check_ladder(out, limit_kbps=None):
    master = (out / "master.m3u8").read_text().splitlines()
    audio = [rates(out / re.search(r'URI="([^"]+)/', line)[1]) for line in master if "TYPE=AUDIO" in line]
    sound_mean, sound_peak = max((a[0] for a in audio), default=0), max((a[1] for a in audio), default=0)
    rows = [(attributes(line), master[i + 1].split("/")[0]) for i, line in enumerate(master)
            if line.startswith("#EXT-X-STREAM-INF")]
    assert rows, master
    for said, name in rows:
        joined = out / f"{name}.mp4"
        init = (out / name / "init.mp4").read_bytes()
        joined.write_bytes(init + b"".join(s.read_bytes() for s in sorted((out / name).glob("seg_*"))))
        probe = json.loads(run("ffprobe", "-v", "error", "-select_streams", "v", "-show_streams", "-show_frames",
                               "-read_intervals", "%+#1", "-of", "json", joined))
        stream, frame = probe["streams"][0], probe["frames"][0]
        made = codec_name(init)
        codec = said["CODECS"].split(",")[0]
        assert codec == made or (made.startswith("av01") and codec.startswith(made + ".0.11")), (codec, made)
        if made.startswith("av01"):
            tail = colour_tail(init)
            assert codec.endswith(tail) and (tail != "") == (codec != made), (codec, tail)
        mean, peak, seconds = rates(out / name)
        for key, bound in (("BANDWIDTH", peak + sound_peak), ("AVERAGE-BANDWIDTH", mean + sound_mean)):
            assert -2 <= int(said[key]) - bound <= 3 + bound * 1e-5, f"{name}: {key} {said[key]}, found {bound:.1f}"
        if limit_kbps is not None:
            assert peak <= limit_kbps * 1000, f"{name}: {peak:.0f} bit/s above {limit_kbps} kbit/s"
        packets = len(run("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts", "-of",
                          "csv=p=0", joined).split())
        # A mean rate over a few seconds is what the number of pictures says, to within one of them.
        assert abs(float(said["FRAME-RATE"]) * seconds - packets) <= 1.01 + packets * 0.02, (said, packets, seconds)
        sar = [int(n) for n in stream.get("sample_aspect_ratio", "1:1").split(":")]
        width = math.floor(stream["width"] * sar[0] / sar[1] + 0.5)
        assert said["RESOLUTION"] == f"{width}x{stream['height']}", (said, stream)
        assert said["VIDEO-RANGE"] == RANGES.get(frame.get("color_transfer"), "SDR"), (said, frame)
        assert not any("rotation" in s for s in stream.get("side_data_list", [])), "left to the player"
        check_dash(out, name, said, peak, stream)
        yield stream, frame


def transcode(clip, codec, *more):
    folder = tempfile.TemporaryDirectory()
    out = pathlib.Path(folder.name) / "out"
    result = reelrig("transcode", clip, "-o", out, "--codec", codec, "--preset", FAST[codec], *more, timeout=600)
    assert result.returncode == 0, f"exit {result.returncode}: {result.stderr}"
    return folder, out


def each_codec(clip, *more, codecs=tuple(FAST)):
    for codec in codecs:
        folder, out = transcode(clip, codec, "--ladder", "240,144", *more)
        with folder:
            yield codec, list(check_ladder(out)), out


media = pathlib.Path(os.environ.get("RR_MEDIA_DIR", root.parent / "shared/media"))
HDR10 = media / "bbb_480p_hdr10tags_4s.mp4"


def test_hdr10():
    """HDR10 keeps tags and side data in every codec, and the playlists say PQ"""
    for codec, streams, _ in each_codec(HDR10):
        for stream, frame in streams:
            assert (frame["color_transfer"], frame["color_primaries"], frame["color_space"]) == \
                ("smpte2084", "bt2020", "bt2020nc"), (codec, frame)
            assert stream["pix_fmt"] == "yuv420p10le", (codec, stream["pix_fmt"])
            kinds = {s["side_data_type"] for s in stream.get("side_data_list", []) + frame.get("side_data_list", [])}
            assert {"Mastering display metadata", "Content light level metadata"} <= kinds, (codec, kinds)


def test_tone_map():
    """Tone mapping makes BT.709 in 8 bit of it, without HDR's side data, in every codec"""
    for codec, streams, _ in each_codec(HDR10, "--tone-map", codecs=("h264", "av1")):
        for stream, frame in streams:
            colours = [frame[k] for k in ("color_transfer", "color_primaries", "color_space")]
            assert colours == ["bt709"] * 3 and stream["pix_fmt"] == "yuv420p", (codec, colours, stream["pix_fmt"])
            assert not stream.get("side_data_list"), (codec, stream["side_data_list"])


def test_hlg():
    """HLG stays HLG in every codec that takes it"""
    with tempfile.TemporaryDirectory() as folder:
        clip = pathlib.Path(folder) / "hlg.mp4"
        made = subprocess.run(["ffmpeg", "-v", "error", "-i", HDR10, "-t", "2", "-an", "-c:v", "libx265", "-preset",
                               "ultrafast", "-pix_fmt", "yuv420p10le", "-color_trc", "arib-std-b67", "-color_primaries",
                               "bt2020", "-colorspace", "bt2020nc", "-x265-params", "log-level=none", clip], check=False)
        if made.returncode != 0:
            skip("ffmpeg has no libx265")
        for codec, streams, _ in each_codec(clip):
            assert all(f["color_transfer"] == "arib-std-b67" for _, f in streams), codec


def test_rotated():
    """A turned clip is said as it is shown"""
    for _, streams, _ in each_codec(media / "bbb_480p_rot90_6s.mp4", codecs=("h264", "vp9")):
        assert all(s["width"] < s["height"] for s, _ in streams)


def test_aspect():
    """Pixels that are not square are made square or said, and variable rates are told by their mean"""
    with tempfile.TemporaryDirectory() as folder:
        clip = pathlib.Path(folder) / "wide.mp4"
        run("ffmpeg", "-v", "error", "-i", media / "bbb_480p24_h264_aac_30s.mp4", "-t", "2", "-c", "copy", "-bsf:v",
            "h264_metadata=sample_aspect_ratio=4/3", "-aspect", "3416:1440", clip)
        for _, _, out in each_codec(clip, codecs=("h264", "hevc")):
            assert re.search(r"RESOLUTION=569x240|RESOLUTION=570x240", (out / "master.m3u8").read_text())
    for _ in each_codec(media / "bbb_480p_vfr_10s.mp4", codecs=("h264",)):
        pass


def test_limits():
    """No segment is above its limit, and 4 s GOPs are as true as 2 s ones"""
    for gop_ms in ("2000", "4000"):
        for codec in ("h264", "av1"):
            folder, out = transcode(HDR10, codec, "--ladder", "240", "--max-kbps", "60", "--gop-ms", gop_ms)
            with folder:
                list(check_ladder(out, limit_kbps=60))


def test_published():
    """A rig publishes tone-mapped, limited, automatic and file ladders, and its spot checks hold"""
    with Rig() as rig:
        rig.start()
        ladder = rig.folder / "ladder.toml"
        ladder.write_text("[[rung]]\nside = 240\nmax_kbps = 300\n[[rung]]\nside = 144\nkbps = 150\n")
        job = rig.publish(HDR10, "--ladder", ladder, "--tone-map")
        assert job["proofs_failed"] == 0 and job["proofs_checked"] > 0, job
        status, _, master = rig.get(f"/v1/resources/{job['resource']}/hls/master.m3u8")
        text = master.decode()
        assert status == 200 and "VIDEO-RANGE=SDR" in text and "x240" in text and "x144" in text, (status, text)
        for row in (attributes(line) for line in text.splitlines() if line.startswith("#EXT-X-STREAM-INF")):
            assert int(row["BANDWIDTH"]) < 300000 + 160000, row  # and the sound
        job = rig.publish(HDR10, "--ladder", "auto")
        assert job["proofs_failed"] == 0 and job["proofs_checked"] > 0, job
        wrong = reelrig("publish", HDR10, "--data", rig.data, "--ladder", "480", "--kbps", "1,2")
        assert wrong.returncode != 0 and "one for each rung" in wrong.stderr, wrong.stderr


if __name__ == "__main__":
    if not HDR10.exists():
        skip("no clips on this machine")
    run_tests([test_hdr10, test_tone_map, test_hlg, test_rotated, test_aspect, test_limits, test_published])
