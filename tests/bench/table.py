"""Medians of the rounds, ratios and goals, as a table."""

import statistics

from load import figure



def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"


class Table:
    def __init__(self, kinds):
        self.names = [kind.name for kind in kinds]
        self.results = {}

    def add(self, row, kind, result):
        self.results.setdefault((row.name, kind.name), []).append(result)

    def values(self, row, name, path):
        found = [figure(one, path) for one in self.results.get((row, name), ()) if one.get("ok")]
        return [value for value in found if value is not None]

    def median(self, row, name, path):
        values = self.values(row, name, path)
        return statistics.median(values) if values else None

    def spread(self, row, path):
        values = self.values(row, "noctule", path)
        middle = statistics.median(values) if values else 0
        return f"{100 * (max(values) - min(values)) / middle:.0f}%" if len(values) > 1 and middle > 0 else ""

    def line(self, row, one):
        """(cells, whether the goal is reached or None) of one figure of a row."""
        values = [self.median(row.name, name, one.path) for name in self.names]
        ours = self.median(row.name, "noctule", one.path)
        theirs = self.median(one.against, "noctule", one.path) if one.against else \
            self.median(row.name, "mosquitto", one.path)
        ratio = ours / theirs if ours is not None and theirs else None
        held = ours if one.absolute else ratio
        reached = None if one.goal is None or held is None else held <= one.goal
        goal = "" if one.goal is None else ("<= " if one.absolute else "") + number(one.goal)
        goal += f" x {one.against}" if one.against else ""
        verdict = {None: "", True: "reached", False: "MISSED"}[reached]
        ratio_text = "" if ratio is None else f"{ratio:.3f}"
        return (row.name, one.unit, *map(number, values), ratio_text, goal, verdict, self.spread(row.name, one.path),
                self.remarks(row)), reached

    def remarks(self, row):
        found = []
        for name in self.names:
            results = self.results.get((row.name, name), ())
            failed = [one for one in results if not one.get("ok")]
            noisy = [one for one in results if one.get("noisy")]
            if failed:
                found.append(f"{name}: {len(failed)} of {len(results)} failed: {failed[0].get('problem')}")
            if noisy:
                found.append(f"{name}: {len(noisy)} of {len(results)} disturbed")
            found += sorted({f"{name}: {one['remark']}" for one in results if one.get("remark")})
        return "; ".join(found)

    def text(self, rows):
        lines = [("row", "figure", *self.names, "ratio", "goal", "", "spread", "remarks")]
        missed = reached = 0
        for row in rows:
            for one in row.figures:
                cells, verdict = self.line(row, one)
                lines.append(cells)
                missed += verdict is False
                reached += verdict is True
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
        text = "\n".join(("  ".join(cell.ljust(width) for cell, width in zip(line, widths)) + "  " + line[-1]).rstrip()
                         for line in lines)
        what = "\n".join(f"{row.name:16} {row.what}" for row in rows)
        return (f"{text}\n\n{what}\n\nMedians of the rounds; CPU and memory are the broker's. Ratio: Noctule to mosquitto, or to "
                "its own row that\nthe goal names. Spread: of Noctule's rounds, in percent of the median.\n"
                f"{reached} goals reached, {missed} missed.")
