"""The load generator, against a small server in the same event loop."""

import asyncio
from typing import Any

import pytest

from fluxori.devtools.bench import wrk
from fluxori.devtools.bench.load import HOST, MAX_CONNECTIONS, NoResponseError, Plan, run_load


async def measure(respond, *, use_wrk=False, **options):
    """Return the measurement and the requests. The server responds to each request with ``respond(request)``."""
    requests = []

    async def serve(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0)
            requests.append(head + await reader.readexactly(length))
            writer.write(respond(requests[-1]))

    def connected(reader, writer):
        task = asyncio.ensure_future(serve(reader, writer))
        task.add_done_callback(lambda done: done.exception())

    server = await asyncio.start_server(connected, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        plan: dict[str, Any] = {
            "connections": 2,
            "seconds": 0.2,
            "warm_up": 0.05,
            "tokens": ["a", "b", "c"],
            "path": "/there",
        } | options
        if use_wrk:
            return await asyncio.to_thread(wrk.run_load, Plan(port=port, **plan)), requests
        return await run_load(Plan(port=port, **plan)), requests


def response(status, body=b"{}"):
    return b"HTTP/1.1 %d Reason\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


class TestRunLoad:
    def test_counts_expected_responses(self):
        measured, requests = asyncio.run(measure(lambda _: response(200), body='{"amount": 1}'))

        assert 0 < measured.completed <= len(requests)
        assert len(measured.durations) == measured.completed
        assert measured.rate == measured.completed / 0.2
        assert 0 < measured.percentile(0.5) <= measured.percentile(0.99)
        assert requests[0].startswith(b"POST /there HTTP/1.1\r\n")
        assert requests[0].endswith(b'\r\n\r\n{"amount": 1}')

    def test_uses_the_tokens_in_a_cycle(self):
        _, requests = asyncio.run(measure(lambda _: response(200), connections=1))

        tokens = [request.split(b"Bearer ")[1][:1] for request in requests[:4]]
        assert tokens == [b"a", b"b", b"c", b"a"]

    def test_sends_each_request_with_its_own_key(self):
        _, requests = asyncio.run(measure(lambda _: response(200), keys=True))

        keys = [request.split(b"Idempotency-Key: ")[1].split(b"\r\n")[0] for request in requests]
        assert len(set(keys)) == len(keys) > 2

    def test_counts_unexpected_responses_by_status(self):
        measured, _ = asyncio.run(measure(lambda _: response(503, b"busy"), expect=200))

        assert measured.completed == 0
        assert measured.unexpected[503] > 0
        assert measured.sample == "busy"

    def test_sends_the_follow_up_with_the_id_of_the_hold(self):
        def respond(request):
            return response(200) if b"/capture" in request else response(201, b'{"hold": {"id": "h1"}}')

        measured, requests = asyncio.run(
            measure(respond, connections=1, expect=201, follow_up="/holds/HOLD/capture", body="{}")
        )

        assert [request.split(b" ")[1] for request in requests[:2]] == [b"/there", b"/holds/h1/capture"]
        assert measured.completed <= len(requests) // 2

    def test_fails_if_the_server_closes_the_connection(self):
        async def connect():
            server = await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0)
            async with server:
                port = server.sockets[0].getsockname()[1]
                await run_load(Plan(port=port, connections=1, seconds=0.2, tokens=["a"], path="/there"))

        with pytest.raises(NoResponseError):
            asyncio.run(connect())


class TestPlan:
    @pytest.mark.parametrize(("connections", "seconds"), [(0, 1), (MAX_CONNECTIONS + 1, 1), (1, 0), (1, 10**6)])
    def test_rejects_values_outside_its_bounds(self, connections, seconds):
        with pytest.raises(AssertionError):
            Plan(port=1, connections=connections, seconds=seconds, tokens=["a"], path="/")


@pytest.mark.slow
@pytest.mark.skipif(not wrk.is_installed(), reason="wrk is not installed")
class TestWrk:
    def test_sends_tokens_in_a_cycle_each_request_with_its_own_key(self):
        measured, requests = asyncio.run(
            measure(lambda _: response(200), use_wrk=True, seconds=1, connections=1, keys=True, body='{"amount": 1}')
        )

        assert 0 < measured.completed <= len(requests)
        assert 0 < measured.percentile(0.5) <= measured.percentile(0.99)
        assert requests[0].startswith(b"POST /there HTTP/1.1\r\nHost: ")
        assert requests[0].endswith(b'\r\n\r\n{"amount": 1}')
        # wrk builds a request before it measures, and the tokens go on from there.
        tokens = {request.split(b"Bearer ")[1][:1] for request in requests[:3]}
        assert tokens == {b"a", b"b", b"c"}
        keys = [request.split(b"Idempotency-Key: ")[1].split(b"\r\n")[0] for request in requests]
        assert len(set(keys)) == len(keys)

    def test_counts_errors(self):
        measured, _ = asyncio.run(measure(lambda _: response(503), use_wrk=True, seconds=1))

        assert measured.completed == 0
        assert sum(measured.unexpected.values()) > 0

    @pytest.mark.parametrize("options", [{"follow_up": "/x"}, {"expect": 201}, {"key": "k"}, {"seconds": 0.4}])
    def test_does_not_run_what_it_cannot_measure(self, options):
        assert not wrk.can_run(options)
        assert wrk.can_run({"seconds": 2.0, "keys": True})
