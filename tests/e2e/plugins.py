"""What the tests of plugins share: entries of `plugins:` that name a test plugin by its path."""

import pathlib
import re
import time

import broker as broker_module
from broker import base_config
from mqtt_raw import DEADLINE


def entry(name, instance=None, config=None, **options):
    """An entry for the test plugin of this name."""
    path = pathlib.Path(broker_module.TEST_PLUGINS) / f"{name}.so"
    assert path.exists(), f"{path} is missing: build the test plugins"
    made = {"name": instance or name, "path": str(path), **options}
    if config is not None:
        made["config"] = config
    return made


def chain(*entries, **changes):
    """A configuration with these entries; a string stands for the plugin of that name without options."""
    return base_config(plugins=[entry(one) if isinstance(one, str) else one for one in entries], **changes)


def lines(broker, pattern, since=0):
    """The log lines that match, in order."""
    return [line for line in broker.log(since).splitlines() if re.search(pattern, line)]


def wait_lines(broker, pattern, count, since=0):
    """Waits until so many log lines match; returns them."""
    deadline = time.monotonic() + DEADLINE
    while len(found := lines(broker, pattern, since)) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} lines match {pattern!r}; the log ends:\n{broker.tail()}"
        time.sleep(0.01)
    return found
