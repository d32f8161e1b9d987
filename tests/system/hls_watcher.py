# SPDX-License-Identifier: GPL-2.0-or-later
"""A viewer of one live media playlist in plain Python: reloads it held back, and checks what RFC 8216bis asks of it."""
import re
import threading
import time
import urllib.error
import urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url, timeout=30):
    """(status, headers, body, seconds)."""
    started = time.monotonic()
    try:
        with opener.open(url, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read(), time.monotonic() - started
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read(), time.monotonic() - started


def attributes(text):
    return {k: v.strip('"') for k, v in re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', text)}


class Playlist:
    """Segments with their parts; the last may have parts alone."""

    def __init__(self, text):
        self.segments, self.hint, self.reports, self.ended = [], None, [], "#EXT-X-ENDLIST" in text
        self.part_target = self.sequence = self.target = None
        self.control = {}
        fresh = {"parts": [], "gap": False, "jump": False, "date": None}
        now = dict(fresh, parts=[])
        for line in text.splitlines():
            name, _, rest = line.partition(":")
            if name == "#EXT-X-TARGETDURATION":
                self.target = int(rest)
            elif name == "#EXT-X-PART-INF":
                self.part_target = float(attributes(rest)["PART-TARGET"])
            elif name == "#EXT-X-SERVER-CONTROL":
                self.control = attributes(rest)
            elif name == "#EXT-X-MEDIA-SEQUENCE":
                self.sequence = int(rest)
            elif name == "#EXT-X-PART":
                now["parts"].append(attributes(rest))
            elif name == "#EXT-X-PRELOAD-HINT":
                self.hint = attributes(rest)["URI"]
            elif name == "#EXT-X-RENDITION-REPORT":
                self.reports.append(attributes(rest))
            elif name == "#EXT-X-DISCONTINUITY":
                now["jump"] = True
            elif name == "#EXT-X-PROGRAM-DATE-TIME":
                now["date"] = rest
            elif name == "#EXT-X-GAP":
                now["gap"] = True
            elif name == "#EXTINF":
                now["duration"] = float(rest.rstrip(","))
            elif line and line[0] != "#":
                self.segments.append(dict(now, uri=line, number=self.sequence + len(self.segments)))
                now = dict(fresh, parts=[])
        self.open = now["parts"]
        self.next = self.sequence + len(self.segments)

    def check(self):
        assert self.target and self.sequence is not None
        if self.ended:
            return
        assert self.control["CAN-BLOCK-RELOAD"] == "YES"
        assert float(self.control["PART-HOLD-BACK"]) >= 3 * self.part_target - 1e-6, self.control
        assert float(self.control["HOLD-BACK"]) >= 3 * self.target
        assert self.hint == f"part_{self.next:05d}.{len(self.open)}.m4s", (self.hint, self.next, len(self.open))
        for segment in self.segments:
            assert segment["date"] and round(segment["duration"]) <= self.target, segment
            parts = segment["parts"]
            if parts and not segment["gap"]:
                total = sum(float(p["DURATION"]) for p in parts)
                assert abs(total - segment["duration"]) < 0.05, (total, segment["duration"])
                assert parts[0].get("INDEPENDENT") == "YES"
            self.check_parts(parts, segment["number"], True)
        self.check_parts(self.open, self.next, False)

    def check_parts(self, parts, number, whole):
        for i, part in enumerate(parts):
            assert part["URI"] == f"part_{number:05d}.{i}.m4s", part
            assert float(part["DURATION"]) <= self.part_target + 1e-6, (part, self.part_target)
            last = whole and i + 1 == len(parts)
            assert last or float(part["DURATION"]) >= 0.85 * self.part_target, (part, self.part_target)


class Watcher(threading.Thread):
    """Follows base/index.m3u8 from its first part to its end."""

    def __init__(self, base, media=True):
        super().__init__(daemon=True)
        self.base, self.media = base, media
        self.first_part, self.whole = {}, {}  # segment: wall time when it was in the playlist
        self.part_seen = {}  # (segment, part): wall time
        self.held, self.jumps, self.gaps, self.answers = 0, 0, 0, 0
        self.dates, self.failure, self.last = {}, None, None
        self.stop = False

    def run(self):
        try:
            self.follow()
        except Exception as error:  # told to who joins
            self.failure = f"{type(error).__name__}: {error}"

    def note(self, playlist, now):
        for segment in playlist.segments:
            number = segment["number"]
            for i in range(len(segment["parts"])):
                self.part_seen.setdefault((number, i), now)
            if segment["parts"] and number not in self.first_part:
                self.first_part[number] = now
            if number not in self.whole:
                self.whole[number] = now
                self.jumps += segment["jump"]
                self.gaps += segment["gap"]
                assert number not in self.dates or self.dates[number] == segment["date"], "a date changed"
                self.dates[number] = segment["date"]
        for i in range(len(playlist.open)):
            self.part_seen.setdefault((playlist.next, i), now)
            self.first_part.setdefault(playlist.next, now)

    def reload(self, query=""):
        status, _, body, seconds = get(f"{self.base}/index.m3u8{query}")
        assert status == 200, (status, body[:200], query)
        playlist = Playlist(body.decode())
        playlist.check()
        if self.last is not None:
            assert playlist.sequence >= self.last.sequence and playlist.next >= self.last.next, "numbers fell"
            assert playlist.target == self.last.target, "the target duration changed"
        self.last = playlist
        self.answers += 1
        self.held += seconds > 0.03
        return playlist

    def hinted(self, playlist, results):
        """Asks for the part that comes next before it exists."""
        results.append(get(f"{self.base}/{playlist.hint}"))

    def follow(self):
        playlist = self.reload()
        kept = {}
        while not playlist.ended and not self.stop:
            self.note(playlist, time.time())
            number, part = playlist.next, len(playlist.open)
            results = []
            ask = threading.Thread(target=self.hinted, args=(playlist, results), daemon=True)
            if self.media:
                ask.start()
            fresh = self.reload(f"?_HLS_msn={number}&_HLS_part={part}")
            there = fresh.next > number or len(fresh.open) > part
            assert there or fresh.ended, f"answered before part {number}.{part} existed"
            if self.media:
                ask.join()
                status, headers, body, _ = results[0]
                assert status in (200, 404), (status, body[:200])
                if status == 200:
                    assert "max-age" in headers["Cache-Control"]
                    kept[(number, part)] = body
                self.compare(fresh, kept)
            playlist = fresh
        self.note(playlist, time.time())

    def compare(self, playlist, kept):
        """A segment is its parts, one after the other."""
        for segment in playlist.segments[-2:]:
            bodies = [kept.get((segment["number"], i)) for i in range(len(segment["parts"]))]
            if bodies and all(bodies) and not segment["gap"] and not segment.get("compared"):
                whole = get(f"{self.base}/{segment['uri']}")
                assert whole[0] == 200 and whole[2] == b"".join(bodies), f"segment {segment['number']} is not its parts"

    def done(self, timeout=60):
        self.join(timeout)
        assert not self.is_alive(), "the playlist does not end"
        assert self.failure is None, self.failure
        return self
