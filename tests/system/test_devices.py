#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices of a real rig: shown, measured, guarded, commanded. Its sensors are a tree of files of ours."""
import json
import os
import pathlib
import re
import shutil
import tempfile

from rig import Rig, opener, reelrig, run_tests
import urllib.request

sensors = pathlib.Path(tempfile.mkdtemp(prefix="reelrig-sensors-"))
os.environ["REELRIG_SYSFS"] = str(sensors)
hwmon = sensors / "sys/class/hwmon/hwmon0"
hwmon.mkdir(parents=True)
(hwmon / "name").write_text("coretemp\n")


def degrees(value):
    """None: the sensor is gone."""
    new = hwmon / "new"
    if value is None:
        (hwmon / "temp1_input").unlink()
    else:
        new.write_text(f"{value * 1000}\n")
        new.replace(hwmon / "temp1_input")


def cpu(rig, enough):
    """The processor's row, once it is as wanted."""
    def look(answer):
        return any(d["id"] == "cpu" and enough(d) for d in answer["devices"])
    return next(d for d in rig.until("devices", look)["devices"] if d["id"] == "cpu")


def metrics(rig):
    request = urllib.request.Request(f"{rig.control}/metrics", headers={"Authorization": f"Bearer {rig.token}"})
    with opener.open(request, timeout=30) as answer:
        text = answer.read().decode()
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r'reelrig_device_(\w+)\{device="((?:[^"\\]|\\.)*)"\} (-?\d+)', line)
        if match:
            assert f"# TYPE reelrig_device_{match[1]} " in text, line
            found[match[1], match[2]] = int(match[3])
        else:
            assert line.startswith("#") or re.fullmatch(r'[a-z0-9_]+(\{[^}]*\})? -?[0-9.e+-]+', line), line
    return found


def without_a_rig():
    """gpu list opens the backends by itself and names those that cannot be used"""
    degrees(51)
    folder = tempfile.mkdtemp(prefix="reelrig-empty-")
    got = json.loads(reelrig("gpu", "list", "--data", folder, "--json", check=True).stdout)
    assert got["rig"] is False
    row = next(d for d in got["devices"] if d["id"] == "cpu")
    assert row["state"] == "usable" and row["sensors"]["temperature_mc"] == 51000, row
    assert row["sensors"]["power_mw"] is None, "unknown is null"
    for device in got["devices"]:
        assert device["state"] == "usable" or device["why"], device
    text = reelrig("gpu", "list", "--data", folder, check=True).stdout
    assert "51 C" in text and "cpu" in text, text
    bench = json.loads(reelrig("gpu", "bench", "cpu", "--seconds", "1", "--json", check=True).stdout)["devices"]
    assert len(bench) == 1 and bench[0]["hashes_per_s"] > 0 and bench[0]["hashes"] > 0, bench
    assert reelrig("gpu", "bench", "nothing").returncode == 1
    assert reelrig("gpu", "bench", "--seconds", "0").returncode == 2
    assert reelrig("gpu", "pause", "cpu", "--data", folder).returncode == 4
    shutil.rmtree(folder)


def guarded():
    """a hot device pauses and goes on when it has cooled; unknown is said and pauses nothing"""
    degrees(50)
    with Rig(config="[mine]\nshare_percent = 20\n") as rig:
        rig.start()
        row = cpu(rig, lambda d: d["hashes_per_s"] > 0 and d["quanta"] > 0)
        assert row["sensors"]["source"] == "coretemp" and row["sensors"]["temperature_mc"] == 50000, row
        degrees(90)
        row = cpu(rig, lambda d: d["state"] == "paused")
        assert "90.0 C" in row["why"], row
        degrees(80)  # between: it stays
        cpu(rig, lambda d: d["sensors"]["temperature_mc"] == 80000)
        assert cpu(rig, lambda d: True)["state"] == "paused"
        found = metrics(rig)
        assert found["running", "cpu"] == 0 and found["temperature_mc", "cpu"] == 80000, found
        before = found["hashes_total", "cpu"]
        assert before > 0
        degrees(60)
        row = cpu(rig, lambda d: d["state"] == "running" and d["hashes"] > before)
        degrees(None)
        cpu(rig, lambda d: d["sensors"]["temperature_mc"] is None)
        assert cpu(rig, lambda d: True)["state"] == "running"
        found = metrics(rig)
        assert ("temperature_mc", "cpu") not in found and found["running", "cpu"] == 1, "unknown is absent, not 0"
        assert "its temperature is unknown" in rig.log()
        degrees(60)
        assert rig.stop() < 3


