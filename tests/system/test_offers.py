# SPDX-License-Identifier: GPL-2.0-or-later
"""Rigs for hire, and contract chains: real rigs on loopback, each with a chain of its own, and a publisher who owns none."""
import filecmp
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

from rig import Rig, bin_folder, build, make_clip, media, reelrig, run_tests

home = pathlib.Path(tempfile.mkdtemp(prefix="reelrig-test-offers-"))
LADDER = "180,90"


def offers(price, **more):
    """An [offers] table; price is of a megapixel-frame of H.264."""
    keys = {"enabled": "true", "h264_price": f'"{price}"', "unit_price": '"0.001"', "unpaid_max": '"0.02"', **more}
    return "[offers]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def cheating_worker():
    """A worker program that encodes at a worse quality than ordered."""
    library = build / "tests/libfake_cheap_encoder.so"
    assert library.exists(), f"{library} is not built"
    script = home / "cheating-worker"
    script.write_text(f'#!/bin/sh\nexport LD_PRELOAD={library}\nexport ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0\n'
                      f'exec {bin_folder}/reelrig-worker "$@"\n')
    script.chmod(0o755)
    return script


def same_files(a, b):
    """Both folders hold the same files, byte for byte."""
    left, right = ({str(p.relative_to(f)) for p in f.rglob("*") if p.is_file()} for f in (a, b))
    assert left == right and left, left ^ right
    for name in sorted(left):
        assert filecmp.cmp(a / name, b / name, shallow=False), f"{name} differs"


def settled(rig, pool, coins):
    """What the ledger of this rig says was paid out of the pool, once it is that much."""
    rig.call("pay/settle", {})
    return rig.until(f"pools/{pool}", lambda p: float(p["settled_here"]) >= float(coins) - 1e-12)["settled_here"]


def test_market():
    """the cheapest rig works; a cheat is caught and unpaid, a killed one is replaced, a dear one is left out"""
    clip = make_clip(home / "market.mp4", seconds=16, size="320x180")
    prices = {"cheat": "0.0005", "killed": "0.001", "good": "0.0015", "dear": "0.9"}
    rigs = {name: Rig(config=offers(price)) for name, price in prices.items()}
    wallet = home / "wallet"
    environment = {**os.environ, "RR_WORKER": str(cheating_worker())}
    try:
        for name, rig in rigs.items():
            rig.start(env=environment if name == "cheat" else None)
        for name, rig in rigs.items():
            if name != "dear":
                rig.fund(wallet, "1")
        urls = {rig.serve: name for name, rig in rigs.items()}
        listed = json.loads(reelrig("offers", *urls, "--wallet", wallet, "--json", check=True).stdout)["offers"]
        assert [o["codecs"]["h264"]["price"] for o in listed] == [prices[urls[o["url"]]] for o in listed], listed
        publish_and_kill(rigs, urls, clip, wallet)
    except BaseException:
        for name, rig in rigs.items():
            print(f"log of {name}:\n{rig.log()[-2000:]}")
        raise
    finally:
        for rig in rigs.values():
            rig.close()


