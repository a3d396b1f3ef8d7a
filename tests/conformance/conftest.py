"""Fixtures (those of the end-to-end tests) and the report of the conformance tests.

The report at the end of a run tells which statements are covered, and of those that are not, why. A run over the whole
folder fails if a statement that can be seen from outside has neither a test nor a reason in not_observable.tsv.
"""

import collections
import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
END_TO_END = HERE.parent / "e2e"
sys.path[:0] = [str(END_TO_END), str(HERE)]

import statements  # noqa: E402

_spec = importlib.util.spec_from_file_location("end_to_end_conftest", END_TO_END / "conftest.py")
_end_to_end = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_end_to_end)

broker = _end_to_end.broker
client = _end_to_end.client
connect = _end_to_end.connect
hard_deadline = _end_to_end.hard_deadline
name = _end_to_end.name
start_broker = _end_to_end.start_broker
test_plugin = _end_to_end.test_plugin
topic = _end_to_end.topic
_shared = _end_to_end._shared
pytest_report_header = _end_to_end.pytest_report_header


class Report:
    """Which statements the tests of this run assert, and how the tests ended."""

    def __init__(self):
        self.statements = statements.load()
        self.reasons = statements.load_not_observable()
        self.tests = collections.defaultdict(set)  # statement: node ids
        self.failed = set()
        self.whole = True

    def collected(self, items):
        mine = [item for item in items if HERE in pathlib.Path(item.fspath).parents]
        files = {pathlib.Path(item.fspath).name for item in mine}
        self.whole = files == {path.name for path in HERE.glob("test_*.py")}
        for item in mine:
            version = getattr(item, "callspec", None) and item.callspec.params.get("version")
            for key in statements.named_by(item.name, version):
                self.tests[key].add(item.nodeid)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.add(report.nodeid)

    def uncovered(self):
        return [key for key, statement in self.statements.items()
                if statements.is_visible(statement) and not self.tests[key] and key not in self.reasons]

    def mistakes(self):
        """What is wrong with tests and reasons themselves."""
        found = [f"{key}: no such statement, named by {min(nodes)}" for key, nodes in self.tests.items()
                 if nodes and key not in self.statements]
        found += [f"{key}: no such statement, in not_observable.tsv" for key in self.reasons
                  if key not in self.statements]
        found += [f"{key}: has a test, but stands in not_observable.tsv" for key in self.reasons if self.tests[key]]
        if self.whole:
            found += [f"{key}: neither a test nor a reason" for key in self.uncovered()]
        return found

    def lines(self):
        for version, table in statements.TABLES.items():
            mine = [s for s in self.statements.values() if s.key.startswith(version + " ")]
            silent = [s for s in mine if not statements.is_visible(s)]
            covered = [s for s in mine if self.tests[s.key]]
            failing = [s for s in covered if self.tests[s.key] & self.failed]
            unseen = [s for s in mine if s.key in self.reasons]
            missing = [key for key in self.uncovered() if key.startswith(version + " ")]
            yield (f"{table}: {len(mine)} statements: {len(covered)} covered ({len(failing)} of them by a failing test), "
                   f"{len(unseen)} not observable, "
                   f"{len([s for s in silent if not self.tests[s.key]])} that bind clients only, {len(missing)} missing")
            yield from (f"  failing  {s.key}: {s.requirement}" for s in failing)
            by_reason = collections.defaultdict(list)
            for s in unseen:
                by_reason[self.reasons[s.key]].append(s.key.split("MQTT-")[1])
            yield from (f"  not observable  {', '.join(ids)}: {reason}" for reason, ids in by_reason.items())


def pytest_configure(config):
    config.conformance = Report()
    config.pluginmanager.register(config.conformance, "conformance-report")
    _end_to_end.pytest_configure(config)


def pytest_collection_modifyitems(config, items):
    config.conformance.collected(items)
    _end_to_end.pytest_collection_modifyitems(items)


def pytest_deselected(items):
    if items:
        items[0].config.conformance.whole = False


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == 0 and session.config.conformance.mistakes():
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter, config):
    report = config.conformance
    if not report.whole:
        terminalreporter.write_line("conformance: not the whole folder was run, so nothing is reported as missing")
    terminalreporter.section("conformance")
    for line in report.lines():
        terminalreporter.write_line(line)
    for line in report.mistakes():
        terminalreporter.write_line(f"  ERROR  {line}")
