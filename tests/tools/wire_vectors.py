#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The vectors of docs/formats.md, made from the page alone: layouts by struct, hashes by hashlib.

Usage: wire_vectors.py           compares tests/vectors/wire/*.hex, says what differs
       wire_vectors.py --digests  prints tests/vectors/wire/digests.txt
"""
import hashlib
import json
import pathlib
import struct
import sys

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "vectors/wire"
U16, U32, U64, I63 = 2**16 - 1, 2**32 - 1, 2**64 - 1, 2**63 - 1
COIN = 10**18
NAME = "abcdefghijklmnopqrstuvwxyz0123456789-"
next_number = 0
digests = {}


def hashed(domain, data):
    return hashlib.blake2b(data, digest_size=32, person=domain.encode().ljust(16, b"\0")).digest()


def number(low, high):
    global next_number
    next_number += 1
    n = next_number
    return n if low <= n <= high else low + n % (high - low + 1)


def octets(length):
    global next_number
    next_number += 1
    return bytes([next_number & 255]) * length


def u8(low=0, high=255):
    return struct.pack("<B", number(low, high))


def u16(low=0, high=U16):
    return struct.pack("<H", number(low, high))


def u32(low=0, high=U32):
    return struct.pack("<I", number(low, high))


def u64(low=0, high=U64):
    return struct.pack("<Q", number(low, high))


def coin():
    return u64(0, COIN)


def letters(length, alphabet):
    return "".join(alphabet[number(0, len(alphabet) - 1)] for _ in range(length)).encode()


def text(data):
    return bytes([len(data)]) + data


def le(value, length):
    return value.to_bytes(length, "little")


V = b"\x01"


def genesis():
    out = V + text(letters(4, NAME)) + u8(0, 1) + u64(0, I63) + u32(100, 600000) + u32(1, 67106813) + u32(1, 2**31 - 1)
    out += octets(32)
    high, low = number(0, U32), number(1, U64)
    out += (high << 192 | low).to_bytes(32, "big")
    out += u64(1, 31536000000) + coin() + u32(1, 2**20) + u32(1, 2**16) + u32(1) + u32() + u32(1) + u32(1, 2**24)
    out += u32(0, 16384) + u8(0, 1) + u64(1, COIN) + coin() + u64(0, COIN)
    least = number(1, U32)
    out += le(least, 4) + u32(least) + u32(4096, 16 << 20)
    digests["genesis"] = hashed("rr.genesis", out)
    return out


def voucher():
    out = V + u32() + octets(32) + octets(20) + coin() + u64() + u64() + octets(32) + coin() + u32()
    digests["voucher"] = hashed("rr.voucher.v1", out)
    return out + octets(64)


BODIES = {
    1: lambda: octets(20) + coin(),
    2: lambda: octets(32) + coin() + coin() + coin() + u32(),
    3: lambda: octets(32) + coin(),
    4: lambda: voucher() + u32() + octets(32),
    5: lambda: octets(32),
    10: lambda: b"\x01" + octets(32) + octets(32) + octets(32) + coin() + u16() + u32(),
    11: lambda: octets(32) + octets(32) + u32(),
    13: lambda: octets(32) + u64() + u16() + u16() + octets(32),
}
TX_NAMES = {"transfer": 1, "create_pool": 2, "refill_pool": 3, "settle": 4, "release_pool": 5, "open_contract": 10,
            "claim": 11, "attestation": 13}


def tx(kind=None, name=None):
    if kind is None:
        kind = list(BODIES)[number(0, 7)]
    out = V + bytes([kind]) + u32() + octets(32) + u64() + u64() + coin() + BODIES[kind]()
    digest = hashed("rr.tx.v1", out)
    out += octets(64)
    if name is not None:
        digests[name] = digest
        digests[name + "_id"] = hashed("rr.txid.v1", out)
    return out


def header():
    out = V + u32() + u64() + octets(32) + u64()
    high, low = number(0, U64), number(1, U64)
    out += (high << 192 | low).to_bytes(32, "big")
    out += octets(32) + octets(32) + octets(32) + le(2, 2) + u64() + u64() + u64() + u32()
    out += octets(32) + octets(32) + octets(32) + octets(32) + u64() + octets(32)
    digests["header"] = hashed("rr.blk.v1", out)
    return out


def block():
    head, first, second = header(), tx(), tx()
    leaves = [hashed("rr.txleaf.v1", hashed("rr.txid.v1", t)) for t in (first, second)]
    digests["block"] = hashed("rr.node.v1", leaves[0] + leaves[1])
    return V + head + le(2, 4) + first + second


def place():
    count = number(1, U32)
    index = number(0, count - 1)
    return le(index, 4) + le(count, 4) + b"\x02" + octets(32) + octets(32)


def tx_proof():
    return V + tx() + place() + le(2, 4) + header() + header()


def object_record():
    """Its bytes, and the length inside."""
    length = number(2**20, I63)
    kind = 1 if number(0, 1) == 1 else 2
    rest = le(length, 8) + b"\x03\x02" + le(16384, 4) + bytes([kind])
    rest += octets(32) + b"".join(octets(32) for _ in range(5))
    digests["object"] = hashed("rr.object.v1", V + rest)
    return V + digests["object"] + rest, length


def segment(objects, init):
    which = number(0, len(objects) - 1)
    length = objects[which][1]
    size = number(1, min(length, U32))
    offset = number(0, length - size)
    times = le(0, 12) if init else u64() + u32()
    return le(which, 4) + le(offset, 8) + le(size, 4) + times + octets(32)


def rendition(objects, index, tracks=False):
    kind = number(1, 3) if tracks else 2 - number(0, 1)
    video = kind == 1
    name = letters(4, NAME)
    out = bytes([kind]) + text(b"abc"[index:index + 1] + name[1:])
    out += text(letters(4, "abcxyzABCXYZ0189.,_-"))
    out += u16(1) + u16(1) if video else le(0, 4)
    out += u16(1) + u16(1) + u32() + u32(1) + u8(0, 2) + u16() + u32() + u32() + u32() + u32(1)
    if tracks:
        out += text(letters(4, "abcdefghijklmnopqrstuvwxyz")) + text(letters(4, "A label, 1-9!"))
        out += u8(0, 3 if kind == 3 else 1)
    out += segment(objects, True) + le(2, 4)
    return out + segment(objects, False) + segment(objects, False)


def manifest(tracks=False):
    chain_id, owner, created = u32(), octets(32), u64()
    kind, revision, title = number(1, 3), u32(1), text(letters(4, "A title, 1-9!"))
    price, slice_bytes, job, proof = coin(), u32(4096, 16 << 20), octets(32), octets(32)
    objects = [object_record(), object_record()]
    original = 0 if kind == 2 else number(0, 1)
    count = 3 if tracks else 2
    renditions = b"".join(rendition(objects, i, tracks) for i in range(count))
    first = bytes(32) if kind == 2 else objects[original][0][1:33]
    resource = hashed("rr.resource", chain_id + owner + first + created + bytes([kind]))
    version = b"\x02" if tracks else V
    out = version + chain_id + resource + owner + created + bytes([kind]) + revision + title + price + slice_bytes + job + proof
    out += le(original, 4) + le(2, 4) + objects[0][0] + objects[1][0] + le(count, 2) + renditions
    digests["manifest_tracks" if tracks else "manifest"] = hashed("rr.manifest.v1", out)
    return out + octets(64)


def job_spec():
    out = b"\x03" + u32() + octets(32) + octets(32) + u64() + text(letters(4, NAME)) + u16() + u32(100, 60000) + u32()
    out += b"\x03"
    for _ in range(3):
        out += u16() + u16() + u32(0, 1000000) + u32(0, 1000000)
    out += bytes([number(0, 1)]) + u16()
    exactness = number(0, 2)
    out += bytes([exactness]) + text(letters(4, NAME) if exactness else b"")
    digests["job_spec"] = hashed("rr.job.v1", out)
    return out


def leaf():
    out = u16() + u32()
    first = number(0, U32)
    return out + le(first, 4) + u32(first) + octets(32) + octets(32) + u64()


def pot_answer():
    contract, job, mine = octets(32), octets(32), leaf()
    digests["pot_answer"] = hashed("rr.pot.leaf", job + mine[:6] + mine[14:])
    return V + contract + job + mine + place()


def pot_gop():
    sizes, packets, extradata = [], b"", octets(3)
    for _ in range(2):
        sizes.append(2)
        packets += le(2, 4) + u64() + bytes([number(0, 1)])
    return V + le(3, 2) + extradata + le(2, 2) + packets + le(sum(sizes), 4) + octets(sum(sizes))


def pot_challenge():
    out = V + octets(32) + octets(32)
    leaves = number(1, 2**20)
    out += le(leaves, 4) + u64() + octets(32)
    return out + le(number(0, leaves - 1), 4)


def vote(verifier=None):
    out = u32() + octets(32) + octets(32) + u32() + bytes([number(0, 22)]) + octets(32) + octets(32)
    made = octets(32)
    return out + (made if verifier is None else bytes([verifier]) * 32) + octets(64)


def pot_fraud():
    answer = pot_answer()
    return V + le(len(answer), 2) + answer + le(2, 2) + vote(9) + vote(10)


def certificate(viewer=None, height=None):
    out = V + u32() + octets(32)
    made, made_height = octets(32), None
    out += viewer or made
    made_height = u64()
    out += made_height if height is None else le(height, 8)
    out += octets(32) + u64()
    digests["certificate"] = hashed("rr.cert.v1", out)
    return out + octets(64)


def certificate_set():
    out, total, places = V + le(3, 2), 0, []
    for i in range(3):
        viewer, height = bytes([7 + i // 2]) * 32, 100 + i
        out += certificate(viewer, height) + octets(32)
        credit = number(0, U64)
        out += le(credit, 8)
        total += credit
        places.append(viewer + le(height, 8))
    digests["certificate_set"] = hashed(
        "rr.certset.v1", le(0, 2) + places[0] + places[2] + le(3, 4) + le(total, 8) + hashed("rr.certs.v1", out))
    return out


def puzzle(segment_id=None, contract_id=None):
    """Its difficulty is a mantissa with its top bit and an exponent."""
    kind, prize, mantissa, exponent = number(1, 2), coin(), number(2**31, U32), number(0, 224)
    difficulty = le(1, 4) + b"\0" if kind == 2 else le(mantissa, 4) + le(exponent, 1)
    rand = octets(16)
    return V + bytes([kind]) + prize + difficulty + rand + (segment_id[:16] if segment_id else octets(16)) + (
        contract_id[:16] if contract_id else octets(16))


def puzzle_list():
    out = V + octets(32) + le(3, 4)
    for i in range(3):
        contract = octets(32)
        out += le(0, 2) + le(7 + i // 2, 4) + contract + puzzle(None, contract)
    return out


def puzzle_claim():
    chain_id, contract, resource, rendition_index = u32(), octets(32), octets(32), u16(0, 31)
    out = V + chain_id + contract + resource + rendition_index + u32(0, 65535)
    digest = octets(32)
    kind_of_puzzle = puzzle(digest, contract)
    out += digest + kind_of_puzzle
    digests["puzzle_claim_id"] = hashed("rr.puzzle.v1", out)
    out += octets(32) + octets(32)
    nonce = u64()
    out += le(0, 8) if kind_of_puzzle[1] == 2 else nonce
    digests["puzzle_claim"] = hashed("rr.pzclaim.v1", out)
    return out + octets(64)


def puzzle_box():
    times = [number(1, U32), number(0, U64), number(0, U32), number(0, U32)]
    contract = octets(32)
    inside = b"\x01\0\0\0" + struct.pack(">IQII", *times) + b"urn:reelrig:puzzle\0" + contract.hex().encode() + b"\0"
    inside += puzzle(None, contract)
    return struct.pack(">I", len(inside) + 8) + b"emsg" + inside


def puzzle_tag():
    contract = octets(32)
    return b"#EXT-X-REELRIG-PUZZLE:CONTRACT=0x%s,PUZZLE=0x%s" % (
        contract.hex().upper().encode(), puzzle(None, contract).hex().upper().encode())


def bech32m(prefix, data):
    """BIP 350 over the five-bit groups of data."""
    bits = int.from_bytes(data, "big")
    groups = [bits >> 5 * i & 31 for i in reversed(range(len(data) * 8 // 5))]

    def polymod(values):
        check = 1
        for value in values:
            top = check >> 25
            check = (check & 0x1FFFFFF) << 5 ^ value
            for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                check ^= g if top >> i & 1 else 0
        return check

    spread = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = polymod(spread + groups + [0] * 6) ^ 0x2BC830A3
    groups += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[g] for g in groups)


def coin_text(units):
    whole, part = divmod(units, 10**8)
    return f"{whole}.{part:08}".rstrip("0").rstrip(".")


def offer():
    resource, price, size, key = octets(32), number(0, COIN), number(0, U32), octets(32)
    chain_id, chain, height, point = number(0, U32), octets(32), number(0, I63), octets(32)
    least, margin, test = number(0, U32), number(0, U32), number(0, 1) == 1
    address = hashed("rr.addr", key)[:20]
    return json.dumps({
        "resource": resource.hex(), "slice_price": coin_text(price), "slice_bytes": size,
        "target": bech32m("trr" if test else "rr", address), "target_key": key.hex(), "chain_id": chain_id,
        "genesis": chain.hex(), "checkpoint_height": height, "checkpoint_hash": point.hex(),
        "collateral_min_ratio": "deposit < collateral", "pool_blocks_min": least, "margin_blocks": margin},
        sort_keys=True, separators=(",", ":")).encode()


def work_step(kind, inputs, **settings):
    """price first, as the values are made, then in the order of the page."""
    price = number(1, COIN // 24)
    profile, rung, rates, bps = settings.get("profile"), settings.get("rung", 0), None, 0
    name = letters(4, NAME) if profile else b""
    if kind == 4:
        rates = (number(0, U16), number(0, U32), number(0, U32))
    if kind == 5:
        bps = number(1, U32)
    out = bytes([kind, len(inputs)]) + b"".join(bytes(i) for i in inputs) + bytes([len(name)]) + name + struct.pack("<H", rung)
    return out + struct.pack("<HII", *(rates or (0, 0, 0))) + struct.pack("<IQ", bps, price)


def work_chain_body():
    out = u32() + octets(32) + octets(32) + u64() + u32(100, 60000) + u16() + u8(0, 1) + u16(1) + bytes([number(0, 1) + 1, 7])
    out += work_step(1, []) + work_step(2, [(0, 1)])
    out += work_step(4, [(1, 3)], profile=True, rung=2000) + work_step(4, [(1, 3)], profile=True, rung=1999)
    return out + work_step(3, [(0, 2)]) + work_step(5, [(4, 4)], profile=True) + work_step(6, [(2, 5), (3, 5), (5, 6)])


def work_offer():
    out = V + u32() + octets(32)
    created = number(0, U64 // 2)
    out += struct.pack("<QQI", created, created + number(0, U32), number(0, 63) << 1) + b"\2"
    for codec in (b"hevc", b"vp9"):
        out += bytes([len(codec)]) + codec + coin() + u32()
    out += u8(0, 1) + u8(0, 1) + bytes([4]) + letters(4, NAME) + coin() + coin() + coin() + coin() + u64(1, COIN // 24)
    return out + u16() + u16() + u32() + u32() + u64() + u64() + u16() + u16() + coin() + u32() + u32() + octets(64)


def work_order():
    out = V + octets(32) + u64() + u64() + u16() + u16() + u32() + u32(1) + u64() + u64() + u8(0, 1)
    chain = work_chain_body()
    return out + u32(1, 2**7 - 1) + chain + octets(64)


def work_quote():
    out = V + u32() + octets(32) + octets(32) + octets(32) + octets(32) + u64() + u64() + u64(1, COIN // 24)
    out += u32() + u32() + u32() + u32() + u64() + b"\3" + coin() + coin() + coin()
    return out + octets(64)


FORMATS = {
    "work_chain": lambda: V + work_chain_body(), "work_offer": work_offer, "work_order": work_order, "work_quote": work_quote,
    "work_commit": lambda: V + octets(32) + u32() + u32() + u64() + octets(32) + octets(64),
    "genesis": genesis, "voucher": voucher, "header": header, "block": block, "tx_proof": tx_proof,
    "object": lambda: object_record()[0], "manifest": manifest,
    "manifest_tracks": lambda: manifest(True), "job_spec": job_spec, "pot_answer": pot_answer,
    "pot_gop": pot_gop, "pot_challenge": pot_challenge, "pot_vote": lambda: V + vote(), "pot_fraud": pot_fraud,
    "pot_leaves": lambda: V + octets(32) + le(2, 4) + leaf() + leaf(),
    "certificate": certificate, "certificates": lambda: V + le(2, 2) + certificate() + certificate(),
    "certificate_set": certificate_set,
    "session_request": lambda: V + octets(32) + octets(32) + voucher() + le(5, 4) + octets(5),
    "session_answer": lambda: V + octets(16) + u32() + coin() + u32(),
    "puzzle": puzzle, "puzzle_list": puzzle_list, "puzzle_claim": puzzle_claim,
    "puzzle_claims": lambda: V + le(2, 2) + puzzle_claim() + puzzle_claim(), "puzzle_box": puzzle_box,
    "puzzle_tag": puzzle_tag,
    "puzzle_offer": lambda: b"height=%d, block=%s, s=%d, d=%d" % (
        number(0, U64), octets(32).hex().encode(), number(0, U32), number(0, U32)),
    "payment_header": lambda: b"session=%s, depth=%d, preimage=%s" % (
        octets(16).hex().encode(), number(0, U32), octets(32).hex().encode()),
    "offer": offer,
}
for title, kind_of_tx in TX_NAMES.items():
    FORMATS["tx_" + title] = lambda k=kind_of_tx, n="tx_" + title: tx(k, n)

kept_digests, failures = {}, 0
for format_name, make in sorted(FORMATS.items()):
    next_number = 0
    digests = {}
    made_bytes = make()
    kept_digests.update({k: v for k, v in digests.items() if k.startswith(format_name)})
    kept = bytes.fromhex((FOLDER / (format_name + ".hex")).read_text())
    if kept != made_bytes:
        failures += 1
        at = next((i for i, (a, b) in enumerate(zip(kept, made_bytes)) if a != b), min(len(kept), len(made_bytes)))
        print(f"{format_name}: kept {len(kept)} bytes, made {len(made_bytes)}; they differ from {at}", file=sys.stderr)
if "--digests" in sys.argv[1:]:
    for digest_name, value in sorted(kept_digests.items()):
        print(digest_name, value.hex())
else:
    print(f"{len(FORMATS) - failures} of {len(FORMATS)} vectors agree")
sys.exit(1 if failures else 0)
