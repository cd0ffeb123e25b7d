"""Framed messages between the sandbox's processes."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

LONGEST_BYTES = 64 << 20
_LENGTH = struct.Struct("!I")
_ENCODER = json.JSONEncoder(separators=(",", ":"))
PLAIN = json.JSONDecoder()


class WireError(Exception):
    """The other side is gone or sent something that is not a message."""


def send(sock: socket.socket, message: Any) -> None:
    """Write one message (anything JSON holds); WireError if the other side is gone."""
    data = _ENCODER.encode(message).encode()
    if len(data) > LONGEST_BYTES:
        raise WireError(f"a message of {len(data)} bytes is too long")
    try:
        sock.sendall(_LENGTH.pack(len(data)) + data)
    except OSError as error:
        raise WireError(f"the other side is gone ({error.strerror})") from None


def receive(sock: socket.socket, decoder: json.JSONDecoder = PLAIN) -> Any:
    """Read one message; WireError at the end of the stream or if it is no message."""
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
    if length > LONGEST_BYTES:
        raise WireError("a message is too long")
    try:
        text = _exactly(sock, length).decode("ascii")
        message, end = decoder.raw_decode(text)
    except WireError:
        raise
    except Exception as error:
        raise WireError(f"not a message: {type(error).__name__}") from None
    if end != length:
        raise WireError("more than a message")
    return message


def _exactly(sock: socket.socket, count: int) -> bytes:
    """`count` bytes; most messages come in one piece."""
    try:
        data = sock.recv(count)
        while len(data) < count:
            more = sock.recv(min(count - len(data), 1 << 20))
            if not more:
                break
            data += more
    except OSError:
        data = b""
    if len(data) < count:
        raise WireError("the other side is gone")
    return data
