# SPDX-License-Identifier: GPL-2.0-or-later
"""A publisher over RTMP in plain Python, sharing no code with the rig: it knows when each picture left."""
import os
import socket
import struct
import time


def amf(value):
    if value is None:
        return b"\x05"
    if isinstance(value, (int, float)):
        return b"\x00" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\x02" + struct.pack(">H", len(value)) + value.encode()
    body = b"".join(struct.pack(">H", len(k)) + k.encode() + amf(v) for k, v in value.items())
    return b"\x03" + body + b"\x00\x00\x09"


def flv_tags(data):
    """(type, milliseconds, body) of each tag of a file."""
    at = 13
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1:at + 4], "big")
        stamp = int.from_bytes(data[at + 4:at + 7], "big") | data[at + 7] << 24
        yield data[at], stamp, data[at + 11:at + 11 + size]
        at += 11 + size + 4


def shown_ms(body, stamp):
    """Presentation time of a video tag with a picture of H.264, else None."""
    if len(body) < 5 or body[0] & 15 != 7 or body[1] != 1:
        return None
    offset = int.from_bytes(body[2:5], "big")
    return stamp + (offset - (1 << 24) if offset & 0x800000 else offset)


class Refused(Exception):
    pass


class RtmpSender:
    def __init__(self, port, app="live", key="key", chunk=4096):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.chunk = 128
        self.heard = b""
        self.sent = []  # (presentation ms, wall time)
        greeting = os.urandom(1528)
        self.socket.sendall(b"\x03" + bytes(8) + greeting)
        answer = self.read(1 + 2 * 1536)
        assert answer[0] == 3 and answer[1 + 1536 + 8:] == greeting, "not RTMP's handshake"
        self.socket.sendall(answer[1:1537])
        self.message(2, 1, 0, struct.pack(">I", chunk))
        self.chunk = chunk
        self.command("connect", 1, {"app": app, "type": "nonprivate", "tcUrl": f"rtmp://127.0.0.1:{port}/{app}"})
        self.expect(b"NetConnection.Connect.Success")
        self.command("releaseStream", 2, None, key)
        self.command("FCPublish", 3, None, key)
        self.command("createStream", 4, None)
        self.command("publish", 5, None, key, "live", stream=1)
        self.expect(b"NetStream.Publish.Start")

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise Refused("closed")
            data += more
        return data

    def expect(self, word):
        while word not in self.heard:
            more = self.socket.recv(4096)
            if not more or b"_error" in self.heard + more or b"BadName" in self.heard + more:
                raise Refused((self.heard + more)[-200:])
            self.heard += more
        self.heard = self.heard.split(word, 1)[1]

    def command(self, name, number, *rest, stream=0):
        self.message(3, 20, 0, amf(name) + amf(number) + b"".join(amf(r) for r in rest), stream)

    def message(self, channel, kind, stamp, body, stream=0):
        extended = struct.pack(">I", stamp) if stamp >= 0xffffff else b""
        head = min(stamp, 0xffffff).to_bytes(3, "big") + len(body).to_bytes(3, "big") + bytes([kind])
        out = bytes([channel]) + head + struct.pack("<I", stream) + extended
        for at in range(0, max(len(body), 1), self.chunk):
            out += (bytes([0xc0 | channel]) + extended if at else b"") + body[at:at + self.chunk]
        self.socket.sendall(out)

    def publish(self, data, shift_ms=0, until=None, jump=None):
        """The tags of an FLV file at their times. until: ms at which to stop; jump: (ms, by how much the clock jumps)."""
        begun = time.time()
        for kind, stamp, body in flv_tags(data):
            shown = shown_ms(body, stamp) if kind == 9 else None
            if until is not None and stamp >= until:
                break
            wait = begun + stamp / 1000 - time.time()
            if wait > 0:
                time.sleep(wait)
            self.message({8: 4, 9: 6, 18: 5}[kind], kind,
                         stamp + shift_ms + (jump[1] if jump and stamp >= jump[0] else 0), body, 1)
            if shown is not None:
                self.sent.append((shown, time.time()))
        return self

    def end(self):
        self.command("deleteStream", 6, None, 1)
        self.socket.close()

    def vanish(self):
        self.socket.close()
