#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`reelrig transcode` as a tool: plans, reasons, progress, going on, exit statuses, its manual page."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

from rig import bin_folder, make_clip, reelrig, root, run_tests

work = pathlib.Path(tempfile.mkdtemp(prefix="rr-transcode-"))
clip = work / "clip.mp4"
make_clip(clip, seconds=6, size="640x360")


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def digests(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def dry_run():
    """a dry run tells the plan, with reasons, and makes nothing"""
    before = sorted(work.iterdir())
    plan, = lines(reelrig("transcode", str(clip), "--dry-run", "--json", "--ladder", "720,360,240",
                          "--gop-ms", "1000", check=True).stdout)
    assert plan["event"] == "plan" and plan["gops"] == 6 and plan["profile"] == "x264-164-veryfast-v1", plan
    assert [(rung["name"], rung["made"]) for rung in plan["rungs"]] == [
        ("360p", True), ("240p", True), ("720p", False)], plan
    assert "nothing is enlarged" in plan["rungs"][2]["why"] and plan["rungs"][0]["width"] == 640, plan
    assert plan["source"]["width"] == 640 and len(plan["source"]["audio"]) == 1, plan
    for given, sources in ((["--workers", "2"], 1), (["--workers", "16"], 3),
                           (["--workers", "16", "--class", "tolerant"], 1), (["--shards", "2"], 2)):
        plan, = lines(reelrig("transcode", str(clip), "--dry-run", "--json", *given, check=True).stdout)
        assert plan["sources"] == sources, (given, plan)
    text = reelrig("transcode", str(clip), "--dry-run", "--explain", "--ladder", "720,360", check=True).stdout
    assert "left out" in text and "class: exact" in text and "CRF 23" in text, text
    assert sorted(work.iterdir()) == before


def progress():
    """JSON lines of progress name every rendition, its speed and the time left; the last line is the end"""
    out = lines(reelrig("transcode", str(clip), "-o", str(work / "a"), "--ladder", "360,240", "--gop-ms", "500",
                        "--preset", "medium", "--json", check=True).stdout)
    assert out[-1]["event"] == "done" and out[-1]["frames_out_ok"] and out[-1]["frames_in"] == 144, out[-1]
    shown = [line for line in out if line["event"] == "progress"]
    for line in shown:
        names = [rendition["name"] for rendition in line["renditions"]]
        assert names == ["360p", "240p", "audio"] and 0 <= line["percent"] <= 100, line
        assert all({"fps", "eta_s", "gops", "gops_done"} <= set(rendition) for rendition in line["renditions"]), line
    percents = [line["percent"] for line in shown]
    assert shown and percents == sorted(percents), percents


def readable():
    """others may read what was made as far as the umask lets them (folders were 0700, files in them 0644)"""
    out = work / "made/for/others"
    subprocess.run(["sh", "-c", 'umask 022 && exec "$@"', "sh", str(bin_folder / "reelrig"), "transcode", str(clip), "-o",
                    str(out), "--ladder", "90", "--preset", "ultrafast"], check=True, capture_output=True)
    assert {path.stat().st_mode & 0o777 for path in (out, out.parent, out / "90p", out / "audio")} == {0o755}
    assert {path.stat().st_mode & 0o777 for path in out.rglob("*") if path.is_file()} == {0o644}


def going_on():
    """an interrupted job goes on by --resume alone, from another folder, with the same bytes"""
    words = [str(bin_folder / "reelrig"), "transcode", clip.name, "-o", "b", "--ladder", "360,240", "--gop-ms", "500",
             "--preset", "medium"]
    job = subprocess.Popen(words, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.time() + 120
    while time.time() < end and job.poll() is None and not list(work.glob("b/.job/es-*")):
        time.sleep(0.01)
    job.send_signal(signal.SIGINT)
    message = job.communicate(timeout=60)[1]
    if job.returncode != 0:  # a machine of many cores may be through by then
        assert job.returncode == 1 and "--resume" in message, (job.returncode, message)
        assert not (work / "b/master.m3u8").exists() and list(work.glob("b/.job/es-*"))
        done = lines(reelrig("transcode", "--resume", "-o", str(work / "b"), "--json", check=True).stdout)[-1]
        assert done["event"] == "done", done
    assert digests(work / "a") == digests(work / "b")
    # By itself read in three places: the same bytes.
    reelrig("transcode", str(clip), "-o", str(work / "b3"), "--ladder", "360,240", "--gop-ms", "500", "--preset", "medium",
            "--workers", "16", check=True)
    assert digests(work / "a") == digests(work / "b3")
    gone = reelrig("transcode", "--resume", "-o", str(work / "b"))
    assert gone.returncode == 1 and "no job to go on with" in gone.stderr, gone


def words_of_any_bytes():
    """a job of names that are no UTF-8, moved meanwhile, goes on where it is ("--json" was silent, --resume began anew)"""
    source = work / "b\udcff.mp4"
    source.symlink_to(clip)
    words = [str(bin_folder / "reelrig"), "transcode", source.name, "-o", "r\udcfe", "--ladder", "360,240", "--gop-ms", "500",
             "--preset", "medium"]
    job = subprocess.Popen(words, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, moved = work / "r\udcfe", work / "moved\udcfd"
    end = time.time() + 120
    while time.time() < end and job.poll() is None and not list(out.glob(".job/es-*")):
        time.sleep(0.01)
    job.send_signal(signal.SIGINT)
    job.communicate(timeout=60)
    out.rename(moved)
    if job.returncode != 0:
        done = reelrig("transcode", "--resume", "-o", moved, "--json", check=True).stdout
        assert lines(done)[-1]["folder"].endswith("moved\N{REPLACEMENT CHARACTER}"), done
        assert not out.exists()
    assert digests(work / "a") == digests(moved)
    result = subprocess.run(words[:2] + ["none\udcff.mp4", "-o", "x", "--json"], cwd=work, capture_output=True)
    assert "none\N{REPLACEMENT CHARACTER}.mp4" in json.loads(result.stdout)["message"], result


def file_that_came():
    """a file that comes to the output's name while the job runs is kept, and so is the job (it was replaced)"""
    words = [str(bin_folder / "reelrig"), "transcode", str(clip), "-o", str(work / "mine.mp4"), "--ladder", "120"]
    job = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while job.poll() is None and not (work / "mine.mp4.job").exists():
        time.sleep(0.005)
    (work / "mine.mp4").write_text("mine")
    message = job.communicate(timeout=60)[1]
    assert job.returncode == 1 and "is there already" in message, (job.returncode, message)
    assert (work / "mine.mp4").read_text() == "mine" and (work / "mine.mp4.job").is_dir()
    (work / "mine.mp4").unlink()
    (work / "mine.mp4.job").rename(work / "yours.job")
    reelrig("transcode", "--resume", "-o", work / "yours", check=True)  # one file still, whatever its name
    assert (work / "yours").is_file() and not (work / "mine.mp4").exists()


def small_ladders():
    """rungs of one even side are one; one picture has a ladder; all tracks of sound, equal pictures and shards are told"""
    sounds, one = work / "sounds.mkv", work / "one.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-t", "1", "-i", str(clip), "-map", "0:0", "-map", "0:1", "-map", "0:1",
                    "-c", "copy", str(sounds)], check=True)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(clip), "-frames:v", "1", "-an", str(one)], check=True)
    result = reelrig("transcode", sounds, "-o", work / "sounds", "--ladder", "122,121,60", "--explain", "--shards", "2",
                     check=True)
    assert "121p      -- left out" in result.stdout and not (work / "sounds/121p").exists(), result.stdout
    rows = json.loads(reelrig("compare", sounds, work / "sounds", "--json", check=True).stdout)["rows"]
    assert [row["name"] for row in rows] == ["122p", "60p"] and all(row["psnr_db"] > 20 for row in rows), rows
    done = lines(reelrig("transcode", one, "-o", work / "one", "--ladder", "auto", "--shards", "2", "--json",
                         check=True).stdout)[-1]
    assert done["frames_in"] == 1 and done["renditions"][0]["device"] == "cpu", done
    assert done["renditions"][0]["profile"] == "x264-164-veryfast-v1", done
    rows = json.loads(reelrig("compare", one, one, "--json", check=True).stdout)["rows"]
    assert rows[0]["psnr_db"] is None and rows[0]["planes"][0]["psnr_worst_db"] is None, rows
    assert "PSNR inf dB" in reelrig("compare", one, one, check=True).stdout


