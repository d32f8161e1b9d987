#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tracks of sound and text: through a rig into two players, as folders and as single files."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from rig import Rig, build, media, reelrig, root, run_tests, short

here = pathlib.Path(__file__).resolve().parent
chromium = os.environ.get("RR_CHROMIUM", "/usr/bin/chromium")
CUE_START, CUE_TEXT = "8.35", "Goddard Space Flight Center"  # of nasa_13013.mp4


def run(*command):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{command}: {result.stderr[-1500:]}"
    return result


def quiet(path, *arguments):
    """Decodes all pictures and sound without a word of ffmpeg, but that it reads no subtitles of HLS."""
    result = run("ffmpeg", "-nostdin", "-v", "warning", "-i", path, "-map", "0:v?", "-map", "0:a?", *arguments, "-f",
                 "null", "-")
    words = [line for line in result.stderr.splitlines() if "Can't support the subtitle" not in line]
    assert not words, f"{path}: {words[:3]}"


def streams(path):
    out = run("ffprobe", "-v", "error", "-show_streams", "-of", "json", path).stdout
    return json.loads(out)["streams"]


def times(path, stream):
    out = run("ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", "frame=pts_time", "-of", "csv=p=0",
              path).stdout
    return [float(t.strip(",")) for t in out.split()]