def publish_and_kill(rigs, urls, clip, wallet):
    out, local = home / "hired", home / "local"
    command = [bin_folder / "reelrig", "publish", clip, "--rigs", ",".join(urls), "-o", out, "--ladder", LADDER, "--wallet", wallet,
               "--max-price", "0.5", "--no-local", "--json"]
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 240
    while rigs["killed"].call("pools")["paid_units"] == 0:
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.05)
    rigs["killed"].kill()
    text, errors = process.communicate(timeout=300)
    assert process.returncode == 0, text + errors
    report = json.loads(text)
    by_name = {urls[row["url"]]: row for row in report["rigs"]}
    for name, row in by_name.items():
        print(f"  {name}: {row['gops']} GOPs, paid {row['paid']}, {row['state']} {row['why'][:90]}")
    assert by_name["cheat"]["cheated"] and by_name["cheat"]["paid_units"] == 0 and by_name["cheat"]["gops"] == 0
    assert by_name["dear"]["state"] == "out" and "too expensive" in by_name["dear"]["why"] and by_name["dear"]["pool"] == ""
    assert by_name["killed"]["state"] == "out" and not by_name["killed"]["cheated"] and by_name["killed"]["gops"] > 0
    assert by_name["good"]["state"] == "worked" and by_name["good"]["gops"] > 0
    assert by_name["killed"]["gops"] + by_name["good"]["gops"] == report["gops"] and report["made_here"] == 0
    assert list((wallet / "rigs").glob("*/evidence/*.commit")), "the cheat's commitment is not kept"
    reelrig("transcode", clip, "-o", local, "--ladder", LADDER, check=True)
    same_files(out, local)
    plays(out)
    rigs["killed"].start()  # its book is whole: it settles what it was paid before
    for name in ("killed", "good"):
        row = by_name[name]
        units = row["gops"] * row["gop_units"]
        sound = row["paid_units"] - units  # at most one of them made the sound
        assert sound >= 0 and abs(float(row["paid"]) - row["paid_units"] * 1e-3) < 1e-9, row
        assert abs(float(settled(rigs[name], row["pool"], row["paid"])) - float(row["paid"])) < 1e-9
    assert float(settled(rigs["cheat"], by_name["cheat"]["pool"], 0)) == 0


def plays(folder):
    subprocess.run(["ffmpeg", "-v", "error", "-xerror", "-i", folder / "master.m3u8", "-f", "null", "-"], check=True, timeout=120)


def test_refusals():
    """a rig shows its offer, takes no order that is none, and works for nobody without coins"""
    with Rig(config=offers("0.00001", jobs_max="1")) as rig:
        rig.start()
        status, _, body = rig.get("/v1/offers", {"Accept": "application/json"})
        assert status == 200 and json.loads(body)["jobs_max"] == 1
        assert rig.get("/v1/offers")[2][0] == 1, "the wire form begins with its version"
        for path in ("/v1/jobs/" + "0" * 64, "/v1/jobs/xyz", "/v1/jobs/" + "0" * 64 + "/shards/1"):
            assert rig.get(path)[0] == 404, path
        for body in (b"", b"\1order", bytes(5000)):
            assert rig.post("/v1/jobs", body) == 400
        result = reelrig("publish", make_clip(home / "poor.mp4", seconds=2, size="160x90", audio=False), "--rigs", rig.serve, "-o",
                         home / "poor", "--wallet", home / "poor-wallet", "--no-local", "--ladder", "90")
        assert result.returncode == 4 and "coins are needed" in result.stderr, result.stderr
    with Rig() as rig:
        rig.start()
        assert rig.get("/v1/offers")[0] == 404, "a rig without [offers] has none"
        result = reelrig("offers", rig.serve, "http://127.0.0.1:9", "--wallet", home / "poor-wallet")
        assert result.returncode != 0 and result.stderr.count("reelrig:") == 2 and "makes no offers" in result.stderr, result.stderr


def test_own_rig():
    """what a hired rig has made is published, proved and served by the publisher's own"""
    clip, wallet, local = make_clip(home / "own.mp4", seconds=4, size="320x180"), home / "own-wallet", home / "own-local"
    with Rig(config=offers("0.0005")) as hired, Rig() as own:
        hired.start()
        own.start()
        hired.fund(wallet, "0.5")
        result = reelrig("publish", clip, "--rigs", hired.serve, "--data", own.data, "--wallet", wallet, "--ladder", LADDER, "--no-local",
                         "--json", check=True)
        report = json.loads(result.stdout)
        job = report["job"]
        assert report["made_here"] == 0 and report["rigs"][0]["gops"] == report["gops"] == job["gops"], report
        assert job["stage"] == "proved" and job["proofs_failed"] == 0 and job["proofs_checked"] > 0
        assert job["seconds"]["prove"] > 0 and not (pathlib.Path(own.data) / "jobs" / job["job"] / "work").exists()
        reelrig("transcode", clip, "-o", local, "--ladder", LADDER, check=True)
        for name in ("180p/init.mp4", "180p/seg_00000.m4s", "90p/seg_00001.m4s", "audio/seg_00000.m4s"):
            path = f"/v1/resources/{job['resource']}/hls/{name}"
            status, _, served = own.get(path, own_session(own))
            assert status == 200 and served == (local / name).read_bytes(), (name, status)
        one, alone = home / "own-hired.mp4", home / "own-alone.mp4"
        words = ["--ladder", "180", "--codec", "hevc", "-o"]
        reelrig("publish", clip, "--rigs", hired.serve, "--wallet", wallet, "--no-local", *words, one, check=True)
        reelrig("transcode", clip, *words, alone, check=True)
        assert filecmp.cmp(one, alone, shallow=False), "one file of others is not the one made here"


