# SPDX-License-Identifier: GPL-2.0-or-later
"""A real rig in a temporary folder, for the system tests: starts, talks to, kills and stops reelrigd."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

root = pathlib.Path(__file__).resolve().parents[2]
build = pathlib.Path(os.environ.get("RR_BUILD", root / "build")).resolve()
bin_folder = build / "bin"
short = os.environ.get("RR_SHORT") == "1"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

SKIP = 77


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIP)


def media(name):
    """A real clip, or None where the folder of clips is absent."""
    folder = pathlib.Path(os.environ.get("RR_MEDIA_DIR", root.parent / "shared/media"))
    path = folder / name
    return path if path.exists() else None


def make_clip(path, seconds=4, size="320x180", rate=24, audio=True, sound_hz=48000):
    """A clip of our own where no real one is needed: moving test picture, tone."""
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}"]
    if audio:
        command += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={sound_hz}"]
    command += ["-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-pix_fmt", "yuv420p"]
    if audio:
        command += ["-c:a", "aac"]
    subprocess.run(command + [str(path)], check=True, timeout=120)
    return path


def reelrig(*arguments, timeout=300, check=False):
    """Runs the program; result has returncode, stdout, stderr."""
    result = subprocess.run([bin_folder / "reelrig", *(a if isinstance(a, bytes) else str(a) for a in arguments)], capture_output=True, text=True, timeout=timeout)
    if check and result.returncode != 0:
        raise AssertionError(f"reelrig {arguments}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result


class Rig:
    def __init__(self, folder=None, config="", genesis=None, web=None):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="reelrig-test-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "test.toml"
        text = default_config(genesis)
        self.config.write_text(text + config)
        self.data = self.folder / "data"
        self.web = web
        self.log_path = self.folder / "reelrigd.log"
        self.process = None
        self.prefix, self.arguments = [], []  # before and behind the daemon's command line

    def start(self, wait=True, **kwargs):
        command = [*self.prefix, bin_folder / "reelrigd", "--data", self.data, "--config", self.config, *self.arguments]
        if self.web:
            command += ["--web", self.web]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stderr=log, **kwargs)
        return self.wait_ready() if wait else self

    def wait_ready(self, timeout=60):
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError(f"reelrigd ended with {self.process.returncode}:\n{self.log()[-4000:]}")
            try:
                control = json.loads((self.data / "control.json").read_text())
                if control["pid"] == self.process.pid:
                    self.control, self.serve, self.token = control["control"], control["serve"], control["token"]
                    return self
            except (FileNotFoundError, json.JSONDecodeError):
                pass
            time.sleep(0.02)
        raise AssertionError(f"reelrigd is not ready after {timeout} s:\n{self.log()[-4000:]}")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Clean stop; returns its seconds."""
        started = time.monotonic()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)
        return time.monotonic() - started

    def call(self, path, body=None, timeout=120):
        request = urllib.request.Request(f"{self.control}/api/v1/{path}", headers={"Authorization": f"Bearer {self.token}"})
        if body is not None:
            request.data = json.dumps(body).encode()
        with opener.open(request, timeout=timeout) as answer:
            return json.load(answer)

    def get(self, path, headers=None, timeout=60):
        """A request to the serving port: (status, headers, body)."""
        request = urllib.request.Request(self.serve + path, headers=headers or {})
        try:
            with opener.open(request, timeout=timeout) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def send(self, path, body, headers=None, timeout=60):
        """POST of bytes to the serving port: (status, headers, body)."""
        request = urllib.request.Request(self.serve + path, data=body, method="POST",
                                         headers={"Content-Type": "application/octet-stream", **(headers or {})})
        try:
            with opener.open(request, timeout=timeout) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def post(self, path, body, timeout=60):
        """As send: the status alone."""
        return self.send(path, body, timeout=timeout)[0]

    def until(self, path, enough, timeout=120):
        until = time.monotonic() + timeout
        while True:
            answer = self.call(path)
            if enough(answer):
                return answer
            if time.monotonic() > until:
                raise AssertionError(f"{path} after {timeout} s: {json.dumps(answer)[:2000]}\n{self.log()[-2000:]}")
            time.sleep(0.1)

    def upload(self, video, **arguments):
        """Publishes without waiting; returns the handle of the job, which from then on must never be lost."""
        query = urllib.parse.urlencode({"title": pathlib.Path(video).name, **arguments})
        request = urllib.request.Request(f"{self.control}/api/v1/publish?{query}", data=pathlib.Path(video).read_bytes(),
                                         headers={"Authorization": f"Bearer {self.token}",
                                                  "Content-Type": "application/octet-stream"})
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)["job"]

    def publish(self, video, *arguments, timeout=300):
        result = reelrig("publish", video, "--data", self.data, "--json", *arguments, timeout=timeout)
        assert result.returncode == 0, f"publish: {result.returncode}\n{result.stdout}{result.stderr}\n{self.log()[-3000:]}"
        return json.loads(result.stdout)

    def fund(self, wallet, coins="2"):
        """Sends coins to a viewer's wallet and waits for them."""
        show = ["wallet", "show", "--wallet", wallet, "--url", self.serve, "--json"]
        address = json.loads(reelrig(*show, check=True).stdout)["address"]
        self.until("wallet", lambda w: float(w["balance"]) > float(coins) + 1)
        self.call("wallet/send", {"to": address, "amount": coins})
        until = time.monotonic() + 60
        while float(json.loads(reelrig(*show, check=True).stdout)["balance"]) < float(coins):
            assert time.monotonic() < until, "the viewer's coins do not arrive"
            time.sleep(0.2)

    def close(self, keep=False):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(f"log of the rig, kept in {self.folder}:\n{self.log()[-6000:]}")
        self.close(keep=kind is not None)


def default_config(genesis=None):
    """Free ports and a small ladder; everything else as shipped."""
    return (
        f'[network]\ngenesis = "{genesis or "dev"}"\n'
        '[serve]\nport = 0\n[control]\nport = 0\n[store]\nheadroom_mib = 16\n'
        '[transcode]\nladder = "360,180"\nchallenges = 4\n[pay]\nsettle_age_s = 1\n'
    )


def run_tests(tests):
    """Runs the functions in order, prints each as a sentence, exits 1 when one failed."""
    failed = 0
    for test in tests:
        started = time.monotonic()
        try:
            test()
            print(f"ok    {test.__doc__.strip()} ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception as error:  # every kind of failure is a failed test
            failed += 1
            print(f"FAILED {test.__doc__.strip()}: {type(error).__name__}: {error}", flush=True)
    print(f"{len(tests) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
