# rows.py - what a run has measured: rows of samples, one value a round and party, and the turns that the parties take.
import json
import os
import statistics
import subprocess
import sys

from lib.lab import ENVIRONMENT, Missing

MIB = 1 << 20


def progress(text):
    if sys.stderr.isatty():
        print(f'\r\033[K  {text}', end='', file=sys.stderr, flush=True)


class Row:
    """The samples of one measured thing: party -> one value for each round (None: it failed or is missing)."""

    def __init__(self, name, unit, digits=0):
        self.name, self.unit, self.digits, self.samples = name, unit, digits, {}

    def add(self, party, value):
        self.samples.setdefault(party, []).append(value)

    def values(self, party):
        return [v for v in self.samples.get(party, []) if v is not None]

    def median(self, party):
        return statistics.median(self.values(party)) if self.values(party) else None

    def ratios(self, a, b):
        pairs = zip(self.samples.get(a, []), self.samples.get(b, []))
        return [x / y for x, y in pairs if x is not None and y]

    def ratio(self, a, b):
        found = self.ratios(a, b)
        return statistics.median(found) if found else None

    def format(self, v):
        return f'{{:,.{self.digits}f}}'.format(v)

    def text(self, party):
        v = self.values(party)
        if not v:
            return '-'
        return f'{self.format(statistics.median(v))} ({self.format(min(v))}..{self.format(max(v))})'

    def against(self, a, b):
        """The ratio of a to b, with its spread."""
        found = self.ratios(a, b)
        return f'{statistics.median(found):.2f} ({min(found):.2f}..{max(found):.2f})' if found else '-'


class Turns:
    """The parties, who is missing and why, and the rounds in which they take turns."""

    def __init__(self, lab, rounds, quick):
        self.lab, self.rounds, self.quick = lab, rounds, quick
        self.rows, self.peers, self.missing, self.failures = {}, {}, {}, []

    def row(self, key, name, unit, digits=0):
        return self.rows.setdefault(key, Row(name, unit, digits))

    def tool(self, name, *words, cpus=None):
        pin = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
        done = subprocess.run([self.lab.tool(name), *map(str, words)], capture_output=True, text=True, timeout=90,
                              env=ENVIRONMENT, preexec_fn=pin)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip()[-300:] or f'{name}: exit status {done.returncode}')
        return json.loads(done.stdout)

    def take(self, party, mode, target, *words, ms=1000, cpus=None):
        """One run of `load` through that party: (its result, CPU seconds of the party)."""
        peer = self.peers[party]
        before = peer.program.cpu() if peer.program else 0
        result = self.tool('load', mode, *peer.via(target), *words, '--ms', ms // 2 if self.quick else ms, cpus=cpus)
        return result, (peer.program.cpu() - before if peer.program else 0)

    def interleave(self, what, parties, measure, rounds=None):
        """measure(party) for every party in every round; a party that fails is out of this row for good."""
        out = set()
        for n in range(rounds or self.rounds):
            for party in parties:
                if party in self.missing or party in out:
                    continue
                progress(f'{what}: round {n + 1} of {rounds or self.rounds}, {party}')
                try:
                    measure(party)
                except (RuntimeError, subprocess.TimeoutExpired, Missing, OSError) as e:
                    out.add(party)
                    self.failures.append(f'{what}, {party}: {e}')
        progress('')
