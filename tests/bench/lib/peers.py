# peers.py - who is measured: egressd twice (CONNECT and SOCKS5), the proxies beside it, and two kinds of plain relay, each with a fixed target.
#
# A peer has authentication and an allowlist on where it knows them; `note` says what it lacks. make() writes a fresh configuration with fresh ports.
import base64
import json
import os
import subprocess

from lib.lab import Missing, find, free_port
from lib.reverse import services

USER, PASSWORD = 'bench', 'bench-password'


class Peer:
    kind, note, floor = 'straight', '', False

    def __init__(self, lab, source, echo):
        self.lab, self.source, self.echo = lab, source, echo
        self.program, self.ports = None, {}

    def make(self):
        """(the port that is asked, the command)."""
        raise NotImplementedError

    def begin(self):
        port, argv = self.make()
        self.program = self.lab.start(self.name, argv, port)

    def end(self):
        if self.program:
            self.lab.stop(self.program)
            self.program = None

    def folder(self):
        path = self.lab.path(self.name)
        os.makedirs(path, exist_ok=True)
        if os.geteuid() == 0:  # several refuse to stay root
            os.chmod(path, 0o777)
        return path

    def via(self, target):
        """The words that lead a client of `load` to source or echo."""
        if self.kind == 'straight':
            return ['--target', self.ports[target]]
        return ['--target', target, '--proxy', self.ports[0], *self.credentials()]

    def credentials(self):
        return ['--socks'] if self.kind == 'socks' else []

    def started_by(self):
        """(the words for `start`, the command) of a start of its own."""
        port, argv = self.make()
        words = {'straight': ['--straight'], 'connect': [], 'socks': ['--socks']}[self.kind]
        return ['--port', port, *words, *(w for w in self.credentials() if w != '--socks')], argv


class Direct(Peer):
    name = 'direct'

    def begin(self):
        self.ports = {self.source: self.source, self.echo: self.echo}


class Egressd(Peer):
    name, kind = 'egressd', 'connect'

    def __init__(self, lab, source, echo):
        super().__init__(lab, source, echo)
        self.routes, self.connections = True, 4096

    def make(self):
        program = os.path.join(self.lab.build, 'egressd')
        if not os.access(program, os.X_OK):
            raise Missing(f'{program} is not built')
        self.lab.write('egress.yaml', f'''egress: 1
name: bench
allow:
  - {{address: 127.0.0.1, scheme: tcp, ports: [{self.source}, {self.echo}]}}
{services(self.lab) if self.routes else ''}networks: {{allow: [127.0.0.0/8, "::1/128"]}}
upstream: none
limits: {{connections: {self.connections}}}
audit: {{capacity: 1024}}
''')
        return None, [program, '--policy', self.lab.path('egress.yaml'), '--listen', '127.0.0.1:0', '--workers', '1',
                      '--control', self.lab.path('control.sock'), '--token-file', self.lab.path('token')]

    def begin(self):
        super().begin()
        self.program.port = self.ports[0] = json.loads(self.program.line)['listeners'][0]['port']
        with open(self.lab.path('token')) as f:
            token = f.read().strip()
        basic = base64.b64encode(f'bench:{token}'.encode()).decode()
        self.lab.write('tunnel.head', f'Proxy-Authorization: Basic {basic}\r\n', 0o600)
        self.lab.write('tunnel.login', f'bench:{token}\n', 0o600)
        if self.routes:
            variables = self.lab.ask({'v': 1, 'op': 'env', 'id': 'default'})['variables']
            for name, file in (('BENCH_KEY', 'route.head'), ('BARE_KEY', 'bare.head')):
                self.lab.write(file, f'Authorization: Bearer {variables[name]}\r\n', 0o600)

    def credentials(self):
        return ['--head', self.lab.path('tunnel.head')]

    def started_by(self):
        """A policy of tunnels alone."""
        self.routes = False
        try:
            return ['--token-file', self.lab.path('token')], self.make()[1]
        finally:
            self.routes = True


