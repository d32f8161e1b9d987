#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every real clip through `reelrig transcode`, beside what ffmpeg shows of its source: frames, times, pictures, length,
rotation, colour; and no output makes ffmpeg or ffprobe say a word. RR_FULL=1: at 720,480,360 in every codec, with a
table of what came out in the file RR_TABLE."""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time


from rig import reelrig, root, run_tests, short, skip

SIDE = 32  # pictures are compared as grey ones of this side
PICTURE_MAX = 8.0  # mean difference of a grey level, of 255; another picture of the same film differs by more
# What a decoder does with damage is its own affair: these clips have it, so their pictures are not compared.
DAMAGED = ("corrupt",)


def run(*command):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, f"{command}: {result.stderr[-1500:]}"
    return result


def shown(path, folder, stream="0:v:0"):
    """Times in seconds, relative to the first, and small grey pictures of all displayed frames."""
    raw = folder / "grey.raw"
    graph = f"[{stream}]scale={SIDE}:{SIDE}:flags=area,format=gray,split[a][b]"
    result = run("ffmpeg", "-v", "error", "-y", "-i", path, "-filter_complex", graph,
                 "-map", "[a]", "-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-f", "rawvideo", raw,
                 "-map", "[b]", "-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-c:v", "rawvideo", "-f",
                 "framecrc", "-")
    ticks = [int(line.split(",")[2]) for line in result.stdout.splitlines() if line and line[0] != "#"]
    data = raw.read_bytes()
    size = SIDE * SIDE
    assert len(data) == size * len(ticks), (len(data), len(ticks))
    pictures = [data[i * size:(i + 1) * size] for i in range(len(ticks))]
    return [(t - ticks[0]) / 90000 for t in ticks], pictures


def facts(path, stream="v:0"):
    out = run("ffprobe", "-v", "error", "-select_streams", stream, "-show_streams", "-show_frames", "-read_intervals",
              "%+#3", "-of", "json", path)
    probed = json.loads(out.stdout)
    what = probed["streams"][0]
    sides = what.get("side_data_list", []) + [s for f in probed.get("frames", []) for s in f.get("side_data_list", [])]
    what["rotation"] = next((int(s["rotation"]) for s in sides if "rotation" in s), 0)
    what["sides"] = {s["side_data_type"]: s for s in sides}
    first = probed["frames"][0] if probed.get("frames") else {}
    for key in ("color_primaries", "color_transfer", "color_space", "color_range"):
        what[key] = first.get(key, what.get(key, "unknown"))
    return what


def displayed_size(what):
    sar = [int(n) for n in what.get("sample_aspect_ratio", "1:1").split(":")]
    width, height = what["width"] * (sar[0] / sar[1] if all(sar) else 1), what["height"]
    return (height, width) if what["rotation"] % 180 else (width, height)


def variants(master):
    """(name, folder) of the video renditions of a master playlist, and the folders of the audio."""
    lines = master.read_text().splitlines()
    video = [lines[i + 1] for i, line in enumerate(lines) if line.startswith("#EXT-X-STREAM-INF")]
    audio = re.findall(r'#EXT-X-MEDIA:.*TYPE=AUDIO.*URI="([^"]+)"', master.read_text())
    return [master.parent / v for v in video], [master.parent / a for a in audio]


def unexpected(words):
    """What ffmpeg said, but that its reader of HLS knows no subtitles."""
    return "\n".join(line for line in words.splitlines() if "Can't support the subtitle" not in line)


def check_quiet(master):
    decode = subprocess.run(["ffmpeg", "-v", "warning", "-xerror", "-i", master, "-map", "0", "-f", "null", "-"],
                            capture_output=True, text=True, timeout=600)
    said = unexpected(decode.stderr)
    assert decode.returncode == 0 and not said, f"ffmpeg says: {said[:1500]}"
    probe = subprocess.run(["ffprobe", "-v", "warning", "-show_streams", "-show_format", master], capture_output=True,
                           text=True, timeout=120)
    said = unexpected(probe.stderr)
    assert probe.returncode == 0 and not said, f"ffprobe says: {said[:1500]}"


def check_times(name, expected, times, frame_s):
    assert len(times) == len(expected), f"{name}: {len(times)} frames, the source shows {len(expected)}"
    off = max(abs(a - b) for a, b in zip(expected, times))
    assert off <= frame_s / 2 + 1e-4, f"{name}: a frame is {off:.4f} s off its time"
    assert all(a < b for a, b in zip(times, times[1:])), f"{name}: times do not rise"


def check_pictures(name, expected, pictures):
    for i, (a, b) in enumerate(zip(expected, pictures)):
        difference = sum(abs(x - y) for x, y in zip(a, b)) / len(a)
        assert difference < PICTURE_MAX, f"{name}: frame {i} is another picture (grey levels {difference:.1f} apart)"


def check_form(name, source, out):
    width, height = displayed_size(source)
    got_width, got_height = displayed_size(out)
    assert out["rotation"] == 0, f"{name}: rotation {out['rotation']} is left to the player"
    assert (width > height) == (got_width > got_height), f"{name}: {got_width}x{got_height} of {width}x{height}"
    assert abs(got_width - got_height * width / height) <= 2.01 * max(1, width / height), \
        f"{name}: {got_width}x{got_height} of {width}x{height}"
    for key in ("color_primaries", "color_transfer", "color_space", "color_range"):
        if source[key] not in ("unknown", "unspecified", "reserved"):
            # H.264 E.2.1: a stream that does not say its range has the limited one.
            limited = key == "color_range" and source[key] == "tv" and out[key] == "unknown"
            assert limited or out[key] == source[key], f"{name}: {key} {out[key]}, source {source[key]}"
    for kind in ("Mastering display metadata", "Content light level metadata"):
        if kind in source["sides"]:
            assert kind in out["sides"], f"{name}: {kind} is lost"
            for key, value in source["sides"][kind].items():
                got = out["sides"][kind].get(key)
                same = got == value or ratio(got) == ratio(value)
                assert same, f"{name}: {kind}: {key} is {got}, source {value}"


def ratio(text):
    parts = str(text).split("/")
    return round(float(parts[0]) / float(parts[1]), 4) if len(parts) == 2 and parts[1] != "0" else text


def check_length(name, index, expected, frame_s):
    seconds = sum(float(s) for s in re.findall(r"#EXTINF:([0-9.]+)", index.read_text()))
    want = expected[-1] + frame_s
    # The last frame of a source with a variable rate has no length of its own.
    assert abs(seconds - want) <= frame_s + 0.002, f"{name}: {seconds:.3f} s, the source shows {want:.3f} s"


def check_clip(clip, codec):
    started = time.monotonic()
    large = clip.stat().st_size > 8e6 or "1080" in clip.name
    ladder = "720,480,360" if full else "480,240" if short or large else "720,480"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        out = folder / "out"
        result = reelrig("transcode", clip, "-o", out, "--ladder", ladder, "--codec", codec, "--json", timeout=1200)
        assert result.returncode == 0, f"exit {result.returncode}: {result.stderr}"
        encoded = time.monotonic() - started
        master = out / "master.m3u8"
        check_quiet(master)
        streams = json.loads(run("ffprobe", "-v", "error", "-show_streams", "-of", "json", clip).stdout)["streams"]
        # Of several pictures the largest is taken, as ffmpeg does.
        best = max((s for s in streams if s["codec_type"] == "video"), key=lambda s: s["width"] * s["height"])["index"]
        source = facts(clip, str(best))
        expected, pictures = shown(clip, folder, f"0:{best}")
        frame_s = expected[-1] / max(1, len(expected) - 1)
        video, audio = variants(master)
        assert video, master.read_text()
        assert bool(audio) == any(s["codec_type"] == "audio" for s in streams), f"{len(audio)} audio renditions"
        for index in video:
            name = index.parent.name
            check_form(name, source, facts(index))
            times, small = shown(index, folder)
            damaged = any(word in clip.name for word in DAMAGED)
            if not damaged:
                check_times(name, expected, times, frame_s)
                check_pictures(name, pictures, small)
                check_length(name, index, expected, frame_s)
            else:
                assert len(times) >= 0.9 * len(expected), f"{name}: {len(times)} of {len(expected)} frames"
                assert abs(times[-1] - expected[-1]) < 0.5, f"{name}: ends at {times[-1]}, source {expected[-1]}"
        size = sum(path.stat().st_size for index in video for path in index.parent.iterdir())
        table.append(f"{clip.name:38} {codec:5} {len(expected):6} {len(video):10} {len(audio):5} {size:12}")
        print(f"      {clip.name}: {len(expected)} frames, {len(video)} + {len(audio)} renditions, "
              f"transcoding {encoded:.1f} s", flush=True)


def test_of(clip, codec):
    def test():
        check_clip(clip, codec)

    test.__doc__ = f"{clip.name} comes out in {codec} as ffmpeg shows it"
    return test


def write_table():
    """the table is written, with a line for each clip and codec"""
    assert len(table) == len(clips) * len(codecs), f"{len(table)} lines of {len(clips) * len(codecs)}"
    head = f"{'clip':38} {'codec':5} {'frames':>6} {'renditions':>10} {'audio':>5} {'video bytes':>12}"
    pathlib.Path(os.environ["RR_TABLE"]).write_text("\n".join([
        "Every clip at 720,480,360 (smaller ones at their own size) in every codec, by tests/system/test_clips.py with",
        "RR_FULL=1: times, pictures, colours, lengths as the source's; ffmpeg and ffprobe decode without a word.",
        "", head, *table]) + "\n")


full = os.environ.get("RR_FULL") == "1"
codecs = ("h264", "hevc", "av1", "vp9") if full else ("h264",)
codecs = os.environ["RR_CODECS"].split(",") if "RR_CODECS" in os.environ else codecs
table = []
media_folder = pathlib.Path(os.environ.get("RR_MEDIA_DIR", root.parent / "shared/media"))
clips = sorted(p for p in media_folder.glob("*") if p.suffix in (".mp4", ".ts", ".webm", ".avi")) \
    if media_folder.is_dir() else []
only = os.environ.get("RR_CLIP")
clips = [c for c in clips if not only or any(o in c.name for o in only.split(","))]
if not clips:
    skip(f"no clips in {media_folder}")
run_tests([test_of(clip, codec) for codec in codecs for clip in clips] +
          ([write_table] if "RR_TABLE" in os.environ else []))