def helps():
    """every verb has its help on standard output; wrong usage is told as JSON where that was asked for"""
    verbs = re.findall(r"^  (\w+)  +\S", reelrig("--help", check=True).stdout, re.M)
    assert {"transcode", "live", "compare", "chain"} <= set(verbs), verbs
    for verb in verbs:
        result = reelrig(verb, "--help", check=True)
        assert result.stdout.startswith(f"usage: reelrig {verb} ") and result.stderr == "", result
        assert reelrig(verb, "-h", check=True).stdout == result.stdout
    for words, says in ((["transcode", "--json", "--no-such"], "there is no option '--no-such'"),
                        (["chain", "such", "--json"], "usage: reelrig chain"), (["such", "--json"], "no such verb")):
        result = reelrig(*words)
        assert result.returncode == 2 and says in json.loads(result.stdout)["message"], result
    full = subprocess.run([str(bin_folder / "reelrig"), "--version"], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE)
    assert full.returncode == 1 and b"No space left" in full.stderr, full


def formats():
    """a folder serves HLS and DASH, or the one that is named; the segments are the same"""
    text, source = work / "text.srt", work / "text.mkv"
    text.write_text("1\n00:00:01,000 --> 00:00:02,000\nOne\n\n2\n00:00:03,000 --> 00:00:05,000\nTwo\n")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(clip), "-i", str(text), "-c", "copy", "-map", "0",
                    "-map", "1", str(source)], check=True)
    words = ["transcode", str(source), "--ladder", "240", "--preset", "ultrafast"]
    printed = {name: reelrig(*words, "-o", str(work / f"f-{name}"), *more, check=True).stdout
               for name, more in (("both", []), ("hls", ["--format", "hls"]), ("dash", ["--format", "dash"]))}
    both, hls, dash = (digests(work / f"f-{name}") for name in ("both", "hls", "dash"))
    of_hls = {path for path in both if path.endswith((".m3u8", ".vtt"))}
    of_dash = {path for path in both if path.endswith((".mpd", ".ttml"))}
    assert "master.m3u8" in of_hls and "manifest.mpd" in of_dash, sorted(both)
    assert any(path.endswith(".vtt") for path in of_hls) and any(path.endswith(".ttml") for path in of_dash)
    assert hls == {path: both[path] for path in both if path not in of_dash}, sorted(hls)
    assert dash == {path: both[path] for path in both if path not in of_hls}, sorted(dash)
    assert "f-dash/manifest.mpd" in printed["dash"] and "f-hls/master.m3u8" in printed["hls"], printed
    for name, first in (("hls", "master.m3u8"), ("dash", "manifest.mpd")):
        subprocess.run(["ffmpeg", "-v", "error", "-xerror", "-i", str(work / f"f-{name}" / first), "-map", "0:v",
                        "-map", "0:a", "-f", "null", "-"], check=True)
    for more in ([], ["--format", "hls"], ["--format", "dash"]):  # what is finished is nobody's to change
        for name in ("both", "hls", "dash"):
            again = reelrig(*words, "-o", str(work / f"f-{name}"), *more)
            assert again.returncode == 1 and "holds a ladder already" in again.stderr, again
    assert digests(work / "f-dash") == dash and digests(work / "f-hls") == hls


