"""A client that keeps no rule of gRPC's but those of HTTP/2: what an attacker would write."""

from __future__ import annotations

import select
import socket
import time
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.settings

DESCRIBE = "/merrflow.qwen_audio.v1.ToneDescriber/Describe"
FRAME = 16_384  # bytes


def frame(message: bytes, announced: int | None = None, compressed: bool = False) -> bytes:
    """A gRPC message, with a length that may be a lie."""
    size = len(message) if announced is None else announced
    return bytes([compressed]) + size.to_bytes(4, "big") + message


def memory(pid: int, what: str = "VmHWM") -> int:
    """MiB of a process: VmRSS now, VmHWM the most it had."""
    (line,) = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith(what)]
    return int(line.split()[1]) >> 10


class Attacker:
    """One connection, to use from one thread."""

    def __init__(self, address: str, window: int | None = None) -> None:
        """window: bytes that each answer may have before this side says that it read them."""
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        if window is not None:
            self.http.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.status: dict[int, str] = {}  # stream -> gRPC status, of those that ended
        self.exchange(0.2)

    def open(self, path: str, *headers: tuple[str, str]) -> int:
        """Begins a call. Returns its stream."""
        stream = self.http.get_next_available_stream_id()
        usual = ((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"))
        self.http.send_headers(stream, [*usual, ("content-type", "application/grpc"), ("te", "trailers"), *headers])
        return stream

    def send(self, wanted: dict[int, bytes], seconds: float) -> int:
        """Sends to each stream as much as the other side takes, round by round, for so long. Returns the bytes sent."""
        left = {stream: memoryview(data) for stream, data in wanted.items()}
        sent, end = 0, time.monotonic() + seconds
        while any(left.values()) and time.monotonic() < end:
            before = sent
            for stream, data in left.items():
                if stream in self.status or not data:
                    left[stream] = memoryview(b"")
                    continue
                room = min(self.http.local_flow_control_window(stream), FRAME, len(data))
                if room > 0:
                    self.http.send_data(stream, bytes(data[:room]))
                    left[stream], sent = data[room:], sent + room
            self.exchange(0.0 if sent > before else 0.05)
        return sent

    def exchange(self, seconds: float = 0.0) -> None:
        """Sends what is due, and reads what comes within the time."""
        end = time.monotonic() + seconds
        while True:
            self.socket.sendall(self.http.data_to_send())
            if not select.select([self.socket], [], [], max(0.0, end - time.monotonic()))[0]:
                return
            data = self.socket.recv(1 << 20)
            if not data:
                return
            for event in self.http.receive_data(data):
                if isinstance(event, (h2.events.TrailersReceived, h2.events.ResponseReceived)):
                    found = dict(event.headers)
                    if "grpc-status" in found:
                        self.status[event.stream_id] = found["grpc-status"]
                elif isinstance(event, h2.events.StreamReset):
                    self.status.setdefault(event.stream_id, "reset")

    def close(self) -> None:
        self.socket.close()
