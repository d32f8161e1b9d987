#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`reelrig hash` against the public facts of tests/vectors/ethash.txt."""
import json

from rig import reelrig, root, run_tests, short

rows = [line.split() for line in (root / "tests/vectors/ethash.txt").read_text().splitlines()
        if line.strip() and not line.startswith("#")]


def rows_of(kind):
    found = [row[1:] for row in rows if row[0] == kind]
    assert found, f"no rows of {kind}"
    return found


def ask(*words):
    return json.loads(reelrig("hash", *words, "--json", check=True).stdout)


def refused(status, word, *words):
    result = reelrig("hash", *words, "--json")
    assert result.returncode == status, f"{words}: exit {result.returncode}, {status} was expected: {result.stderr}"
    message = json.loads(result.stdout)["message"] if result.stdout else result.stderr
    assert word in message, f"{words}: '{message}' does not name '{word}'"


def sizes():
    """sizes of every epoch in the list, and none beyond the last"""
    good = 0
    for epoch, cache, dataset in rows_of("size"):
        if (cache, dataset) == ("0", "0"):
            refused(2 if epoch.startswith("-") else 1, epoch, "size", "--epoch", epoch)
            continue
        got = ask("size", "--epoch", epoch)
        assert got == {"epoch": int(epoch), "cache_items": int(cache) // 64, "cache_bytes": int(cache),
                       "dataset_items": int(dataset) // 128, "dataset_bytes": int(dataset)}, got
        good += 1
    assert good >= 40, good


def seeds():
    """seeds of every epoch in the list"""
    for epoch, seed in rows_of("seed"):
        assert ask("seed", "--epoch", epoch) == {"epoch": int(epoch), "seed": seed}


def items():
    """dataset items of epoch 13, also far beyond its end"""
    facts = rows_of("item13")
    for index, low, high in facts[:1] + facts[-2:] if short else facts[:2] + facts[-2:]:
        got = ask("item", "--epoch", "13", "--index", index, "--backend", ["law", "cpu"][int(index) % 2])
        assert got["item"] == low + high and (got["epoch"], got["index"]) == (13, int(index)), got
        assert got["in_dataset"] == (int(index) < ask("size", "--epoch", "13")["dataset_items"])


def hashes():
    """hashes of blocks 0 to 5000002, by the law and by the processor's fastest way"""
    facts = rows_of("hash")
    assert len(facts) >= 4
    for i, (block, header, nonce, mix, final) in enumerate(facts[:3] if short else facts):
        backend = ["law", "cpu"][i % 2]
        got = ask("ethash", "--block", block, "--header", header, "--nonce", "0x" + nonce, "--backend", backend)
        assert (got["mix"], got["final"], got["epoch"]) == (mix, final, int(block) // 30000), (backend, got)
        assert got["nonce"] == nonce and got["header"] == header and got["backend"] == backend, got


def difficulty():
    """the boundary is told, exactly"""
    block, header, nonce, _, final = rows_of("hash")[0]
    base = ["ethash", "--block", block, "--header", "0x" + header, "--nonce", nonce]
    edge = 2 ** 256 // int(final, 16)
    for value, text, solves in ((1, "1", True), (edge, str(edge), True), (edge + 1, hex(edge + 1), False),
                                (2 ** 256 - 1, str(2 ** 256 - 1), False)):
        got = ask(*base, "--difficulty", text)
        assert got["solves"] is solves, (value, got)
        assert int(got["boundary"], 16) == min(2 ** 256 // value, 2 ** 256 - 1)


def wrong_words():
    """wrong words are refused with a sentence that names them"""
    block, header, nonce, *_ = rows_of("hash")[0]
    full = {"--block": block, "--header": header, "--nonce": nonce}

    def with_(**changes):
        words = {**full, **{f"--{k}": v for k, v in changes.items()}}
        return ["ethash", *[w for pair in words.items() if pair[1] is not None for w in pair]]
    for status, word, words in (
            (2, "63 hex digits", with_(header=header[1:])),
            (2, "65 hex digits", with_(header=header + "0")),
            (2, "0 hex digits", with_(header="0x")),
            (2, "hex digits", with_(header="g" * 64)),
            (2, "17 hex digits", with_(nonce=nonce + "0")),
            (2, "--nonce", with_(nonce="0x")),
            (2, "--nonce", with_(nonce="12 4")),
            (2, "--header is missing", with_(header=None)),
            (2, "--nonce is missing", with_(nonce=None)),
            (2, "--epoch is missing", with_(block=None)),
            (2, "not both", with_(epoch="0")),
            (2, "979199999", with_(block="979200000")),
            (2, "--block", with_(block="99999999999999999999999")),
            (2, "--difficulty", with_(difficulty="0")),
            (2, "--difficulty", with_(difficulty=str(2 ** 256))),
            (2, "--difficulty", with_(difficulty="1e9")),
            (1, "no-such", with_(backend="no-such")),
            (1, "32640", ["seed", "--epoch", "32640"]),
            (2, "--index", ["item", "--epoch", "0", "--index", str(2 ** 31)]),
            (1, "makes no items", ["item", "--epoch", "0", "--index", "0", "--backend", "cuda"]),
            (2, "--index is missing", ["item", "--epoch", "0"])):
        refused(status, word, *words)
    assert reelrig("hash").returncode == 2 and reelrig("hash", "nothing").returncode == 2
    assert ask("ethash", "--epoch", "0", "--header", header, "--nonce", "0x1")["nonce"] == "0" * 15 + "1"


run_tests([sizes, seeds, items, hashes, difficulty, wrong_words])
