# measure.py - the rows: tunnels through every party, memory, start. Routes are in routes.py, the sandbox in sandbox.py.
import contextlib
import os
import shutil
import signal
import subprocess
import time

from lib import reverse
from lib.decisions import Decisions
from lib.lab import ENVIRONMENT, Missing
from lib.peers import everyone
from lib.routes import Routes
from lib.rows import MIB
from lib.sandbox import Sandbox

NAMES = ('bulk', 'bulk4', 'tunnels', 'messages', 'byte', 'calls', 'requests', 'answers', 'uploads', 'events', 'connections',
         'memory', 'crowd', 'startup', 'sandbox', 'decisions')


class Bench(Routes, Sandbox, Decisions):
    def begin(self, wanted):
        lab = self.lab
        ports = lab.ports(lab.start('targets', [lab.tool('origin')]))
        self.source, self.echo = ports['source'], ports['echo']
        self.begin_routes(ports['events'])
        for peer in everyone(lab, self.source, self.echo):
            self.peers[peer.name] = peer
            if wanted and peer.name not in wanted:
                self.missing[peer.name] = ''
                continue
            try:
                peer.begin()
                self.take(peer.name, 'echo', self.echo, '--count', 1)
            except (Missing, RuntimeError, OSError, KeyError, ValueError, subprocess.SubprocessError) as e:
                self.missing[peer.name] = str(e)
        return {party: why for party, why in self.missing.items() if why}

    def bulk(self):
        rate = self.row('bulk', 'tunnel bulk rate', 'MB/s')
        cpu = self.row('bulk_cpu', 'CPU of the proxy per GB', 'ms/GB', 1)
        self._bulk('bulk', ('direct', 'egressd', 'squid'), rate, cpu, 1, 1000)

    def bulk4(self):
        rate = self.row('bulk4', 'bulk rate', 'MB/s')
        cpu = self.row('bulk4_cpu', 'CPU', 'ms/GB', 1)
        self._bulk('bulk, 4 tunnels', tuple(self.peers), rate, cpu, 4, 700)

    def _bulk(self, what, parties, rate, cpu, concurrency, ms):
        size = (256 if self.quick else 1024) * MIB

        def measure(party):
            result, used = self.take(party, 'bulk', self.source, '--bytes', size, '--concurrency', concurrency, ms=ms)
            rate.add(party, result['rate'] / 1e6)
            if party != 'direct':
                cpu.add(party, used * 1e3 / (result['bytes'] / 1e9))
        self.interleave(what, parties, measure)

    def tunnels(self):
        for c in (1, 16):
            rate = self.row(f'tunnels{c}', f'tunnels, {c} at once', '/s')
            cpu = self.row(f'tunnels{c}_cpu', 'CPU each', 'us', 1)
            count = 500 if self.quick else 3000

            def measure(party):
                result, used = self.take(party, 'tunnels', self.echo, '--count', count, '--concurrency', c)
                rate.add(party, result['rate'])
                if party != 'direct':
                    cpu.add(party, used * 1e6 / result['count'])
            self.interleave(f'tunnels, {c} at once', tuple(self.peers), measure)

    def messages(self):
        p50 = self.row('rtt50', 'round trip of 64 bytes, p50', 'us', 1)
        p99 = self.row('rtt99', 'round trip of 64 bytes, p99', 'us', 1)
        count = 1000 if self.quick else 8000

        def measure(party):
            result, _ = self.take(party, 'echo', self.echo, '--count', count)
            p50.add(party, result['p50_us'])
            p99.add(party, result['p99_us'])
        self.interleave('messages', ('direct', 'egressd', 'squid'), measure)

    def byte(self):
        """Client, party and origin share one core: what is left is the work, not how fast another core wakes."""
        p50 = self.row('byte50', 'one byte, p50', 'us', 1)
        count = 1000 if self.quick else 8000
        every = os.sched_getaffinity(0)
        one = {max(every)}
        programs = list(self.lab.programs)

        def measure(party):
            result, _ = self.take(party, 'echo', self.echo, '--count', count, '--size', 1, ms=600, cpus=one)
            p50.add(party, result['p50_us'])
        try:
            for program in programs:
                program.pin(one)
            self.interleave('one byte', tuple(self.peers), measure)
        finally:
            for program in programs:
                program.pin(every)

    def calls(self):
        """System calls of the party in a round trip: two counts under strace, and their difference, so that opening the tunnel is not in it."""
        row = self.row('calls', 'system calls', 'each', 2)
        few, many = 200, 1200

        def measure(party):
            if not shutil.which('strace'):
                raise Missing('strace is not installed')
            counted = [self.traced(party, n) for n in (few, many)]
            row.add(party, (counted[1] - counted[0]) / (many - few))
        self.interleave('system calls', ('relay', 'egressd', 'egressd socks'), measure, 1)

    def traced(self, party, count):
        program, out = self.peers[party].program, self.lab.path('strace.txt')
        wanted = program.pids()
        argv = ['strace', '-f', '-c', '-o', out, *(w for pid in wanted for w in ('-p', str(pid)))]
        trace = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 text=True, env=ENVIRONMENT)
        try:
            for _ in wanted:
                line = trace.stderr.readline()
                if 'attached' not in line:
                    raise Missing(f'strace: {line.strip() or "ended"}')
            self.tool('load', 'echo', *self.peers[party].via(self.echo), '--count', count, '--size', 1)
        finally:
            trace.send_signal(signal.SIGINT)
            trace.communicate(timeout=20)
        with open(out) as f:
            total = [line.split() for line in f if line.rstrip().endswith(' total')]
        if not total:
            raise Missing('strace counted nothing')
        return int(total[-1][3])

    @contextlib.contextmanager
    def holding(self, peer, *more):
        """While it lasts, `load idle` holds its tunnels through that peer."""
        words = [self.lab.tool('load'), 'idle', *map(str, (*peer.via(self.echo), *more))]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=ENVIRONMENT) as holder:
            try:
                if not holder.stdout.readline():
                    raise RuntimeError(holder.stderr.read().strip()[-300:])
                yield
            finally:
                holder.stdin.close()

    def crowd(self):
        """Fresh tunnels alone, and beside 5,000 idle ones, 1,000 that have four round trips a second each, and 200 handshakes that never go on."""
        held = ('--count', 5000, '--busy', 1000, '--slow', 200)
        quiet = self.row('crowd_quiet', 'fresh tunnel alone, p99', 'us')
        beside = self.row('crowd_beside', 'beside the crowd, p99', 'us')
        left = self.row('crowd_left', 'descriptors left', '')

        def fresh(party):
            count = 500 if self.quick else 1500
            return self.take(party, 'tunnels', self.echo, '--count', count, ms=2000)[0]['p99_us']

        def measure(party):
            peer = self.peers[party]
            peer.connections = 8192
            try:
                self.again(peer)
                fresh(party)
                before = peer.program.descriptors()
                quiet.add(party, fresh(party))
                with self.holding(peer, *held):
                    beside.add(party, fresh(party))
                end = time.monotonic() + 5
                while peer.program.descriptors() > before and time.monotonic() < end:
                    time.sleep(0.02)
                left.add(party, peer.program.descriptors() - before)
            finally:
                peer.connections = 4096
        self.interleave('crowd', ('relay', 'egressd'), measure, min(self.rounds, 3))

    def again(self, peer):
        """A fresh process, so that it holds nothing that earlier rows left behind."""
        peer.end()
        peer.begin()
        if 'egressd socks' not in self.missing:
            self.peers['egressd socks'].share()

    def memory(self):
        held = 1000
        names = {'rss': 'RSS, no tunnel', 'pss': 'PSS, no tunnel', 'held': f'PSS, {held:,} idle tunnels'}
        rows = {k: self.row('memory_' + k, v, 'MiB', 1) for k, v in names.items()}
        each = self.row('memory_each', 'PSS of one idle tunnel', 'KiB', 2)
        pipes = self.row('pipes', f'pipe ends held by {held:,} idle tunnels', '')

        def measure(party):
            peer = self.peers[party]
            self.again(peer)
            rss, fresh = peer.program.memory()
            # The audit's ring is of fixed size, and memory once it was written to: it is full before tunnels are counted.
            self.take(party, 'tunnels', self.echo, '--count', 1100, '--concurrency', 1, ms=5000)
            before = peer.program.memory()[1]
            piped = peer.program.descriptors('pipe:')
            with self.holding(peer, '--count', held):
                after = peer.program.memory()[1]
                pipes.add(party, peer.program.descriptors('pipe:') - piped)
            rows['rss'].add(party, rss / MIB)
            rows['pss'].add(party, fresh / MIB)
            rows['held'].add(party, after / MIB)
            each.add(party, (after - before) / held / 1024)
        parties = tuple(p for p in self.peers if p not in ('direct', 'egressd socks'))
        self.interleave('memory', parties, measure, min(self.rounds, 3))

    def startup(self):
        ready = self.row('ready', 'exec to ready', 'ms', 2)
        alone = self.row('tunnel_alone', 'exec to first bytes, a policy of tunnels alone', 'ms', 2)
        tunnel = self.row('first_tunnel', 'exec to first bytes through a tunnel', 'ms', 2)
        route = self.row('first_route', 'exec to first TLS request answered', 'ms', 2)
        cpu = self.row('start_cpu', 'CPU of start, first answer and end', 'ms', 2)
        for peer in self.peers.values():
            peer.end()
        self.end_routes()

        def request(party, words, argv):
            result = self.tool('start', 'request', '--path', '/api/small', *words, '--', *argv)
            route.add(party, result['first_ms'])
            return result

        def measure(party):
            if party == 'nginx':
                port, argv = reverse.nginx_reverse(self.lab)
                result = request(party, ['--port', port, '--head', self.lab.path('others.head')], argv)
            elif party == 'egressd':
                words, argv = self.peers[party].started_by()
                alone.add(party, self.tool('start', 'tunnel', '--target', self.echo, *words, '--', *argv)['first_ms'])
                argv = self.peers[party].make()[1]
                result = self.tool('start', 'tunnel', '--target', self.echo, *words, '--', *argv)
                if 'origin' not in self.missing:
                    request(party, ['--control', self.lab.path('control.sock')], argv)
                tunnel.add(party, result['first_ms'])
            else:
                words, argv = self.peers[party].started_by()
                result = self.tool('start', 'tunnel', '--target', self.echo, *words, '--', *argv)
                tunnel.add(party, result['first_ms'])
                alone.add(party, result['first_ms'])
            ready.add(party, result['ready_ms'])
            cpu.add(party, result['cpu_ms'])
        parties = [p for p in self.peers if p not in ('direct', 'egressd socks')]
        self.interleave('start', (*parties, 'nginx'), measure)
