"""The real parts of the matrix: squid, dante, microsocks, sshd and egressd itself, each with a configuration of its own. Ports are the kernel's choice;
what is started is ended by its process. Certificates of a private CA, good and bad ones, by openssl."""

import json
import os
import select
import shutil
import socket
import subprocess
import time

from lib.inside import PASSWORD, USER
from lib.world import BUILD, DEADLINE, Skip, Wrong, check, end, need

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
EGRESSD = os.path.join(BUILD, "egressd")


def free_port():
    """Nobody else is in this network namespace."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write(path, text, mode=0o644):
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w") as f:
        f.write(text)
    return path


class Certificates:
    """NAME.pem and NAME.key of a CA called ca, or of another one."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        for ca in ("ca", "other-ca"):
            self._run("req", "-x509", *self.KEY, "-days", "2", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN=matrix {ca}",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.leaf("server", "DNS:*.matrix.test,DNS:localhost,IP:127.0.0.1,IP:127.0.0.2,IP:192.0.2.1,IP:::1,IP:2001:db8::1")
        self.leaf("client", "DNS:build.matrix.test")
        self.leaf("expired", "DNS:build.matrix.test", days=-1)
        self.leaf("stranger", "DNS:build.matrix.test", ca="other-ca")

    KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

    def _run(self, *words):
        r = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, text=True, timeout=DEADLINE)
        check(r.returncode == 0, f"openssl {words}: {r.stderr}")

    def leaf(self, name, names, days=2, ca="ca"):
        self._run("req", *self.KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        write(self.path(f"{name}.ext"), f"subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n")
        now = time.time()
        if days > 0:
            when = ["-days", str(days)]
            self._run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-out", f"{name}.pem",
                      *when, "-extfile", f"{name}.ext")
        else:  # x509 -req has no start date before 3.4; ca has
            write(self.path("index.txt"), "")
            write(self.path("serial"), "77\n")
            write(self.path("ca.cnf"), f"[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
                  f"[p]\ncommonName=supplied\n")
            stamp = [time.strftime("%y%m%d%H%M%SZ", time.gmtime(now + d * 86400)) for d in (-3, days)]
            self._run("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", f"{ca}.pem", "-keyfile", f"{ca}.key", "-in", f"{name}.csr",
                      "-out", f"{name}.pem", "-startdate", stamp[0], "-enddate", stamp[1], "-extfile", f"{name}.ext")

    def path(self, name):
        return os.path.join(self.folder, name)


class Part:
    """One started program. wait: the port that tells that it is ready, or None when it says so by a line."""

    def __init__(self, name, argv, folder, wait=None, env=None):
        self.name, self.errors = name, os.path.join(folder, name + ".err")
        self.process = subprocess.Popen(argv, cwd=folder, env=env or ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=open(self.errors, "wb"),
                                        stdout=subprocess.DEVNULL if wait else subprocess.PIPE)
        try:
            if wait:
                self._await(wait)
            else:
                ready = select.select([self.process.stdout], [], [], DEADLINE)[0]
                self.line = self.process.stdout.readline().decode() if ready else ""
                check(self.line, f"{name} did not start: {self.said()}")
        except BaseException:
            self.end()
            raise

    def _await(self, port):
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                return
            except OSError:
                select.select([], [], [], 0.02)
        raise Wrong(f"{self.name} did not start: {self.said()}")

    def said(self):
        with open(self.errors, errors="replace") as f:
            return f.read()[-1500:] or f"exit {self.process.poll()}"

    def end(self):
        end(self.process)
        if self.process.stdout:
            self.process.stdout.close()


def squid(folder, certificates):
    """(part, http port, https port): Basic for all, every port, names from /etc/resolv.conf."""
    need("squid")
    helper = next((h for h in ("/usr/lib/squid/basic_ncsa_auth", "/usr/lib64/squid/basic_ncsa_auth") if os.access(h, os.X_OK)), None)
    if not helper:
        raise Skip("squid has no basic_ncsa_auth here")
    place = os.path.join(folder, "squid")
    os.mkdir(place)
    os.chmod(place, 0o777)
    hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True, timeout=DEADLINE).stdout
    write(place + "/passwords", f"{USER}:{hashed}")
    shutil.copy(certificates.path("server.pem"), place)
    shutil.copy(certificates.path("server.key"), place)
    os.chmod(place + "/server.key", 0o644)  # of this test alone
    plain, tls = free_port(), free_port()
    write(place + "/conf", f"""http_port 127.0.0.1:{plain}
https_port 127.0.0.1:{tls} tls-cert={place}/server.pem tls-key={place}/server.key
auth_param basic program {helper} {place}/passwords
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
cache deny all
cache_mem 0
access_log none
cache_log {place}/cache.log
cache_store_log none
pid_filename none
netdb_filename none
coredump_dir {place}
pinger_enable off
connect_timeout 5 seconds
dns_timeout 5 seconds
visible_hostname matrix
shutdown_lifetime 0 seconds
cache_effective_user nobody
""")
    return Part("squid", ["squid", "-N", "-f", place + "/conf"], folder, plain), plain, tls


