"""Memory: idle with everything on, under hostile load, and afterwards."""

import socket
import threading
import time

from sides import Running

BODY = 25 * 1024 * 1024
CONNECTIONS = 64
IN_FLIGHT = 128  # MiB, the default of webhooks.max_in_flight


def memory(place, table):
    command, base = place.side("hookrun")
    with Running(place, command, base) as running:
        settle(running)
        idle = running.status("VmRSS")
        table.add("idle memory with everything on, MiB", [idle], 20, at_most=True)
        # Senders of large bodies, some of them slow; whatever they are answered.
        senders = [threading.Thread(target=send, args=(running.base, number)) for number in range(CONNECTIONS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        peak = running.status("VmHWM")
        settle(running)
        left = running.status("VmRSS")
        print(f"    {CONNECTIONS} bodies of 25 MiB at once: peak {peak:.0f} MiB, afterwards {left:.1f} MiB", flush=True)
        table.add("peak under hostile load beyond idle, over max_in_flight", [(peak - idle) / IN_FLIGHT], 1.25, at_most=True)
        table.add("what hostile load leaves behind, MiB", [left - idle], 16, at_most=True)
        running.alive()


def settle(running):
    """Waits until its memory does not change any more."""
    before, same = None, 0
    for _ in range(100):
        now = running.status("VmRSS")
        same = same + 1 if before is not None and abs(now - before) < 0.1 else 0
        if same == 8:
            return
        before = now
        time.sleep(0.25)


def send(base, number):
    port = int(base.rsplit(":", 1)[1])
    slow = number % 4 == 0
    piece = b'{"a":"' + b"x" * (65536 - 6)
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as wire:
            wire.settimeout(20)
            length = f"Content-Length: {BODY}\r\n" if number % 8 else "Transfer-Encoding: chunked\r\n"
            wire.sendall(f"POST /webhooks/github HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n{length}"
                         f"X-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={'0' * 64}\r\n\r\n".encode())
            sent = 0
            while sent < (BODY // 3 if slow else BODY):
                part = piece[:BODY - sent]
                wire.sendall(part if number % 8 else b"%x\r\n%s\r\n" % (len(part), part))
                sent += len(part)
                if slow:
                    time.sleep(0.02)
            if not slow:
                wire.recv(4096)
    except OSError:
        # Refused while sending: what was sent is what counts.
        pass
