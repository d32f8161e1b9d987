# SPDX-License-Identifier: GPL-2.0-or-later
"""A rack on loopback: three NATS servers, three workers; a worker, a server and the coordinator are killed in the
middle of jobs, and the bytes are those of a run without any of them."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import rig

ladder = ["--ladder", "240,180", "--gop-ms", "1000", "--preset", "fast"]
folder = pathlib.Path(tempfile.mkdtemp(prefix="reelrig-fleet-"))
started = []


def start(name, command, **kwargs):
    with open(folder / f"{name}.log", "ab") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, **kwargs)
    started.append(process)
    return process


def kill(process, how=signal.SIGKILL):
    process.send_signal(how)
    process.wait(timeout=60)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    def __init__(self):
        self.clients, self.routes = free_ports(3), free_ports(3)
        self.servers = [None] * 3
        self.url = ",".join(f"nats://127.0.0.1:{port}" for port in self.clients)
        for number in range(3):
            self.start(number)

    def start(self, number):
        routes = ",".join(f"nats://127.0.0.1:{port}" for port in self.routes)
        self.servers[number] = start(f"nats-{number}", [
            "nats-server", "-a", "127.0.0.1", "-p", self.clients[number], "-js", "-sd", folder / f"js-{number}",
            "--name", f"s{number}", "--cluster_name", "rack", "--cluster", f"nats://127.0.0.1:{self.routes[number]}",
            "--routes", routes])


def worker(name, url, **environment):
    return start(name, [rig.bin_folder / "reelrig", "fleet", "worker", "--nats", url, "--cache", folder / name,
                        "--name", name, "--slots", 1, "--workers", 1], env={**os.environ, **environment})


def transcode(clip, out, url, name):
    return start(name, [rig.bin_folder / "reelrig", "transcode", clip, "-o", out, *ladder, "--nats", url, "--json"])


def fleet(url):
    result = rig.reelrig("fleet", "--nats", url, "--json", timeout=120)
    return json.loads(result.stdout) if result.returncode == 0 else {"rigs": [], "jobs": []}


def wait_for(what, condition, timeout=180, job=None):
    """Until condition(); a job that ends before has failed."""
    until = time.monotonic() + timeout
    while time.monotonic() < until and (job is None or job.poll() is None):
        if condition():
            return
        time.sleep(0.2)
    ended = job is not None and job.poll() is not None
    raise AssertionError(f"waited for {what}: " + (f"exit {job.returncode}" if ended else f"{timeout} s") + logs())


def logs():
    """The last lines of every program's words."""
    return "".join(f"\n--- {path.name}\n{path.read_text(errors='replace')[-1500:]}"
                   for path in sorted(folder.glob("*.log")))


def parts(out):
    """Shards that a job has taken."""
    return len(list((out / ".job").glob("part-*"))) if (out / ".job").is_dir() else 0


def digests(out):
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(out.rglob("*")) if path.is_file()}


def finish(process, name, out, expected):
    code = process.wait(timeout=400)
    assert code == 0, f"{name}: exit {code}\n" + (folder / f"{name}.log").read_text()[-3000:]
    assert digests(out) == expected, f"{name}: other bytes than the run without rigs"


def step(text, since=[time.monotonic()]):
    print(f"  {text} ({time.monotonic() - since[0]:.1f} s)", flush=True)
    since[0] = time.monotonic()


def kill_worker_and_server(clip, cluster, workers, expected):
    out = folder / "out-kill"
    job = transcode(clip, out, cluster.url, "kill")
    wait_for("two shards", lambda: parts(out) >= 2, job=job)
    kill(workers.pop("w0"))
    kill(cluster.servers[0])
    step("a worker and a server are dead")
    finish(job, "kill", out, expected)
    step("the same bytes")


def kill_coordinator(clip, cluster, expected):
    out = folder / "out-coordinator"
    job = transcode(clip, out, cluster.url, "first-life")
    wait_for("two shards", lambda: parts(out) >= 2, job=job)
    kill(job)
    taken = parts(out)
    assert not (out / "master.m3u8").exists()
    job = transcode(clip, out, cluster.url, "second-life")
    finish(job, "second-life", out, expected)
    assert taken >= 2
    step("a killed coordinator went on with the same command to the same bytes")


def two_commands(clip, cluster, expected):
    """The same video into two folders at once: neither takes the other's parts."""
    jobs = [transcode(clip, folder / f"out-twin-{name}", cluster.url, f"twin-{name}") for name in "ab"]
    for job, name in zip(jobs, "ab"):
        finish(job, f"twin-{name}", folder / f"out-twin-{name}", expected)
    step("two commands for one video, the same bytes in both folders")


def cancel(clip, cluster):
    out = folder / "out-cancel"
    job = transcode(clip, out, cluster.url, "cancel")
    wait_for("a shard", lambda: parts(out) >= 1, job=job)
    kill(job, signal.SIGINT)
    assert job.returncode == 1, job.returncode
    wait_for("idle rigs", lambda: all(one["busy"] == 0 for one in fleet(cluster.url)["rigs"]))
    assert "cancelled" in [one["state"] for one in fleet(cluster.url)["jobs"]]
    step("cancelled, and the rigs stopped")


