#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Foreign miners on a real rig: they share no code with it, neither for the protocol nor for the hash."""
import json
import pathlib
import re
import shutil
import ssl
import subprocess
import time

from rig import Rig, build, reelrig, root, run_tests
from stratum_miner import Miner, law_of

here = pathlib.Path(__file__).resolve().parent
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


def public_client():
    """stratum-client of npm, hashing by @ethereumjs/ethash, finds a block"""
    folder = build / "stratum_peer"
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(here / "stratum_peer" / name, folder)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL, timeout=300)
    with open_rig(STRATUM.replace("= 40", "= 10"), difficulty=60) as rig:
        rig.start()
        command = ["node", here / "stratum_peer/miner.mjs", folder / "node_modules", stratum_of(rig)["port"], 127, 509, "00" * 32]
        accepted = blocks = 0
        while blocks == 0:
            result = subprocess.run([*map(str, command), "6"], capture_output=True, text=True, timeout=300)
            assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-2000:]}"
            seen = json.loads(result.stdout)
            assert seen["connected"] and seen["authorized"] and seen["jobs"] >= 1, seen
            accepted += seen["accepted"]
            blocks = stratum_of(rig)["blocks"]
            assert accepted < 300, f"{accepted} shares and no block"
        status = rig.call("status")
        worker = status["stratum"]["workers"][0]
        assert worker["worker"] == "npm.worker" and worker["accepted"] >= accepted and worker["rejected"] == 0, worker
        assert status["chain"]["height"] >= 1, status["chain"]
        print(f"      {accepted} shares taken, {seen['refused']} refused of the last run, height {status['chain']['height']}")


def pools_fail_over():
    """a rig leaves a killed mining pool for the next one, and comes back"""
    with open_rig(STRATUM.replace("= 40", "= 20000"), difficulty=400000) as first, \
            open_rig(STRATUM.replace("= 40", "= 20000"), difficulty=400000) as second, \
            open_rig(config=pool_config(), difficulty=400000) as rig:
        first.start()
        port = stratum_of(first)["port"]
        second.start()
        urls = [f"stratum3+tcp://rig.b@127.0.0.1:{port}", f"stratum2+tcp://rig.b@127.0.0.1:{stratum_of(second)['port']}"]
        rig.config.write_text(rig.config.read_text().replace("urls = []", f"urls = {json.dumps(urls)}"))
        rig.start()
        rig.until("status", lambda s: s["mining_pool"]["pool_index"] == 0 and s["mining_pool"]["accepted"] >= 3)
        first.kill()
        second.until("status", lambda s: s["stratum"]["accepted"] >= 3)
        assert pool_of(rig)["pool_index"] == 1 and pool_of(rig)["last_failure"], pool_of(rig)
        first.config.write_text(first.config.read_text().replace('"127.0.0.1"\nport = 0', f'"127.0.0.1"\nport = {port}'))
        first.start()
        first.until("status", lambda s: s["stratum"]["accepted"] >= 3)
        seen = pool_of(rig)
        assert seen["pool_index"] == 0 and seen["connected"], seen
        shown = reelrig("status", "--data", rig.data, check=True).stdout
        assert "mining pool" in shown and f"127.0.0.1:{port}" in shown, shown
        assert "rig.b" in reelrig("status", "--data", first.data, check=True).stdout
        print(f"      {seen['connections']} connections, {seen['failures']} failures")
        assert rig.stop() < 5


def over_tls():
    """a foreign miner and a rig work over TLS, a certificate of another name is refused"""
    with open_rig(difficulty=400000) as server, open_rig(config=pool_config(), difficulty=400000) as rig:
        certificate, key = server.folder / "certificate.pem", server.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
                        certificate], check=True, capture_output=True, timeout=60)
        server.config.write_text(server.config.read_text() + f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n')
        server.start()
        port = stratum_of(server)["port"]
        assert stratum_of(server)["tls"]
        miner = Miner(port, server.law, "2.0.0", tls=ssl.create_default_context(cafile=certificate))
        nonce, mix, final, job = miner.find()
        assert not miner.submit(nonce, mix, job).get("error")
        miner.close()
        url = f"stratum+ssl://rig.b@localhost:{port}"
        text = rig.config.read_text().replace("urls = []", f'urls = ["{url}"]')
        rig.config.write_text(text)  # an authority that nobody knows
        rig.start()
        rig.until("status", lambda s: "certificate" in s["mining_pool"]["last_failure"])
        assert not pool_of(rig)["connected"]
        rig.stop()
        rig.config.write_text(text + f'tls_ca = "{certificate}"\n')
        rig.start()
        rig.until("status", lambda s: s["mining_pool"]["accepted"] >= 2 and s["mining_pool"]["tls"])


def wrong_settings():
    """wrong settings of stratum and mining pools stop the start with a sentence"""
    for config, sentence in (
            ('[stratum]\nlisten = "pool.example"\n', "numeric"),
            ('[stratum]\nlisten = "127.0.0.1"\ntls_key = "k.pem"\n', "belong together"),
            ('[stratum]\nshare_ms = 1\n', "share_ms"),
            ('[mining_pool]\nurls = ["http://pool:1"]\nuser = "u"\n', "stratum"),
            ('[mining_pool]\nurls = ["stratum+tcp://pool:1"]\n', "user"),
            ('[mining_pool]\nnetwork = "other"\n', "ethash"),
            ('[mining_pool]\nurls = ["stratum+ssl://u@pool:1"]\ntls_fingerprint = "12"\n', "fingerprint")):
        with open_rig(config=config) as rig:
            rig.start(wait=False)
            assert rig.process.wait(timeout=60) != 0, config
            assert sentence in rig.log(), f"{config}: {rig.log()[-500:]}"


miners = [mines_blocks(d) for d in ("classic", "plain", "1.0.0", "2.0.0")]
clients = [works("EthereumStratum/2.0.0", ""), works("EthereumStratum/1.0.0", "2"), works("classic", "1"), works("plain", "0")]
others = [pools_fail_over, over_tls, wrong_settings] + ([public_client] if shutil.which("npm") else [])
run_tests(miners + clients + others)
