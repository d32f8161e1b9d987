#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The jobs of gpu_transcode.sh and their report; start it by that script."""
import argparse
import filecmp
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

parser = argparse.ArgumentParser()
for name in ("reelrig", "ffmpeg", "work", "out", "device", "ladder"):
    parser.add_argument("--" + name)
parser.add_argument("--seconds", type=float, default=540)
parser.add_argument("--rounds", type=int)
parser.add_argument("--fact", action="append", default=[])
parser.add_argument("--dry", action="store_true")
parser.add_argument("--double", action="store_true", help="the device is one that only our worker sees")
parser.add_argument("clips", nargs="*")
given = parser.parse_args()
work = pathlib.Path(given.work)
ladder = given.ladder or ("120,90" if given.dry else "1080,720,480")
rounds = given.rounds or (1 if given.dry else 3)
end = time.monotonic() + given.seconds
report = {"facts": dict(fact.split("=", 1) for fact in given.fact), "device": given.device, "ladder": ladder,
          "dry": given.dry, "rows": []}
wrong = []


class Trouble(Exception):
    """Why a row has no figure."""


class Late(Trouble):
    """There was no time for it, which says nothing about what is measured."""


def run(argv, limit=None):
    """Wall time, output and what was said; the last line of it on failure."""
    left = end - time.monotonic()
    if left < 2:
        raise Late("no time was left")
    begin = time.monotonic()
    try:
        done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, timeout=min(limit or left, left), check=False)
    except subprocess.TimeoutExpired:
        late = Late if limit is None or left < limit else Trouble
        raise late(f"not done after {time.monotonic() - begin:.0f} s") from None
    wall = time.monotonic() - begin
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        try:
            said = json.loads(done.stdout.strip().splitlines()[-1])["message"]
        except (ValueError, KeyError, IndexError, TypeError):
            pass
        raise Trouble(f"status {done.returncode}: {said}")
    return wall, done.stdout, done.stderr


def add(row):
    """One more row, on paper at once."""
    report["rows"].append(row)
    pathlib.Path(given.out).write_text(json.dumps(report, indent=1) + "\n")
    words = [f"{row.get('clip', ''):<18} {row['name']:<40}"]
    words += [f"{row['fps']:9.1f} fps"] if row.get("fps") else []
    words += [f"x {row['ratio']:.2f} of {row['ratio_to']}"] if row.get("ratio") else []
    words += ["bytes equal" if row["equal"] else "BYTES DIFFER"] if row.get("equal") is not None else []
    words += [f"PSNR {row['psnr_db']:.2f}, SSIM {row['ssim']:.4f}"] if row.get("psnr_db") else []
    words += ["- " + row["why"]] if row.get("why") else []
    print("  ".join(words), flush=True)


# ---- the device ----
def probe():
    """What the device can do, as the program tells it; None: it is not to be used."""
    row = {"name": "probe", "fps": None, "ratio": None, "equal": None, "why": ""}
    words = [given.reelrig, "transcode", "--devices", "--json"]
    try:
        try:
            row["wall_s"], text, _ = run(words, 200)
        except Trouble as trouble:
            if "Landlock" not in str(trouble):
                raise
            # Only measured here, on clips that were given: the kernel cannot fence the driver's files.
            os.environ["RR_DEVICE_UNLOCKED"] = "1"
            report["unlocked"] = True
            row["wall_s"], text, _ = run(words, 200)
        row["devices"] = json.loads(text)["devices"]
    except Trouble as trouble:
        wrong.append("the probe failed")
        row["why"] = str(trouble)
        add(row)
        return None
    card = next((one for one in row["devices"] if one["device"] == given.device), None)
    able = card is not None and bool(card["dec"] or card["enc"] or card["scale"])
    if not able:
        row["why"] = f"{given.device} is not there" if card is None else card["why_not"]
        if not given.dry:
            wrong.append(f"{given.device} cannot be used")
    add(row)
    return card if able else None


