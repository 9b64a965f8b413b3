"""That a bulk transfer between two plain ends is spliced, as strace sees it, and that it costs no descriptor: with --no-splice the same bytes come by read and write."""

import os
import re
import select
import socket
import subprocess
import threading
import time

from lib import parts, ways
from lib.world import DEADLINE, Skip, check, end, need

BULK = 48 << 20


class Source:
    """Sends BULK bytes to whoever connects, once it has heard a byte."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        block = bytes(1 << 20)
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with s:
                s.settimeout(DEADLINE)
                if s.recv(1):
                    for _ in range(BULK // len(block)):
                        s.sendall(block)

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(DEADLINE)


def worker_of(egressd):
    with open(f"/proc/{egressd.process.pid}/task/{egressd.process.pid}/children") as f:
        return int(f.read().split()[0])


def kinds(pid):
    """How many descriptors of each kind the process has; pipes are apart: a few are kept for the next bulk."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            kind = re.sub(r"\[?[0-9]+\]?$", "", os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
        found[kind] = found.get(kind, 0) + 1
    return found


def settled(pid, before):
    """Its descriptors, once those of the closed tunnels are gone, or as they are at the deadline."""
    until = time.monotonic() + DEADLINE
    while True:
        now = kinds(pid)
        if without_pipes(now) == without_pipes(before) or time.monotonic() > until:
            return now
        select.select([], [], [], 0.02)


def without_pipes(found):
    return {k: n for k, n in found.items() if not k.startswith("pipe")}


def pull(egressd, port):
    with ways.dial(egressd.ports[0]) as s:
        to = f"127.0.0.1:{port}"
        s.sendall(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{ways.field(egressd.token)}\r\n".encode())
        answer = ways.read_answer(s, "CONNECT")
        check(answer.status == 200, answer)
        s.sendall(b"x")
        got = 0
        while True:
            more = s.recv(1 << 20)
            if not more:
                break
            got += len(more)
        check(got == BULK, f"{got} of {BULK} bytes")


def traced(site, egressd, port):
    """{system call: how often} of the worker during one bulk."""
    out = os.path.join(site.folder, "splice.strace")
    pid = worker_of(egressd)
    tracer = subprocess.Popen(["strace", "-c", "-o", out, "-e", "trace=splice,sendto,recvfrom", "-p", str(pid)], stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, text=True)
    try:
        line = tracer.stderr.readline()
        if "attached" not in line:
            raise Skip(f"strace can't attach here: {line.strip()}")
        pull(egressd, port)
    finally:
        end(tracer)
        tracer.stderr.close()
    with open(out) as f:
        return {m[2]: int(m[1]) for m in re.finditer(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)$", f.read(), re.M)}


def bulk(site, *options):
    """(calls, descriptors before, descriptors after) of a fresh egressd."""
    source = Source()
    try:
        policy = (f"egress: 1\nallow: [{{address: 127.0.0.1, scheme: tcp, ports: [{source.port}]}}]\n"
                  "networks: {allow: [127.0.0.0/8]}\nupstream: none\n")
        egressd = parts.Egressd(site.folder, policy, options=("--listen", "127.0.0.1:0", *options))
        try:
            pid = worker_of(egressd)
            before = kinds(pid)
            calls = traced(site, egressd, source.port)
            pull(egressd, source.port)
            return calls, before, settled(pid, before)
        finally:
            egressd.end()
    finally:
        source.end()


def test_bulk_goes_through_a_pipe_in_the_kernel(site):
    need("strace")
    calls, before, after = bulk(site)
    # What user space reads is the beginning, and where the source pauses: never the bulk of it.
    check(calls.get("splice", 0) >= 20, calls)
    check(calls.get("recvfrom", 0) * 65536 < BULK // 2, calls)
    check(without_pipes(after) == without_pipes(before), f"{before}, then {after}")
    check(after.get("pipe:", 0) <= before.get("pipe:", 0) + 64, f"{before}, then {after}")


def test_no_splice_reads_and_writes(site):
    need("strace")
    calls, before, after = bulk(site, "--no-splice")
    check(calls.get("splice", 0) == 0 and calls.get("recvfrom", 0) * 65536 >= BULK, calls)
    check(after == before, f"{before}, then {after}")
