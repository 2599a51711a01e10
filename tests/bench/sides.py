"""What scripts/bench compares: how each side is started, loaded and measured."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import time

from body import body_head, wanted

SECRET = "bench-secret-of-enough-bytes"
RULES = 100
REPOS = 200


class Place:
    """The folders and programs of one run."""

    def __init__(self, root, work):
        self.root = pathlib.Path(root)
        self.bench = self.root / "tests/bench"
        self.target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", self.root / "target"))
        self.binary = pathlib.Path(os.environ.get("HOOKRUN", self.target / "release/hookrun"))
        self.helper = pathlib.Path(os.environ.get("BENCH", self.target / "release/examples/bench"))
        self.node = self.target / "bench"
        self.work = pathlib.Path(work)
        self.loads = 0
        self.accepted = 0

    def prepare(self):
        """Writes what the sides read: rules, settings, bodies."""
        rules = [
            f'[[rule]]\nname = "rule-{n}"\non = ["ci.failed"]\nrepos = ["{wanted(n)}"]\n'
            'prompt = "{{ event.repo }} failed at {{ event.sha }}: {{ event.url }}"\n'
            for n in range(RULES)
        ]
        (self.work / "rules.toml").write_text("\n".join(rules))
        self.settings("hookrun.toml", f"sqlite:{self.work}/bench.db")
        hook = {
            "id": "github",
            "execute-command": "/bin/true",
            # It runs a command for each hook that fits; the second condition never does, so that what is measured is
            # receiving and verifying, without a process for each.
            "trigger-rule": {"and": [
                {"match": {"type": "payload-hmac-sha256", "secret": SECRET,
                           "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}},
                {"match": {"type": "value", "value": "never", "parameter": {"source": "payload", "name": "action"}}},
            ]},
        }
        (self.work / "hooks.json").write_text(json.dumps([hook]))
        with open(self.work / "heads", "w", encoding="utf8") as out:
            for n in range(REPOS):
                out.write(body_head(n) + "\n")

    def settings(self, name, database, port=0):
        (self.work / name).write_text(f"""[webhooks]
listen = "127.0.0.1:{port}"
[admin]
listen = "127.0.0.1:0"
[database]
url = "{database}"
[codegen]
base_url = "http://127.0.0.1:9"
org_id = 1
token = "never-used-by-this-bench"
[rules]
path = "{self.work}/rules.toml"
[sources.github]
kind = "github"
secrets = ["{SECRET}"]
""")
        return self.work / name

    def side(self, name):
        """The command of a side."""
        if name == "webhook":
            port = free_port()
            return ["webhook", "-hooks", str(self.work / "hooks.json"), "-ip", "127.0.0.1", "-port", str(port),
                    "-urlprefix", "webhooks"], f"http://127.0.0.1:{port}"
        if name == "octokit":
            return ["node", str(self.bench / "octokit.mjs"), str(self.node), SECRET], None
        if name == "ceiling":
            return [str(self.helper), "ceiling", SECRET], None
        for old in self.work.glob("bench.db*"):
            old.unlink()
        return [str(self.binary), "serve", "--config", str(self.work / "hookrun.toml")], None

    def load(self, base, connections, seconds):
        """One load of wrk: accepted requests a second and the 99th percentile in ms."""
        self.loads += 1
        # Of this moment and load, so that no run id comes twice; fifteen digits in all.
        unique = 1_000_000 + int(time.time()) % 80_000 * 100 + self.loads % 100
        command = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s",
                   str(self.bench / "load.lua"), base, str(self.work / "heads"), str(unique), SECRET]
        # wrk hands what follows "--" to the script.
        command.insert(command.index(base) + 1, "--")
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds * 5 + 60).stdout
        refused = re.search(r"Non-2xx.*", said)
        if refused:
            # A refusal is quicker than what it refuses.
            raise SystemExit(f"{base} refused some of what it was sent: {refused[0]}")
        lost = re.search(r"Socket errors.*", said)
        if lost:
            print(f"    (of {base}: {lost[0]})", flush=True)
        self.accepted = int(re.search(r"(\d+) requests in ", said)[1])
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
        p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", said)
        return rate, float(p99[1]) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[p99[2]]

    def must_be_kept(self):
        """Fails unless every request of the last load that hookrun has accepted is in its database."""
        with contextlib.closing(sqlite3.connect(f"file:{self.work}/bench.db?mode=ro", uri=True)) as database:
            kept = database.execute("SELECT COUNT(*) FROM deliveries").fetchone()[0]
        if kept < self.accepted:
            raise SystemExit(f"hookrun accepted {self.accepted} deliveries and has kept {kept}")


class Running:
    """A started side; ends with the block."""

    def __init__(self, place, command, base=None, env=None):
        self.log = open(place.work / "log", "w+", encoding="utf8")
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, env=env)
        self.base = base or self.told(r"(http://127\.0\.0\.1:\d+)(?:/webhooks|\s)")
        wait_for_answer(int(self.base.rsplit(":", 1)[1]), self)
        self.started_ms = (time.monotonic() - self.began) * 1000

    def text(self):
        with open(self.log.name, encoding="utf8", errors="replace") as log:
            return log.read()

    def told(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, self.text())
            if found:
                return found[1]
            self.alive()
            time.sleep(0.0005)
        raise SystemExit(f"not told in time: {pattern}\n{self.text()}")

    def alive(self):
        if self.process.poll() is not None:
            raise SystemExit(f"ended early: {self.process.args}\n{self.text()}")

    def status(self, name):
        """A line of its status, in MiB."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf8") as status:
            return float(re.search(rf"{name}:\s+(\d+)", status.read())[1]) / 1024

    def cpu(self):
        """Seconds of processor time that it has used."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf8") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for_answer(port, side):
    """Waits until a request is answered, however."""
    for _ in range(60_000):
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as wire:
                wire.settimeout(10)
                wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if wire.recv(64):
                    return
        except OSError:
            pass
        side.alive()
        time.sleep(0.0005)
    raise SystemExit(f"nothing answers on port {port}")
