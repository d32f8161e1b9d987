#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`reelrig live` with real publishers: ffmpeg over SRT and RTMP, one of our own, files that grow; watched by hls.js in
Chromium, by ffprobe and by a viewer in plain Python that checks each playlist.
RR_ONLY=name,name; RR_LIVE_JSON=FILE keeps the measured times; RR_LIVE_CLIP and RR_LIVE_LADDER choose what is measured."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from hls_watcher import Watcher, get
from rig import bin_folder, build, make_clip, reelrig, root, run_tests, short
from rtmp_sender import Refused, RtmpSender, flv_tags, shown_ms

chromium = os.environ.get("RR_CHROMIUM", "/usr/bin/chromium")
here = pathlib.Path(__file__).resolve().parent
PASS = "correct horse battery"
LADDER = "144,72"
umask = os.umask(0o22)
os.umask(umask)


class Live:
    """`reelrig live` and what it says."""

    def __init__(self, given, *arguments, serve=True, ladder=LADDER):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reelrig-live-"))
        self.out = self.folder / "out"
        command = [bin_folder / "reelrig", "live", given, "-o", self.out, "--ladder", ladder, "--json", *arguments]
        command += ["--serve", "127.0.0.1:0", "--linger", "2"] if serve else []
        self.errors = open(self.folder / "errors", "w+")
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.events, self.news = [], threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()
        if serve:
            self.base = self.wait("serving")["url"].rsplit("/", 1)[0]
        if "://" in str(given):
            self.port = self.wait("listening")["port"]

    def read(self):
        for line in self.process.stdout:
            with self.news:
                self.events.append(json.loads(line))
                self.news.notify_all()
        with self.news:
            self.events.append({"event": "closed"})
            self.news.notify_all()

    def wait(self, name, enough=lambda e: True, timeout=90, skip=0):
        """The event of that name after `skip` others of it."""
        until = time.monotonic() + timeout
        with self.news:
            while True:
                found = [e for e in self.events if e["event"] == name and enough(e)]
                if len(found) > skip:
                    return found[skip]
                left = until - time.monotonic()
                closed = self.events and self.events[-1]["event"] == "closed"
                assert left > 0 and not closed, f"no '{name}': {self.events[-8:]} {self.words()}"
                self.news.wait(left)

    def words(self):
        return (self.folder / "errors").read_text()[-2000:]

    def count(self, name):
        with self.news:
            return sum(e["event"] == name for e in self.events)

    def end(self, code=0, timeout=60):
        assert self.process.wait(timeout) == code, (self.process.returncode, self.events[-5:], self.words())
        return self

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.errors.close()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"      kept: {self.folder}; last words: {self.events[-6:]}")


def ffmpeg(*arguments, **more):
    return subprocess.Popen(["ffmpeg", "-v", "error", "-nostdin", *map(str, arguments)], stderr=subprocess.DEVNULL, **more)


def clip(folder, seconds, name="clip.mp4"):
    return make_clip(pathlib.Path(folder) / name, seconds=seconds, size="256x144")


def as_flv(path):
    out = pathlib.Path(path).with_suffix(".flv")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(path), "-c", "copy", str(out)], check=True, timeout=60)
    return out.read_bytes()


def wait_playlist(live, name):
    """Parts can be asked for when the first has come."""
    until = time.monotonic() + 60
    while get(f"{live.base}/{name}/index.m3u8")[0] != 200 or b"EXT-X-PART:" not in get(f"{live.base}/{name}/index.m3u8")[2]:
        assert time.monotonic() < until, "no part comes"
        time.sleep(0.05)


def absurd(live):
    """What no player asks for is refused at once, and costs nothing."""
    for query in ("?_HLS_msn=999999", "?_HLS_part=1", "?_HLS_msn=-1", "?_HLS_msn=x", "?_HLS_msn=1&_HLS_part=99999999999",
                  "?_HLS_msn=18446744073709551616", "?_HLS_msn="):
        status, _, _, seconds = get(f"{live.base}/144p/index.m3u8{query}")
        assert status == 400 and seconds < 5, (query, status, seconds)
    for path in ("144p/part_00099.0.m4s", "144p/seg_00099.m4s", "144p/seg_1.m4s", "nowhere/index.m3u8", "144p/../x", "144p/",
                 "144p/part_00000.4294967296.m4s", "master.m3u8x"):
        status, _, _, seconds = get(f"{live.base}/{path}")
        assert status in (400, 404) and seconds < 5, (path, status)