# ---- clips ----
def draw():
    """Clips where none were given: noise over a moving picture costs an encoder what a film does."""
    if not given.ffmpeg:
        sys.exit("gpu_transcode.sh: no ffmpeg to draw a clip with; give a CLIP, or an ffmpeg by RR_PREFIX")
    size, seconds = ("320x180", 1) if given.dry else ("1920x1080", 12)
    picture = f"testsrc2=size={size}:rate=30:duration={seconds},noise=alls=10:allf=t"
    made = []
    for name, words in (("drawn-h264.ts", ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p"]),
                        ("drawn-hevc10.mp4", ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "20", "-x265-params",
                                              "log-level=none", "-pix_fmt", "yuv420p10le"])):
        try:
            run([given.ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-g", "60", *words, work / name], 120)
            made.append(work / name)
        except Trouble as trouble:
            add({"name": "drawing " + name, "fps": None, "ratio": None, "equal": None, "why": str(trouble)})
        if given.dry:
            break
    return made


def damaged(clip):
    """The clip with bytes overwritten here and there, as a transport stream of a bad line has them."""
    path = work / "damaged.ts"
    if clip.suffix != ".ts":
        run([given.ffmpeg, "-v", "error", "-y", "-i", clip, "-t", "8", "-map", "0:v:0", "-c", "copy", path], 60)
        clip = path
    raw = bytearray(clip.read_bytes())
    for at in range(len(raw) // 3, len(raw) - 400, max(len(raw) // 7, 400)):
        raw[at:at + 300] = bytes((at * 7 + i * 131) % 251 for i in range(300))
    path.write_bytes(raw)
    return path


# ---- jobs of ours ----
def transcode(clip, folder, *words):
    """One job anew; its wall time, result and warnings."""
    shutil.rmtree(folder, ignore_errors=True)
    wall, text, said = run([given.reelrig, "transcode", clip, "-o", folder, "--ladder", ladder, "--audio", "none",
                            "--subtitles", "none", "--json", *words])
    done = json.loads(text.strip().splitlines()[-1])
    warned = [line.partition(" warn ")[2] for line in said.splitlines() if " warn " in line]
    return {"wall_s": wall, "frames": done["frames_in"], "renditions": done["renditions"],
            "concealed": done["concealed"], "warned": warned[-4:]}


def source_of(clip):
    """Codec and depth, as a job sees them."""
    return json.loads(run([given.reelrig, "transcode", clip, "--dry-run", "--json", "--ladder", ladder], 60)[1])["source"]


def decoder(source, card):
    """Who begins to decode; a warning of the row tells when the CPU took over."""
    able = card["dec10" if source["bit_depth"] > 8 else "dec"] if card else []
    return given.device if source["codec"] in able else "cpu"


def differences(a, b):
    """Files that are not byte for byte the same in both folders."""
    names = {str(path.relative_to(top)) for top in (a, b) for path in top.rglob("*") if path.is_file()}
    return [name for name in sorted(names)
            if not (a / name).is_file() or not (b / name).is_file() or not filecmp.cmp(a / name, b / name, False)]


def judge(row, clip, folder):
    """How near to its source it is, by our own measures; in the row the worst rendition."""
    measured = json.loads(run([given.reelrig, "compare", clip, folder, "--json"], 120)[1].strip().splitlines()[-1])
    rows = measured["rows"]
    row["quality"] = [{key: one[key] for key in ("name", "psnr_db", "ssim", "frames", "times_off")} for one in rows]
    row["psnr_db"] = min((one["psnr_db"] for one in rows if one["psnr_db"] is not None), default=None)
    row["ssim"] = min(one["ssim"] for one in rows)


# ---- jobs of ffmpeg ----
def ffmpeg_knows(what, name):
    """Whether this ffmpeg was built with it."""
    return any(name in line.split() for line in run([given.ffmpeg, "-hide_banner", what], 20)[1].splitlines())


def ffmpeg(words):
    return {"wall_s": run([given.ffmpeg, "-v", "error", "-nostdin", "-y", *words])[0]}


def heights(sides, scaler, after=""):
    """A filter graph of all rungs, and the outputs of it."""
    graph = f"[0:v]split={len(sides)}" + "".join(f"[s{i}]" for i in range(len(sides)))
    return graph + "".join(f";[s{i}]{scaler}=-2:{side}{after}[v{i}]" for i, side in enumerate(sides))


def peers(clip, card, sides, deep):
    """Each: name, what it stands beside, its run."""
    def ladder_of(before, graph, codec):
        words = [*before, "-i", clip, "-filter_complex", graph]
        for i in range(len(sides)):
            words += ["-map", f"[v{i}]", *codec, "-g", "60", "-an", "-f", "null", "-"]
        return lambda: ffmpeg(words)

    def needing(what, name, then):
        def go():
            if not ffmpeg_knows(what, name):
                raise Trouble(f"this ffmpeg has no {name}")
            return then()
        return go

    def on_card(then):
        def go():
            if card is None:
                raise Trouble(f"{given.device} is not there")
            if given.double:
                raise Trouble("a double stands for the device, which ffmpeg does not see")
            return then()
        return go

    def eight(then):
        def go():
            if deep:
                raise Trouble("h264_nvenc has no ten bits")
            return then()
        return go

    x264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23"]
    number = given.device.partition(":")[2]
    there = ["-hwaccel", "cuda", "-hwaccel_device", number]
    stays = [*there, "-hwaccel_output_format", "cuda"]
    on_there = ":format=p010le" if deep else ":format=nv12"
    nvenc = ["-c:v", "h264_nvenc", "-preset", "p4", "-rc", "vbr", "-cq", "23"]
    return [
        ("ffmpeg: CPU, ladder by x264", "cpu", ladder_of([], heights(sides, "scale"), x264)),
        ("ffmpeg: decode on the CPU", "", lambda: ffmpeg(["-i", clip, "-an", "-f", "null", "-"])),
        ("ffmpeg: -hwaccel cuda, decode, stays there", "ffmpeg: decode on the CPU",
         on_card(lambda: ffmpeg([*stays, "-i", clip, "-an", "-f", "null", "-"]))),
        ("ffmpeg: -hwaccel cuda, decode, comes back", "ffmpeg: decode on the CPU",
         on_card(lambda: ffmpeg([*there, "-i", clip, "-an", "-f", "null", "-"]))),
        ("ffmpeg: -hwaccel cuda, ladder by x264", "exact",
         on_card(ladder_of(there, heights(sides, "scale"), x264))),
        ("ffmpeg: scale_cuda, ladder stays there", "",
         on_card(needing("-filters", "scale_cuda",
                         ladder_of(stays, heights(sides, "scale_cuda", on_there), ["-c:v", "wrapped_avframe"])))),
        ("ffmpeg: scale_cuda, ladder by h264_nvenc", "tolerant",
         on_card(eight(needing("-encoders", "h264_nvenc",
                               ladder_of(stays, heights(sides, "scale_cuda", on_there), nvenc))))),
    ]


# ---- a clip ----
def ours(clip, card, name):
    folders = {kind: work / f"{name}-{kind}" for kind in ("cpu", "exact", "tolerant")}

    def job(kind, *words):
        def go():
            if kind != "cpu" and card is None:
                raise Trouble(f"{given.device} is not there")
            return transcode(clip, folders[kind], *words)
        return go

    return folders, [("cpu", "", job("cpu", "--device", "cpu")),
                     ("exact", "cpu", job("exact", "--class", "exact", "--device", given.device)),
                     ("tolerant", "cpu", job("tolerant", "--class", "tolerant", "--device", given.device))]


def finish(row, kind, clip, folders):
    """Checks what a first round has made."""
    try:
        if kind == "exact":
            differ = differences(folders["cpu"], folders["exact"])
            row["equal"] = not differ
            if differ:
                row["why"] = f"{len(differ)} files differ, first {differ[0]}"
                wrong.append(f"{row['clip']}: class exact differs from the CPU")
        elif kind in ("cpu", "tolerant"):
            judge(row, clip, folders[kind])
        if kind == "tolerant" and all(one["device"] == "cpu" for one in row["renditions"]):
            row["why"] = "no encoder of this codec on the card: the CPU encoded"
    except Trouble as trouble:
        row["why"] = str(trouble)
        if not isinstance(trouble, Late):
            wrong.append(f"{row['clip']}: {kind} could not be checked")


def measure(clip, card, until):
    """All rows of one clip: ours and ffmpeg's take turns, medians count."""
    name = clip.stem[:18]
    folders, jobs = ours(clip, card, name)
    sides = [int(side) for side in ladder.split(",")]
    rows = {}
    try:
        source = source_of(clip)
    except Trouble as trouble:
        wrong.extend([] if isinstance(trouble, Late) else [f"{name}: cannot be read"])
        add({"name": "plan", "clip": name, "fps": None, "ratio": None, "equal": None, "why": str(trouble)})
        return
    # ffmpeg enlarges without being asked; a job does not.
    sides = [side for side in sides if side <= min(source["width"], source["height"])] or [source["height"]]
    if given.ffmpeg:
        jobs = jobs + peers(clip, card, sides, source["bit_depth"] > 8)
    for turn in range(rounds):
        for kind, to, job in jobs:
            row = rows.setdefault(kind, {"name": kind, "clip": name, "fps": None, "ratio": None, "ratio_to": to,
                                         "equal": None, "why": "", "walls_s": []})
            if turn > 0 and (row["why"] or time.monotonic() + statistics.median(row["walls_s"]) > until):
                continue
            try:
                done = job()
                row["walls_s"].append(round(done.pop("wall_s"), 4))
                row.update(done)
            except Trouble as trouble:
                row["why"] = str(trouble)
                if not isinstance(trouble, Late) and (kind == "cpu" or kind in folders and card is not None):
                    wrong.append(f"{name}: {kind} failed")
                continue
            if kind in ("exact", "tolerant"):
                row["decoded_by"] = decoder(source, card)
            if turn == 0:
                finish(row, kind, clip, folders)
    frames = rows["cpu"].get("frames")
    for row in rows.values():
        if row["walls_s"] and frames:
            row["wall_s"] = statistics.median(row["walls_s"])
            row["fps"] = round(frames / row["wall_s"], 2)
    for row in rows.values():
        beside = rows.get(row["ratio_to"])
        if row["fps"] and beside and beside["fps"]:
            row["ratio"] = round(row["fps"] / beside["fps"], 3)
        add(row)
    if not given.ffmpeg:
        add({"name": "ffmpeg", "clip": name, "fps": None, "ratio": None, "equal": None, "why": "no ffmpeg is there"})


def measure_damage(clip, card):
    """A device conceals damage in its own way: the job must give the CPU's bytes all the same."""
    row = {"name": "damaged input, exact", "clip": "damaged", "fps": None, "ratio": None, "ratio_to": "",
           "equal": None, "why": ""}
    try:
        folders, jobs = ours(damaged(clip), card, "damaged")
        jobs[0][2]()
        done = jobs[1][2]()
        row["concealed"], row["warned"] = done["concealed"], done["warned"]
        row["fps"] = round(done["frames"] / done["wall_s"], 2)
        finish(row, "exact", clip, folders)
    except Trouble as trouble:
        row["why"] = str(trouble)
        if card is not None and not isinstance(trouble, Late):
            wrong.append("damaged input failed")
    add(row)


def main():
    card = probe()
    clips = [pathlib.Path(clip) for clip in given.clips] or draw()
    if clips and given.ffmpeg:
        measure_damage(clips[0], card)
    for i, clip in enumerate(clips):
        left = end - time.monotonic()
        measure(clip, card, time.monotonic() + left / (len(clips) - i))
    report["wrong"] = wrong
    pathlib.Path(given.out).write_text(json.dumps(report, indent=1) + "\n")
    for sentence in wrong:
        print("WRONG: " + sentence, file=sys.stderr)
    if not clips:
        sys.exit("gpu_transcode.sh: no clip could be drawn; give a CLIP")
    sys.exit(1 if wrong else 0)


main()
