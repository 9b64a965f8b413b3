# decisions.py - what a decision of the engine costs, without a proxy round it, in policies of several sizes; what the largest one costs to compile.
import os
import subprocess
import sys

from lib.lab import ENVIRONMENT
from lib.rows import MIB

HOSTS = (10, 1000, 100000)
PATHS = 1000
KINDS = {'hit': 'a name', 'miss': 'a name that no rule names', 'wildcard': 'a name below a wildcard', 'literal': 'an address in a range',
         'address4': 'a resolved IPv4 address', 'address6': 'a resolved IPv6 address'}
PATH_KINDS = {'literal': 'a path', 'deep': 'a path below **', 'starred': 'a path with * before a word', 'braces': 'a path with braces and *',
              'path_miss': 'a path that no rule names'}


class Decisions:
    """Part of Bench. The parties are policies; a question's cost is CPU time of its thread."""

    def decisions(self):
        rows = {k: self.row('decide_' + k, v, 'ns') for k, v in KINDS.items()}
        path_rows = {k: self.row('decide_path_' + k, v, 'ns') for k, v in PATH_KINDS.items()}
        compile_ms = self.row('compile_ms', 'compile', 'ms', 1)
        peak = self.row('compile_peak', 'memory at most, policy and its text', 'MiB', 1)
        block = self.row('compile_block', 'compiled', 'MiB', 2)
        check = self.row('check_ms', 'policy check', 'ms')
        check_peak = self.row('check_peak', 'its RSS at most', 'MiB', 1)

        def measure(party):
            count, _, what = party.replace(',', '').partition(' ')
            result = self.tool('decide', '--' + what, count)
            compile_ms.add(party, result['compile_ms'])
            peak.add(party, result['peak_mib'])
            block.add(party, result['block_bytes'] / MIB)
            for kind, row in (rows if what == 'hosts' else path_rows).items():
                row.add(party, result[kind + '_ns'])
            if party == hosts[-1]:
                ms, mib = self._check(int(count))
                check.add(party, ms)
                check_peak.add(party, mib)
        hosts = [f'{n:,} hosts' for n in HOSTS]
        self.interleave('decisions', (*hosts, f'{PATHS:,} paths'), measure)

    def _check(self, count):
        """`egressctl policy check` of so many rules: CPU in ms, and its resident memory at most."""
        path = self.lab.path('many.yaml')
        with open(path, 'w') as f:
            f.write('egress: 1\nallow:\n' + ''.join(f'  - api.host{n}.example\n' for n in range(count)))
        argv = [os.path.join(self.lab.build, 'egressctl'), 'policy', 'check', '--alone', '--trust', path]
        # A child of its own, whose only child it is: ru_maxrss is the largest of all children so far.
        ask = 'import resource,subprocess,sys;r=subprocess.run(sys.argv[1:]);' \
              'u=resource.getrusage(resource.RUSAGE_CHILDREN);print((u.ru_utime+u.ru_stime)*1000,u.ru_maxrss);sys.exit(r.returncode)'
        done = subprocess.run([sys.executable, '-c', ask, *argv], capture_output=True, text=True, timeout=90, env=ENVIRONMENT)
        if done.returncode != 0:
            raise RuntimeError((done.stdout + done.stderr).strip()[-300:])
        ms, kib = done.stdout.split()[-2:]
        return float(ms), int(kib) / 1024
