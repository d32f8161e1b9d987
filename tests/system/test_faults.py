#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrong input and faults: each ends in its exit code and in a sentence that says what, where and what to do; nothing
that was paid or acknowledged is lost, whoever is killed."""
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from rig import Rig, bin_folder, make_clip, opener, reelrig, run_tests

shared = None  # one rig for the faults that a rig has to survive
skipped = 0


def rig():
    global shared
    if shared is None:
        shared = Rig().start()
    assert shared.process.poll() is None, f"the rig is gone: {shared.process.returncode}\n{shared.log()[-3000:]}"
    return shared


def says(text, *words):
    """The text must hold each word (one of several, split at |), whatever the case."""
    for word in words:
        assert any(w.lower() in text.lower() for w in word.split("|")), f"{word!r} is missing in: {text!r}"
    assert "  " not in text.strip() and "(null)" not in text, text


def refused(video, *words, code=1):
    result = reelrig("publish", video, "--data", rig().data, "--json")
    assert result.returncode == code, f"exit {result.returncode}: {result.stdout}{result.stderr}"
    says(result.stderr, *words)
    assert json.loads(result.stdout)["message"] in result.stderr, result.stdout
    assert reelrig("status", "--data", rig().data).returncode == 0, "the rig must live on"


# ---- what is published ----------------------------------------------------------------------------------------------


def no_such_file():
    """a file that is not there is refused by its name"""
    refused(rig().folder / "nowhere.mp4", "nowhere.mp4", "no such file", "cannot read")


def zero_bytes():
    """an empty file is refused"""
    empty = rig().folder / "empty.mp4"
    empty.write_bytes(b"")
    refused(empty, "empty.mp4", "empty|0 bytes", "expected")


def a_folder():
    """a folder is refused"""
    refused(rig().folder, "not a file", "expected", code=2)


def random_bytes():
    """random bytes are refused as no video"""
    path = rig().folder / "noise.mp4"
    path.write_bytes(random.Random(7).randbytes(300000))
    refused(path, "noise.mp4", "not a video|no video|not a known|holds no|format")


def text_file():
    """a text is refused as no video"""
    path = rig().folder / "text.mp4"
    path.write_text("This is a letter, not a film.\n" * 500)
    refused(path, "text.mp4", "not a video|no video|not a known|holds no|format")


def truncated():
    """an MP4 whose index was cut off is refused"""
    whole = make_clip(rig().folder / "whole.mp4", seconds=4)
    path = rig().folder / "cut.mp4"
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused(path, "cut.mp4", "cut|truncated|incomplete|not a video|index")


def truncated_behind_index():
    """an MP4 that is cut in its pictures is refused, or published with what is there"""
    source = rig().folder / "front.mp4"
    make_clip(source.with_suffix(".mkv"), seconds=4)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source.with_suffix(".mkv"), "-c", "copy", "-movflags",
                    "+faststart", source], check=True)
    data = source.read_bytes()
    path = rig().folder / "cutfront.mp4"
    path.write_bytes(data[: len(data) * 6 // 10])
    result = reelrig("publish", path, "--data", rig().data, "--json")
    if result.returncode == 0:
        job = json.loads(result.stdout)
        assert job["frames_out_ok"] and 24 < job["frames_in"] < 96, job
    else:
        assert result.returncode in (1, 3), result
        says(result.stderr, "cutfront.mp4", "cut|truncated|damaged|incomplete")


def three_by_one():
    """a picture of 3x1 pixels works or is refused by its size"""
    path = rig().folder / "tiny.mkv"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=96x32:rate=24,format=gbrp,scale=3:1",
                    "-t", "2", "-c:v", "ffv1", "-pix_fmt", "gbrp", path], check=True)
    result = reelrig("publish", path, "--data", rig().data, "--json")
    if result.returncode == 0:
        job = json.loads(result.stdout)
        assert job["frames_in"] == 48 and job["frames_out_ok"] and job["proofs_failed"] == 0, job
    else:
        assert result.returncode == 1, result
        says(result.stderr, "tiny.mkv", "3x1|3 x 1", "pixels|smaller|least")


def audio_only():
    """sound without a picture is published, proved and served"""
    path = rig().folder / "sound.m4a"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000", "-t", "6",
                    "-c:a", "aac", path], check=True)
    job = rig().publish(path)
    assert job["stage"] == "proved" and job["proofs_failed"] == 0 and job["proofs_checked"] > 0, job
    status, _, body = rig().get(f"/v1/resources/{job['resource']}/hls/master.m3u8")
    assert status == 200 and body.startswith(b"#EXTM3U"), (status, body[:100])


# ---- how it is started ----------------------------------------------------------------------------------------------


def fails_to_start(other, *words, code=1):
    other.start(wait=False)
    try:
        assert other.process.wait(timeout=60) == code, f"exit {other.process.returncode}\n{other.log()}"
    finally:
        if other.process.poll() is None:
            other.kill()
    says(other.log().strip().splitlines()[-1], *words)


def port_taken(option, words):
    with socket.socket() as taken, Rig() as other:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other.arguments = [option, str(port)]
        fails_to_start(other, str(port), "127.0.0.1", *words)


def serve_port_taken():
    """a serving port that is taken stops the start"""
    port_taken("--serve-port", ["taken|in use", "serve"])


def control_port_taken():
    """a control port that is taken stops the start"""
    port_taken("--control-port", ["taken|in use", "control"])


def another_genesis():
    """a data folder of another network is refused and left as it is"""
    with Rig() as other:
        other.start()
        other.until("chain", lambda c: c["height"] >= 1)
        other.stop()
        config = other.config.read_text()
        other.config.write_text(config.replace('"dev"', '"test"'))
        fails_to_start(other, str(other.data), "genesis", "another data folder")
        other.config.write_text(config)
        other.start()
        assert other.call("chain")["height"] >= 1
        assert other.stop() < 2


def second_daemon():
    """a second daemon on the same data is refused, the first lives on"""
    first = rig()
    with Rig() as other:
        other.data = first.data
        fails_to_start(other, str(first.data), "another reelrigd", "stop it", "--data")
    assert reelrig("status", "--data", first.data).returncode == 0


def damaged_config():
    """a wrong setting stops the start with file, line and column"""
    for wrong, words in (('[serve]\nport = "x"\n', ["port"]), ("[serve]\nprot = 1\n", ["prot"]),
                         ("[serve\nport = 1\n", []), ("[pay]\nslice_kib = 99999999\n", ["slice_kib", "16384"]),
                         ('[store]\nheadroom_mib = = 3\n', [])):
        with Rig() as other:
            other.config.write_text(wrong)
            fails_to_start(other, "test.toml", *words)
            last = other.log().strip().splitlines()[-1]
            assert re.search(r"test\.toml:[12]:\d+", last), last
            check = subprocess.run([bin_folder / "reelrigd", "--check-config", "--config", other.config],
                                   capture_output=True, text=True)
            assert check.returncode == 1 and "test.toml:" in check.stderr, check


def no_config():
    """settings that are not there stop the start by name"""
    with Rig() as other:
        other.config.unlink()
        fails_to_start(other, "test.toml", "no such file|not there|cannot read")


def unknown_words():
    """unknown verbs, options and counts of words are wrong usage: exit 2"""
    for words in (["dance"], [], ["status", "--loud"], ["publish"], ["publish", "a", "b"], ["watch"], ["job", "hide"],
                  ["transcode", "in.mp4"], ["watch", "not-an-address", "--wallet", str(rig().folder / "w2")],
                  ["publish", "--ladder"], ["store", "objects"]):
        result = reelrig(*words)
        assert result.returncode == 2 and result.stderr.strip(), (words, result)
    for words in (["--loud"], ["extra"], ["--serve-port", "70000"]):
        result = subprocess.run([bin_folder / "reelrigd", *words], capture_output=True, text=True)
        assert result.returncode == 2 and "usage" in result.stderr, (words, result)


def no_rig():
    """without a rig each verb ends with 4 and says how to start one"""
    nowhere = rig().folder / "no-rig-here"
    for words in (["status"], ["job", "show"], ["chain", "show"], ["pool", "show"], ["store", "show"]):
        result = reelrig(*words, "--data", nowhere)
        assert result.returncode == 4, (words, result)
        says(result.stderr, str(nowhere), "no rig", "start reelrigd", "--data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = reelrig("watch", f"http://127.0.0.1:{port}/v1/resources/{'0' * 64}", "--wallet", rig().folder / "w3")
    assert result.returncode == 4, result
    says(result.stderr, str(port), "no answer")


def wrong_token():
    """a wrong token is answered 401 and says where the right one stands"""
    for headers in ({}, {"Authorization": "Bearer " + "0" * 64}, {"Authorization": "Basic x"}):
        for path in ("status", "wallet/send", "events"):
            request = urllib.request.Request(f"{rig().control}/api/v1/{path}", headers=headers)
            if path == "wallet/send":
                request.data = b"{}"
            try:
                opener.open(request, timeout=10)
                raise AssertionError(f"{path} was answered without a token")
            except urllib.error.HTTPError as error:
                assert error.code == 401, (path, error.code)
                says(json.load(error)["message"], "token", "control.json")
    forged = rig().folder / "forged"
    forged.mkdir(exist_ok=True)
    control = json.loads((rig().data / "control.json").read_text())
    (forged / "control.json").write_text(json.dumps({**control, "token": "1" * 64}))
    result = reelrig("status", "--data", forged)
    assert result.returncode == 1, result
    says(result.stderr, "token", "control.json")


def strange_letters():
    """letters beyond ASCII come back whole in a refusal; bytes that are no text do not break its JSON"""
    for path, shown in (("g%C3%A4nge", "g\u00e4nge"), ("g%E4nge", "g\ufffdnge"), ("%22a%5C%01", '"a\\\x01')):
        request = urllib.request.Request(f"{rig().control}/api/v1/jobs/{path}",
                                         headers={"Authorization": f"Bearer {rig().token}"})
        try:
            opener.open(request, timeout=10)
            raise AssertionError(f"{path} was found")
        except urllib.error.HTTPError as error:
            assert error.code == 404 and shown in json.load(error)["message"], path


# ---- disk full ------------------------------------------------------------------------------------------------------


def with_small_store(mib, headroom_mib, *words):
    """A rig whose store is a tmpfs in a mount namespace of its own; a clip that does not fit must be refused."""
    global skipped
    test = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True)
    if os.geteuid() != 0 or test.returncode != 0:
        skipped += 1
        print("skip  a small disk needs root and mount namespaces")
        return
    with Rig() as full:
        full.config.write_text(full.config.read_text().replace("headroom_mib = 16", f"headroom_mib = {headroom_mib}"))
        store = full.data / "store"
        store.mkdir(parents=True)
        full.prefix = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size={mib}m none "{store}" && exec "$0" "$@"']
        full.start()
        small = make_clip(full.folder / "small.mp4", seconds=2, size="160x90")
        large = full.folder / "large.mkv"
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=24,noise=alls=80",
                        "-t", "16", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "8", "-pix_fmt", "yuv420p", large],
                       check=True)
        assert large.stat().st_size * 1.5 > (mib - headroom_mib) << 20, large.stat().st_size
        assert full.publish(small, "--ladder", "90")["stage"] == "proved"
        result = reelrig("publish", large, "--data", full.data, "--json")
        assert result.returncode == 1, result
        says(result.stderr, "large.mkv", *words)
        assert full.publish(small, "--ladder", "90")["stage"] == "proved", "a small one must still fit"
        height = full.call("chain")["height"]
        full.until("chain", lambda c: c["height"] > height)
        assert full.stop() < 2


def headroom():
    """a disk that would be filled beyond its headroom: refused, the rig goes on"""
    with_small_store(40, 24, "headroom", "free", "MiB|bytes")


def disk_full():
    """a disk that is too small without any headroom: refused, the rig goes on"""
    with_small_store(16, 0, "bytes free|no space left", "make room")


def failed_job_gives_back():
    """a job that fails behind its original gives all of its space back"""
    with Rig() as one:
        text = one.config.read_text().replace("[store]\n", "[store]\nquota_mib = 4\n")
        one.config.write_text(text.replace("[transcode]\n", "[transcode]\ncrf = 1\n"))
        one.start()
        clip = one.folder / "noise.mp4"
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=24,noise=alls=60",
                        "-t", "8", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "34", "-pix_fmt", "yuv420p", clip],
                       check=True)
        assert clip.stat().st_size * 1.5 < 2.9 * (1 << 20), clip.stat().st_size
        result = reelrig("publish", clip, "--data", one.data, "--json", "--ladder", "360")
        assert result.returncode == 1, result
        says(result.stderr, "quota", "used")
        assert one.call("jobs")["jobs"][0]["shards"] > 0, "the original was not even stored: a weaker test than was meant"
        one.until("store", lambda s: s["objects"] == 0 and s["bytes"] == 0)
        small = make_clip(one.folder / "small.mp4", seconds=2, size="160x90")
        published = one.publish(small, "--ladder", "90")
        objects = one.call("store")["objects"]
        assert one.stop() < 2
        one.start()  # what is published stays
        assert one.call("store")["objects"] == objects > 0
        assert one.get(f"/v1/resources/{published['resource']}/manifest")[0] == 200


# ---- who is killed ----------------------------------------------------------------------------------------------------


def workers_of(pid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                comm, rest = (entry / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            except (OSError, IndexError):
                continue
            if comm.startswith("reelrig-worker") and int(rest.split()[1]) == pid:
                found.append(int(entry.name))
    return found


def job_of(one, handle, timeout=200):
    job = one.until(f"jobs/{handle}", lambda j: j["final"], timeout=timeout)
    assert job["stage"] == "proved" and job["frames_out_ok"] and job["proofs_failed"] == 0, job
    return job


def heavy_clip(folder, seconds=20):
    return make_clip(folder / "heavy.mp4", seconds=seconds, size="960x540", rate=24)


def kill_worker():
    """a worker that is killed in the middle of a job is replaced: the job ends proved, no frame lost"""
    clip = heavy_clip(rig().folder)
    handle = rig().upload(clip, ladder="360,180")
    killed = 0
    while killed < 4:
        job = rig().call(f"jobs/{handle}")
        assert not job["final"], f"ended after {killed} kills: {job}"
        if job["percent"] > 3 + 10 * killed:
            for pid in workers_of(rig().process.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
                killed += 1
        time.sleep(0.02)
    assert job_of(rig(), handle)["frames_in"] == 480


def kill_daemon():
    """a daemon that is killed in the middle of a job goes on with it and proves it"""
    with Rig() as one:
        one.start()
        handle = one.upload(heavy_clip(one.folder), ladder="360,180")
        for percent in (10, 40):
            one.until(f"jobs/{handle}", lambda j: j["final"] or j["percent"] > percent)
            assert not one.call(f"jobs/{handle}")["final"]
            one.kill()
            time.sleep(0.2)
            assert not workers_of(one.process.pid), "workers outlive their daemon"
            one.start()
        assert job_of(one, handle)["frames_in"] == 480
        assert "goes on from stage" in one.log()
        assert json.loads(reelrig("chain", "verify", "--data", one.data, "--json", check=True).stdout)["equal"]


def stop_daemon():
    """SIGTERM in the middle of a job stops the daemon within 2 s; the next start ends the job"""
    with Rig() as one:
        one.start()
        handle = one.upload(heavy_clip(one.folder), ladder="360,180")
        one.until(f"jobs/{handle}", lambda j: j["percent"] > 15)
        seconds = one.stop()
        assert one.process.returncode == 0, one.process.returncode
        assert seconds < 2, f"the stop took {seconds:.2f} s"
        assert not (one.data / "control.json").exists(), "control.json of a stopped rig is there"
        one.start()
        assert job_of(one, handle)["frames_in"] == 480


def slices_of(one, resource, name, slice_bytes):
    folder = f"/v1/resources/{resource}/hls/{name}"
    status, _, playlist = one.get(f"{folder}/index.m3u8")
    assert status == 200, status
    files = [line for line in playlist.decode().splitlines() if line and not line.startswith("#")]
    count = 0
    for file in files:
        request = urllib.request.Request(f"{one.serve}{folder}/{file}", method="HEAD")
        try:
            with opener.open(request, timeout=10) as answer:
                size = int(answer.headers["Content-Length"])
        except urllib.error.HTTPError as error:  # 402 tells the price, not the size
            raise AssertionError(f"HEAD of {file}: {error.code}") from error
        count += -(-size // slice_bytes)
    return count


def kill_viewer():
    """a viewer that is killed while watching goes on: the same file, each slice paid once"""
    with Rig(config="slice_kib = 4\n") as one:  # [pay] is the last table of the settings
        one.start()
        clip = make_clip(one.folder / "clip.mp4", seconds=12, size="640x360")
        job = one.publish(clip, "--ladder", "360")
        url, wallet = f"{one.serve}/v1/resources/{job['resource']}", one.folder / "viewer"
        one.fund(wallet)
        out = one.folder / "watched.mp4"
        command = [bin_folder / "reelrig", "watch", url, "--wallet", wallet, "-o", out, "--json"]
        kills, last = 0, 0
        part = pathlib.Path(f"{out}.part")
        while kills < 5:
            viewer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until = time.monotonic() + 60
            while viewer.poll() is None and time.monotonic() < until:
                if part.exists() and part.stat().st_size > last:
                    break
                time.sleep(0.005)
            time.sleep(random.uniform(0, 0.05))
            if viewer.poll() is not None:
                break
            viewer.kill()
            viewer.wait()
            kills += 1
            last = part.stat().st_size if part.exists() else 0
        assert kills >= 2, f"the viewer was too fast: {kills} kills"
        end = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert end.returncode == 0, end.stderr
        result = json.loads(end.stdout)
        again = reelrig("watch", url, "--wallet", wallet, "-o", one.folder / "again.mp4", "--json")
        assert again.returncode == 0, again.stderr
        assert out.read_bytes() == (one.folder / "again.mp4").read_bytes()
        slices = slices_of(one, job["resource"], result["rendition"], 4096)
        assert result["paid_units"] == slices, f"paid {result['paid_units']} units for {slices} slices ({kills} kills)"
        assert json.loads(again.stdout)["paid_units"] == slices, again.stdout
        assert one.call("pools")["paid_units"] == slices, one.call("pools")
        one.call("pay/settle", {})
        pools = one.until("pools", lambda p: p["settled_units"] == p["paid_units"])
        assert pools["settled_units"] == slices and len(pools["sales"]) == 1, pools


only = os.environ.get("RR_ONLY")
try:
    run_tests([t for t in [no_such_file, zero_bytes, a_folder, random_bytes, text_file, truncated, truncated_behind_index, three_by_one,
               audio_only, unknown_words, no_rig, wrong_token, strange_letters, damaged_config, no_config, serve_port_taken,
               control_port_taken, second_daemon, another_genesis, kill_worker, kill_viewer, kill_daemon, stop_daemon,
               headroom, disk_full, failed_job_gives_back] if not only or t.__name__ in only.split(",")])
finally:
    if skipped:
        print(f"{skipped} skipped")
    if shared is not None:
        shared.close()
