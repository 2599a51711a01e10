"""Runs what scripts/bench compares, and prints each ratio with its spread beside its goal.

Arguments: the root of the project, a folder for this run, and which parts (none: all)."""

import os
import subprocess
import sys
import threading
import time

import hostile
import inside
from sides import Place, Running

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS_EACH", "3"))


class Table:
    """The rows: what was measured in each round, against a goal."""

    def __init__(self):
        self.rows = []

    def add(self, name, values, goal, at_most=False, unit="", middle=None):
        """`values` of the rounds; their median is held against the goal, which is a lower bound unless `at_most`."""
        values = sorted(values)
        middle = values[len(values) // 2] if middle is None else middle
        good = middle <= goal if at_most else middle >= goal
        spread = f"{show(values[0])} .. {show(values[-1])}" if len(values) > 1 else ""
        bound = f"{'<=' if at_most else '>='} {show(goal)}{unit}"
        line = f"  {name:<66} {show(middle) + unit:>10}  {spread:<20} {bound:<12} {'PASS' if good else 'below'}"
        self.rows.append(line)
        print(line, flush=True)


def show(value):
    if value == int(value) or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"


def accepts(place, table):
    """Durable accepts beside those who store nothing, the sides taking turns."""
    turns = {64: ["webhook", "hookrun", "octokit", "ceiling"], 8: ["webhook", "hookrun"], 256: ["webhook", "hookrun"]}
    rates, late, peaks, costs = {}, {}, {}, {}
    for number in range(ROUNDS):
        for connections, sides in turns.items():
            # The order turns too, so that what one side leaves behind does not always meet the same other.
            turn = number % len(sides)
            for side in sides[turn:] + sides[:turn]:
                command, base = place.side(side)
                key = (side, connections)
                with Running(place, command, base) as running:
                    before = running.cpu()
                    rate, p99 = place.load(running.base, connections, SECONDS)
                    used = running.cpu() - before
                    if side == "hookrun":
                        place.must_be_kept()
                    rates.setdefault(key, []).append(rate)
                    late.setdefault(key, []).append(p99)
                    costs.setdefault(key, []).append(used / (rate * SECONDS) * 1e6)
                    peaks.setdefault(key, []).append(running.status("VmHWM"))
        print(f"    round {number + 1} of {ROUNDS} done", flush=True)
    for (side, connections), all_rates in sorted(rates.items(), key=lambda it: (it[0][1], it[0][0])):
        key = (side, connections)
        print(f"    {side:<8} {connections:>4} connections: {middle(all_rates):>7.0f}/s, p99 {middle(late[key]):>6.1f} ms, "
              f"{middle(costs[key]):>4.0f} us of processor each, peak {middle(peaks[key]):.0f} MiB", flush=True)

    def over(what, one, other):
        return [mine / theirs for mine, theirs in zip(what[one], what[other])]

    for connections, goal in ((64, 4), (8, 2.2), (256, 4)):
        ratio = over(rates, ("hookrun", connections), ("webhook", connections))
        table.add(f"durable accepts over webhook, {connections} connections", ratio, goal)
    ours = ("hookrun", 64)
    table.add("durable accepts over @octokit/webhooks, 64 connections", over(rates, ours, ("octokit", 64)), 1.7)
    table.add("durable accepts over our ceiling, 64 connections", over(rates, ours, ("ceiling", 64)), 0.45)
    table.add("p99 over webhook's", over(late, ours, ("webhook", 64)), 1 / 8, at_most=True)
    table.add("p99 over @octokit/webhooks'", over(late, ours, ("octokit", 64)), 1 / 4, at_most=True)
    table.add("peak memory under load over webhook's", over(peaks, ours, ("webhook", 64)), 1.5, at_most=True)


def middle(values):
    return sorted(values)[len(values) // 2]


PARTS = {
    "accepts": accepts,
    "memory": hostile.memory,
    "start": inside.start,
    "store": inside.store,
    "matching": inside.matching,
    "pace": inside.pace,
}


def main():
    root, work, *parts = sys.argv[1:]
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise SystemExit(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    place = Place(root, work)
    place.prepare()
    table = Table()
    size = place.binary.stat().st_size / 1e6
    print(f"binary: {size:.1f} MB, stripped, {ROUNDS} rounds of {SECONDS:g} s each")
    for part in parts or PARTS:
        print(f"{part}:", flush=True)
        PARTS[part](place, table)
    print("\nall rows: median, smallest .. largest of the rounds, goal")
    print("\n".join(table.rows))


if __name__ == "__main__":
    main()
