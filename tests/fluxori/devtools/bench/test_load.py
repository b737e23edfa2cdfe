"""The load generator, against a server that answers as it is told."""

import asyncio
from typing import Any

import pytest

from fluxori.devtools.bench.load import HOST, MOST_CONNECTIONS, Plan, Unanswered, put


async def under_load(answer, **plan):
    """Return what was measured against a server that answers every request with what ``answer`` returns for it."""
    asked = []

    async def serve(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0)
            asked.append(head + await reader.readexactly(length))
            writer.write(answer(asked[-1]))

    def lost(reader, writer):
        task = asyncio.ensure_future(serve(reader, writer))
        task.add_done_callback(lambda done: done.exception())

    server = await asyncio.start_server(lost, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        filled: dict[str, Any] = {
            "connections": 2,
            "seconds": 0.2,
            "warm": 0.05,
            "tokens": ["a", "b", "c"],
            "path": "/there",
        } | plan
        return await put(Plan(port=port, **filled)), asked


def answering(status, body=b"{}"):
    return b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


class TestPut:
    def test_counts_what_was_answered_as_expected(self):
        measured, asked = asyncio.run(under_load(lambda _: answering(200), body='{"amount": 1}'))

        assert 0 < measured.answered <= len(asked)
        assert len(measured.took) == measured.answered
        assert measured.rate == measured.answered / 0.2
        assert 0 < measured.percentile(0.5) <= measured.percentile(0.99)
        assert asked[0].startswith(b"POST /there HTTP/1.1\r\n")
        assert asked[0].endswith(b'\r\n\r\n{"amount": 1}')

    def test_asks_for_one_caller_after_another(self):
        _, asked = asyncio.run(under_load(lambda _: answering(200), connections=1))

        callers = [request.split(b"Bearer ")[1][:1] for request in asked[:4]]
        assert callers == [b"a", b"b", b"c", b"a"]

    def test_gives_each_request_a_key_of_its_own(self):
        _, asked = asyncio.run(under_load(lambda _: answering(200), keys=True))

        keys = [request.split(b"Idempotency-Key: ")[1].split(b"\r\n")[0] for request in asked]
        assert len(set(keys)) == len(keys) > 2

    def test_names_every_status_that_was_not_expected(self):
        measured, _ = asyncio.run(under_load(lambda _: answering(503, b"busy"), expect=200))

        assert measured.answered == 0
        assert measured.unexpected[503] > 0
        assert measured.sample == "busy"

    def test_captures_the_hold_it_has_placed(self):
        def answer(request):
            return answering(200) if b"/capture" in request else answering(201, b'{"hold": {"id": "h1"}}')

        measured, asked = asyncio.run(
            under_load(answer, connections=1, expect=201, then="/holds/HOLD/capture", body="{}")
        )

        assert [request.split(b" ")[1] for request in asked[:2]] == [b"/there", b"/holds/h1/capture"]
        assert measured.answered <= len(asked) // 2

    def test_says_so_when_the_server_goes_away(self):
        async def gone():
            server = await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0)
            async with server:
                port = server.sockets[0].getsockname()[1]
                await put(Plan(port=port, connections=1, seconds=0.2, tokens=["a"], path="/there"))

        with pytest.raises(Unanswered):
            asyncio.run(gone())


class TestPlan:
    @pytest.mark.parametrize(("connections", "seconds"), [(0, 1), (MOST_CONNECTIONS + 1, 1), (1, 0), (1, 10**6)])
    def test_has_bounds(self, connections, seconds):
        with pytest.raises(AssertionError):
            Plan(port=1, connections=connections, seconds=seconds, tokens=["a"], path="/")
