"""The tables of the numbered statements of MQTT, and which test asserts which of them.

A test names the statements that it asserts in its pytest name, by function or by parameter: `v5_mqtt_3_1_2_4` is
MQTT-3.1.2-4 of version 5.0, `v311_mqtt_3_1_2_4` that of 3.1.1, and `__and__` joins several. Of a test that runs for
several versions, each run asserts the statements of its own. `pytest -k v5_mqtt_3_1_2_4` runs the tests of one.
A rule without a number is named by its section: `v5_section_3_8_3_1`; these are not counted.

not_observable.tsv holds what cannot be seen from outside: statement and reason, separated by a tab.
"""

import collections
import csv
import pathlib
import re

FOLDER = pathlib.Path(__file__).parent
TABLES = {"v5": "mqtt-5.0.tsv", "v311": "mqtt-3.1.1.tsv"}
NAMED = re.compile(r"(v5|v311)_mqtt_(\d+)_(\d+)_(\d+)_(\d+)(?!\d)")

Statement = collections.namedtuple("Statement", "key who requirement observable on_violation")


def _rows(name):
    with open(FOLDER / name, encoding="utf-8", newline="") as table:
        lines = (line for line in table if not line.startswith("#"))
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def load():
    """All statements by their keys, such as `v5 MQTT-3.1.2-4`."""
    found = {}
    for version, table in TABLES.items():
        for row in _rows(table):
            key = f"{version} {row['id']}"
            assert key not in found, f"{table} has {row['id']} twice"
            found[key] = Statement(key, row["who"], row["requirement"], row["observable"], row["on_violation"])
    return found


def load_not_observable():
    """Reasons by statement keys."""
    found = {}
    for row in _rows("not_observable.tsv"):
        key = f"{row['version']} {row['id']}"
        assert row["reason"] and key not in found, key
        found[key] = row["reason"]
    return found


def is_visible(statement):
    """Whether a client can see what the statement asks of a server."""
    return statement.observable != "-" or statement.on_violation != "-"


def named_by(test_name, version=None):
    """Keys of the statements that a test's name holds; `version` 4 or 5 leaves those of the other out."""
    only = {4: "v311", 5: "v5"}.get(version)
    return {f"{found} MQTT-{a}.{b}.{c}-{d}" for found, a, b, c, d in NAMED.findall(test_name)
            if only is None or found == only}
