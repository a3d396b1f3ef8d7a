"""`noctule bench` as the driver runs it: pinned, its result as a dictionary, and how quiet the machine was."""

import json
import subprocess

from brokers import LOAD_CPU, NOCTULE, pinned

SCHEMES = {"tls": "mqtts", "websocket": "ws"}
QUIET = 0.05  # a run that other programs held up for a larger share of its time is repeated


def command(variant, port, pids, arguments):
    url = f"{SCHEMES.get(variant, 'mqtt')}://127.0.0.1:{port}" + ("/mqtt" if variant == "websocket" else "")
    flags = [word for pid in pids for word in ("--pid", pid)]
    return pinned(LOAD_CPU, [NOCTULE, "bench", *arguments, "--url", url, "--json", "--quiet", *flags])


def start(variant, port, pids, arguments, nice=None):
    words = command(variant, port, pids, arguments)
    if nice is not None:
        words = ["nice", "-n", str(nice), *words]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, timeout=120):
    """The result of a load that was started; `problem` tells what went wrong, also when there is none."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"ok": False, "problem": f"the load did not end within {timeout} s"}
    try:
        return json.loads(out)
    except ValueError:
        return {"ok": False, "problem": err.strip() or f"the load ended with {process.returncode}"}


def run(variant, port, pids, arguments, timeout=120):
    return finish(start(variant, port, pids, arguments), timeout)


def figure(result, path):
    """The number at `path` of a result, or None."""
    for name in path:
        result = result.get(name) if isinstance(result, dict) else None
    return result


def noise(result):
    """Share of the measured time during which broker or load could not run, as far as others ran instead."""
    seconds = figure(result, ("measured", "seconds")) or 0
    waited = sum(figure(result, (side, "wait_seconds")) or 0 for side in ("broker", "bench"))
    return min(waited, result.get("other_cpu_seconds") or 0) / seconds if seconds > 0 else 0
