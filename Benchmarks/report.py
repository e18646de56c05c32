"""Medians, spreads, and the Markdown table."""

from statistics import median


def spread(values):
    """`median (least to most)`; what was measured once stands alone."""
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))})"


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def table(columns, rows):
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


class Rounds:
    """What each round measured, by name."""

    def __init__(self):
        self.results = {}

    def add(self, name, result):
        self.results.setdefault(name, []).append(result)

    def values(self, name, read):
        return [read(result) for result in self.results[name]]

    def median(self, name, read):
        return median(self.values(name, read))

    def ratio(self, read):
        """`read` gets a function that gives one round's result by name; one ratio a round."""
        rounds = min(len(results) for results in self.results.values())
        return [read(lambda name: self.results[name][index]) for index in range(rounds)]

    def requests(self, title, name):
        return [
            title, spread(self.values(name, lambda r: r.rate)), number(self.median(name, lambda r: r.p50)),
            number(self.median(name, lambda r: r.p99)),
            number(self.median(name, lambda r: r.service / r.count * 1000)),
            number(self.median(name, lambda r: r.postgres / r.count * 1000)),
            f"{self.median(name, lambda r: r.generator / (r.generator + r.service + r.postgres)):.0%}",
        ]


REQUEST_COLUMNS = [
    "request", "per second: median (least to most)", "p50 ms", "p99 ms", "CPU s per 1,000: service", "PostgreSQL",
    "the generator's share of the CPU",
]


def verdict(title, ratios, bound, at_most):
    """A row: what was to be reached, and whether the median did."""
    middle = median(ratios)
    reached = middle <= bound if at_most else middle >= bound
    return [title, ("≤ " if at_most else "≥ ") + f"{bound:g}", spread(ratios), "yes" if reached else "**no**"]


VERDICT_COLUMNS = ["figure", "to reach", "median (least to most)", "reached"]
