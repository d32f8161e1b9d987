#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of tests/vectors/keccak.txt: Keccak with the padding byte 0x01.

hashlib has only SHA-3 (padding byte 0x06); this implementation is first compared with it under that
byte and then used under ours. Usage: keccak_vectors.py > tests/vectors/keccak.txt
"""
import hashlib

MASK = 2**64 - 1


def rotate(v, n):
    n %= 64
    return (v << n | v >> (64 - n)) & MASK if n else v


def bit_of_lfsr(t):
    r = 1
    for _ in range(t % 255):
        r <<= 1
        if r & 0x100:
            r ^= 0x171
    return r & 1


def permute(lanes):
    for rnd in range(24):
        column = [lanes[x][0] ^ lanes[x][1] ^ lanes[x][2] ^ lanes[x][3] ^ lanes[x][4] for x in range(5)]
        delta = [column[(x + 4) % 5] ^ rotate(column[(x + 1) % 5], 1) for x in range(5)]
        lanes = [[lanes[x][y] ^ delta[x] for y in range(5)] for x in range(5)]
        moved = [[0] * 5 for _ in range(5)]
        x, y, offset = 1, 0, 0
        moved[0][0] = lanes[0][0]
        for t in range(24):
            offset += t + 1
            moved[y][(2 * x + 3 * y) % 5] = rotate(lanes[x][y], offset)
            x, y = y, (2 * x + 3 * y) % 5
        lanes = [[moved[x][y] ^ (~moved[(x + 1) % 5][y] & MASK & moved[(x + 2) % 5][y]) for y in range(5)]
                 for x in range(5)]
        for j in range(7):
            lanes[0][0] ^= bit_of_lfsr(j + 7 * rnd) << (2**j - 1)
    return lanes


def keccak(data, size, pad):
    rate = 200 - 2 * size
    data = bytearray(data) + bytes([pad]) + bytes(-(len(data) + 1) % rate)
    data[-1] |= 0x80
    lanes = [[0] * 5 for _ in range(5)]
    for start in range(0, len(data), rate):
        for i in range(rate // 8):
            lanes[i % 5][i // 5] ^= int.from_bytes(data[start + 8 * i:start + 8 * i + 8], "little")
        lanes = permute(lanes)
    out = b"".join(lanes[i % 5][i // 5].to_bytes(8, "little") for i in range(25))
    return out[:size]


def main():
    print("# Keccak-256 and -512 with padding byte 0x01 of len bytes, byte i is i mod 251; made by")
    print("# tests/tools/keccak_vectors.py, whose permutation is checked against hashlib's SHA-3.")
    for length in list(range(0, 10)) + [32, 40, 63, 64, 71, 72, 73, 96, 135, 136, 137, 143, 144, 145, 271, 272, 273, 1000]:
        data = bytes(i % 251 for i in range(length))
        assert keccak(data, 32, 6) == hashlib.sha3_256(data).digest()
        assert keccak(data, 64, 6) == hashlib.sha3_512(data).digest()
        print("keccak", length, keccak(data, 32, 1).hex(), keccak(data, 64, 1).hex())


main()