def probe(url):
    """What ffprobe makes of a playlist; it must not say a word."""
    result = subprocess.run(["ffprobe", "-v", "warning", "-count_packets", "-show_streams", "-of", "json", str(url)],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and result.stderr == "", result.stderr[-1000:]
    return json.loads(result.stdout)["streams"]


def srt():
    """ffmpeg over SRT: wrong passphrase and second publisher refused, hls.js plays at low latency, each playlist holds"""
    seconds = 18
    plays = bool(shutil.which(chromium) and shutil.which("node"))
    with tempfile.TemporaryDirectory() as folder, \
            Live(f"srt://127.0.0.1:0?passphrase={PASS.replace(' ', '-')}", "--grace", "2", "--window", "6") as live:
        source = clip(folder, seconds)
        for garbage in (b"", b"\x00" * 16, os.urandom(1300), b"\x80" + os.urandom(63)):
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(garbage, ("127.0.0.1", live.port))
        push = ["-re", "-i", source, "-c", "copy", "-f", "mpegts"]
        address = f"srt://127.0.0.1:{live.port}?passphrase={PASS.replace(' ', '-')}"
        assert ffmpeg(*push, f"srt://127.0.0.1:{live.port}?passphrase=wrong-wrong-wrong").wait(60) != 0
        assert ffmpeg(*push, f"srt://127.0.0.1:{live.port}").wait(60) != 0, "let in without a passphrase"
        assert live.count("came") == 0
        first = ffmpeg(*push, address)
        try:
            wait_playlist(live, "144p")
            watchers = [Watcher(f"{live.base}/{name}") for name in ("144p", "72p", "audio")]
            for watcher in watchers:
                watcher.start()
            second = ffmpeg("-i", source, "-c", "copy", "-f", "mpegts", address)
            absurd(live)
            live.wait("refused", timeout=30)
            if plays:
                result = subprocess.run(["node", here / "live.mjs", build / "web", f"{live.base}/master.m3u8", "6"],
                                        capture_output=True, text=True, timeout=120, env={**os.environ, "RR_CHROMIUM": chromium})
                assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-2000:]}"
                seen = json.loads(result.stdout)
                seen["latency"] = statistics.median(seen["latencies"])
                print(f"      hls.js: latency {seen['latency']:.2f} s (target {seen['target']:.2f}), {seen['stalls']} stalls, "
                      f"{seen['parts']} parts, {seen['dropped']} of {seen['total']} frames dropped")
                keep("hls.js", {"latency_s": round(seen["latency"], 2), "target_s": round(seen["target"], 2),
                                "stalls": seen["stalls"], "played_s": round(seen["played"], 1),
                                "dropped": seen["dropped"], "frames": seen["total"]})
            second.kill()
            second.wait()
            assert first.wait(90) == 0
        finally:
            first.kill()
        for watcher in watchers:
            watcher.done()
            assert watcher.held > watcher.answers / 2, f"{watcher.held} of {watcher.answers} answers were held back"
            assert watcher.jumps == 0 and (watcher.gaps <= 1 or live.count("behind")), (watcher.gaps, watcher.jumps)
        live.end()
        assert live.count("came") == 1
        count = len(watchers[0].whole)
        assert seconds / 2 - 2 <= count <= seconds / 2 + 1, f"{count} segments"
        kept = sorted(p.name for p in (live.out / "144p").glob("seg_*"))
        assert len(kept) <= 12, f"old segments stay: {kept}"


