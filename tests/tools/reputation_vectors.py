#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of tests/vectors/reputation.txt: the fixed point of spec 50, 3 in Python's big integers.

Written from the specification alone; the constants are made with 120-digit decimals and checked
against the values printed there. Usage: reputation_vectors.py > tests/vectors/reputation.txt
"""
import random
from decimal import Decimal, ROUND_FLOOR, getcontext
from fractions import Fraction

getcontext().prec = 120
LOG2E = 6653256548922161246
U64 = 2**64 - 1


def power(i):
    exact = Decimal(2) ** (Decimal(63) - Decimal(2) ** -i)
    return int((exact + Decimal("0.5")).to_integral_value(rounding=ROUND_FLOOR))


POWERS = [power(i) for i in range(1, 33)]
assert POWERS[0] == 0x5A827999FCEF3242
assert POWERS[1] == 0x6BA27E656B4EB57A
assert POWERS[31] == 0x7FFFFFFFA746F404
assert LOG2E == int((Decimal(2) ** 62 / Decimal(2).ln() + Decimal("0.5")).to_integral_value(ROUND_FLOOR))


def reputation(y):
    z = (y * LOG2E) >> 62
    k, f = z >> 32, z & 0xFFFFFFFF
    if k >= 63:
        return 2**32 - 1
    a = 2**63
    for i in range(1, 33):
        if f >> (32 - i) & 1:
            a = (a * POWERS[i - 1]) >> 63
    a >>= k
    return min(((2**63 - a) << 32) // (2**63 + a), 2**32 - 1)


for whole, expected in ((0, 0), (1, 1984778077), (2, 3271021992), (10, 4294577331)):
    assert reputation(whole << 32) == expected


def work(h):
    return U64 if h == 0 else min((2**256 - 1) // h, U64)


def time_ms(h, s, d, block_ms):
    q = work(h)
    if s == 0 or Fraction(q) < Fraction(s * d * block_ms, 4000):
        return 0
    return min(1000 * q // s, d * block_ms)


def y_q32(num, den, s, block_ms, window_ms, total_ms, difficulty):
    below = den * 1000 * window_ms * difficulty
    if below == 0:
        return 0
    return min(Fraction(num * s * block_ms * total_ms * 2**32, below).__floor__(), U64)


def bits(rng, most):
    """A number of a random length up to `most` bits: small and large ones alike."""
    return rng.getrandbits(rng.randint(1, most))


def main():
    rng = random.Random(50003)
    print("# Reputation in fixed point (spec 50, 3); made by tests/tools/reputation_vectors.py, seed 50003.")
    print("# r Y_Q32 R_Q32")
    edges = [0, 1, 2**32 - 1, 2**32, 2**33, 10 * 2**32, 43 * 2**32, 44 * 2**32, U64 - 1, U64]
    for y in edges + [bits(rng, 39) for _ in range(900)] + [bits(rng, 64) for _ in range(90)]:
        print("r", y, reputation(y))
    print("# time FINAL_BE S D BLOCK_MS E T_SC_MS")
    for i in range(400):
        s, d, block_ms = bits(rng, 20), 1 + bits(rng, 6), rng.choice([100, 1000, 2000, 15000, 600000])
        whole = max(1, s * d * block_ms // 1000)
        # Around a quarter of the full work and around all of it, and anywhere.
        q = rng.choice([whole // 4, whole // 4 + 1, max(1, whole // 4 - 1), whole, whole + 1, bits(rng, 64), whole * 3 // 4])
        h = (2**256 - 1) // max(q, 1) if i % 5 else bits(rng, 256)
        print("time", "%064x" % h, s, d, block_ms, work(h), time_ms(h, s, d, block_ms))
    for h in (0, 1, 2**192 - 1, 2**192, 2**256 - 1):
        print("time", "%064x" % h, 1000, 5, 2000, work(h), time_ms(h, 1000, 5, 2000))
    print("time", "%064x" % 77, 0, 5, 2000, work(77), 0)
    print("# y C_NUM C_DEN S BLOCK_MS WINDOW_MS TOTAL_MS DIFFICULTY Y_Q32")
    for i in range(400):
        row = [bits(rng, 32), bits(rng, 32), bits(rng, 32), bits(rng, 32), bits(rng, 64), bits(rng, 64), bits(rng, 256 if i % 4 == 0 else 70)]
        if i % 2:
            row = [bits(rng, 8), 1 + bits(rng, 8), 1000, 2000, 2000 * (1 + bits(rng, 12)), bits(rng, 40), 1 + bits(rng, 24)]
        print("y", *row, y_q32(*row))
    most = [2**32 - 1, 1, 2**32 - 1, 2**32 - 1, 1, U64, 1]
    print("y", *most, y_q32(*most))
    least = [2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, U64, U64, 2**256 - 1]
    print("y", *least, y_q32(*least))


main()