def another_format():
    """an interrupted job goes on with another format and leaves nothing of the first"""
    words = [str(bin_folder / "reelrig"), "transcode", str(clip), "-o", str(work / "g"), "--ladder", "360,240",
             "--gop-ms", "500", "--preset", "medium"]
    job = subprocess.Popen(words + ["--format", "hls"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.time() + 120
    while time.time() < end and job.poll() is None and not list(work.glob("g/.job/es-*")):
        time.sleep(0.01)
    job.send_signal(signal.SIGINT)
    job.communicate(timeout=60)
    if job.returncode != 0:
        refused = reelrig("transcode", "--resume", "-o", str(work / "g"), "--format", "dash")
        assert refused.returncode == 2 and "whole command" in refused.stderr, refused
        (work / "g/360p").mkdir()  # as if it had been ended while it put files in place
        for name in ("master.m3u8", "360p/index.m3u8"):
            (work / "g" / name).write_text("#EXTM3U\n")
        subprocess.run(words + ["--format", "dash"], check=True, capture_output=True)
        made = digests(work / "g")
        assert made == {path: data for path, data in digests(work / "a").items() if not path.endswith(".m3u8")}


def wrong_words():
    """each failure has its exit status and a sentence that says what to do"""
    junk = work / "junk.mp4"
    junk.write_bytes(b"not a video at all" * 100)
    empty = work / "empty.mp4"
    empty.write_bytes(b"")
    os.mkfifo(work / "pipe")
    (work / "gone").mkdir()
    out = ["-o", str(work / "x")]
    for status, word, words in (
            *((2, word, [str(clip), *more, *first]) for first in (out, ["--dry-run"]) for word, more in (
                ("1 to 63", ["--crf", "0"]), ("500 to 10000", ["--gop-ms", "0"]), ("16 to 512", ["--audio-kbps", "0"]),
                ("1 to 64", ["--video", "0"]), ("leave out --crf", ["--crf", "20", "--kbps", "9,8,7"]),
                ("1 to 64", ["--shards", "0"]), ("1 to 64", ["--shards", "x"]), ("auto, cpu, cuda:N", ["--device", "foo"]),
                ("leave out one", ["--shards", "2", "--nats", "localhost:1"]),
                ("leave out one", ["--shards", "2", "--device", "cuda:0"]),
                ("not a regular file", ["--ladder", str(work / "pipe")]))),
            *((2, "not a regular file", [str(work / name), *first]) for name in ("pipe", "gone")
              for first in (out, ["--dry-run"])),
            (1, "not on this machine", [str(clip), *out, "--class", "tolerant", "--device", "cuda:99"]),
            (2, "name of a folder", [str(clip), "-o", str(work / "x") + "/", "--format", "mp4"]),
            (2, "was expected", [str(clip), "-o", ""]), (2, "was expected", ["--resume", "-o", ""]),
            (2, "another --ladder", ["--resume", *out, "--ladder", "120"]),
            (2, "", []), (2, "", [str(clip)]), (2, "", ["--resume"]), (2, "", [str(clip), "-o", "x", "--no-such"]),
            (2, "h264, hevc, av1", [str(clip), "-o", str(work / "x"), "--codec", "mpeg2"]),
            (2, "--gop-ms", [str(clip), "-o", str(work / "x"), "--gop-ms", "fast"]),
            (2, "500 to 10000", [str(clip), "-o", str(work / "x"), "--gop-ms", "20"]),
            (2, "hls, dash and mp4", [str(clip), "-o", str(work / "x"), "--format", "mkv"]),
            (2, "preset", [str(clip), "-o", str(work / "x"), "--preset", "hasty"]),
            (1, "No such file", [str(work / "nothing.mp4"), "-o", str(work / "x")]),
            (1, "", [str(junk), "-o", str(work / "x")]), (1, "", [str(empty), "-o", str(work / "x")]),
            (1, "another folder", [str(clip), "-o", str(work / "a")])):
        result = reelrig("transcode", *words, timeout=30)
        assert result.returncode == status and word in result.stderr and result.stderr.strip(), (words, result)
    assert not (work / "x").exists()
    assert "not a regular file" in reelrig("compare", clip, work / "pipe", timeout=30).stderr
    assert "tone-mapped" not in reelrig("transcode", clip, "--dry-run", "--tone-map", check=True).stdout


def bench():
    """the bench answers all its questions; a job costs about what the bare work does, and a film spreads well"""
    out = json.loads(reelrig("bench", "transcode", "--clip", str(clip), "--seconds", "4", "--turns", "1", "--json",
                             check=True).stdout)
    rows = {row["name"]: row for row in out["rows"]}
    assert set(rows) >= {"ladder_vs_one_ffmpeg", "ladder_vs_four_ffmpeg", "one_rendition_vs_ffmpeg", "limit",
                         "independent_gop_price", "spot_check_price", "sandbox_price", "scaling_16"}, rows
    assert all(row.get("ratio_cpu", 1) > 0.05 and row.get("fps", 1) > 0 for row in rows.values()), rows
    assert rows["scaling_16"]["ratio"] > 0.9 and rows["sandbox_price"]["ratio_cpu"] > 0.9, rows
    assert abs(rows["independent_gop_price"]["bd_rate"]) < 30 and out["psnr"] > 20, out


def manual():
    """the manual page knows every option that the program takes, and man can set it"""
    page = root / "docs/reelrig-transcode.1"
    text = page.read_text().replace("\\-", "-")
    source = (root / "src/cli/cli_transcode.c").read_text()
    table = source[source.index("const struct cli_option options[]"):]
    options = re.findall(r'\{"([a-z0-9-]+)",', table[:table.index("};")])
    assert len(options) >= 15, options
    for option in options:
        dashes = "-" if len(option) == 1 else "--"
        assert dashes + option in text, f"the manual page lacks {dashes}{option}"
    for option in re.findall(r"(?<![\w-])--([a-z][a-z0-9-]+)", text):
        assert option in options, f"the manual page tells of --{option}, which the program does not take"


run_tests([dry_run, progress, readable, going_on, words_of_any_bytes, file_that_came, small_ladders, helps, formats, another_format, wrong_words, bench, manual])
