"""A network and a set of system files of our own: what the matrix runs in.

tests/interop/run starts itself again in new network, mount and process namespaces. There is only loopback, so what has no route is unreachable at once, and nothing
leaves; the name servers, the users and the run folder that real servers look for are ours, and the machine's are not touched. All that is left
ends with the first process of the namespace."""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import tempfile

from lib.world import PYTHON, DEADLINE

MARK = "EGRESS_INTEROP_INSIDE"
USER, PASSWORD = "matrixproxy", "correct-horse-9"
REMOTE_DNS = "127.0.0.53"  # what /etc/resolv.conf names there: the proxies ask it, egressd under test has another


def why_not():
    """None where it can be had, else the reason."""
    if os.geteuid() != 0:
        return "sshd, dante and the name server's port want root"
    for program in ("unshare", "mount", "ip", "openssl"):
        if not shutil.which(program):
            return f"no {program} here"
    r = subprocess.run(["unshare", "-n", "-m", "-p", "-i", "-f", "true"], capture_output=True, text=True, timeout=DEADLINE)
    return r.stderr.strip() or f"unshare: {r.returncode}" if r.returncode else None


def again(names):
    """The same program inside, with the tests of these names; a process whose stdout has its lines."""
    return subprocess.Popen(["unshare", "-n", "-m", "-p", "-i", "-f", "--kill-child", "--mount-proc", "--propagation", "private", "--",
                             PYTHON, os.path.abspath(sys.argv[0]), *names], env={**os.environ, MARK: "1"},
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def _bind(folder, name, text, mode):
    path = os.path.join(folder, os.path.basename(name))
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w") as f:
        f.write(text)
    if not os.path.exists(name):  # its target was in the run folder
        os.makedirs(os.path.dirname(os.path.realpath(name)), exist_ok=True)
        with open(os.path.realpath(name), "w"):
            pass
    subprocess.run(["mount", "--bind", path, os.path.realpath(name)], check=True, timeout=DEADLINE)


def enter():
    """Makes the namespaces into that place; the folder of its files, which stands for the home of root too."""
    libc = ctypes.CDLL(None)
    libc.prctl(1, 9)  # ends with tests/interop/run
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=DEADLINE)
    folder = tempfile.mkdtemp(prefix="egress-matrix-")
    os.chmod(folder, 0o755)
    os.mkdir(folder + "/etc", 0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True, timeout=DEADLINE)
    for name in ("/run/sshd", "/run/lock", "/run/user"):
        os.mkdir(name, 0o755)
    etc = folder + "/etc"
    hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True, timeout=DEADLINE).stdout.strip()
    with open("/etc/passwd") as f:
        lines = [line for line in f if not line.startswith("root:")]
    home = folder + "/home"
    os.mkdir(home, 0o700)
    _bind(etc, "/etc/passwd", f"root:x:0:0:root:{home}:/bin/sh\n{''.join(lines)}{USER}:x:64999:65534::/nonexistent:/usr/sbin/nologin\n", 0o644)
    _bind(etc, "/etc/shadow", f"root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n{USER}:{hashed}:19000:0:99999:7:::\n", 0o600)
    _bind(etc, "/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n", 0o644)
    _bind(etc, "/etc/resolv.conf", f"nameserver {REMOTE_DNS}\noptions timeout:2 attempts:1\n", 0o644)
    return folder


def closed_port(address):
    """A port that is taken but not listened on, so that it refuses; and the socket that holds it."""
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.bind((address, 0))
    return s.getsockname()[1], s