class Road(http.server.ThreadingHTTPServer):
    """Between publisher and rig: keeps what was ordered, loses what it is told to lose.
    lost: (method, path, payment) of a request -> None, "way" (never arrives) or "answer" (arrives, and nobody hears of it)."""
    daemon_threads = True

    def __init__(self, rig, lost=lambda method, path, payment: None):
        super().__init__(("127.0.0.1", 0), RoadHandler)
        self.rig, self.lost, self.orders, self.seen = rig, lost, [], []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A killed publisher hears no answer."""

    def jobs(self):
        """Handles of the jobs that were spoken of, in order."""
        found = [match[1] for path in self.seen if (match := re.match(r"/v1/jobs/([0-9a-f]{64})/", path))]
        return list(dict.fromkeys(found))


class RoadHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) if self.command == "POST" else None
        road, payment = self.server, self.headers.get("Reelrig-Payment")
        road.seen.append(self.path)
        if self.path == "/v1/jobs":
            road.orders.append(body)
        lost = road.lost(self.command, self.path, payment)
        if lost == "way":
            self.close_connection = True
            return
        headers = {name: value for name, value in self.headers.items() if name in ("Reelrig-Payment", "Content-Type", "Accept")}
        status, _, answer = road.rig.get(self.path, headers) if body is None else road.rig.send(self.path, body, headers)
        if lost == "answer":
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *_):
        pass


def test_alone():
    """when all rigs are out the work is made here, and --json is JSON with --explain too"""
    clip, out, local = make_clip(home / "alone.mp4", seconds=4, size="160x90"), home / "alone", home / "alone-local"
    nobody = "http://127.0.0.1:9"
    options = ["--ladder", "90", "--preset", "ultrafast"]
    result = reelrig("publish", clip, "--rigs", f"{nobody},{nobody}/v1/offers,127.0.0.1:9", "-o", out, "--wallet", home / "alone-wallet",
                     "--json", "--explain", *options, check=True)
    report = json.loads(result.stdout)
    assert report["made_here"] == report["shards"] == 3 and report["frames_in"] == 96, report
    assert [rig["state"] for rig in report["rigs"]] == ["out", "out"], "one rig named twice is one rig"
    assert f"{nobody}: out: no answer" in result.stderr and "http://HOST:PORT of a rig was expected" in report["rigs"][1]["why"], report
    reelrig("transcode", clip, "-o", local, *options, check=True)
    same_files(out, local)
    result = reelrig("offers", nobody.encode() + b"/\xff", nobody, "--wallet", home / "alone-wallet", "--json")
    assert result.returncode != 0 and len(json.loads(result.stdout)["offers"]) == 2, result.stdout


def test_sound_only():
    """a rig that takes the sound alone makes it; the pictures are made here; a preimage whose answer is lost is paid"""
    clip, wallet, out, local = make_clip(home / "sound.mp4", seconds=4, size="160x90"), home / "sound-wallet", home / "sound", home / "sound-local"
    paid = re.compile("depth=[1-9]")
    with Rig(config=offers("0", audio_price='"0.001"', av1_price='"0"')) as rig:
        rig.start()
        rig.fund(wallet, "0.5")
        options = ["--ladder", "90", "--preset", "ultrafast"]
        result = reelrig("publish", clip, "--rigs", rig.serve, "-o", out, "--wallet", wallet, "--json", *options, check=True, timeout=60)
        report = json.loads(result.stdout)
        assert report["made_here"] == 2 and report["rigs"][0]["state"] == "worked" and report["rigs"][0]["shards"] == 1, report
        shutil.rmtree(out)
        with Road(rig, lambda method, path, payment: "answer" if path.endswith("/pay") and paid.search(payment) else None) as road:
            result = reelrig("publish", clip, "--rigs", road.url, "-o", out, "--wallet", wallet, "--json", *options, check=True, timeout=60)
        report = json.loads(result.stdout)
        row = report["rigs"][0]
        assert row["state"] == "out" and row["shards"] == 1 and report["made_here"] == 2 and row["paid_units"] > 0, report
        assert abs(float(settled(rig, row["pool"], row["paid"])) - float(row["paid"])) < 1e-9, "the rig has what the report says"
        reelrig("transcode", clip, "-o", local, *options, check=True)
        same_files(out, local)
        result = reelrig("publish", clip, "--rigs", rig.serve, "-o", home / "sound-not", "--wallet", wallet, "--no-local", *options)
        assert result.returncode == 4 and "none of them takes the pictures" in result.stderr, result.stderr


def test_room():
    """quotes hold no place, an order counts once, and a killed publisher who comes again has his place"""
    clip, wallet, poor = make_clip(home / "room.mp4", seconds=4, size="160x90", audio=False), home / "room-wallet", home / "room-poor"
    lost = lambda method, path, payment: "way" if path.endswith("/end") else None
    with Rig(config=offers("0.0005", jobs_max="1")) as rig:
        rig.start()
        rig.fund(wallet, "0.5")
        with Road(rig, lost) as road:
            command = ["publish", clip, "--rigs", road.url, "--no-local", "-o"]
            for ladder in ("90", "80", "70", "90"):
                result = reelrig(*command, home / f"room-{ladder}", "--wallet", poor, "--ladder", ladder)
                assert result.returncode == 4 and "coins are needed" in result.stderr, result.stderr
            first, again = road.jobs()[0], road.jobs()[3]
            assert rig.get(f"/v1/jobs/{first}")[0] == 404 and rig.get(f"/v1/jobs/{again}")[0] == 200, "the later order ends the earlier"
            for order in (road.orders[0], road.orders[3]):
                assert rig.post("/v1/jobs", order) == 409, "an order that was taken makes no second job"
            orders = len(road.orders)
            words = [bin_folder / "reelrig", *command, home / "room", "--wallet", wallet, "--ladder", "90"]
            process = subprocess.Popen([str(word) for word in words], stderr=subprocess.DEVNULL)
            until = time.monotonic() + 60
            while not any("/source?" in path for path in road.seen) or len(road.orders) == orders:
                assert time.monotonic() < until and process.poll() is None, "it got no place"
                time.sleep(0.02)
            process.kill()  # while it has the one place
            process.wait()
            result = reelrig(*command, home / "room", "--wallet", wallet, "--ladder", "90", "--json", check=True)
            assert json.loads(result.stdout)["made_here"] == 0, result.stdout


def own_session(rig):
    return {"Reelrig-Payment": "session=" + rig.call("sessions/owner", {})["session"]}


FIGURE_8 = {"gop_ms": 2000, "crf": 30, "challenges": 2, "output": "ladder", "steps": [
    {"kind": "demux", "price": "0.01"},
    {"kind": "decode_video", "from": [0], "price": "0.02"},
    {"kind": "encode_video", "from": [1], "profile": "x265-199-ultrafast-v1", "rung": 180, "price": "0.1"},
    {"kind": "decode_audio", "from": [0], "price": "0.005"},
    {"kind": "encode_audio", "from": [3], "profile": "aac", "bps": 96000, "price": "0.03"},
    {"kind": "mux", "from": [2, 4], "price": "0.01"}]}


def figure_8_clip():
    """H.264 and MP3 in MP4; from a real clip where there is one."""
    clip, source = home / "figure8.mp4", media("bbb_480p24_h264_aac_30s.mp4")
    if source is None:
        source = make_clip(home / "figure8-source.mp4", seconds=4, size="320x180")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-t", "4", "-i", source, "-map", "0:v:0", "-map", "0:a:0", "-vf", "scale=320:180",
                    "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "libmp3lame", clip], check=True, timeout=120)
    return clip


def test_figure_8():
    """the chain of figure 8 runs: H.264 and MP3 in MP4 become H.265 and AAC, each step under a contract of its own, each paid"""
    clip, words = figure_8_clip(), home / "figure8.json"
    words.write_text(json.dumps(FIGURE_8))
    with Rig() as rig:
        rig.start()
        rig.until("wallet", lambda w: float(w["balance"]) > 3)
        job = rig.publish(clip, "--chain", words)
        assert job["stage"] == "proved" and job["proofs_failed"] == 0
        steps = job["chain"]["steps"]
        assert [s["kind"] for s in steps] == [s["kind"] for s in FIGURE_8["steps"]]
        for step, asked in zip(steps, FIGURE_8["steps"]):
            assert step["price"] == asked["price"] and step["checked"] >= 1 and step["failed"] == 0, step
        seen = {}
        for height in range(1, rig.call("chain")["height"] + 1):
            for tx in rig.call(f"chain/{height}")["transactions"]:
                seen[tx["id"]] = tx["type"]
        for step in steps:
            assert [seen.get(step[key]) for key in ("contract", "claim", "attestation")] == ["open_contract", "claim", "attestation"], step
        assert rig.call("chain/verify", {})["equal"]
        codecs = rig.get(f"/v1/resources/{job['resource']}/hls/master.m3u8")[2].decode()
        assert "hvc1" in codecs and "mp4a.40.2" in codecs, codecs
        wrong = {**FIGURE_8, "steps": FIGURE_8["steps"][:-1]}
        words.write_text(json.dumps(wrong))
        result = reelrig("publish", clip, "--chain", words, "--data", rig.data)
        assert result.returncode == 1 and "chain" in result.stderr, result.stderr


PICTURES = {"gop_ms": 2000, "challenges": 1, "steps": [
    {"kind": "demux", "price": "0.01"},
    {"kind": "decode_video", "from": [0], "price": "0.02"},
    {"kind": "encode_video", "from": [1], "profile": "x265-199-ultrafast-v1", "rung": 90, "price": "0.1"},
    {"kind": "mux", "from": [2], "price": "0.01"}]}


def test_waiting():
    """a chain that nobody can pay is refused, a job without coins lets others pass, and can be cancelled"""
    clip, words = make_clip(home / "waiting.mp4", seconds=2, size="160x90", audio=False), home / "waiting.json"
    words.write_text(json.dumps(PICTURES))
    with Rig(config='job_price = "100000000"\n') as rig:  # of [pay], the last table of every rig's configuration
        rig.start()
        rig.until("wallet", lambda w: float(w["balance"]) > 1)
        dear = home / "dear.json"
        dear.write_text(json.dumps({**PICTURES, "steps": [{**step, "price": "99999999"} for step in PICTURES["steps"]]}))
        result = reelrig("publish", clip, "--chain", dear, "--data", rig.data)
        assert result.returncode == 1 and "cost 399999996 coins" in result.stderr, (result.returncode, result.stderr)
        assert rig.call("jobs")["jobs"] == []
        poor = rig.upload(clip)
        rig.until(f"jobs/{poor}", lambda job: job["stage"] == "stored" and job["error"])
        assert rig.publish(clip, "--chain", words)["stage"] == "proved"
        job = rig.call(f"jobs/{poor}")
        assert job["stage"] == "stored" and "coins" in job["error"], job
        told = reelrig("job", "cancel", poor, "--data", rig.data, "--json", check=True)
        assert json.loads(told.stdout)["job"] == poor
        job = rig.until(f"jobs/{poor}", lambda job: job["final"], timeout=10)
        assert job["stage"] == "failed" and job["error"] == "the job was cancelled", job
        assert not (rig.data / "jobs" / poor / "source").exists()
        for name, sentence in ((poor, "not published can be cancelled"), ("0" * 32, "there is no job")):
            result = reelrig("job", "cancel", name, "--data", rig.data)
            assert result.returncode != 0 and sentence in result.stderr, result.stderr
        assert rig.call("chain/verify", {})["equal"]


if __name__ == "__main__":
    try:
        only = os.environ.get("RR_ONLY", "")
        run_tests([t for t in (test_market, test_refusals, test_alone, test_sound_only, test_room, test_own_rig, test_figure_8, test_waiting) if only in t.__name__])
    finally:
        shutil.rmtree(home, ignore_errors=True)
