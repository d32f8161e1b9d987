# SPDX-License-Identifier: GPL-2.0-or-later
"""Ethash in plain Python, written from its description (revision 23) and not from this repository's C: the second
opinion of the system tests. Nodes of the dataset are made when they are first read, and kept."""
import struct

ROUND_CONSTANTS, ROTATIONS = [], []


def make_tables():
    """Round constants by the LFSR of the Keccak reference, rotations by its walk over the lanes."""
    lfsr = 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            if lfsr & 1:
                constant |= 1 << ((1 << j) - 1)
            lfsr = (lfsr << 1) ^ (0x171 if lfsr & 0x80 else 0)
        ROUND_CONSTANTS.append(constant)
    x, y = 1, 0
    for t in range(24):
        to_x, to_y = y, (2 * x + 3 * y) % 5
        # rho and pi together: a lane turned by its offset lands on (y, 2x + 3y)
        ROTATIONS.append((x + 5 * y, to_x + 5 * to_y, (t + 1) * (t + 2) // 2 % 64))
        x, y = to_x, to_y


make_tables()
MASK64 = (1 << 64) - 1


def keccak_f(a):
    for constant in ROUND_CONSTANTS:
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[x - 1] ^ ((c[(x + 1) % 5] << 1 | c[(x + 1) % 5] >> 63) & MASK64) for x in range(5)]
        b = [0] * 25
        b[0] = a[0] ^ d[0]
        for source, target, rotation in ROTATIONS:
            lane = a[source] ^ d[source % 5]
            b[target] = (lane << rotation | lane >> (64 - rotation)) & MASK64
        for y in range(0, 25, 5):
            r0, r1, r2, r3, r4 = b[y:y + 5]
            a[y] = r0 ^ (~r1 & r2)
            a[y + 1] = r1 ^ (~r2 & r3)
            a[y + 2] = r2 ^ (~r3 & r4)
            a[y + 3] = r3 ^ (~r4 & r0)
            a[y + 4] = r4 ^ (~r0 & r1)
        a[0] ^= constant


def keccak(data, out_bytes):
    rate = 200 - 2 * out_bytes
    data = bytearray(data)
    data.append(1)
    data.extend(bytes(-len(data) % rate))
    data[-1] |= 0x80
    state = [0] * 25
    for at in range(0, len(data), rate):
        for i, lane in enumerate(struct.unpack_from(f"<{rate // 8}Q", data, at)):
            state[i] ^= lane
        keccak_f(state)
    return struct.pack("<25Q", *state)[:out_bytes]


PRIME = 0x01000193
# 16 words in one number, 64 bits apart, so that one multiplication does them all.
LANES = sum(0xFFFFFFFF << 64 * i for i in range(16))


def spread(node):
    return int.from_bytes(b"".join(node[i:i + 4] + bytes(4) for i in range(0, 64, 4)), "little")


def gather(value):
    wide = value.to_bytes(128, "little")
    return b"".join(wide[i:i + 4] for i in range(0, 128, 8))


def fnv(a, b):
    return (a * PRIME & 0xFFFFFFFF) ^ b


class Ethash:
    def __init__(self, cache_items, dataset_items, seed):
        nodes = [keccak(seed, 64)]
        while len(nodes) < cache_items:
            nodes.append(keccak(nodes[-1], 64))
        for _ in range(3):
            for i in range(cache_items):
                other = int.from_bytes(nodes[i][:4], "little") % cache_items
                mixed = int.from_bytes(nodes[i - 1], "little") ^ int.from_bytes(nodes[other], "little")
                nodes[i] = keccak(mixed.to_bytes(64, "little"), 64)
        self.cache = nodes
        self.cache_lanes = [spread(node) for node in nodes]
        self.dataset_items = dataset_items
        self.made = {}

    def node(self, index):
        """Lanes of a 64-byte node of the dataset."""
        if index in self.made:
            return self.made[index]
        count = len(self.cache)
        first = bytearray(self.cache[index % count])
        first[:4] = (int.from_bytes(first[:4], "little") ^ index).to_bytes(4, "little")
        mix = spread(keccak(first, 64))
        for j in range(256):
            parent = fnv(index ^ j, mix >> 64 * (j % 16) & 0xFFFFFFFF) % count
            mix = (mix * PRIME & LANES) ^ self.cache_lanes[parent]
        self.made[index] = made = spread(keccak(gather(mix), 64))
        return made

    def hash(self, header, nonce):
        """(mix, final) of a header hash and a nonce."""
        seed = keccak(header + nonce.to_bytes(8, "little"), 64)
        seed_word = int.from_bytes(seed[:4], "little")
        halves = [spread(seed), spread(seed)]
        for i in range(64):
            word = i % 32
            row = fnv(i ^ seed_word, halves[word // 16] >> 64 * (word % 16) & 0xFFFFFFFF) % self.dataset_items
            halves = [(halves[k] * PRIME & LANES) ^ self.node(2 * row + k) for k in range(2)]
        words = struct.unpack("<32I", gather(halves[0]) + gather(halves[1]))
        mix = b"".join(struct.pack("<I", fnv(fnv(fnv(words[i], words[i + 1]), words[i + 2]), words[i + 3]))
                       for i in range(0, 32, 4))
        return mix, keccak(seed + mix, 32)