def rtmp():
    """our own publisher over RTMP: wrong words refused, gone and back within the grace time, then a normal ladder"""
    with tempfile.TemporaryDirectory() as folder, \
            Live("rtmp://127.0.0.1:0/live/secret", "--grace", "4", "--keep") as live:
        data = as_flv(clip(folder, 7))
        silent = socket.create_connection(("127.0.0.1", live.port))
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4000), b"\x03" + os.urandom(5000)):
            stranger = socket.create_connection(("127.0.0.1", live.port))
            stranger.sendall(garbage)
            stranger.close()
        for app, key in (("live", "wrong"), ("other", "secret"), ("live", ""), ("live", "secret2"), ("live", "secre")):
            try:
                RtmpSender(live.port, app, key)
                raise AssertionError(f"{app}/{key} may publish")
            except Refused:
                pass
        assert live.count("came") == 0
        idle = [socket.create_connection(("127.0.0.1", live.port)) for _ in range(20)]  # more than places
        live.wait("refused", lambda e: "its place" in e["text"], timeout=10)
        sender = RtmpSender(live.port, "live", "secret", chunk=777)
        live.wait("came")
        try:
            RtmpSender(live.port, "live", "secret")
            raise AssertionError("a second publisher was let in")
        except Refused:
            pass
        sender.publish(data, until=5000)
        watcher = Watcher(f"{live.base}/144p")
        watcher.start()
        sender.vanish()
        live.wait("went")
        RtmpSender(live.port, "live", "secret", chunk=60000).publish(data, shift_ms=100000, jump=(3500, 900000)).end()
        live.wait("went", skip=1)
        watcher.done()
        live.wait("end", timeout=60)
        assert watcher.jumps == 1, f"{watcher.jumps} discontinuities"
        master = get(f"{live.base}/master.m3u8")
        assert master[0] == 200
        live.end()
        for stranger in [silent, *idle]:
            stranger.close()
        whole = reelrig_frames(data, 5000) + reelrig_frames(data, None)
        streams = probe(live.out / "144p/index.m3u8")
        shown = int(streams[0]["nb_read_packets"])
        late = live.count("behind") > 0  # a machine that does not keep up leaves pictures out, and says so
        assert shown == whole or (late and shown < whole), f"{shown} of {whole} pictures"
        text = (live.out / "72p/index.m3u8").read_text()
        assert "#EXT-X-ENDLIST" in text and "PLAYLIST-TYPE:VOD" in text and text.count("#EXT-X-DISCONTINUITY\n") == 1
        length = sum(float(d) for d in re.findall(r"#EXTINF:([0-9.]+)", text))
        assert abs(length - whole / 24) < 0.5, f"{length} s for {whole} pictures: the clock's jump shows"
        assert (live.out / "manifest.mpd").exists() or late


def reelrig_frames(data, until):
    return sum(kind == 9 and shown_ms(body, stamp) is not None and (until is None or stamp < until)
               for kind, stamp, body in flv_tags(data))