def commanded():
    """pause, resume, restart, share; status shows the device; wrong names are refused"""
    degrees(50)
    with Rig() as rig:
        rig.start()
        cpu(rig, lambda d: d["state"] == "running")
        status = reelrig("status", "--data", rig.data, check=True).stdout
        assert re.search(r"running .*cpu", status), status
        shown = json.loads(reelrig("gpu", "list", "--data", rig.data, "--json", check=True).stdout)
        states = {d["id"]: d["state"] for d in shown["devices"]}
        assert shown["rig"] is True and states["cpu"] == "running", states
        reelrig("gpu", "pause", "cpu", "--data", rig.data, check=True)
        row = cpu(rig, lambda d: d["state"] == "paused")
        assert "command" in row["why"], row
        reelrig("gpu", "resume", "cpu", "--data", rig.data, check=True)
        cpu(rig, lambda d: d["state"] == "running")
        reelrig("gpu", "restart", "cpu", "--data", rig.data, check=True)
        row = cpu(rig, lambda d: d["restarts"] == 1 and d["state"] == "running")
        height = rig.call("chain")["height"]
        rig.until("chain", lambda c: c["height"] > height)  # and it mines on
        hash = rig.call("status")["hash"]
        assert hash["next_epoch_ready"] is False and hash["share_percent"]["gpu"] == 100, hash
        told = reelrig("gpu", "share", "--cpu", "3", "--data", rig.data, "--json", check=True).stdout
        assert json.loads(told) == {"cpu": 3, "gpu": 100}, told
        assert rig.call("status")["hash"]["share_percent"] == {"cpu": 3, "gpu": 100}
        assert reelrig("gpu", "share", "--gpu", "50", "--cpu", "20", "--data", rig.data,
                       check=True).stdout == "cpu 20 %, gpu 50 %: share\n"
        assert rig.call("status")["hash"]["share_percent"] == {"cpu": 20, "gpu": 50}
        for words in (["--cpu", "0"], ["--gpu", "101"], []):
            assert reelrig("gpu", "share", *words, "--data", rig.data).returncode == 2, words
        result = reelrig("gpu", "pause", "nothing", "--data", rig.data, "--json")
        assert result.returncode == 1 and "nothing" in json.loads(result.stdout)["message"], result
        assert reelrig("gpu", "tune", "nothing", "--data", rig.data).returncode == 1
        assert rig.stop() < 3


def not_mining():
    """a rig that does not mine shows its devices, off, and why"""
    with Rig(config="[mine]\nenabled = false\n") as rig:
        rig.start()
        row = cpu(rig, lambda d: d["state"] == "off")
        assert "mine.enabled" in row["why"], row
        assert reelrig("gpu", "restart", "cpu", "--data", rig.data).returncode == 1
        assert reelrig("gpu", "share", "--cpu", "5", "--data", rig.data).returncode == 1
        assert rig.stop() < 3


def settings():
    """settings of devices are checked at the start"""
    for line, word in (("temperature_max_c = 151", "temperature_max_c"), ("gpu_share_percent = 0", "gpu_share_percent"),
                       ('devices = "no-such"', "no-such"), ("restarts_per_hour = 17", "restarts_per_hour")):
        with Rig(config=f"[mine]\n{line}\n") as rig:
            rig.start(wait=False)
            assert rig.process.wait(timeout=60) != 0, line
            assert word in rig.log(), rig.log()


try:
    run_tests([without_a_rig, guarded, commanded, not_mining, settings])
finally:
    shutil.rmtree(sensors, ignore_errors=True)