def dante(folder):
    """(part, port): RFC 1929 by the user of the namespace's own /etc/passwd."""
    need("danted")
    place = os.path.join(folder, "dante")
    os.mkdir(place)
    os.chmod(place, 0o777)
    port = free_port()
    write(place + "/conf", f"""errorlog: {place}/log
internal: 127.0.0.1 port = {port}
external: lo
clientmethod: none
socksmethod: username
user.privileged: root
user.unprivileged: nobody
timeout.connect: 5
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0
  command: connect
  socksmethod: username
}}
socks pass {{ from: 127.0.0.0/8 to: ::/0
  command: connect
  socksmethod: username
}}
""")
    return Part("dante", ["danted", "-f", place + "/conf", "-p", place + "/pid"], folder, port), port


def microsocks(folder):
    need("microsocks")
    port = free_port()
    return Part("microsocks", ["microsocks", "-i", "127.0.0.1", "-p", str(port), "-u", USER, "-P", PASSWORD], folder, port), port


def sshd(folder, home, more=""):
    """(part, port): root may come in with the key that root's home has, and that host key is known there."""
    need("sshd", "ssh", "ssh-keygen")
    place = os.path.join(folder, "sshd")
    os.mkdir(place)
    dot = os.path.join(home, ".ssh")
    os.makedirs(dot, 0o700, exist_ok=True)
    for key in (place + "/host", dot + "/id_ed25519"):
        if os.path.exists(key):
            continue
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=DEADLINE)
    shutil.copy(dot + "/id_ed25519.pub", place + "/authorized")
    port = free_port()
    with open(place + "/host.pub") as f:
        line = f"[127.0.0.1]:{port} {f.read()}"
    with open(os.open(dot + "/known_hosts", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "w") as f:
        f.write(line)
    write(place + "/conf", f"""ListenAddress 127.0.0.1
Port {port}
HostKey {place}/host
AuthorizedKeysFile {place}/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
{more or "AllowTcpForwarding yes"}
""")
    return Part("sshd", [shutil.which("sshd", path=ENVIRONMENT["PATH"]), "-D", "-e", "-f", place + "/conf"], folder, port), port


class Egressd(Part):
    """egressd with that policy; not-available in it is a Skip. ports: of its listeners, in order."""

    count = 0

    def __init__(self, folder, policy, options=("--listen", "127.0.0.1:0"), env=None):
        Egressd.count += 1
        name = f"egressd{Egressd.count}"
        path = write(os.path.join(folder, name + ".yaml"), policy)
        base = {**ENVIRONMENT, "HOME": os.path.join(folder, "home"), **(env or {})}
        checked = subprocess.run([EGRESSD, "-t", "-p", path], capture_output=True, text=True, env=base, timeout=DEADLINE)
        if "error[not-available]" in checked.stderr + checked.stdout:
            raise Skip("not built yet: " + next(x for x in (checked.stderr + checked.stdout).splitlines() if "not-available" in x))
        check(checked.returncode == 0, f"egressd -t: {checked.stdout}{checked.stderr}\n{policy}")
        self.control, self.token_file = (os.path.join(folder, name + end_) for end_ in (".sock", ".token"))
        super().__init__(name, [EGRESSD, "-p", path, "--control", self.control, "--token-file", self.token_file, *options], folder, env=base)
        self.ports = [listener.get("port") for listener in json.loads(self.line)["listeners"]]
        with open(self.token_file) as f:
            self.token = f.read().strip()


def refused_start(folder, path, env):
    """egressd that must not start: what it said before it ended."""
    argv = [EGRESSD, "-p", path, "--listen", "127.0.0.1:0", "--control", os.path.join(folder, "refused.sock")]
    try:
        return subprocess.run(argv, capture_output=True, text=True, env={**ENVIRONMENT, **env}, cwd=folder, stdin=subprocess.DEVNULL, timeout=DEADLINE)
    except subprocess.TimeoutExpired as e:
        raise Wrong(f"it started: {e.stdout}") from None