def grow(source, target, go):
    """Copies in pieces; most of it, then the rest when told."""
    data = source.read_bytes()
    with open(target, "wb") as out:
        for i in range(40):
            out.write(data[len(data) * i // 40:len(data) * (i + 1) // 40])
            out.flush()
            if i == 30:
                go.wait(120)
            time.sleep(0.02)


def growing(suffix, *options):
    """A file that grows, in this container; its GOPs are byte for byte those of the whole file."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source = clip(folder, 5)
        whole, part = folder / f"whole.{suffix}", folder / f"part.{suffix}"
        subprocess.run(["ffmpeg", "-v", "error", "-i", source, "-c", "copy", *options, whole], check=True, timeout=60)
        part.touch()
        go = threading.Event()
        with Live(part, "--follow", "--quiet", "120", "--keep", serve=False) as live:
            writer = threading.Thread(target=grow, args=(whole, part, go), daemon=True)
            writer.start()
            live.wait("segment", lambda e: e["rendition"] == "144p")  # while the file is not whole
            go.set()
            writer.join()
            live.process.send_signal(signal.SIGTERM)
            live.end()
            result = reelrig("transcode", whole, "-o", folder / "out", "--ladder", LADDER, "--json")
            assert result.returncode == 0, result.stderr
            for name in ("144p", "72p"):
                for n in range(3):
                    ours = payload(live.out / name / f"seg_{n:05d}.m4s")
                    assert ours and ours == payload(folder / "out" / name / f"seg_{n:05d}.m4s"), (suffix, name, n)
            streams = probe(live.out / "master.m3u8")
            assert {s["codec_type"] for s in streams} == {"video", "audio"}
            lines = [json.loads(line) for line in (live.out / "gops.jsonl").read_text().splitlines()]
            assert {(e["rendition"], e["gop"]) for e in lines} == {(r, g) for r in (0, 1) for g in range(3)}


def payload(path):
    """What is in the mdat boxes, joined."""
    data, at, out = path.read_bytes(), 0, b""
    while at + 8 <= len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        if data[at + 4:at + 8] == b"mdat":
            out += data[at + 8:at + size]
        at += size
    return out


def together(calls):
    """Runs (name, function, arguments...) side by side."""
    failed = []

    def one(name, call, *arguments):
        try:
            call(*arguments)
        except Exception as error:  # told below
            failed.append(f"{name}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=one, args=c) for c in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def files():
    """files that grow: MPEG-TS, FLV, Matroska, fragmented MP4; GOPs equal to those of the whole file"""
    together((a[0], growing, *a) for a in (
        ("ts",), ("flv",), ("mkv",), ("mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof")))


measured = {}


def keep(name, row):
    measured[name] = row
    if os.environ.get("RR_LIVE_JSON"):
        pathlib.Path(os.environ["RR_LIVE_JSON"]).write_text(json.dumps(measured, indent=1) + "\n")


def glass():
    """from when the last picture of a GOP was sent to when its segment is in the playlist: at most 1.5 GOPs"""
    ladder = os.environ.get("RR_LIVE_LADDER", LADDER)
    top = ladder.split(",", maxsplit=1)[0] + "p"
    with tempfile.TemporaryDirectory() as folder, \
            Live("rtmp://127.0.0.1:0/live/key", "--grace", "1", ladder=ladder) as live:
        given = os.environ.get("RR_LIVE_CLIP")
        source = clip(folder, 9)
        if given:
            source = pathlib.Path(folder) / "given.mp4"
            subprocess.run(["ffmpeg", "-v", "error", "-i", given, "-t", "20", "-c", "copy", source], check=True, timeout=60)
        data = as_flv(source)
        sender = RtmpSender(live.port)
        publisher = threading.Thread(target=sender.publish, args=(data,), daemon=True)
        publisher.start()
        wait_playlist(live, top)
        watcher = Watcher(f"{live.base}/{top}", media=False)
        watcher.start()
        publisher.join(120)
        sender.end()
        watcher.done()
        live.end()
        origin = min(shown for shown, _ in sender.sent)
        whole, first = [], []
        for number in sorted(watcher.whole):
            inside = [wall for shown, wall in sender.sent if (shown - origin) // 2000 == number]
            after = [1 for shown, _ in sender.sent if (shown - origin) // 2000 > number]
            if number >= 2 and inside and after:  # the first wait for the look into the stream
                whole.append((watcher.whole[number] - max(inside)) / 2)
                first.append((watcher.first_part[number] - max(inside)) / 2)
        part = [watcher.part_seen[k] - max(w for s, w in sender.sent if (s - origin) / 1000 <= k[0] * 2 + (k[1] + 1) / 3)
                for k in watcher.part_seen if k[0] >= 2 and k[1] < 5 and k[0] * 2000 + 2000 + origin < sender.sent[-1][0]]
        if not whole or not part:
            assert live.count("behind"), "no segment was seen to come, and nobody said that the machine is late"
            print(f"      not measured: {live.count('behind')} times behind")
            return
        print(f"      {ladder}: segment {statistics.median(whole):.2f} GOPs after its last picture (worst {max(whole):.2f}), "
              f"its first part {statistics.median(first):+.2f} GOPs; a part {statistics.median(part):.2f} s after its last picture")
        keep("glass_to_playlist", {
            "ladder": ladder, "clip": pathlib.Path(given).name if given else "testsrc2 256x144", "gop_s": 2, "gops": len(whole),
            "segment_gops_median": round(statistics.median(whole), 3), "segment_gops_worst": round(max(whole), 3),
            "first_part_gops_median": round(statistics.median(first), 3), "part_s_median": round(statistics.median(part), 3),
            "behind": live.count("behind"), "load_average": os.getloadavg()[0],
            "how": "own RTMP publisher at real time notes when each picture was written to its socket; a viewer with held-back "
                   "reloads notes when the playlist showed the segment, on the same clock"})
        # A machine that does not keep up is late; it says so, and is judged when it does keep up.
        busy = short or live.count("behind")
        assert statistics.median(whole) <= 1.5 or busy, f"{whole} GOPs"


def usage():
    """wrong words, taken ports, files that are none: a sentence and a status, nothing left behind"""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        busy = socket.socket()
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        junk = folder / "junk.ts"
        junk.write_bytes(os.urandom(200000))
        for given, word in ((["srt://127.0.0.1:0?passphrase=short"], "passphrase"), (["rtmp://127.0.0.1:0/live"], "KEY"),
                            (["http://127.0.0.1/x"], "srt://"), ([f"rtmp://127.0.0.1:{port}/live/key"], "listened"),
                            (["rtmp://nowhere:1/live/key"], "IP"), ([folder / "none.ts", "--follow"], "opened"),
                            ([folder, "--follow"], "regular"), (["srt://127.0.0.1:0", "--part-ms", "50"], "200 to 1000"),
                            (["srt://127.0.0.1:0", "--part-ms", "0"], "200 to 1000"), (["srt://127.0.0.1:0", "--crf", "60"], "crf"),
                            (["srt://127.0.0.1:0", "--window", "2"], "--window"), ([junk, "--follow", "--quiet", "-1"], "--quiet"),
                            (["srt://127.0.0.1:0", "--preset", "nix"], "nix"), (["srt://127.0.0.1:0", "--ladder", "auto"], "auto"),
                            (["srt://127.0.0.1:0", "--ladder", folder / "no.toml"], "no.toml"),
                            ([junk], "--follow"),
                            ([clip(folder, 1, "behind.mp4"), "--follow"], "index comes behind"),
                            ([junk, "--follow", "--quiet", "1"], "")):
            result = reelrig("live", *given, "-o", folder / "out", timeout=120)
            assert result.returncode in (1, 2), (given, result.returncode, result.stdout, result.stderr)
            assert word in result.stderr and result.stderr.startswith("reelrig:"), (given, result.stderr)
            assert not (folder / "out").exists() and "ended" not in result.stdout, (given, result.stdout)
        busy.close()
        with Live("srt://127.0.0.1:0", serve=True) as live:  # nobody comes: it waits, and stops when told
            assert get(f"{live.base}/144p/index.m3u8")[0] == 404
            result = reelrig("live", "srt://127.0.0.1:0", "-o", live.out)  # one stream a folder
            assert result.returncode == 1 and "another" in result.stderr, result.stderr
            live.process.send_signal(signal.SIGTERM)
            live.end()


def follow(source, folder, *arguments):
    return subprocess.Popen([bin_folder / "reelrig", "live", source, "--follow", "--catch-up", "--ladder", "144", "-o", folder,
                             *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rate_told(folder):
    return int(re.search("BANDWIDTH=([0-9]+)", (folder / "master.m3u8").read_text())[1])


def folders():
    """what is told of a kept ladder: rates of its largest segments, times that meet; as much as `transcode` says"""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source = folder / "calm.mp4"  # two seconds of grey, then a storm
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=gray:size=256x144:rate=24:d=2",
                        "-f", "lavfi", "-i", "nullsrc=size=256x144:rate=24:d=2,geq=random(1)*255:128:128",
                        "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:d=4",
                        "-filter_complex", "[0][1]concat=n=2:v=1[v]", "-map", "[v]", "-map", "2",
                        "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-pix_fmt", "yuv420p", "-c:a", "aac",
                        "-movflags", "frag_keyframe+empty_moov+default_base_moof", source], check=True, timeout=60)
        live, job = folder / "live", folder / "job"
        process = follow(source, live, "--keep", "--quiet", "2", "--gop-ms", "1000")
        until = time.monotonic() + 60
        while not (live / "144p/seg_00002.m4s").exists() or rate_told(live) < (live / "144p/seg_00002.m4s").stat().st_size * 8:
            assert time.monotonic() < until and process.poll() is None, "no list"
            time.sleep(0.05)
        assert "ENDLIST" not in (live / "144p/index.m3u8").read_text(), "the list tells the first segment's rate until the end"
        assert process.wait(60) == 0
        assert all(p.stat().st_mode & 0o777 == 0o777 & ~umask for p in (live, live / "144p", live / "audio")), "for its owner alone"
        assert reelrig("transcode", source, "-o", job, "--ladder", "144", "--gop-ms", "1000").returncode == 0
        ours, theirs = [times((at / "manifest.mpd").read_text()) for at in (live, job)]
        assert len(ours) == len(theirs) == 2
        for (rate, line), (rate_there, line_there) in zip(ours, theirs):
            assert abs(rate / rate_there - 1) < 0.1, (rate, rate_there)
            assert all(abs(a + b - c) < 1e-9 for (a, b), (c, _) in zip(line, line[1:])), f"times do not meet: {line}"
            first, first_there, end, end_there = line[0], line_there[0], sum(line[-1]), sum(line_there[-1])
            assert first[0] == first_there[0] and abs(first[1] - first_there[1]) < 1e-5, "priming is no sound"
            assert abs(end - end_there) < 0.05, (line, line_there)


def trouble():
    """a segment that cannot be written, a standard output that takes no more: said, and the folder is ended in order"""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source = folder / "clip.ts"
        subprocess.run(["ffmpeg", "-v", "error", "-i", clip(folder, 3), "-c", "copy", source], check=True, timeout=60)
        (folder / "in-the-way/144p/seg_00001.m4s.new").mkdir(parents=True)
        written = follow(source, folder / "in-the-way", "--quiet", "1", "--gop-ms", "1000")
        deaf = follow(source, folder / "deaf", "--quiet", "1", "--gop-ms", "1000", "--json")
        deaf.stdout.close()
        for process, word in ((written, "seg_00001.m4s.new cannot be made"), (deaf, "standard output")):
            assert process.wait(60) == 1
            errors = process.stderr.read()
            assert word in errors and errors.startswith("reelrig:"), errors
        for name in ("in-the-way/144p", "in-the-way/audio", "deaf/144p", "deaf/audio"):
            if (folder / name / "index.m3u8").exists():  # the deaf one may have ended before anything began
                text = (folder / name / "index.m3u8").read_text()
                assert text.endswith("#EXT-X-ENDLIST\n"), text
        text = (folder / "in-the-way/144p/index.m3u8").read_text()
        assert "seg_00000.m4s" in text and ("seg_00001.m4s" not in text or "EXT-X-GAP" in text), text
        assert not [p for p in folder.rglob("*.new") if p.is_file()]


def sound():
    """sound that stops, or comes back at another rate: pictures go on, its playlist keeps up and says what is missing"""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source = folder / "short.ts"
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=256x144:rate=24:d=4",
                        "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:d=1", "-c:v", "libx264", "-preset", "ultrafast",
                        "-g", "12", "-pix_fmt", "yuv420p", "-c:a", "aac", source], check=True, timeout=60)
        process = follow(source, folder / "short", "--quiet", "1", "--gop-ms", "500", "--window", "3")
        data = [as_flv(make_clip(folder / f"{rate}.mp4", seconds=2, size="256x144", sound_hz=rate)) for rate in (48000, 44100)]
        with Live("rtmp://127.0.0.1:0/live/key", "--grace", "1", "--gop-ms", "500", serve=False, ladder="144") as live:
            RtmpSender(live.port).publish(data[0], until=1000).end()
            live.wait("went")
            RtmpSender(live.port).publish(data[1], until=1500).end()
            assert live.wait("went", skip=1)["text"] == "it ended the stream"
            live.end()
            assert [e for e in live.events if e["event"] == "fault" and "44100" in e["text"]], live.events
            closed = [(e["rendition"], e["number"], e["gap"]) for e in live.events if e["event"] == "segment"]
            behind, shown = 0, {"144p": 0, "audio": 0}
            for name, number, _ in closed:
                shown[name] = number
                behind = max(behind, shown["144p"] - shown["audio"])
            assert closed.count(("audio", shown["144p"], True)) == 1 and behind <= 3, f"{behind} GOPs behind: {closed}"
            left_out = [1 for name, _, gap in closed if gap and name == "144p"]  # by a machine that does not keep up
            assert shown["144p"] == 4 and len(left_out) <= live.count("behind"), closed
        assert process.wait(60) == 0
        assert "#EXTINF" in (folder / "short/audio/index.m3u8").read_text(), "a playlist of nothing"


def corners():
    """kept folders, writes that fail, sound that stops: what is told is true, and the rest goes on"""
    together((call.__name__, call) for call in (folders, trouble, sound))


def times(manifest):
    """(bandwidth, [(start, duration) in seconds]) of each rendition."""
    out = []
    for part in manifest.split("<Representation")[1:]:
        scale, line, at = int((re.search('timescale="([0-9]+)"', part) or re.search('timescale="([0-9]+)"', manifest))[1]), [], 0
        for t, d, r in re.findall('<S t="([0-9]+)" d="([0-9]+)"(?: r="([0-9]+)")?', part):
            for at in range(int(r or 0) + 1):
                line.append(((int(t) + at * int(d)) / scale, int(d) / scale))
        out.append((int(re.search('bandwidth="([0-9]+)"', part)[1]), line))
    return out


if shutil.which(chromium) and shutil.which("node"):
    subprocess.run([root / "packaging/web.sh", build, "test"], check=True, timeout=300)
only = os.environ.get("RR_ONLY")
run_tests([t for t in [usage, corners, srt, rtmp, files, glass] if not only or t.__name__ in only.split(",")])
