#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the compiler does not check about the house: floors, doors, forbidden words, SPDX lines, README lines, sizes."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
floors, allowed, inside = {}, set(), []
for line in (root / "packaging/lint/floors.txt").read_text().splitlines():
    words = line.split("#")[0].split()
    if len(words) == 3 and words[0] == "inside":
        inside.append((words[1], words[2]))
    elif len(words) == 3:
        allowed.add((words[1], words[2]))
    elif words:
        floors[words[0]] = int(words[1])

bad = []
sources = [p for d in ("src", "kernels", "bench", "tests") for p in (root / d).rglob("*.[ch]")]


def folder_of(path):
    parts = path.relative_to(root).parts
    return parts[1] if parts[0] == "src" else parts[0]


def code_lines(text):
    """Lines without comments and string contents, numbers kept."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    text = re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)
    return [re.sub(r"//.*", "", line) for line in text.split("\n")]


def check_includes(path, text):
    me = folder_of(path)
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include "([a-z0-9_]+)/([a-z0-9_/]+)\.h"', line)
        if not match or match.group(1) == me or me == "tests":
            continue
        other, header = match.groups()
        if other not in floors:
            other = "kernels" if (root / "kernels" / other).is_dir() else other
        if other == "kernels":
            continue
        where = f"{path.relative_to(root)}:{number}"
        if floors.get(other, 99) >= floors.get(me, 0) and (me, other) not in allowed:
            bad.append(f"{where}: {me} (floor {floors.get(me)}) includes {other} (floor {floors.get(other)})")
        seen = any(str(path.relative_to(root)).startswith(start) and other == folder for start, folder in inside)
        if header != other and not seen:
            bad.append(f"{where}: {other}/{header}.h is private; the door is {other}/{other}.h")


words = [
    (r"\b(sprintf|vsprintf|strcpy|strcat|strncpy|atoi|atol|rand|srand|gets|strtok|alloca)\s*\(", lambda f: True),
    (r"\b(system|popen|tmpnam|mktemp)\s*\(", lambda f: True),
    (r"\b(malloc|calloc|realloc|free|strdup)\s*\(", lambda f: f not in ("base", "tests")),
    (r"\buv_\w+", lambda f: f not in ("loop", "tests")),
    (r"\bprintf\s*\(", lambda f: f not in ("cli", "bench", "tests")),
    (r"\.units\b", lambda f: f not in ("base", "wire", "tests")),
    (r"#\s*include\s*<(sodium|secp256k1\w*)\.h>", lambda f: f not in ("crypto", "tests")),
    (r"#\s*include\s*<lmdb\.h>", lambda f: f not in ("db", "tests")),
    (r"#\s*include\s*<lib(av\w*|sw\w*)/", lambda f: f not in ("transcode", "tests")),
    (r"#\s*include\s*<openssl/", lambda f: f not in ("stratum", "tests")),
    (r"#\s*include\s*<isa-l", lambda f: f != "storage"),
    (r"#\s*include\s*<nats/", lambda f: f != "dispatch"),
]


def check_words(path, text):
    me = folder_of(path)
    for number, line in enumerate(code_lines(text), 1):
        for pattern, applies in words:
            if applies(me) and re.search(pattern, line):
                bad.append(f"{path.relative_to(root)}:{number}: forbidden here: {line.strip()[:80]}")


for path in sources:
    text = path.read_text()
    if "SPDX-License-Identifier:" not in text.split("\n")[0]:
        bad.append(f"{path.relative_to(root)}:1: no SPDX line")
    check_includes(path, text)
    check_words(path, text)
    limit = 250 if path.suffix == ".h" else 800
    if text.count("\n") > limit:
        bad.append(f"{path.relative_to(root)}: {text.count(chr(10))} lines, the limit is {limit}")

for pattern in ("*.sh", "*.py", "*.js", "*.css", "*.html", "*.cmake", "CMakeLists.txt"):
    for path in root.rglob(pattern):
        relative = path.relative_to(root)
        if relative.parts[0].startswith("build") or relative.parts[0] in ("run", ".git"):
            continue
        if "SPDX-License-Identifier:" not in "\n".join(path.read_text().split("\n")[:3]):
            bad.append(f"{relative}:1: no SPDX line")

for folder in list((root / "src").iterdir()) + [root / "kernels", root / "bench"]:
    if not folder.is_dir():
        continue
    readme = folder / "README.md"
    if not readme.exists():
        bad.append(f"{folder.relative_to(root)}: no README.md")
        continue
    text = readme.read_text()
    for path in sorted(folder.rglob("*.[ch]")):
        if path.name not in text and path.stem not in text:
            bad.append(f"{readme.relative_to(root)}: no line for {path.relative_to(folder)}")

print("\n".join(bad) if bad else f"house: {len(sources)} sources hold")
sys.exit(1 if bad else 0)
