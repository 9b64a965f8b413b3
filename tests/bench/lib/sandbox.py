# sandbox.py - what a sandbox costs at its start: `egressctl run -- /bin/true` beside the bare command and beside bubblewrap with the same namespaces, all as the same ordinary user; and what its two
# processes hold.
import json
import os
import shutil
import subprocess

from lib.lab import ENVIRONMENT, Missing, find
from lib.rows import MIB

USER = 65534  # of the commands, where this is root
TIMES = 20
ALIKE = ('--unshare-user', '--unshare-net', '--unshare-pid', '--unshare-ipc', '--dev-bind', '/', '/', '--proc', '/proc')
ORDINARY = ('.bashrc', '.profile', '.bash_logout', '.bash_history', '.ssh/config', '.gitconfig', '.config/git/ignore', '.local/bin/', '.vimrc', '.npmrc', '.cache/')
POLICY = 'egress: 1\nallow: [api.example.com]\n'
SERVICE = """services:
  api: {upstream: "https://api.example.com", credential: key, write: ["header:Authorization: Bearer {}"], env: {key: [API_KEY]}}
credentials:
  key: {from: "env:BENCH_KEY", hosts: [api.example.com]}
"""


class Sandbox:
    """Part of Bench."""

    def sandbox(self):
        ms = self.row('sandbox', '/bin/true', 'ms', 2)
        pss = self.row('sandbox_pss', 'PSS, both', 'MiB', 2)
        rss = self.row('sandbox_rss', 'RSS, the sum', 'MiB', 2)
        self._prepare()
        runs = {'bare': lambda: [], 'bwrap': lambda: [find('bwrap'), *ALIKE], 'egressctl': lambda: self._run('plain.yaml'),
                'egressctl, a service': lambda: self._run('service.yaml')}

        def measure(party):
            argv = runs[party]()
            words = [self._program('start'), 'run', '--times', str(TIMES // 4 if self.quick else TIMES), '--', *argv, '/bin/true']
            done = subprocess.run(words, capture_output=True, text=True, timeout=90, **self._as_user())
            if done.returncode != 0:
                raise RuntimeError(done.stderr.strip()[-300:])
            ms.add(party, json.loads(done.stdout)['run_ms'])
            if party.startswith('egressctl'):
                held = self._held(argv)
                pss.add(party, held[1] / MIB)
                rss.add(party, held[0] / MIB)
        self.interleave('sandbox', tuple(runs), measure)

    def _prepare(self):
        """In the scratch folder, since the build may be in one that only its owner enters."""
        for path in ('plain.yaml', 'service.yaml'):
            self.lab.write(path, POLICY + (SERVICE if path == 'service.yaml' else ''))
        for program in (os.path.join(self.lab.build, 'egressctl'), self.lab.tool('start')):
            shutil.copy(program, self.lab.path('sandbox-' + os.path.basename(program)))
        self.home, self.runtime = self.lab.path('sandbox-home'), self.lab.path('sandbox-runtime')
        for path in (self.home, self.runtime):
            os.makedirs(path, 0o700, exist_ok=True)
        for name in ORDINARY:  # made for each run where it is missing: a home of nothing is nobody's
            path = os.path.join(self.home, name)
            os.makedirs(path if name.endswith('/') else os.path.dirname(path), exist_ok=True)
            if not name.endswith('/'):
                open(path, 'w').close()
        for place in (self.home, self.runtime):
            for path in (place, *(os.path.join(p, n) for p, folders, files in os.walk(place) for n in folders + files)):
                if os.geteuid() == 0:
                    os.chown(path, USER, USER)

    def _program(self, name):
        return self.lab.path('sandbox-' + name)

    def _run(self, policy):
        return [self._program('egressctl'), 'run', '-p', self.lab.path(policy), '--trust', '--']

    def _as_user(self):
        who = {'user': USER, 'group': USER, 'extra_groups': []} if os.geteuid() == 0 else {}
        return {'env': {**ENVIRONMENT, 'HOME': self.home, 'XDG_RUNTIME_DIR': self.runtime, 'BENCH_KEY': 'k' * 40}, 'cwd': self.home, **who}

    def _held(self, argv):
        """(RSS, PSS) of the supervisor and its worker, once the command runs."""
        with subprocess.Popen([*argv, 'sh', '-c', 'echo up; exec cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **self._as_user()) as p:
            try:
                if p.stdout.readline() != b'up\n':
                    raise RuntimeError('the command did not start')
                return [sum(x) for x in zip(*(memory(pid) for pid in (p.pid, *workers(p.pid))))]
            finally:
                p.stdin.close()


def workers(pid):
    """Its children, without the first process of the sandbox, which has a number inside too."""
    with open(f'/proc/{pid}/task/{pid}/children') as f:
        children = f.read().split()
    found = []
    for child in children:
        with open(f'/proc/{child}/status') as f:
            names = next(line for line in f if line.startswith('NSpid:')).split()
        if len(names) == 2:
            found.append(int(child))
    return found


def memory(pid):
    values = {}
    try:
        with open(f'/proc/{pid}/smaps_rollup') as f:
            for line in f:
                if line.startswith(('Rss:', 'Pss:')):
                    values[line[:3]] = int(line.split()[1]) << 10
    except PermissionError as e:
        raise Missing('the memory of a hardened process is root\'s to see') from e
    return values['Rss'], values['Pss']
