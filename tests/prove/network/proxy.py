"""A hostile network: a proxy between Airflow and the workspace that spoils exchanges by rule.

Every connection carries one exchange. What happens to it is decided by a rule, a function from the request's number,
method and path to the name of a fault (see `FAULTS`), so that a seed, or a list, says all that a run of it does.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

FAULTS: dict[str, str] = {
    "none": "the exchange as it is",
    "refuse": "the connection is closed before the request is passed on",
    "reset": "the same, with a reset",
    "lose": "the request takes effect, and the connection is closed without an answer",
    "lose and reset": "the same, with a reset",
    "cut in the head": "the request takes effect, and its answer breaks off in the status line",
    "cut in the body": "the request takes effect, and its answer breaks off in the middle of the body",
    "502 after": "the request takes effect, and the answer says 502",
    "429": "the request is not passed on; the answer says 429",
    "500": "the request is not passed on; the answer says 500",
    "503": "the request is not passed on; the answer says 503",
    "delay": "the answer comes late",
    "hang": "the request takes effect; no answer comes until the client gives up",
    "late": "the client gives up before the request takes effect, which it then does beside its repetition",
}
AFTER = {"none", "lose", "lose and reset", "cut in the head", "cut in the body", "502 after", "delay", "hang", "late"}
"""The faults whose request takes effect."""

Rule = Callable[[int, str, str], str]


def always(fault: str, path: str = "") -> Rule:
    """This fault for every request whose method and path contain the pattern."""
    return lambda _, method, at: fault if re.search(path, f"{method} {at}") else "none"


def first(fault: str, times: int = 1) -> Rule:
    """This fault for the first request, or the first ones, of each kind."""
    seen: Counter[str] = Counter()

    def rule(_: int, method: str, path: str) -> str:
        kind = f"{method} {path.partition('?')[0]}"
        seen[kind] += 1
        return fault if seen[kind] <= times else "none"

    return rule


def by_chance(seed: int, share: float, most_in_a_row: int = 4, faults: Sequence[str] = tuple(FAULTS)) -> Rule:
    """Any fault for that share of the requests, but never more in a row than a client bears."""
    chance = random.Random(seed)
    row = 0

    def rule(_: int, method: str, path: str) -> str:
        nonlocal row
        fault = chance.choice(faults) if chance.random() < share and row < most_in_a_row else "none"
        row = 0 if fault in ("none", "delay") else row + 1
        return fault

    return rule


class HostileNetwork:
    """The proxy, in a separate thread. `rule` may be changed at any time; `exchanges` keeps what was done."""

    def __init__(self, port: int, client_timeout: float) -> None:
        self.rule: Rule = always("none")
        self.exchanges: list[tuple[str, str, str]] = []
        self.delay = client_timeout / 3
        self.too_long = client_timeout * 1.5
        self._upstream = port
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def count(self) -> Counter[str]:
        """How often each fault was met."""
        return Counter(fault for _, _, fault in self.exchanges)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._exchange, "127.0.0.1", 0))
        self.port = int(server.sockets[0].getsockname()[1])
        ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.decode("latin-1").split(" ", 2)
            length = re.search(rb"(?im)^content-length: *(\d+)", head)
            body = await reader.readexactly(int(length.group(1))) if length else b""
            if method == "GET" and body:
                method = "POLL"  # the triggerer's, whose GETs carry a body
            fault = self.rule(len(self.exchanges), method, path)
            self.exchanges.append((method, path.partition("?")[0], fault))
            if fault == "late":
                await asyncio.sleep(self.too_long)
            answer = await self._forward(head, body) if fault in AFTER else b""
            await self._spoil(fault, answer, writer)
        with suppress(OSError):
            writer.close()

    async def _spoil(self, fault: str, answer: bytes, writer: asyncio.StreamWriter) -> None:
        if fault == "hang":
            await asyncio.sleep(self.too_long)
        if fault in ("reset", "lose and reset"):
            # no farewell, but an error at the other end
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if fault in ("429", "500", "503", "502 after"):
            answer = b"HTTP/1.1 %s Spoilt\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % fault[:3].encode()
        if fault == "delay":
            await asyncio.sleep(self.delay)
        if fault == "cut in the head":
            answer = answer[:7]
        if fault == "cut in the body":
            answer = answer[: -max(1, len(answer.partition(b"\r\n\r\n")[2]) // 2)]
        if fault not in ("refuse", "reset", "lose", "lose and reset", "hang", "late"):
            writer.write(answer)
            await writer.drain()

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        head = re.sub(rb"(?im)^(connection|keep-alive):[^\r\n]*\r\n", b"", head)
        writer.write(head[:-2] + b"Connection: close\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        return answer
