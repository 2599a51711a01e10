"""What is measured inside of the product: its start, its store, its rules, and how it keeps to the limits of the API."""

import os
import pathlib
import re
import subprocess

from sides import Running, free_port

SECONDS = int(os.environ.get("SECONDS_EACH", "3"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
MILLION = 1_000_000


def bench(place, *arguments, env=None):
    """What our helper prints."""
    run = subprocess.run([str(place.helper), *map(str, arguments)], capture_output=True, text=True, timeout=1800,
                         env={**os.environ, **(env or {})}, check=False)
    if run.returncode != 0:
        raise SystemExit(f"bench {' '.join(map(str, arguments))} failed:\n{run.stdout}{run.stderr}")
    return run.stdout


def filled(place, jobs):
    """A store with so many jobs, made once for each run of the bench."""
    path = place.work / f"filled-{jobs}.db"
    if not path.exists():
        bench(place, "store", "fill", path, jobs)
    return path


def start(place, table):
    """From the start of the process to its first answer, with a million stored jobs."""
    database = f"sqlite:{filled(place, MILLION)}"
    ratios, ours, theirs = [], [], []
    for _ in range(ROUNDS * 2):
        command, base = place.side("webhook")
        with Running(place, command, base) as running:
            theirs.append(running.started_ms)
        port = free_port()
        settings = place.settings("million.toml", database, port)
        command = [str(place.binary), "serve", "--config", str(settings)]
        with Running(place, command, f"http://127.0.0.1:{port}") as running:
            ours.append(running.started_ms)
        ratios.append(ours[-1] / theirs[-1])
    print(f"    webhook {sorted(theirs)[ROUNDS]:.1f} ms, hookrun {sorted(ours)[ROUNDS]:.1f} ms", flush=True)
    table.add("start to listening (first answer) with a million stored jobs, over webhook", ratios, 3, at_most=True)


def rate(text):
    return float(re.search(r"([\d.]+) a second", text)[1])


def slow_sync(place):
    """A library that makes every sync 5 ms slower."""
    library = place.work / "slow-sync.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(place.bench / "slow_sync.c"), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}


def store(place, table):
    """Grouping against single commits, and what the store's questions cost at a million jobs."""
    def grouping(name, goal, url, env=None):
        ratios = []
        for number in range(ROUNDS):
            rates = {}
            for way in ("group", "single")[:: 1 if number % 2 else -1]:
                address = url(f"{way}-{number}")
                rates[way] = rate(bench(place, "store", way, address, SECONDS, env=env))
            ratios.append(rates["group"] / rates["single"])
            for old in place.work.glob("grouping*"):
                old.unlink()
        table.add(name, ratios, goal)

    def file(name):
        return f"sqlite:{place.work}/grouping-{name}.db"

    grouping("group commit over one transaction a request, here", 5, file)
    grouping("the same with 5 ms of added sync", 15, file, slow_sync(place))
    postgres = os.environ["BENCH_POSTGRES_URL"]
    grouping("on PostgreSQL, grouped over one INSERT each", 1.4, lambda _: postgres)
    said = bench(place, "store", "size", filled(place, MILLION), filled(place, 1000))
    ratios = {}
    for name, many, few in re.findall(r"^(.+): ([\d.]+) ([\d.]+)$", said, re.M):
        ratios.setdefault(name, []).append((float(many) / float(few), float(many)))
    for name, pairs in ratios.items():
        costs = sorted(cost for _, cost in pairs)
        print(f"    {name}: {costs[len(costs) // 2]:.0f} us at a million jobs", flush=True)
        table.add(f"{name}: a million jobs over a thousand", [ratio for ratio, _ in pairs], 1.3, at_most=True)
    # The filled stores have been used by now; the next part wants them as they were.
    for old in pathlib.Path(place.work).glob("filled-*"):
        old.unlink()


def matching(place, table):
    """10,000 rules over one."""
    ratios = []
    for _ in range(ROUNDS):
        one, many = map(int, re.search(r"one rule (\d+) ns, 10,000 rules (\d+) ns", bench(place, "matching")).groups())
        ratios.append(many / one)
    print(f"    one rule {one} ns an event, 10,000 rules {many} ns", flush=True)
    table.add("matching: 10,000 rules over one", ratios, 2, at_most=True)


def pace(place, table):
    """The windows of the API in compressed time, the way of a webhook to the service, and following."""
    said = bench(place, "pace", place.binary, place.work)
    drains = [(float(over), int(refused)) for over, refused in re.findall(r"^drain: ([\d.]+) (\d+)$", said, re.M)]
    table.add("time to send 100 jobs over what limit and latency allow", [over for over, _ in drains], 1.01, at_most=True)
    table.add("429s caused by us", [max(refused for _, refused in drains)], 0, at_most=True)
    ways = [(float(way), float(trip)) for way, trip in re.findall(r"^reaction: ([\d.]+) ([\d.]+)$", said, re.M)]
    print(f"    from answer to POST {ways[0][0]:.0f} us, one loopback round trip {ways[0][1]:.0f} us", flush=True)
    table.add("from answer to outbound POST, over one loopback round trip", [way / trip for way, trip in ways], 20, at_most=True)
    table.add("list calls a round to follow 10,000 runs", [int(re.search(r"^follow: (\d+)$", said, re.M)[1])], 100, at_most=True)
