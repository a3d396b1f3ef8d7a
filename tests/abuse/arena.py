"""What the abuse tests share: an attack on a broker with a bystander beside it, and what is asserted about both.

NOCTULE_ABUSE_SCALE multiplies what is thrown at the broker; the figures of docs/abuse.md are those of 10.
"""

import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

from broker import WORKERS, base_config
from mqtt_raw import DEADLINE, TIME_SCALE

SCALE = float(os.environ.get("NOCTULE_ABUSE_SCALE", "1"))
KIB, MIB = 1024, 1024 * 1024
PAIRS = 4  # of the bystander, so that with several workers most of them have a part of it
BYSTANDER = pathlib.Path(__file__).parent / "bystander.py"

# Generous on purpose: they tell "goes on" from "stands still", not fast from slow. The figures are in the report.
TRIP_P99_MS = 1000 * TIME_SCALE
TRIP_MAX_MS = 1000 * DEADLINE

# What the allocator may keep although nobody uses it any more, before it counts as not released.
KEPT_BACK = int(12 * MIB * max(1.0, SCALE ** 0.5))
# Sanitizers keep shadow memory and what was freed: the memory of such a build says nothing.
MEMORY_COUNTS = TIME_SCALE == 1

lines = []  # of the report, in the order of the attacks


def scaled(count, least=1):
    """`count` of whatever is thrown, by the scale; fewer where a sanitizer makes everything slow."""
    return max(least, int(count * SCALE / (TIME_SCALE if TIME_SCALE > 1 else 1)))


def scaled_crowd(count):
    """The same for connections at the same time, of which the system allows a process so many and no more."""
    return min(scaled(count), resource.getrlimit(resource.RLIMIT_NOFILE)[1] * 3 // 4)


def config(log="warn", **changes):
    """Everybody may do everything; a log that the attack does not fill."""
    return base_config(log={"level": log, "format": "text"}, **changes)


class Process:
    """What the system knows about the broker's process."""

    def __init__(self, pid):
        self.folder = pathlib.Path(f"/proc/{pid}")

    def _status(self, key):
        for line in (self.folder / "status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * KIB
        raise KeyError(key)

    def rss(self):
        return self._status("VmRSS")

    def peak(self):
        return self._status("VmHWM")

    def reset_peak(self):
        (self.folder / "clear_refs").write_text("5")

    def descriptors(self):
        return len(os.listdir(self.folder / "fd"))

    def cpu_seconds(self):
        fields = (self.folder / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bystander:
    def __init__(self, address, pairs=PAIRS):
        self.process = subprocess.Popen([sys.executable, str(BYSTANDER), address[0], str(address[1]), str(pairs),
                                         str(2 * DEADLINE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line == "ready\n", f"the bystander could not connect: {line!r}"

    def stop(self):
        out, _ = self.process.communicate("", timeout=4 * DEADLINE)
        return json.loads(out)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def wait_until(condition, what, seconds=None):
    deadline = time.monotonic() + (DEADLINE if seconds is None else seconds * TIME_SCALE)
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


class Attack:
    """Handed to the body of `attack`: `process`, and `note` for the report."""

    def __init__(self, process, before):
        self.process, self.before, self.notes, self.began = process, before, [], time.monotonic()

    def note(self, text):
        self.notes.append(text)

    def grown(self):
        return self.process.rss() - self.before


@contextlib.contextmanager
def attack(broker, title, ceiling, kept=0, descriptors_kept=0, bystander=True, pairs=PAIRS, before=None):
    """The body attacks `broker` and must have closed all its connections when it ends. Afterwards: the broker lives,
    the bystander lost nothing, memory stayed below `ceiling` bytes above the start, and went back to at most `kept`
    plus what an allocator keeps; descriptors are back but for `descriptors_kept`. `before` is the memory at the start,
    where that is not now."""
    process = Process(broker.process.pid)
    process.reset_peak()
    before = process.rss() if before is None else before
    descriptors, cpu = process.descriptors(), process.cpu_seconds()
    third = Bystander(broker.address, pairs) if bystander else None
    one = Attack(process, before)
    try:
        yield one
        seconds = time.monotonic() - one.began
        trips = third.stop() if third else None
    finally:
        if third:
            third.kill()
    assert broker.alive(), f"the broker ended with {broker.process.returncode}:\n{broker.tail()}"
    peak, spent = process.peak() - before, process.cpu_seconds() - cpu
    try:
        wait_until(lambda: process.descriptors() <= descriptors + descriptors_kept, "descriptors given back")
        with contextlib.suppress(AssertionError):
            wait_until(lambda: process.rss() - before <= kept + KEPT_BACK, "memory given back", seconds=1)
    finally:
        after = process.rss() - before
        report(title, seconds, spent, peak, ceiling, after, trips, one.notes)
    broker.check_sanitizers()
    if trips:
        assert trips["error"] is None and trips["lost"] == 0 and trips["twice"] == 0, f"the bystander suffered: {trips}"
        assert trips["p99"] < TRIP_P99_MS and trips["max"] < TRIP_MAX_MS, f"the bystander was held up: {trips}"
        assert trips["sent"] >= pairs, "the bystander sent nothing"
    if MEMORY_COUNTS:
        assert peak <= ceiling, f"memory grew by {peak / MIB:.1f} MiB, the limits allow {ceiling / MIB:.1f}"
        assert after <= kept + KEPT_BACK, f"{after / MIB:.1f} MiB were not given back"


def twice(broker, title, ceiling):
    """The same attack two times, for those that leave the allocator with holes which it does not give back: the
    second one finds its memory there, and does not come higher than the first, or something leaks."""
    process = Process(broker.process.pid)
    before = process.rss()
    yield attack(broker, title, ceiling, kept=ceiling)
    higher = process.peak() - before + min(KEPT_BACK, ceiling // 8)
    yield attack(broker, title + ", again", higher, kept=higher, before=before)


def report(title, seconds, spent, peak, ceiling, after, trips, notes):
    trip = ("%7d %8.2f %8.2f %8.1f" % (trips["sent"], trips["p50"], trips["p99"], trips["max"]) if trips
            else "%7s %8s %8s %8s" % ("-", "-", "-", "-"))
    lines.append("%-44s %6.1f %6.1f  %s  %7.1f %7.1f %7.1f  %s" % (
        title, seconds, spent, trip, peak / MIB, ceiling / MIB, after / MIB, "; ".join(notes)))


HEADER = "%-44s %6s %6s  %7s %8s %8s %8s  %7s %7s %7s  %s" % (
    "attack", "s", "CPU s", "trips", "p50 ms", "p99 ms", "max ms", "peak", "ceiling", "after", "MiB; notes")


def summary():
    yield f"workers: {WORKERS}, scale: {SCALE:g}"
    yield HEADER
    yield from lines
