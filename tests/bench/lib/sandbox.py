# sandbox.py - what a sandbox costs at its start: `egressctl run -- /bin/true` beside the bare command and beside bubblewrap with the same namespaces, all as the same ordinary user; and what its two
# processes hold.
import ctypes
import json
import os
import shutil
import subprocess
import tempfile

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
    """Part of Bench. The home and the temporary folder are in memory, so that the disk's time is not in it, and once on disk, where a file system may take its time to remove what a run has made."""

    def sandbox(self):
        ms = self.row('sandbox', '/bin/true', 'ms', 2)
        pss = self.row('sandbox_pss', 'PSS, both', 'MiB', 2)
        rss = self.row('sandbox_rss', 'RSS, the sum', 'MiB', 2)
        memory_folder = self._memory_folder()
        self._prepare(memory_folder)
        runs = {'bare': lambda: [], 'bwrap': lambda: [find('bwrap'), *ALIKE], 'egressctl': lambda: self._run('plain.yaml'),
                'egressctl, a service': lambda: self._run('service.yaml'), 'egressctl, home on disk': lambda: self._run('plain.yaml')}

        def measure(party):
            argv = runs[party]()
            words = [self._program('start'), 'run', '--times', str(TIMES // 4 if self.quick else TIMES), '--', *argv, '/bin/true']
            given = self._as_user('disk' if 'disk' in party else 'memory')
            done = subprocess.run(words, capture_output=True, text=True, timeout=90, **given)
            if done.returncode != 0:
                raise RuntimeError(done.stderr.strip()[-300:])
            ms.add(party, json.loads(done.stdout)['run_ms'])
            if party.startswith('egressctl'):
                held = self._held(argv, given)
                pss.add(party, held[1] / MIB)
                rss.add(party, held[0] / MIB)
        try:
            self.interleave('sandbox', tuple(runs), measure)
        finally:
            shutil.rmtree(memory_folder, ignore_errors=True)
            subprocess.run(['umount', memory_folder], stderr=subprocess.DEVNULL)

    def _memory_folder(self):
        """As root in a mount namespace of our own, which ends with us."""
        if os.geteuid() != 0 or ctypes.CDLL(None).unshare(0x20000) != 0:  # CLONE_NEWNS
            return tempfile.mkdtemp(prefix='egress-bench-', dir='/dev/shm' if os.access('/dev/shm', os.W_OK) else None)
        path = self.lab.path('sandbox-memory')
        os.mkdir(path)
        subprocess.run(['mount', '--make-rprivate', '/'], check=True)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', path], check=True)
        return path

    def _prepare(self, memory_folder):
        """In the scratch folder, since the build may be in one that only its owner enters."""
        for path in ('plain.yaml', 'service.yaml'):
            self.lab.write(path, POLICY + (SERVICE if path == 'service.yaml' else ''))
        for program in (os.path.join(self.lab.build, 'egressctl'), self.lab.tool('start')):
            shutil.copy(program, self.lab.path('sandbox-' + os.path.basename(program)))
        self.places = {'memory': memory_folder, 'disk': self.lab.path('sandbox')}
        for top in self.places.values():
            for name in ('home/', 'runtime/', 'tmp/', *('home/' + n for n in ORDINARY)):
                path = os.path.join(top, name)
                os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
                if not name.endswith('/'):
                    open(path, 'w').close()
            for place, folders, files in os.walk(top):
                for path in (place, *(os.path.join(place, n) for n in files)):
                    if os.geteuid() == 0:
                        os.chown(path, USER, USER)

    def _program(self, name):
        return self.lab.path('sandbox-' + name)

    def _run(self, policy):
        return [self._program('egressctl'), 'run', '-p', self.lab.path(policy), '--trust', '--']

    def _as_user(self, where):
        top = self.places[where]
        who = {'user': USER, 'group': USER, 'extra_groups': []} if os.geteuid() == 0 else {}
        return {'env': {**ENVIRONMENT, 'HOME': top + '/home', 'XDG_RUNTIME_DIR': top + '/runtime', 'TMPDIR': top + '/tmp', 'BENCH_KEY': 'k' * 40},
                'cwd': top + '/home', **who}

    def _held(self, argv, given):
        """(RSS, PSS) of the supervisor and its worker, once the command runs."""
        with subprocess.Popen([*argv, 'sh', '-c', 'echo up; exec cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **given) as p:
            try:
                if p.stdout.readline() != b'up\n':
                    raise RuntimeError('the command did not start')
                return [sum(x) for x in zip(*(memory(pid) for pid in (p.pid, *workers(p.pid))))]
            finally:
                p.stdin.close()


def workers(pid):
    """Its children, without the janitor and the first process of the sandbox, which has a number inside too."""
    with open(f'/proc/{pid}/task/{pid}/children') as f:
        children = f.read().split()
    found = []
    for child in children:
        with open(f'/proc/{child}/status') as f:
            text = f.read()
        names = next(line for line in text.splitlines() if line.startswith('NSpid:')).split()
        if len(names) == 2 and 'Name:\tegress-janitor\n' not in text:
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
