#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the vector of test_transcoding.c with nothing but hashlib: the draw of challenges, second opinion."""
import hashlib


def blake(domain, data):
    return hashlib.blake2b(data, digest_size=32, person=domain.encode().ljust(16, b"\0")).digest()


def draw(block, root, leaves, challenges):
    want = min(max(challenges, -(-leaves // 64)), leaves)
    beacon = blake("rr.pot.beacon.v1", block + root)

    def words():
        counter = 0
        while True:
            piece = blake("rr.pot.draw.v1", beacon + counter.to_bytes(8, "little"))
            for at in range(0, 32, 8):
                yield int.from_bytes(piece[at:at + 8], "little")
            counter += 1

    stream = words()
    taken = set()
    for last in range(leaves - want, leaves):
        bound = last + 1
        word = next(w for w in stream if w >= 2**64 % bound)
        pick = word % bound
        taken.add(last if pick in taken else pick)
    return sorted(taken)


if __name__ == "__main__":
    print(draw((0x0123456789abcdef).to_bytes(8, "little") + bytes(24),
               (0xfedcba98).to_bytes(8, "little") + bytes(24), 1000, 8))
