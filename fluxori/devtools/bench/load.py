"""A load generator: several keep-alive connections in one process, each with one request in flight.

It runs as ``python -m fluxori.devtools.bench.load`` with a plan as JSON on stdin, and prints the measurement as JSON.
It shares the machine with the server, so it is kept cheap: one asyncio protocol and no HTTP library. It checks the
status of every response, and connects to the loopback interface only.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import count

HOST = "127.0.0.1"
MAX_CONNECTIONS = 256
MAX_SECONDS = 120.0
_TIMEOUT = 60.0


class NoResponseError(Exception):
    """The server closed a connection, or its response has no Content-Length."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests to send, and for how long. Connection c uses the tokens c, c + connections, and so on, in a cycle.

    ``warm_up`` seconds pass before ``seconds`` are measured. With ``keys`` each request has its own idempotency key;
    ``key`` is one key for all of them. ``follow_up`` is a path that is posted to next, without a body: ``HOLD`` in it
    is replaced by the id of the hold in the response. Both requests together count as one turn.
    """

    port: int
    connections: int
    seconds: float
    tokens: list[str]
    path: str
    method: str = "POST"
    body: str = ""
    warm_up: float = 0.5
    keys: bool = False
    key: str = ""
    expect: int = 200
    follow_up: str = ""

    def __post_init__(self) -> None:
        assert 1 <= self.connections <= MAX_CONNECTIONS
        assert 0 < self.seconds <= MAX_SECONDS

    def key_prefix(self, connection: int) -> str:
        """Return the beginning of the idempotency keys of one connection."""
        return f"{time.time_ns():x}-{connection}-"


@dataclass(slots=True)
class Measured:
    """The turns that were completed in the measured time, and the duration of each in seconds.

    ``unexpected`` counts all responses with another status than the expected one, by status; ``sample`` is the body of
    the first of them.
    """

    seconds: float
    completed: int = 0
    durations: list[float] = field(default_factory=list)
    unexpected: dict[int, int] = field(default_factory=dict)
    sample: str = ""

    @property
    def rate(self) -> float:
        """Turns per second."""
        return self.completed / self.seconds

    def percentile(self, share: float) -> float:
        """Return the duration that this share of the turns did not exceed, in milliseconds."""
        durations = sorted(self.durations)
        return 1000 * durations[min(int(share * len(durations)), len(durations) - 1)]


class _Recorder:
    """Records the turns of all connections."""

    def __init__(self, plan: Plan) -> None:
        self._begin = time.perf_counter() + plan.warm_up
        self._end = self._begin + plan.seconds
        self.measured = Measured(plan.seconds)

    def record(self, sent_at: float) -> bool:
        """Count a turn that ends now. Return True if the connection continues."""
        now = time.perf_counter()
        if self._begin <= now < self._end:
            self.measured.completed += 1
            self.measured.durations.append(now - sent_at)
        return now < self._end

    def record_unexpected(self, status: int, body: bytes) -> bool:
        """Count an unexpected response. Return True if the connection continues."""
        self.measured.unexpected[status] = self.measured.unexpected.get(status, 0) + 1
        self.measured.sample = self.measured.sample or body[:500].decode(errors="replace")
        return time.perf_counter() < self._end


class _Connection(asyncio.Protocol):
    """Sends one request after another, with the tokens in a cycle."""

    def __init__(self, plan: Plan, number: int, recorder: _Recorder) -> None:
        self._plan = plan
        self._recorder = recorder
        self._turns = count(number, plan.connections)
        self._key = plan.key_prefix(number)
        self._heads = [head_of(plan, token) for token in plan.tokens]
        self._body = b"\r\n" + plan.body.encode()
        self._received = b""
        self._sent_at = 0.0
        self._is_follow_up = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        turn = next(self._turns)
        self._token = turn % len(self._heads)
        key = f"Idempotency-Key: {self._key}{turn}\r\n".encode() if self._plan.keys else b""
        self._is_follow_up = False
        self._sent_at = time.perf_counter()
        self._transport.write(self._heads[self._token] + key + self._body)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._received = b""
        status = int(head[9:12])
        if status != (200 if self._is_follow_up else self._plan.expect):
            continues = self._recorder.record_unexpected(status, body)
        elif self._plan.follow_up and not self._is_follow_up:
            self._send_follow_up(body)
            return
        else:
            continues = self._recorder.record(self._sent_at)
        if continues:
            self._send()
        else:
            self.done.set_result(None)
            self._transport.close()

    def _send_follow_up(self, body: bytes) -> None:
        self._is_follow_up = True
        path = self._plan.follow_up.replace("HOLD", json.loads(body)["hold"]["id"])
        headers = _common_headers(self._plan, self._plan.tokens[self._token])
        self._transport.write(f"POST {path} HTTP/1.1\r\n{headers}Content-Length: 0\r\n\r\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(NoResponseError(str(exc or "the server closed a connection")))


def head_of(plan: Plan, token: str) -> bytes:
    """Return the request line and the headers, except for the idempotency key of the single request."""
    head = f"{plan.method} {plan.path} HTTP/1.1\r\n{_common_headers(plan, token)}"
    if plan.body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(plan.body.encode())}\r\n"
    return (head + (f"Idempotency-Key: {plan.key}\r\n" if plan.key else "")).encode()


def _common_headers(plan: Plan, token: str) -> str:
    return f"Host: {HOST}:{plan.port}\r\nAuthorization: Bearer {token}\r\n"


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise NoResponseError("a response has no Content-Length")


async def run_load(plan: Plan) -> Measured:
    """Send the planned requests and return the measurement.

    :raises NoResponseError: the server closes a connection, or its response cannot be parsed
    """
    loop = asyncio.get_running_loop()
    recorder = _Recorder(plan)
    connections = []
    for number in range(plan.connections):
        _, connection = await loop.create_connection(
            lambda number=number: _Connection(plan, number, recorder),  # type: ignore[misc]
            HOST,
            plan.port,
        )
        connections.append(connection)
    done = asyncio.gather(*(connection.done for connection in connections))
    await asyncio.wait_for(done, plan.warm_up + plan.seconds + _TIMEOUT)
    return recorder.measured


def main() -> None:
    measured = asyncio.run(run_load(Plan(**json.load(sys.stdin))))
    json.dump(asdict(measured), sys.stdout)


if __name__ == "__main__":
    main()
