# routes.py - the rows of the reverse proxy: egressd's routes (with redaction, which is the default, and without) beside nginx and haproxy.
import contextlib
import json
import subprocess

from lib import reverse
from lib.lab import ENVIRONMENT, Missing
from lib.rows import Turns

PARTIES = ('egressd', 'egressd bare', 'nginx', 'haproxy')
OURS = {'egressd': ('api', 'route.head'), 'egressd bare': ('bare', 'bare.head')}
SIZES = {'small': reverse.SMALL, 'medium': reverse.MEDIUM, 'large': reverse.LARGE}


class Routes(Turns):
    others = {}  # nginx and haproxy: (program, port)

    def begin_routes(self, events):
        lab = self.lab
        lab.tls_port = 1
        try:
            lab.certificates()
            reverse.tls_origin(lab, events)
            lab.write('others.head', f'Authorization: Bearer {reverse.PLACEHOLDER}\r\n', 0o600)
            lab.write('origin.head', f'Authorization: Bearer {reverse.REAL}\r\n', 0o600)
        except Missing as e:
            self.missing['origin'] = str(e)
            return
        for name in ('nginx', 'haproxy'):
            try:
                self.others[name] = self.begin_other(name)
            except Missing as e:
                self.missing['reverse ' + name] = str(e)

    def begin_other(self, name):
        port, argv = {'nginx': reverse.nginx_reverse, 'haproxy': reverse.haproxy_reverse}[name](self.lab)
        return self.lab.start('reverse ' + name, argv, port), port

    def end_routes(self):
        for program, _ in self.others.values():
            self.lab.stop(program)
        self.others = {}

    def asked(self, party, path):
        """The program of that party, and the words for `ask`."""
        if party in OURS:
            peer = self.peers['egressd']
            if not peer.program:
                raise Missing('there is no egressd')
            service, head = OURS[party]
            return peer.program, ['--port', peer.ports[0], '--path', f'/{service}/{path}', '--head', self.lab.path(head)]
        if party in ('direct', 'plain'):
            words = ['--path', '/' + path, '--head', self.lab.path('origin.head')]
            if party == 'plain':
                return None, ['--port', self.lab.plain_port, *words]
            return None, ['--port', self.lab.tls_port, '--tls', self.lab.path('ca.pem'), *words]
        if party not in self.others:
            raise Missing('it did not start')
        program, port = self.others[party]
        return program, ['--port', port, '--path', '/api/' + path, '--head', self.lab.path('others.head')]

    def ask(self, party, path, *words, ms=600):
        """(the result, CPU seconds of the party)."""
        program, where = self.asked(party, path)
        before = program.cpu() if program else 0
        result = self.tool('ask', *where, *words, '--ms', ms // 2 if self.quick else ms)
        return result, (program.cpu() - before if program else 0)

    def requests(self):
        """Answers of 100 bytes: one at a time, and 16 at once."""
        for c in (1, 16):
            rate = self.row(f'requests{c}', f'100-byte answers, {c} at once', '/s')
            p50 = self.row(f'requests{c}_p50', f'their p50, {c} at once', 'us', 1)
            p99 = self.row(f'requests{c}_p99', f'their p99, {c} at once', 'us')
            cpu = self.row(f'requests{c}_cpu', f'CPU each, {c} at once', 'us', 1)
            count = 1000 if self.quick else 8000

            def measure(party):
                result, used = self.ask(party, 'small', '--count', count, '--concurrency', c)
                rate.add(party, result['rate'])
                p50.add(party, result['p50_us'])
                p99.add(party, result['p99_us'])
                if party not in ('direct', 'plain'):
                    cpu.add(party, used * 1e6 / result['count'])
            self.routes(f'requests, {c} at once', (*(('direct',) if c == 1 else ('plain',)), *PARTIES), measure)

    def answers(self):
        for path, c, count in (('medium', 4, 4000), ('large', 2, 60)):
            size = SIZES[path]
            rate = self.row(path, f'{size >> 10} KiB answers, {c} at once', 'MB/s')
            cpu = self.row(path + '_cpu', f'CPU per GB of {size >> 10} KiB answers', 'ms', 1)

            def measure(party):
                result, used = self.ask(party, path, '--count', count, '--concurrency', c)
                rate.add(party, result['rate'] * size / 1e6)
                cpu.add(party, used * 1e3 / (result['count'] * size / 1e9))
            self.routes(f'{path} answers', PARTIES, measure)

    def uploads(self):
        size = 1 << 20
        rate = self.row('uploads', '1 MiB uploads, 2 at once', 'MB/s')
        cpu = self.row('uploads_cpu', 'CPU per GB of 1 MiB uploads', 'ms', 1)

        def measure(party):
            result, used = self.ask(party, 'upload', '--count', 400, '--concurrency', 2, '--upload', size)
            rate.add(party, result['rate'] * size / 1e6)
            cpu.add(party, used * 1e3 / (result['count'] * size / 1e9))
        self.routes('uploads', PARTIES, measure)

    def events(self):
        """From the request to the first event of a stream that goes on."""
        p50 = self.row('events', 'first event of a stream, p50', 'us', 1)
        p99 = self.row('events_p99', 'first event of a stream, p99', 'us', 1)

        def measure(party):
            result, _ = self.ask(party, 'events', '--count', 400, '--first')
            p50.add(party, result['p50_us'])
            p99.add(party, result['p99_us'])
        self.routes('events', ('direct', *PARTIES), measure)

    @contextlib.contextmanager
    def open_clients(self, party, count):
        """While it lasts, that many kept-alive clients of a route, each of which has had an answer, are open."""
        argv = [self.lab.tool('ask'), *map(str, self.asked(party, 'small')[1]), '--count', str(count), '--concurrency',
                str(count), '--hold']
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=ENVIRONMENT) as holder:
            try:
                line = holder.stdout.readline()
                if not line:
                    raise RuntimeError(holder.stderr.read().strip()[-300:])
                yield json.loads(line)
            finally:
                holder.stdin.close()

    def connections(self):
        """PSS of what waits: connections to the origin that 16 clients left behind, and idle clients, which came one after the other."""
        pooled = self.row('pooled_each', 'PSS of a pooled upstream connection', 'KiB', 1)
        client = self.row('client_each', 'PSS of a live idle client connection', 'KiB', 1)
        clients, upstream = 500, 16

        def measure(party):
            if party == 'egressd':
                self.again(self.peers['egressd'])
            else:
                self.lab.stop(self.others[party][0])
                self.others[party] = self.begin_other(party)
            program = self.asked(party, 'small')[0]
            self.ask(party, 'small', '--count', 1200)  # the audit's ring is of fixed size, and memory once it was written to
            before, held = program.memory()[1], program.descriptors('socket:')
            self.ask(party, 'small', '--count', 2000, '--concurrency', upstream)
            after, grown = program.memory()[1], program.descriptors('socket:') - held
            if grown > 0:
                pooled.add(party, (after - before) / grown / 1024)
            with self.open_clients(party, clients):
                client.add(party, (program.memory()[1] - after) / clients / 1024)
        self.routes('connections', ('egressd', 'nginx', 'haproxy'), measure, min(self.rounds, 3))

    def routes(self, what, parties, measure, rounds=None):
        if 'origin' not in self.missing:
            self.interleave(what, parties, measure, rounds)
