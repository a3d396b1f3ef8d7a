"""Reads a broker's metrics through the plugin prometheus."""

import http.client
import re
import time

from mqtt_raw import DEADLINE, TIME_SCALE

# An entry of `plugins:`; `@metrics@` becomes a free address.
ENTRY = {"name": "prometheus", "config": {"bind": "@metrics@"}}
OPENMETRICS = "application/openmetrics-text"

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)')


def request(address, path="/metrics", method="GET", timeout=10, **headers):
    """(status, headers, text) of an answer."""
    connection = http.client.HTTPConnection(*address, timeout=timeout * TIME_SCALE)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def wait_served(broker):
    """The plugin's thread listens a moment after the broker does."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return request(broker.addresses["metrics"], "/")
        except OSError:
            assert broker.alive() and time.monotonic() < deadline, f"metrics are not served:\n{broker.tail()}"
            time.sleep(0.01)


def parse(text):
    """Every line is a comment or a sample; {'name{label="value"}': number}."""
    found = {}
    for line in text.splitlines():
        if line.startswith("# "):
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"not a sample: {line!r}"
        key = sample[1] + (sample[2] or "")
        assert key not in found, f"{key} stands twice"
        found[key] = float(sample[3])
    return found


def scrape(broker, **headers):
    wait_served(broker)
    status, _, text = request(broker.addresses["metrics"], **headers)
    assert status == 200, text
    return parse(text)


class Moves:
    """How far metrics have moved since it was made: moves["clients_connected"]."""

    def __init__(self, broker):
        self.broker, self.before, self.names = broker, scrape(broker), set()

    def of(self, key):
        key = "noctule_" + key
        self.names.add(key.split("{")[0])
        return scrape(self.broker)[key] - self.before[key]

    def wait(self, **wanted):
        """Waits until every metric has moved by so much; labels are written name__label__value."""
        self.wait_all({self.key(name): amount for name, amount in wanted.items()})

    @staticmethod
    def key(name):
        parts = name.split("__")
        return parts[0] if len(parts) == 1 else f'{parts[0]}{{{parts[1]}="{parts[2]}"}}'

    def wait_all(self, wanted):
        deadline = time.monotonic() + DEADLINE
        while True:
            now = scrape(self.broker)
            moved = {key: now["noctule_" + key] - self.before["noctule_" + key] for key in wanted}
            if moved == wanted:
                return
            assert time.monotonic() < deadline, f"moved by {moved}, expected {wanted}"
            time.sleep(0.01)
