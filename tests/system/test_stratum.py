#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Foreign miners on a real rig: they share no code with it, neither for the protocol nor for the hash."""
import re
import time

from rig import Rig, reelrig, root, run_tests
from stratum_miner import Miner, law_of

STRATUM = '[mine]\nenabled = false\n[stratum]\nlisten = "127.0.0.1"\nport = 0\nshare_difficulty = 40\n'


def small_genesis(folder, difficulty=300, block_ms=600000):
    """The dev network with an Ethash so small that Python mines it."""
    text = (root / "src/wire/genesis/dev.toml").read_text()
    for key, value in (("cache_items", 127), ("dataset_items", 509), ("difficulty", difficulty),
                       ("block_ms", block_ms), ("halflife_ms", 10 * block_ms)):
        text, count = re.subn(rf"(?m)^{key} = [0-9_]+", f"{key} = {value}", text)
        assert count == 1, key
    path = folder / "genesis.toml"
    path.write_text(text)
    return path, text


def open_rig(config=STRATUM, **genesis):
    rig = Rig()
    path, text = small_genesis(rig.folder, **genesis)
    rig.config.write_text(rig.config.read_text().replace('genesis = "dev"', f'genesis = "{path}"') + config)
    rig.law = law_of(text)
    return rig


def stratum_of(rig):
    return rig.call("status")["stratum"]


def mines_blocks(dialect):
    def test():
        with open_rig() as rig:
            rig.start()
            port = stratum_of(rig)["port"]
            miner = Miner(port, rig.law, dialect)
            shares, heights = 0, set()
            while rig.call("status")["chain"]["height"] < 2:
                nonce, mix, final, job = miner.find()
                answer = miner.submit(nonce, mix, job)
                shares += not answer.get("error")
                if not answer.get("error"):
                    again = miner.submit(nonce, mix, job)
                    assert again.get("error"), f"the same share twice: {again}"
                heights.add(rig.call("status")["chain"]["height"])
                assert shares < 400, f"{shares} shares and no two blocks"
            seen = stratum_of(rig)
            assert seen["accepted"] == shares and seen["blocks"] >= 2, seen
            worker = [w for w in seen["workers"] if w["worker"] == "py.rig1"][0]
            assert worker["accepted"] == shares and worker["blocks"] == seen["blocks"], worker
            assert seen["dialects"][dialect] == 1, seen
            until = time.monotonic() + 60
            while miner.jobs_seen < 3:  # one at the start and one a block, asked for or not
                assert time.monotonic() < until, "new work is not pushed"
                miner.pump(1)
            blocks = rig.call("chain?count=5")
            assert float(rig.call("wallet")["balance"]) > 0, "the rig owns the reward"
            assert reelrig("status", "--data", rig.data, check=True).stdout, blocks
            print(f"      {shares} shares, height {max(heights)}, work pushed in {seen['push_us']} us")
            miner.close()
            assert rig.stop() < 5
    test.__doc__ = f"a miner that speaks {dialect} finds blocks, which the chain shows"
    return test


def pool_config(*urls, more=""):
    listed = ", ".join(f'"{url}"' for url in urls)
    return (f'[mine]\nthreads = 1\nshare_percent = 100\n[mining_pool]\nurls = [{listed}]\nuser = "rig.b"\n'
            f'response_s = 5\nreturn_s = 1\n{more}')


def pool_of(rig):
    return rig.call("status")["mining_pool"]


def works(dialect, connected):
    def test():
        with open_rig(config=STRATUM.replace("= 40", "= 20000"), difficulty=400000) as server, \
                open_rig(config=pool_config(), difficulty=400000) as rig:
            server.start()
            url = f"stratum{connected}+tcp://rig.b:secret@localhost:{stratum_of(server)['port']}"
            rig.config.write_text(rig.config.read_text().replace("urls = []", f'urls = ["{url}"]'))
            rig.start()
            server.until("status", lambda s: s["chain"]["height"] >= 2 and s["stratum"]["accepted"] >= 8, timeout=120)
            seen = rig.until("status", lambda s: s["mining_pool"]["accepted"] >= 8)["mining_pool"]
            assert seen["connected"] and seen["dialect"] == dialect and seen["rejected"] == 0, seen
            assert seen["latency_mean_us"] > 0, seen
            assert rig.call("status")["chain"]["height"] == 0, "it mines no block of its own meanwhile"
            worker = stratum_of(server)["workers"][0]
            assert worker["worker"] == "rig.b" and worker["blocks"] >= 2 and worker["rejected"] == 0, worker
            print(f"      {seen['accepted']} shares taken, {seen['stale']} stale, mean answer {seen['latency_mean_us']} us")
            assert rig.stop() < 5 and server.stop() < 5
    test.__doc__ = f"a rig works for another rig's mining pool in {dialect}"
    return test


miners = [mines_blocks(d) for d in ("classic", "plain", "1.0.0", "2.0.0")]
clients = [works("EthereumStratum/2.0.0", ""), works("EthereumStratum/1.0.0", "2"), works("classic", "1"), works("plain", "0")]
run_tests(miners + clients)
