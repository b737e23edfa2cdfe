"""Load by ``wrk``, where it is installed (the Debian package ``wrk``).

A client in C takes less of the processors than the one in ``fluxori.devtools.bench.load``, so more is left for the
server. Every response must have a status below 400.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxori.devtools.bench.load import HOST, Measured, NoResponseError, Plan, head_of

NAME = "wrk"

# Sends the tokens in a cycle, each request with a key of its own, and prints a thousand percentiles.
_SCRIPT = """
local file = io.open(os.getenv("WRK_REQUESTS"), "r")
local heads = {}
for head in file:lines() do heads[#heads + 1] = head:gsub("\\\\r\\\\n", "\\r\\n") end
file:close()
local body, prefix, turn = heads[#heads], heads[#heads - 1], 0
heads[#heads], heads[#heads - 1] = nil, nil
request = function()
  turn = turn + 1
  local head = heads[turn % #heads + 1]
  if prefix ~= "" then head = head .. "Idempotency-Key: " .. prefix .. turn .. "\\r\\n" end
  return head .. "\\r\\n" .. body
end
done = function(summary, latency, requests)
  local errors = summary.errors
  local out = {}
  for i = 0, 999 do out[#out + 1] = string.format("%d", latency:percentile(i / 10 + 0.05)) end
  io.write(string.format('RESULT {"requests": %d, "microseconds": %d, "status": %d, "failed": %d, "latency": [%s]}\\n',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    table.concat(out, ",")))
end
"""


def is_installed() -> bool:
    return shutil.which(NAME) is not None


def can_run(options: Mapping[str, Any]) -> bool:
    """Return whether wrk is installed and supports these options of a plan. It has no second request of a turn."""
    whole_seconds = options.get("seconds", 1.0) >= 1
    return is_installed() and whole_seconds and not {"follow_up", "expect", "key"} & options.keys()


def run_load(plan: Plan) -> Measured:
    """Send the planned requests and return the measurement. A plan with ``follow_up`` needs the other client.

    :raises NoResponseError: wrk fails, or a connection is closed or refused
    """
    assert not plan.follow_up
    with tempfile.TemporaryDirectory() as folder:
        requests, script = Path(folder) / "requests", Path(folder) / "script.lua"
        heads = [head_of(plan, token).decode().replace("\r\n", r"\r\n") for token in plan.tokens]
        requests.write_text("\n".join([*heads, plan.key_prefix(0) if plan.keys else "", plan.body]) + "\n")
        script.write_text(_SCRIPT)
        command = [NAME, "--threads", "1", "--connections", str(plan.connections)]
        command += ["--duration", f"{max(1, round(plan.seconds))}s", "--timeout", "60s", "--script", str(script)]
        completed = subprocess.run(  # noqa: S603 (a fixed command)
            [*command, f"http://{HOST}:{plan.port}{plan.path}"],
            env={"WRK_REQUESTS": str(requests)},
            check=False,
            capture_output=True,
            text=True,
            timeout=plan.seconds + 120,
        )
    lines = [line for line in completed.stdout.splitlines() if line.startswith("RESULT ")]
    if completed.returncode or not lines:
        raise NoResponseError(f"wrk: {completed.stderr[-500:] or completed.stdout[-500:]}")
    result = json.loads(lines[0].removeprefix("RESULT "))
    if result["failed"]:
        raise NoResponseError(f"wrk: {result['failed']} connections failed")
    return Measured(
        seconds=result["microseconds"] / 1e6,
        completed=result["requests"] - result["status"],
        durations=[each / 1e6 for each in result["latency"]],
        unexpected={0: result["status"]} if result["status"] else {},
        sample="a status of 400 or above" if result["status"] else "",
    )
