# lab.py - the programs that a benchmark measures: egressd, squid, nginx and the origins, in one scratch folder, on loopback.
#
# Each is started by this process and ended by its id; ports come from the kernel; nothing outside the scratch folder is written.
import base64
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
REAL = 'bench-real-' + 'k' * 29         # the credential that only the origin may see
PLACEHOLDER = 'bench-fake-' + 'p' * 29  # what nginx's clients send in its place


# A trust store named by the caller's environment would be read at every start; what is measured is the default.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ('SSL_CERT_FILE', 'SSL_CERT_DIR')}


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Missing(Exception):
    """A party that can't take part, and why."""


class Program:
    """One program and its children: CPU and memory are those of all of them."""

    def __init__(self, name, argv, folder, port=None):
        self.name, self.port, self.line = name, port, ''
        self.errors = os.path.join(folder, name + '.err')
        with open(self.errors, 'wb') as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
                                            cwd=folder, env=ENVIRONMENT, preexec_fn=die_with_parent)
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
        """Seconds on a CPU, of all processes. schedstat is the same clock as stat's, but in nanoseconds and not in ticks."""
        total = 0.0
        for pid in self.pids():
            try:
                for task in os.listdir(f'/proc/{pid}/task'):
                    with open(f'/proc/{pid}/task/{task}/schedstat') as f:
                        total += int(f.read().split()[0]) / 1e9
            except OSError:
                total += self.ticks(pid)
        return total

    @staticmethod
    def ticks(pid):
        try:
            with open(f'/proc/{pid}/stat') as f:
                fields = f.read().rpartition(')')[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

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
        self.process.stdout.close()


class Lab:
    def __init__(self, build):
        self.build = build
        self.dir = tempfile.mkdtemp(prefix='egress-bench-')
        os.chmod(self.dir, 0o755)
        self.programs = []
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 16384 if limit[1] == resource.RLIM_INFINITY else min(16384, limit[1])
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

    # ---- nginx: the TLS origin, and the reverse proxy beside egressd's route ----

    def nginx(self, name, port, body):
        program = shutil.which('nginx', path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')
        if not program:
            raise Missing('nginx is not installed')
        user = 'user root;' if os.geteuid() == 0 else ''
        temp = '\n'.join(f'  {kind}_temp_path {self.path(name + "." + kind)};'
                         for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        self.write(name + '.conf', f'''daemon off; {user} worker_processes 1; pid {self.path(name + '.pid')};
error_log {self.path(name + '.log')} warn; worker_rlimit_nofile 8192;
events {{ worker_connections 2048; }}
http {{
  access_log off; server_tokens off; keepalive_requests 100000000; keepalive_timeout 300s;
{temp}
{body}
}}
''')
        return [program, '-e', self.path(name + '.log'), '-p', self.dir, '-c', self.path(name + '.conf')]

    def tls_origin(self):
        """Answers 200 to the real credential and 403 to all else, over TLS and, as a floor, in plain."""
        self.tls_port, self.plain_port = free_port(), free_port()
        argv = self.nginx('origin', self.tls_port, f'''  server {{
    listen 127.0.0.1:{self.tls_port} ssl; listen 127.0.0.1:{self.plain_port};
    ssl_certificate origin.pem; ssl_certificate_key origin.key; ssl_session_cache shared:s:1m;
    location / {{
      if ($http_authorization != "Bearer {REAL}") {{ return 403; }}
      default_type application/json; return 200 '{{"answer":"{'a' * 180}"}}';
    }}
  }}''')
        return self.start('origin', argv, self.tls_port)

    def reverse(self):
        port = free_port()
        return port, self.nginx('reverse', port, f'''  upstream api {{ server 127.0.0.1:{self.tls_port}; keepalive 32;
    keepalive_requests 100000000; keepalive_timeout 300s; }}
  server {{
    listen 127.0.0.1:{port};
    location /api/ {{
      proxy_pass https://api/; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host localhost; proxy_set_header Authorization "Bearer {REAL}";
      proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name localhost;
      proxy_ssl_server_name on; proxy_ssl_session_reuse on;
    }}
  }}''')

    # ---- squid ----

    def squid(self):
        program = shutil.which('squid', path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')
        if not program:
            raise Missing('squid is not installed')
        port, user = free_port(), ''
        folder = self.path('squid')
        os.makedirs(folder, exist_ok=True)
        if os.geteuid() == 0:  # it refuses to stay root
            user = 'cache_effective_user nobody'
            os.chmod(folder, 0o777)
        self.write('squid.conf', f'''http_port 127.0.0.1:{port}
acl all_clients src 127.0.0.0/8
http_access allow all_clients
cache deny all
cache_mem 0
access_log none
cache_log {folder}/cache.log
cache_store_log none
pid_filename none
netdb_filename none
coredump_dir {folder}
pinger_enable off
visible_hostname bench
shutdown_lifetime 0 seconds
max_filedescriptors 8192
{user}
''')
        return port, [program, '-N', '-f', self.path('squid.conf')]

    # ---- egressd ----

    def egressd(self, source, echo, routes=True):
        """routes False: the policy of tunnels alone."""
        program = os.path.join(self.build, 'egressd')
        if not os.access(program, os.X_OK):
            raise Missing(f'{program} is not built')
        self.write('credential', REAL, 0o600)
        services = f'''services:
  api:
    upstream: https://localhost:{self.tls_port}
    credential: api
    accept: [bearer]
    write: ["header:Authorization: Bearer {{}}"]
    env: {{base_url: BENCH_URL, key: [BENCH_KEY]}}
credentials:
  api: {{from: "file:{self.path('credential')}", hosts: [localhost]}}
tls: {{ca: {self.path('ca.pem')}}}
'''
        self.write('egress.yaml', f'''egress: 1
name: bench
allow:
  - {{address: 127.0.0.1, scheme: tcp, ports: [{source}, {echo}]}}
{services if routes else ''}networks: {{allow: [127.0.0.0/8, "::1/128"]}}
limits: {{connections: 4096}}
''')
        return [program, '--policy', self.path('egress.yaml'), '--listen', '127.0.0.1:0', '--workers', '1',
                '--control', self.path('control.sock'), '--token-file', self.path('token')]

    def egressd_ready(self, program):
        """After a start: its port, and the files of header lines that its clients send."""
        program.port = json.loads(program.line)['listeners'][0]['port']
        with open(self.path('token')) as f:
            token = f.read().strip()
        basic = base64.b64encode(f'bench:{token}'.encode()).decode()
        self.write('tunnel.head', f'Proxy-Authorization: Basic {basic}\r\n', 0o600)
        answer = self.ask({'v': 1, 'op': 'env', 'id': 'default'})
        key = answer['variables']['BENCH_KEY']
        self.write('route.head', f'Authorization: Bearer {key}\r\n', 0o600)

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
