#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Puzzles turn over while a viewer watches: certificates come back in time, or the rig takes note."""
import http.client
import http.server
import json
import pathlib
import subprocess
import tempfile
import threading
import time
import urllib.parse

from rig import Rig, bin_folder, make_clip, reelrig, root, run_tests


class SlowWay(http.server.ThreadingHTTPServer):
    """Stands between viewer and rig, and gives out slices at a viewer's pace."""

    daemon_threads = True

    def __init__(self, serve, slices_per_s):
        self.pause = 1 / slices_per_s
        super().__init__(("127.0.0.1", 0), SlowRequest)
        self.target = urllib.parse.urlsplit(serve)
        self.posts, self.asked, self.last = [], 0, 0.0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, resource):
        return f"http://127.0.0.1:{self.server_address[1]}/v1/resources/{resource}"


class SlowRequest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def forward(self):
        server = self.server
        if "/seg_" in self.path:
            time.sleep(server.pause)
            server.asked += 1
            server.last = time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/v1/certificates":
            server.posts.append(time.monotonic())
        rig = http.client.HTTPConnection(server.target.hostname, server.target.port, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        rig.request(self.command, self.path, body or None, headers)
        answer = rig.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        rig.close()

    do_GET = do_POST = forward


def steady(rig):
    """Blocks at the pace of the genesis, whatever the machine's rate."""
    def paced(chain):
        blocks = chain["blocks"]
        return len(blocks) == 5 and blocks[0]["time_ms"] - blocks[4]["time_ms"] > 5000
    rig.until("chain?count=5", paced, timeout=180)


def make_genesis(folder):
    """dev, with a difficulty that finds the machine's rate in seconds."""
    text = (root / "src/wire/genesis/dev.toml").read_text()
    assert "halflife_ms = 60_000 " in text
    path = pathlib.Path(folder) / "genesis.toml"
    path.write_text(text.replace("halflife_ms = 60_000 ", "halflife_ms = 5_000 "))
    return path


def publish(rig):
    return rig.publish(make_clip(rig.folder / "clip.mp4", seconds=6, size="640x360"))["resource"]


def in_time():
    """each puzzle of a long watch is answered while it lasts; the rig mines the certificates"""
    with tempfile.TemporaryDirectory() as folder, Rig(genesis=make_genesis(folder), config="slice_kib = 4\n") as rig:
        rig.start()
        resource = publish(rig)
        steady(rig)
        wallet = rig.folder / "viewer"
        rig.fund(wallet)
        way = SlowWay(rig.serve, 4)
        seen = json.loads(reelrig("watch", way.url(resource), "--rendition", "180p", "--wallet", wallet, "-o",
                                  rig.folder / "a.mp4", "--cpu-share", "20", "--json", check=True).stdout)
        service = seen["service"]
        assert seen["seconds"] > 9, f"too short to see a puzzle end: {seen}"
        assert service["puzzles"] >= 2 and service["sent"] == service["puzzles"], service
        # A puzzle may be over at once, and a slow machine has found too little in it by then.
        poor = service["refused_for"].get("work", 0)
        assert service["refused"] == poor <= 2 and service["refused_for"].keys() <= {"work"}, service
        assert service["accepted"] == service["sent"] - poor == seen["certificates"] > 0, service
        assert service["hashes"] > 0 and service["hashes_per_s"] > 0, service
        early = [t for t in way.posts if t < way.last]
        assert len(early) >= service["puzzles"] - 2 and early, (way.posts, way.last)
        pools = rig.call("pools")
        assert pools["certificates"] == service["accepted"] and pools["certificates_refused"] == poor, pools
        assert pools["withheld"] == 0 and not pools["sales"][0]["withholds"], pools
        rig.call("pay/settle", {})
        rig.until("chain?count=0", lambda c: c["certificates_mined"] > 0)
        # Once more, all slices paid: nothing is asked of a watch without certificates.
        bare = json.loads(reelrig("watch", f"{rig.serve}/v1/resources/{resource}", "--wallet", wallet, "--rendition", "180p",
                                  "-o", rig.folder / "b.mp4", "--no-certificates", "--json", check=True).stdout)
        assert bare["certificates"] == 0 and "service" not in bare, bare
        way.shutdown()


def dropped():
    """a viewer that keeps its certificates back is found out, and dropped where the owner wants it so"""
    with tempfile.TemporaryDirectory() as folder, Rig(genesis=make_genesis(folder),
                                                      config='slice_kib = 4\nwithholding = "drop"\n') as rig:
        rig.start()
        resource = publish(rig)
        steady(rig)
        wallet = rig.folder / "viewer"
        rig.fund(wallet)
        way = SlowWay(rig.serve, 1.5)
        out = None
        for turn in range(12):  # one file may be over before enough puzzles are
            out = subprocess.run([bin_folder / "reelrig", "watch", way.url(resource), "--rendition", ("180p", "360p")[turn % 2],
                                  "--wallet", wallet, "-o", rig.folder / f"{turn}.mp4", "--no-certificates", "--json"],
                                 capture_output=True, text=True, timeout=300)
            if out.returncode != 0:
                break
        assert out.returncode != 0 and "certificates" in out.stderr, (out.stdout, out.stderr, rig.call("pools"))
        pools = rig.call("pools")
        assert pools["withheld"] == 1 and pools["dropped_viewers"] == 1, pools
        assert "keeps certificates back" in rig.log()
        assert "keeps certificates back" in reelrig("pool", "show", "--data", rig.data, check=True).stdout
        way.shutdown()


run_tests([in_time, dropped])