def ladder(clip, out, *arguments):
    result = reelrig("transcode", clip, "-o", out, "--ladder", "180", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def first_sound(path, stream="0:a:0"):
    """Seconds until the sound is no silence any more."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-map", stream, "-af", "aresample=async=1:first_pts=0",
                          "-ac", "1", "-ar", "8000", "-f", "s16le", "-"], capture_output=True, timeout=100, check=True).stdout
    loud = next(i for i in range(0, len(raw), 2) if abs(int.from_bytes(raw[i:i + 2], "little", signed=True)) > 500)
    return loud / 2 / 8000


def whole():
    """six streams through a rig: hls.js and Shaka switch sound and show text, proof and manifest carry all of it"""
    clip = media("nasa_13013.mp4")
    with Rig() as rig:
        rig.start()
        job = rig.publish(clip, "--title", "tracks", "--price", "0", "--ladder", "180")
        base = f"/v1/resources/{job['resource']}"
        manifest = json.loads(rig.get(f"{base}/manifest", {"Accept": "application/json"})[2])
        kinds = [(r["name"], r["kind"], r.get("language")) for r in manifest["renditions"]]
        assert kinds[1:] == [("audio", "audio", "en"), ("audio-2", "audio", "en"), ("subtitle", "subtitle", "en"),
                             ("subtitle-2", "subtitle", "en")], kinds
        for path, kind in (("subtitle/seg_00001.vtt", "text/vtt; charset=utf-8"),
                           ("subtitle/all.ttml", "application/ttml+xml"),
                           ("subtitle/index.m3u8", "application/vnd.apple.mpegurl")):
            status, headers, body = rig.get(f"{base}/hls/{path}")
            assert status == 200 and headers["Content-Type"] == kind, (path, status, headers)
            assert path.endswith("m3u8") or CUE_TEXT.encode() in body, body
        watched = rig.folder / "watched.mp4"
        reelrig("watch", f"{rig.serve}{base}", "--rendition", "audio-2", "-o", watched, check=True)
        quiet(watched)
        if not shutil.which(chromium) or not shutil.which("node"):
            print(f"      players left out: no {chromium} or no node")
            return
        subprocess.run([root / "packaging/web.sh", build, "test"], check=True, timeout=300)
        result = subprocess.run(["node", here / "tracks.mjs", build / "web", f"{rig.serve}{base}/hls/master.m3u8",
                                 f"{rig.serve}{base}/dash/manifest.mpd", "2", "2", CUE_START, CUE_TEXT],
                                capture_output=True, text=True, timeout=200, env={**os.environ, "RR_CHROMIUM": chromium})
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-2000:]}"
        seen = json.loads(result.stdout)
        print(f"      hls.js {seen['hls']}, Shaka {seen['dash']}")


def single():
    """one MP4: all tracks, the index in front, pictures at the times of the HLS"""
    clip = media("nasa_13013.mp4")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        out = folder / "out.mp4"
        ladder(clip, out)
        ladder(clip, folder / "hls")
        quiet(out)
        quiet(folder / "hls/master.m3u8")
        quiet(folder / "hls/manifest.mpd")
        found = [(s["codec_name"], s.get("tags", {}).get("language")) for s in streams(out)]
        assert found == [("h264", "und"), ("aac", "eng"), ("aac", "eng"), ("mov_text", "eng"), ("mov_text", "eng")], found
        assert times(out, "v:0") == times(folder / "hls/180p/index.m3u8", "v:0")
        data = out.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
        text = run("ffmpeg", "-v", "error", "-i", out, "-map", "0:s:0", "-f", "webvtt", "-").stdout
        assert "00:08.350 --> 00:12.470\nat NASA" in text, text
        assert sorted(p.name for p in folder.iterdir()) == ["hls", "out.mp4"]
        again = reelrig("transcode", clip, "-o", out, "--ladder", "180")
        assert again.returncode != 0 and "there already" in again.stderr and out.read_bytes() == data


def chosen():
    """streams by number, Opus, and what the file does not have"""
    clip = media("nasa_13013.mp4")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        made = ladder(clip, folder / "a", "--video", "1", "--audio", "2", "--subtitles", "none", "--audio-codec", "opus")
        assert [r["name"] for r in made["renditions"]] == ["180p", "audio"], made
        assert made["frames_in"] == 325, made
        quiet(folder / "a/master.m3u8")
        quiet(folder / "a/manifest.mpd")
        sound = streams(folder / "a/audio/index.m3u8")[0]
        assert (sound["codec_name"], sound["sample_rate"], sound["channels"]) == ("opus", "48000", 2), sound
        assert 'CODECS="avc1.64000c,opus"' in (folder / "a/master.m3u8").read_text()
        wrong = reelrig("transcode", clip, "-o", folder / "b", "--audio", "3")
        assert wrong.returncode != 0 and "the file has 2" in wrong.stderr, wrong.stderr


def derived():
    """sound that begins late, none at all, several tracks without pictures, 5.1, SubRip with tags"""
    source = media("bbb_480p24_h264_aac_30s.mp4")
    seconds = 3 if short else 5
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        late, mute, alone, many = (folder / n for n in ("late.mp4", "mute.mp4", "alone.mkv", "many.mkv"))
        tone = ["-f", "lavfi", "-i", f"sine=440:duration={seconds}:sample_rate=44100"]
        run("ffmpeg", "-v", "error", "-t", seconds, "-i", source, "-itsoffset", "1.5", *tone, "-map", "0:v", "-map", "1:a", "-c:v",
            "copy", "-c:a", "aac", late)
        run("ffmpeg", "-v", "error", "-t", seconds, "-i", source, "-an", "-c", "copy", mute)
        run("ffmpeg", "-v", "error", *tone, "-t", seconds, "-i", source, "-map", "0:a", "-map", "1:a", "-c:a:0", "flac",
            "-c:a:1", "copy", "-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "title=Both & <more>", alone)
        (folder / "text.srt").write_text("1\n00:00:00,500 --> 00:00:02,000\n<i>one</i> & two\nsecond line\n\n"
                                         "2\n00:00:01,000 --> 00:00:20,000\n{\\an8}three --> four\n")
        run("ffmpeg", "-v", "error", "-t", seconds, "-i", source, "-i", folder / "text.srt", "-map", "0:v", "-map", "0:a", "-map",
            "1:s", "-c", "copy", "-metadata:s:s:0", "language=fre", "-disposition:s:0", "forced", many)
        ladder(late, folder / "l")
        quiet(folder / "l/master.m3u8")
        for out in (folder / "l/audio/index.m3u8", late):
            assert abs(first_sound(out) - 1.5) < 0.08, f"{out}: sound begins at {first_sound(out):.3f} s"
        ladder(late, folder / "late-out.mp4")
        assert abs(first_sound(folder / "late-out.mp4") - 1.5) < 0.08
        made = ladder(mute, folder / "m")
        assert [r["name"] for r in made["renditions"]] == ["180p"], made
        ladder(mute, folder / "mute-out.mp4")
        quiet(folder / "mute-out.mp4")
        made = ladder(alone, folder / "a", "--channels", "keep")
        master = (folder / "a/master.m3u8").read_text()
        assert [r["name"] for r in made["renditions"]] == ["audio", "audio-2"], made
        assert 'LANGUAGE="de"' in master and 'NAME="Both & <more>"' in master and 'CHANNELS="6"' in master, master
        quiet(folder / "a/master.m3u8")
        ladder(alone, folder / "alone-out.mp4")
        assert len(streams(folder / "alone-out.mp4")) == 2
        ladder(many, folder / "s")
        vtt = (folder / "s/subtitle/seg_00000.vtt").read_text()
        assert re.search(r"00:00:00.500 --> 00:00:02.000\n<i>one</i> &amp; two\nsecond line\n\n", vtt), vtt
        assert f"00:00:01.000 --> 00:00:0{seconds}" in vtt and "three --&gt; four" in vtt, vtt
        assert 'LANGUAGE="fr",DEFAULT=NO,AUTOSELECT=YES,FORCED=YES' in (folder / "s/master.m3u8").read_text()
        ladder(many, folder / "many-out.mp4")
        text = run("ffmpeg", "-v", "error", "-i", folder / "many-out.mp4", "-map", "0:s:0", "-f", "webvtt", "-").stdout
        assert "one & two" in text.replace("&amp;", "&"), text


run_tests([whole, single, chosen, derived])