class EgressdSocks(Peer):
    """The same process as `of`, asked in SOCKS5."""
    name, kind = 'egressd socks', 'socks'

    def __init__(self, of):
        super().__init__(of.lab, of.source, of.echo)
        self.of = of

    def begin(self):
        if not self.of.program:
            raise Missing('there is no egressd')
        self.share()

    def share(self):
        self.program, self.ports = self.of.program, self.of.ports

    def end(self):
        self.of.end()
        self.program = None

    def credentials(self):
        return ['--socks', '--login', self.lab.path('tunnel.login')]

    def started_by(self):
        words, argv = self.of.started_by()
        return [*words, '--socks'], argv


class Squid(Peer):
    name, kind = 'squid', 'connect'

    def make(self):
        program, port, user = find('squid'), free_port(), ''
        folder = self.folder()
        if os.geteuid() == 0:
            user = 'cache_effective_user nobody'
        helper = next((p for p in ('/usr/lib/squid/basic_ncsa_auth', '/usr/lib64/squid/basic_ncsa_auth')
                       if os.access(p, os.X_OK)), None)
        auth, who = '', ''
        if helper:
            made = subprocess.run(['openssl', 'passwd', '-apr1', PASSWORD], capture_output=True, text=True, check=True)
            self.lab.write('squid/passwords', f'{USER}:{made.stdout}')
            auth = f'auth_param basic program {helper} {folder}/passwords\nacl known proxy_auth REQUIRED'
            who = 'known'
        else:
            self.note = 'no authentication: basic_ncsa_auth is missing'
        basic = base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
        self.lab.write('basic.head', f'Proxy-Authorization: Basic {basic}\r\n', 0o600)
        self.lab.write('squid.conf', f'''http_port 127.0.0.1:{port}
{auth}
acl targets port {self.source} {self.echo}
acl here dst 127.0.0.1
http_access allow {who} targets here
http_access deny all
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
        self.ports[0] = port
        return port, [program, '-N', '-f', self.lab.path('squid.conf')]

    def credentials(self):
        return ['--head', self.lab.path('basic.head')]


class Tinyproxy(Squid):
    name = 'tinyproxy'

    def make(self):
        program, port, folder = find('tinyproxy'), free_port(), self.folder()
        basic = base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
        self.lab.write('basic.head', f'Proxy-Authorization: Basic {basic}\r\n', 0o600)
        self.lab.write('tinyproxy/filter', '^127\\.0\\.0\\.1$\n')
        self.lab.write('tinyproxy.conf', f'''Port {port}
Listen 127.0.0.1
{'User nobody' if os.geteuid() == 0 else ''}
Timeout 600
MaxClients 4096
LogLevel Critical
LogFile "{folder}/log"
BasicAuth {USER} {PASSWORD}
Filter "{folder}/filter"
FilterExtended On
FilterDefaultDeny Yes
ConnectPort {self.source}
ConnectPort {self.echo}
''')
        self.ports[0] = port
        return port, [program, '-d', '-c', self.lab.path('tinyproxy.conf')]


class Haproxy(Peer):
    name, note = 'haproxy', 'plain TCP to a fixed target'

    def make(self):
        program = find('haproxy')
        self.ports = {self.source: free_port(), self.echo: free_port()}
        listen = '\n'.join(f'listen l{port}\n  bind 127.0.0.1:{port}\n  server s 127.0.0.1:{target}'
                           for target, port in self.ports.items())
        self.lab.write('haproxy.conf', f'''global
  nbthread 1
  maxconn 5000
defaults
  mode tcp
  option splice-auto
  timeout connect 10s
  timeout client 600s
  timeout server 600s
{listen}
''')
        return self.ports[self.echo], [program, '-db', '-f', self.lab.path('haproxy.conf')]


class NginxStream(Peer):
    name, note = 'nginx-stream', 'plain TCP to a fixed target'
    modules = ('/usr/lib/nginx/modules', '/usr/lib64/nginx/modules', '/usr/share/nginx/modules')

    def make(self):
        program = find('nginx')
        folder = self.folder()
        self.ports = {self.source: free_port(), self.echo: free_port()}
        module = next((m for m in (d + '/ngx_stream_module.so' for d in self.modules) if os.path.exists(m)), None)
        built = subprocess.run([program, '-V'], capture_output=True, text=True).stderr.split()
        if not module and '--with-stream' not in built:
            raise Missing('nginx has no stream module here (libnginx-mod-stream)')
        servers = '\n'.join(f'  server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{target}; proxy_timeout 600s; }}'
                            for target, port in self.ports.items())
        self.lab.write('stream.conf', f'''{f'load_module {module};' if module else ''}
daemon off; {'user root;' if os.geteuid() == 0 else ''} worker_processes 1; pid {folder}/pid;
error_log {folder}/log warn; worker_rlimit_nofile 8192;
events {{ worker_connections 5000; }}
stream {{
{servers}
}}
''')
        return self.ports[self.echo], [program, '-e', folder + '/log', '-p', folder, '-c', self.lab.path('stream.conf')]


class Microsocks(Peer):
    name, kind, note = 'microsocks', 'socks', 'no allowlist'

    def make(self):
        self.lab.write('microsocks.login', f'{USER}:{PASSWORD}\n', 0o600)
        self.ports[0] = free_port()
        return self.ports[0], [find('microsocks'), '-i', '127.0.0.1', '-p', str(self.ports[0]), '-u', USER, '-P', PASSWORD]

    def credentials(self):
        return ['--socks', '--login', self.lab.path('microsocks.login')]


class Dante(Peer):
    name, kind, note = 'dante', 'socks', 'no authentication: its RFC 1929 wants users of the system'

    def make(self):
        program, folder = find('danted'), self.folder()
        self.ports[0] = free_port()
        pass_ = '\n'.join(f'''socks pass {{ from: 127.0.0.0/8 to: 127.0.0.1/32 port = {target}
  protocol: tcp
  command: connect
}}'''
                          for target in (self.source, self.echo))
        self.lab.write('danted.conf', f'''errorlog: {folder}/log
internal: 127.0.0.1 port = {self.ports[0]}
external: 127.0.0.1
clientmethod: none
socksmethod: none
{'user.privileged: root' if os.geteuid() == 0 else ''}
{'user.unprivileged: nobody' if os.geteuid() == 0 else ''}
client pass {{ from: 127.0.0.0/8 to: 127.0.0.0/8 }}
{pass_}
''')
        return self.ports[0], [program, '-f', self.lab.path('danted.conf'), '-p', folder + '/pid']


class Relay(Peer):
    name, note = 'relay', 'ours, bare: plain TCP to a fixed target, the floor'

    def make(self):
        return None, [self.lab.tool('relay'), str(self.echo), str(self.source)]

    def begin(self):
        super().begin()
        self.ports = dict(zip((self.echo, self.source), json.loads(self.program.line)['ports']))

    def started_by(self):
        return ['--straight'], self.make()[1]


class RelayConnect(Relay):
    name, kind, floor = 'relay connect', 'connect', True
    note = 'the same, but it awaits a head, answers 200 and looks at nothing: the floor of CONNECT'

    def make(self):
        return None, [self.lab.tool('relay'), 'connect', str(self.echo), str(self.source)]

    def via(self, target):
        return ['--target', target, '--proxy', self.ports[target]]

    def started_by(self):
        return [], self.make()[1]


def everyone(lab, source, echo):
    """In the order in which they take turns."""
    egressd = Egressd(lab, source, echo)
    return [Direct(lab, source, echo), Relay(lab, source, echo), RelayConnect(lab, source, echo), egressd, EgressdSocks(egressd),
            *(kind(lab, source, echo) for kind in (Squid, Tinyproxy, Microsocks, Dante, Haproxy, NginxStream))]
