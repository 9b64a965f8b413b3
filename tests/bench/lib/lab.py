# lab.py - where a benchmark's programs live: one scratch folder, on loopback.
#
# Each is started by this process and ended by its id; ports come from the kernel; nothing outside the scratch folder is written.
import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

WAIT_S = 20

# A trust store named by the caller's environment would be read at every start; what is measured is the default.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ('SSL_CERT_FILE', 'SSL_CERT_DIR')}


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def find(name):
    """Where the program is, or Missing."""
    found = shutil.which(name, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')
    if not found:
        raise Missing(f'{name} is not installed')
    return found


class Missing(Exception):
    """A party that can't take part, and why."""


class Program:
    """One program and its children: CPU and memory are those of all of them."""

    def __init__(self, name, argv, folder, port=None):
        self.name, self.port, self.line = name, port, ''
        self.errors = os.path.join(folder, name + '.err')
        with open(self.errors, 'wb') as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=err,
                                            stdout=subprocess.PIPE if port is None else subprocess.DEVNULL, cwd=folder, env=ENVIRONMENT, preexec_fn=die_with_parent)
        try:
            if port is None:
                self.line = self.process.stdout.readline().decode()
                if not self.line:
                    raise Missing(f'{name} did not start: {self.said()}')
            else:
                self.await_port()
        except BaseException:
            self.stop()
            raise

    def said(self):
        with open(self.errors, errors='replace') as f:
            return f.read()[-400:].strip() or f'exit status {self.process.poll()}'

    def await_port(self):
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            except OSError:
                time.sleep(0.005)
        raise Missing(f'{self.name} did not start: {self.said()}')

    def pids(self):
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            try:
                for task in os.listdir(f'/proc/{pid}/task'):
                    with open(f'/proc/{pid}/task/{task}/children') as f:
                        queue += [int(x) for x in f.read().split()]
            except OSError:
                pass
        return found

    def cpu(self):
        """Seconds on a CPU, of all processes. The kernel's clock of a process is in nanoseconds and has its ended threads in it."""
        total = 0.0
        for pid in self.pids():
            try:
                total += time.clock_gettime((~pid << 3) | 2)
            except OSError:
                pass
        return total

    def pin(self, cpus):
        for pid in self.pids():
            for task in os.listdir(f'/proc/{pid}/task'):
                os.sched_setaffinity(int(task), cpus)

    def descriptors(self, kind=''):
        """How many it holds; of pipes with kind 'pipe:'."""
        count = 0
        for pid in self.pids():
            for fd in os.listdir(f'/proc/{pid}/fd'):
                try:
                    count += os.readlink(f'/proc/{pid}/fd/{fd}').startswith(kind)
                except OSError:
                    pass
        return count

    def memory(self):
        """(RSS, PSS) in bytes, of all processes."""
        total = {'Rss': 0, 'Pss': 0}
        for pid in self.pids():
            with open(f'/proc/{pid}/smaps_rollup') as f:
                for line in f:
                    key = line.partition(':')[0]
                    if key in total:
                        total[key] += int(line.split()[1]) * 1024
        return total['Rss'], total['Pss']

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class Lab:
    def __init__(self, build):
        self.build = build
        self.dir = tempfile.mkdtemp(prefix='egress-bench-')
        os.chmod(self.dir, 0o755)
        self.programs = []
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 32768 if limit[1] == resource.RLIM_INFINITY else min(32768, limit[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, limit[0]), limit[1]))

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text, mode=0o644):
        with open(os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), 'w', newline='') as f:
            f.write(text)
        return self.path(name)

    def tool(self, name):
        return os.path.join(self.build, 'bench', name)

    def start(self, name, argv, port=None):
        program = Program(name, argv, self.dir, port)
        self.programs.append(program)
        return program

    @staticmethod
    def ports(program):
        """The ready line, which is JSON."""
        return json.loads(program.line)

    def stop(self, program):
        program.stop()
        self.programs.remove(program)

    def done(self):
        for program in reversed(self.programs):
            program.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def certificates(self):
        def openssl(*words):
            made = subprocess.run(['openssl', *words], cwd=self.dir, capture_output=True, text=True)
            if made.returncode != 0:
                raise Missing('openssl: ' + made.stderr.strip()[-200:])
        key = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes')
        openssl('req', '-x509', *key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=bench CA',
                '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign')
        openssl('req', *key, '-keyout', 'origin.key', '-out', 'origin.csr', '-subj', '/CN=localhost')
        self.write('origin.ext', 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n'
                   'extendedKeyUsage=serverAuth\n')
        openssl('x509', '-req', '-in', 'origin.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial',
                '-out', 'origin.pem', '-days', '2', '-extfile', 'origin.ext')

    def ask(self, request):
        """One request on the control socket."""
        text = json.dumps(request).encode()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(WAIT_S)
            s.connect(self.path('control.sock'))
            s.sendall(struct.pack('>I', len(text)) + text)
            with s.makefile('rb') as f:
                n, = struct.unpack('>I', f.read(4))
                answer = json.loads(f.read(n))
        if 'error' in answer:
            raise Missing(f'the control socket: {answer["error"]}')
        return answer
