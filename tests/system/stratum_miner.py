# SPDX-License-Identifier: GPL-2.0-or-later
"""A Stratum miner in plain Python, in the four ways that miners speak; it shares no code with the rig."""
import json
import random
import socket
import ssl
import time

from ethash_light import Ethash


class Miner:
    def __init__(self, port, law, dialect, user="py.rig1", password="x", tls=None):
        self.law, self.dialect, self.user, self.password = law, dialect, user, password
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
        self.buffer, self.ids, self.waiting = b"", 0, {}
        self.extranonce, self.digits = "", 16
        self.boundary = self.job = None
        self.jobs_seen = 0
        self.transcript = []
        {"classic": self.greet_classic, "plain": self.greet_plain, "1.0.0": self.greet_v1, "2.0.0": self.greet_v2}[dialect]()

    # ---- lines
    def send(self, method, params=None, **more):
        self.ids += 1
        message = {"id": self.ids, "method": method, **more}
        if params is not None:
            message["params"] = params
        if self.dialect == "classic":
            message["jsonrpc"] = "2.0"
        self.transcript.append(message)
        self.socket.sendall(json.dumps(message).encode() + b"\n")
        return self.ids

    def ask(self, method, params=None, timeout=30, **more):
        number = self.send(method, params, **more)
        until = time.monotonic() + timeout
        while number not in self.waiting:
            assert time.monotonic() < until, f"no answer to {method} within {timeout} s"
            self.pump(1)
        return self.waiting.pop(number)

    def pump(self, timeout=0.0):
        """Takes in what came, waiting at most timeout for the first byte."""
        self.socket.settimeout(timeout if timeout > 0 else 0.000001)
        try:
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionError("the mining pool closed the connection")
            self.buffer += piece
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            pass
        self.socket.settimeout(30)
        while b"\n" in self.buffer:
            line, self.buffer = self.buffer.split(b"\n", 1)
            message = json.loads(line)
            self.transcript.append(message)
            self.take(message)

    def take(self, message):
        method, params = message.get("method"), message.get("params")
        if method == "mining.set_difficulty":
            self.boundary = int((0xFFFF << 208) / params[0])
        elif method == "mining.set":
            self.boundary = int(params["target"], 16) if "target" in params else self.boundary
            if "extranonce" in params:
                self.extranonce = params["extranonce"]
        elif method == "mining.notify":
            if self.dialect == "plain":
                self.set_job(params[1], params[0])
                self.boundary = int(params[3], 16)
            else:
                self.set_job(params[2], params[0])
        elif self.dialect == "classic" and isinstance(message.get("result"), list):
            self.set_job(message["result"][0], None)
            self.boundary = int(message["result"][2], 16)
            if message["id"] != 0:
                self.waiting[message["id"]] = message
        elif "id" in message:
            self.waiting[message["id"]] = message

    def set_job(self, header, name):
        self.job = (bytes.fromhex(header.removeprefix("0x")), name)
        self.jobs_seen += 1

    # ---- greetings
    def good(self, answer):
        assert not answer.get("error") and answer.get("result") is not False, answer
        return answer.get("result")

    def greet_classic(self):
        user, worker = self.user.split(".")
        self.good(self.ask("eth_submitLogin", [user, self.password], worker=worker))
        self.good(self.ask("eth_getWork", []))

    def greet_plain(self):
        self.good(self.ask("mining.subscribe", []))
        self.good(self.ask("mining.authorize", [self.user, self.password]))

    def greet_v1(self):
        result = self.good(self.ask("mining.subscribe", ["py/1.0", "EthereumStratum/1.0.0"]))
        assert result[0][0] == "mining.notify" and result[0][2] == "EthereumStratum/1.0.0", result
        self.extranonce = result[1]
        assert len(self.extranonce) in (2, 4, 6), "at most 3 bytes, says NiceHash"
        self.good(self.ask("mining.extranonce.subscribe", []))
        self.good(self.ask("mining.authorize", [self.user, self.password]))

    def greet_v2(self):
        hello = {"agent": "py/1.0", "host": "localhost", "port": "1f90", "proto": "EthereumStratum/2.0.0"}
        result = self.good(self.ask("mining.hello", hello))
        assert result["proto"] == "EthereumStratum/2.0.0" and result["encoding"] == "plain", result
        for member in ("resume", "timeout", "maxerrors", "node"):
            assert member in result, result
        self.good(self.ask("mining.subscribe"))
        self.token = self.good(self.ask("mining.authorize", [self.user, self.password]))

    # ---- work
    def submit(self, nonce, mix, job=None):
        header, name = job or self.job
        digits = f"{nonce:016x}"
        if self.dialect == "classic":
            return self.ask("eth_submitWork", [f"0x{digits}", f"0x{header.hex()}", f"0x{mix.hex()}"])
        if self.dialect == "plain":
            return self.ask("mining.submit", [self.user, name, f"0x{digits}", f"0x{header.hex()}", f"0x{mix.hex()}"])
        rest = digits[len(self.extranonce):]
        if self.dialect == "1.0.0":
            return self.ask("mining.submit", [self.user, name, rest])
        return self.ask("mining.submit", [name, rest, self.token])

    def find(self, timeout=120, below=None):
        """(nonce, mix, final, job) of the first share of the newest job."""
        until = time.monotonic() + timeout
        while self.job is None:
            assert time.monotonic() < until, "no job came"
            self.pump(1)
        free = 64 - 4 * len(self.extranonce)
        prefix = int(self.extranonce, 16) << free if self.extranonce else 0
        nonce = random.getrandbits(free)
        while time.monotonic() < until:
            self.pump()
            job = self.job
            nonce = (nonce + 1) % (1 << free)
            mix, final = self.law.hash(job[0], prefix | nonce)
            if int.from_bytes(final, "big") <= (below or self.boundary):
                return prefix | nonce, mix, int.from_bytes(final, "big"), job
        raise AssertionError(f"no share within {timeout} s")

    def close(self):
        self.socket.close()


def law_of(genesis_text):
    """The hash of a network, by its genesis file."""
    import tomllib
    genesis = tomllib.loads(genesis_text)
    return Ethash(genesis["cache_items"], genesis["dataset_items"], bytes.fromhex(genesis["ethash_seed"]))
