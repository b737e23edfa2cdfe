"""The load: a few keep-alive connections in one process, each asking again as soon as it was answered.

Runs as a process of its own, ``python -m fluxori.devtools.bench.load``, with a plan as JSON on stdin and what was
measured as JSON on stdout. Standard library only, and little of it: on the same machine as the server, what the load
costs is taken from what is measured. The loopback only; every answer's status is looked at.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import count

HOST = "127.0.0.1"
MOST_CONNECTIONS = 256
MOST_SECONDS = 120.0
_PATIENCE = 60.0


class Unanswered(Exception):
    """The server closed a connection, or said nothing that can be read."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask, and for how long. Connection c asks for the callers c, c + connections, and so on, around.

    ``warm`` seconds go by before ``seconds`` are measured. With ``keys`` each request gets an idempotency key of its
    own; ``key`` gives all of them the same one. ``then`` is a path that is posted to next, without a body, with the id
    of the hold that was answered in place of ``HOLD``; both together are one turn.
    """

    port: int
    connections: int
    seconds: float
    tokens: list[str]
    path: str
    method: str = "POST"
    body: str = ""
    warm: float = 0.5
    keys: bool = False
    key: str = ""
    expect: int = 200
    then: str = ""

    def __post_init__(self) -> None:
        assert 1 <= self.connections <= MOST_CONNECTIONS
        assert 0 < self.seconds <= MOST_SECONDS


@dataclass(slots=True)
class Measured:
    """How many turns were answered as expected within the measured time, and how long each took, in seconds.

    ``unexpected`` counts the other answers by status, at any time, and ``sample`` is the first of them.
    """

    seconds: float
    answered: int = 0
    took: list[float] = field(default_factory=list)
    unexpected: dict[int, int] = field(default_factory=dict)
    sample: str = ""

    @property
    def rate(self) -> float:
        """Turns a second."""
        return self.answered / self.seconds

    def percentile(self, share: float) -> float:
        """Return the time within which this share of the turns was over, in milliseconds."""
        took = sorted(self.took)
        return 1000 * took[min(int(share * len(took)), len(took) - 1)]


class _Clock:
    """When the measured time begins and ends, and what was found in it."""

    def __init__(self, plan: Plan) -> None:
        self._begin = time.perf_counter() + plan.warm
        self._end = self._begin + plan.seconds
        self.measured = Measured(plan.seconds)

    def answered(self, asked: float) -> bool:
        """Count a turn that was over now, and return whether to go on."""
        now = time.perf_counter()
        if self._begin <= now < self._end:
            self.measured.answered += 1
            self.measured.took.append(now - asked)
        return now < self._end

    def surprised(self, status: int, answer: bytes) -> bool:
        self.measured.unexpected[status] = self.measured.unexpected.get(status, 0) + 1
        self.measured.sample = self.measured.sample or answer[:500].decode(errors="replace")
        return time.perf_counter() < self._end


class _Connection(asyncio.Protocol):
    """One turn after another, for one caller after another."""

    def __init__(self, plan: Plan, place: int, clock: _Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._turns = count(place, plan.connections)
        self._key = f"{time.time_ns():x}-{place}-"
        self._heads = [_head(plan, token) for token in plan.tokens]
        self._body = b"\r\n" + plan.body.encode()
        self._received = b""
        self._asked = 0.0
        self._follows = False
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        turn = next(self._turns)
        self._token = turn % len(self._heads)
        key = f"Idempotency-Key: {self._key}{turn}\r\n".encode() if self._plan.keys else b""
        self._follows = False
        self._asked = time.perf_counter()
        self._transport.write(self._heads[self._token] + key + self._body)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, answer = self._received.partition(b"\r\n\r\n")
        if not found or len(answer) < _length(head):
            return
        self._received = b""
        status = int(head[9:12])
        if status != (200 if self._follows else self._plan.expect):
            go_on = self._clock.surprised(status, answer)
        elif self._plan.then and not self._follows:
            self._follow(answer)
            return
        else:
            go_on = self._clock.answered(self._asked)
        if go_on:
            self._ask()
        else:
            self.over.set_result(None)
            self._transport.close()

    def _follow(self, answer: bytes) -> None:
        self._follows = True
        path = self._plan.then.replace("HOLD", json.loads(answer)["hold"]["id"])
        token = self._plan.tokens[self._token]
        self._transport.write(f"POST {path} HTTP/1.1\r\n{_names(self._plan, token)}Content-Length: 0\r\n\r\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(Unanswered(str(exc or "the server closed a connection")))


def _head(plan: Plan, token: str) -> bytes:
    """Return a request up to where an idempotency key of its own may follow."""
    head = f"{plan.method} {plan.path} HTTP/1.1\r\n{_names(plan, token)}"
    if plan.body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(plan.body.encode())}\r\n"
    return (head + (f"Idempotency-Key: {plan.key}\r\n" if plan.key else "")).encode()


def _names(plan: Plan, token: str) -> str:
    return f"Host: {HOST}:{plan.port}\r\nAuthorization: Bearer {token}\r\n"


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise Unanswered("an answer without Content-Length")


async def put(plan: Plan) -> Measured:
    """Put the load that is planned.

    :raises Unanswered: if the server does not answer
    """
    loop = asyncio.get_running_loop()
    clock = _Clock(plan)
    opened = [
        (await loop.create_connection(lambda place=place: _Connection(plan, place, clock), HOST, plan.port))[1]  # type: ignore[misc]
        for place in range(plan.connections)
    ]
    whole = asyncio.gather(*(connection.over for connection in opened))
    await asyncio.wait_for(whole, plan.warm + plan.seconds + _PATIENCE)
    return clock.measured


def main() -> None:
    measured = asyncio.run(put(Plan(**json.load(sys.stdin))))
    json.dump(asdict(measured), sys.stdout)


if __name__ == "__main__":
    main()
