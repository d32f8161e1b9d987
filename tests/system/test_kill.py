#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL of the daemon at random points of the road, RR_KILLS times: nothing that it acknowledged is lost, nothing is
paid twice, and its chain is the one that a replay of its own blocks gives."""
import json
import os
import random
import socket
import subprocess
import threading
import time
import urllib.error

from rig import Rig, bin_folder, make_clip, reelrig, run_tests, short

KILLS = int(os.environ.get("RR_KILLS", "20" if short else "200"))
SEED = int(os.environ.get("RR_SEED", str(random.randrange(1 << 30))))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Seen:
    """What the rig has acknowledged: none of it may be missing in the end."""

    def __init__(self):
        self.jobs, self.blocks, self.transactions = [], {}, []
        self.watched = {}  # pool: units of the last finished watch
        self.resources = []


class Viewer(threading.Thread):
    """Watches the newest resource over and over, however often the rig dies."""

    def __init__(self, rig, seen, port):
        super().__init__(daemon=True)
        self.rig, self.seen, self.port = rig, seen, port
        self.ending = threading.Event()
        self.wallet = rig.folder / "viewer"
        self.finished = self.failed = 0
        self.process = None
        self.complaints = []

    def run(self):
        count = 0
        while not self.ending.is_set():
            if not self.seen.resources:
                time.sleep(0.1)
                continue
            resource = self.seen.resources[count % len(self.seen.resources)]
            if self.watch(resource):
                count += 1
            else:
                time.sleep(0.05)

    def watch(self, resource):
        url = f"http://127.0.0.1:{self.port}/v1/resources/{resource}"
        out = self.rig.folder / f"watched-{resource[:8]}.mp4"
        out.unlink(missing_ok=True)
        self.process = subprocess.Popen([bin_folder / "reelrig", "watch", url, "--wallet", self.wallet, "-o", out,
                                         "--json", "--pool-blocks", "2000"], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        text, why = self.process.communicate()
        if self.process.returncode != 0:
            self.failed += 1
            # A rig that is down or starting may refuse or break off; a broken proof or signature is never right.
            if "signed" in why or "claims" in why or "manifest says" in why:
                self.complaints.append(why)
            return False
        result = json.loads(text)
        self.seen.watched[result["pool"]] = max(self.seen.watched.get(result["pool"], 0), result["paid_units"])
        self.finished += 1
        return True

    def end(self):
        self.ending.set()
        self.join(timeout=120)


def note(rig, seen):
    """Asks the rig for what it holds by now and keeps it."""
    for block in rig.call("chain?count=5", timeout=5)["blocks"]:
        seen.blocks[block["height"]] = block["hash"]
    jobs = rig.call("jobs", timeout=5)["jobs"]
    for job in jobs:
        if job["stage"] == "proved" and job["resource"] not in seen.resources:
            seen.resources.append(job["resource"])
    return jobs


def one_life(rig, seen, viewer_address, clip, chance, end_at):
    """From the start of the daemon to its death."""
    rig.start(wait=False)
    # Now and then a longer life, or nothing that takes a few blocks would ever end.
    seen_until = time.monotonic() + (chance.uniform(0.05, 1.2) if chance.random() < 0.9 else chance.uniform(2, 4))
    try:
        while time.monotonic() < seen_until:
            control = rig.data / "control.json"
            try:
                facts = json.loads(control.read_text())
                ready = facts["pid"] == rig.process.pid
            except (OSError, ValueError):
                ready = False
            if not ready:
                assert rig.process.poll() is None, f"the daemon ended: {rig.process.returncode}\n{rig.log()[-3000:]}"
                time.sleep(0.01)
                continue
            rig.control, rig.serve, rig.token = facts["control"], facts["serve"], facts["token"]
            jobs = note(rig, seen)
            if all(job["final"] for job in jobs) and len(seen.jobs) < end_at:
                seen.jobs.append(rig.upload(clip, ladder="90", title=f"clip {len(seen.jobs)}"))
            if chance.random() < 0.15 and float(rig.call("wallet", timeout=5)["balance"]) > 3:
                answer = rig.call("wallet/send", {"to": viewer_address, "amount": "0.01"}, timeout=5)
                seen.transactions.append(answer["transaction"])
            time.sleep(0.05)
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code not in (402, 409):
            raise AssertionError(f"{error.url}: {error.code} {error.read()[:300]}") from error
    assert rig.process.poll() is None, f"the daemon ended by itself: {rig.process.returncode}\n{rig.log()[-4000:]}"
    rig.kill()


def check_end(rig, seen, viewer):
    jobs = {}
    for handle in seen.jobs:
        job = rig.until(f"jobs/{handle}", lambda j: j["final"], timeout=120)
        jobs[handle] = job
    lost = [h for h, j in jobs.items() if j["stage"] != "proved" or j["proofs_failed"] or not j["frames_out_ok"]]
    assert not lost, f"{len(lost)} of {len(jobs)} jobs: {json.dumps([jobs[h] for h in lost][:3])}"
    for height, block in seen.blocks.items():
        now = rig.call(f"chain/{height}")["hash"]
        assert now == block, f"block {height} was {block}, is {now}"
    missing = set(seen.transactions)
    until = time.monotonic() + 30
    while missing and time.monotonic() < until:
        height = rig.call("chain")["height"]
        for at in range(height + 1):
            missing -= {tx["id"] for tx in rig.call(f"chain/{at}")["transactions"]}
        time.sleep(0.5 if missing else 0)
    for pool, units in seen.watched.items():
        sale = next((s for s in rig.call("pools")["sales"] if s["pool"] == pool), None)
        assert sale is not None and sale["units"] == units, f"pool {pool}: {units} units were paid, the till has {sale}"
    rig.call("pay/settle", {})
    pools = rig.until("pools", lambda p: p["settled_units"] == p["paid_units"], timeout=60)
    assert pools["paid"] == pools["settled"], pools
    rig.call("store/scrub", {})
    store = rig.until("store", lambda s: s["repair_queue"] == 0, timeout=60)
    assert rig.call("store/scrub", {})["bad_shards"] == 0
    assert store["shards_missing"] == 0 and store["shards_damaged"] == 0, store
    verified = json.loads(reelrig("chain", "verify", "--data", rig.data, "--json", check=True).stdout)
    assert verified["equal"] is True, verified
    assert not viewer.complaints, viewer.complaints[:2]
    return pools, verified, missing


def kills():
    """the daemon is killed at random points of the road; nothing acknowledged is lost"""
    chance = random.Random(SEED)
    print(f"      seed {SEED}, {KILLS} kills", flush=True)
    with Rig(config="slice_kib = 4\n[mine]\nshare_percent = 60\n") as rig:
        port = free_port()
        rig.config.write_text(rig.config.read_text().replace("[serve]\nport = 0", f"[serve]\nport = {port}"))
        clip = make_clip(rig.folder / "clip.mp4", seconds=2, size="160x90")
        seen = Seen()
        rig.start()
        rig.fund(rig.folder / "viewer", coins="20")
        address = json.loads(reelrig("wallet", "show", "--wallet", rig.folder / "viewer", "--url", rig.serve, "--json",
                                     check=True).stdout)["address"]
        first = rig.publish(clip, "--ladder", "90")
        seen.jobs.append(first["job"])
        seen.resources.append(first["resource"])
        rig.kill()
        viewer = Viewer(rig, seen, port)
        viewer.start()
        done = 1
        try:
            while done < KILLS:
                one_life(rig, seen, address, clip, chance, end_at=60)
                done += 1
            rig.start()
            until = time.monotonic() + 30
            wanted = viewer.finished + 1
            while viewer.finished < wanted and time.monotonic() < until:
                time.sleep(0.1)
            viewer.end()
            assert viewer.finished > 0, "no watch ever ended"
            pools, verified, missing = check_end(rig, seen, viewer)
        finally:
            viewer.ending.set()
            if viewer.process is not None and viewer.process.poll() is None:
                viewer.process.kill()
        print(json.dumps({"kills": done, "acknowledged_jobs": len(seen.jobs), "blocks_seen": len(seen.blocks),
                          "height": verified["height"], "transactions": len(seen.transactions), "transactions_lost": len(missing),
                          "watches": viewer.finished, "watches_broken": viewer.failed, "units": pools["paid_units"],
                          "settled": pools["settled_units"], "lost": 0}), flush=True)
        assert not missing, f"{len(missing)} of {len(seen.transactions)} answered transactions are in no block"
        assert rig.stop() < 2


run_tests([kills])