def lone_server(name):
    port = free_ports(1)[0]
    command = ["nats-server", "-a", "127.0.0.1", "-p", port, "-js", "-sd", folder / f"js-{name}"]
    return f"nats://127.0.0.1:{port}", command, start(f"nats-{name}", command)


def wiped(clip, expected):
    """Beside a worker that cannot work, a good one; the server comes back with nothing, in the middle of a job."""
    url, command, server = lone_server("wiped")
    bad = worker("bad", url, RR_WORKER="/bin/false")
    good = worker("good", url)
    wait_for("two rigs", lambda: len(fleet(url)["rigs"]) == 2)
    for turn in range(2):
        job = transcode(clip, folder / f"out-wiped-{turn}", url, f"wiped-{turn}")
        if turn == 0:
            wait_for("two shards", lambda: parts(folder / "out-wiped-0") >= 2, job=job)
            kill(server)
            shutil.rmtree(folder / "js-wiped")
            server = start("nats-wiped", command)
        finish(job, f"wiped-{turn}", folder / f"out-wiped-{turn}", expected)
        step("the server lost all it had; the job went on" if turn == 0 else "and so did its rigs")
    for one in (bad, good, server):
        kill(one)


def secrets():
    """TLS with an authority of our own: taken with --nats-ca, else a sentence that names it."""
    if shutil.which("openssl") is None:
        return
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days",
                    "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True,
                   capture_output=True)
    port = free_ports(1)[0]
    server = start("nats-tls", ["nats-server", "-a", "127.0.0.1", "-p", port, "-js", "-sd", folder / "js-tls", "--tls",
                                "--tlscert", certificate, "--tlskey", key])
    url = f"tls://localhost:{port}"
    result = rig.reelrig("fleet", "--nats", url, "--nats-ca", certificate, "--json")
    assert result.returncode == 0, result.stderr
    for arguments in ([], ["--nats-ca", folder / "clip.mp4"]):
        result = rig.reelrig("fleet", "--nats", url, *arguments)
        assert result.returncode == 2 and ("--nats-ca" in result.stderr or "clip.mp4" in result.stderr), result
    kill(server)
    step("TLS by an authority of our own")


def passwords(clip):
    """A lone server with a user, and one with an nkey (the sample pair of NATS' own pages)."""
    seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
    public = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
    for name, user, words, wrong in (("user", "{user: rack, password: \"se: cret\"}", "rack:se: cret\n", "rack:se:\n"),
                                     ("nkey", "{nkey: %s}" % public, f"{seed}\n{public}\n", "rack:secret\n")):
        port = free_ports(1)[0]
        (folder / f"{name}.conf").write_text(
            f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/js-{name}" }}\n'
            f"authorization {{ users: [{user}] }}\n")
        server = start(f"nats-{name}", ["nats-server", "-c", folder / f"{name}.conf"])
        (folder / "right").write_text(words)
        (folder / "wrong").write_text(wrong)
        url = f"nats://127.0.0.1:{port}"
        result = rig.reelrig("fleet", "--nats", url, "--nats-auth", folder / "right", "--json")
        assert result.returncode == 0, result.stderr
        result = rig.reelrig("fleet", "--nats", url, "--nats-auth", folder / "wrong")
        assert result.returncode == 2 and "--nats-auth" in result.stderr, result
        kill(server)
    step("users and nkeys are asked for")


def main():
    if shutil.which("nats-server") is None:
        rig.skip("no nats-server")
    if "no NATS" in rig.reelrig("fleet", "--nats", "nats://127.0.0.1:1").stderr:
        rig.skip("built without libnats")
    if shutil.which("ffmpeg") is None:
        rig.skip("no ffmpeg")
    clip = rig.make_clip(folder / "clip.mp4", seconds=8, size="426x240")
    rig.reelrig("transcode", clip, "-o", folder / "alone", *ladder, check=True)
    expected = digests(folder / "alone")
    step("one rig alone")
    cluster = Cluster()
    broken = worker("broken", cluster.url, RR_WORKER="/bin/false")
    workers = {name: worker(name, cluster.url) for name in ("w0", "w1", "w2")}
    wait_for("four rigs", lambda: len(fleet(cluster.url)["rigs"]) == 4)
    step("three servers, three workers and one that cannot work")
    kill_worker_and_server(clip, cluster, workers, expected)
    wait_for("what the others did", lambda: any(one["done"] > 0 for one in fleet(cluster.url)["rigs"]))
    kill(broken, signal.SIGTERM)
    assert broken.returncode == 0, broken.returncode
    cluster.start(0)
    kill_coordinator(clip, cluster, expected)
    two_commands(clip, cluster, expected)
    cancel(clip, cluster)
    wait_for("the dead to be forgotten", lambda: {one["name"] for one in fleet(cluster.url)["rigs"]} == {"w1", "w2"})
    passwords(clip)
    secrets()
    wiped(clip, expected)
    print("fleet: all holds")


good = False
try:
    main()
    good = True
finally:
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
    if good or "RR_KEEP" not in os.environ:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"kept: {folder}")
