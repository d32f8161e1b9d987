#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of tests/vectors/blake3.txt, made by Debian's b3sum, the implementation of BLAKE3's authors.

Usage: blake3_vectors.py > tests/vectors/blake3.txt
"""
import os
import subprocess
import tempfile

KEY = bytes(range(100, 132))
LENGTHS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2048, 2049, 3072, 3073, 4096,
           4097, 5120, 5121, 6144, 6145, 7168, 7169, 8192, 8193, 16384, 17408, 17409, 31744, 65536, 102400, 1048577]


def b3sum(path, *arguments, **keywords):
    out = subprocess.run(["b3sum", "--no-names", *arguments, path], stdout=subprocess.PIPE, check=True, **keywords)
    return out.stdout.decode().strip()


def main():
    version = subprocess.run(["b3sum", "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    print("# BLAKE3 of len bytes, byte i is i mod 251; made by %s through tests/tools/blake3_vectors.py." % version)
    print("# blake3 LEN HASH KEYED_HASH (key: bytes 100 to 131)")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "input")
        for length in LENGTHS:
            with open(path, "wb") as file:
                file.write(bytes(i % 251 for i in range(length)))
            print("blake3", length, b3sum(path), b3sum(path, "--keyed", input=KEY))


main()
