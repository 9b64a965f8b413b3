"""Programs that know no proxy (run --transparent), and the listener that asks for no token."""

import ctypes
import os
import re
import signal
import socket
import subprocess
import threading
import time

from lib.world import DEADLINE, PYTHON, Skip, Wrong, check, end, is_janitor, need, read_line

TRANSPARENT = ("--transparent",)


def captured(world, *command, options=TRANSPARENT, **more):
    """A run, or Skip where the system can't."""
    try:
        ctypes.CDLL("libnftables.so.1")
    except OSError:
        raise Skip("no libnftables.so.1 here")
    r = world.run(*command, options=options, **more)
    if r.code == 125 and "nftables refuses" in r.err:
        raise Skip(r.err.strip())
    return r


def decisions(world):
    return [(e.get("via"), e["host"], e["decision"], e["reason"]) for e in world.events() if e["event"] == "decision"]


def script(world, text, **more):
    path = os.path.join(world.work, "script.py")
    with open(path, "w") as f:
        f.write(text)
    return captured(world, PYTHON, path, **more)


def test_curl_without_a_proxy(world):
    r = captured(world, "sh", "-c", 'curl -sS --noproxy "*" --cacert "$CA" "https://$API/"; curl -sS --noproxy "*" "http://$PLAIN/"')
    check(r.code == 0 and r.out == "hello from the origin\n" * 2, r)
    check(decisions(world) == [("captured", "api.interop.test", "allow", "ok"), ("captured", "plain.interop.test", "allow", "ok"),
                               ("forward", "plain.interop.test", "allow", "ok")], decisions(world))


def test_name_that_no_rule_names(world):
    r = captured(world, "sh", "-c", 'curl -sS --noproxy "*" --cacert "$CA" "https://$UNNAMED/"; echo $?; curl -sSi --noproxy "*" "http://$UNNAMED/"')
    check(r.out.startswith("35\nHTTP/1.1 403 ") and "unrecognized name" in r.err, r)
    check(world.names.asked == [] and world.api.connections == 0, (world.names.asked, world.api.connections))
    check("unnamed.interop.test" in r.err and "host_not_allowed" in r.err, f"the summary does not tell: {r}")


def test_ssh_says_why(world):
    need("ssh")
    r = captured(world, "sh", "-c", 'ssh -F none -o BatchMode=yes -o ConnectTimeout=60 -T git@unnamed.interop.test')
    check(r.code == 255 and "egress policy: host_not_allowed: unnamed.interop.test:22" in r.err.split("what did not get through")[0], r)


def test_other_name_in_the_tls_that_follows(world):
    need("openssl")
    r = captured(world, "sh", "-c", 'openssl s_client -connect "$API" -servername plain.interop.test </dev/null 2>&1')
    check("unrecognized name" in r.out and world.api.hellos == 0, r)
    check(("captured", "api.interop.test", "deny", "sni_mismatch") in decisions(world), decisions(world))


def test_addresses(world):
    """Of the origin itself too: a literal is no name. Nothing that was not looked up is connected."""
    r = script(world, f"""
import socket
for at in (("127.0.0.2", {world.api.port}), ("10.1.2.3", 22), ("198.18.9.9", 443), ("2001:db8::1", 443), ("169.254.169.254", 80)):
    s = socket.socket(socket.AF_INET6 if ":" in at[0] else socket.AF_INET)
    s.settimeout({DEADLINE})
    try:
        s.connect(at)
        s.sendall(b"\\0\\0\\0\\x08\\4\\xd2\\x16\\x2f")
        print(at[0], s.recv(10))
    except OSError as e:
        print(at[0], e.errno)
""")
    check(r.code == 0 and r.out.splitlines()[0].startswith("127.0.0.2 111"), f"the loopback is the child's own: {r}")
    check([line.split(" ")[1] for line in r.out.splitlines()[1:]] == ["b''"] * 4, r)
    check(world.api.connections == 0, "the origin was reached")
    check([d[1:] for d in decisions(world)] == [("10.1.2.3", "deny", "host_not_allowed"), ("198.18.9.9", "deny", "dns_not_found"),
                                                ("2001:db8::1", "deny", "host_not_allowed"), ("169.254.169.254", "deny", "metadata_denied")],
          decisions(world))


def test_resolver(world):
    r = script(world, """
import socket, struct
q = lambda t: b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\3api\\7interop\\4test\\0" + struct.pack("!HH", t, 1)
def ask(at, t):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.settimeout(30)
    u.sendto(q(t), at)
    a, came = u.recvfrom(600)
    return struct.unpack("!H", a[6:8])[0], a[3] & 15, came[0], a[-4:]
print(*ask(("127.0.0.1", 53), 1)[:2], *ask(("127.0.0.1", 53), 28)[:2], *ask(("127.0.0.1", 53), 65)[:2])
print(ask(("9.9.9.9", 53), 1)[2], ask(("9.9.9.9", 53), 1)[3] == ask(("127.0.0.1", 53), 1)[3])
t = socket.create_connection(("127.0.0.1", 53), 30)
t.sendall(struct.pack("!H", len(q(1))) + q(1))
print(t.recv(600)[-4:-2])
print(socket.gethostbyaddr(socket.gethostbyname("api.interop.test"))[0], socket.gethostbyname("localhost"))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(30)
u.connect(("9.9.9.9", 443))
u.send(b"x")
try:
    u.recv(9)
except OSError as e:
    print(e.errno)
for path in ("/etc/resolv.conf", "/etc/hosts"):
    try:
        open(path, "a").write("x")
    except OSError as e:
        print(e.errno in (1, 13, 30))
""")
    check(r.code == 0 and r.out.splitlines() == ["1 0 0 0 0 0", "9.9.9.9 True", "b'\\xc6\\x12'", "api.interop.test 127.0.0.1", "111", "True", "True"], r)
    check(world.names.asked == [], f"asked outside: {world.names.asked}")


class Greeter:
    """It speaks first, as ssh and mail servers do, and gives back what it hears."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.2", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            c, _ = self.socket.accept()
            c.settimeout(DEADLINE)
            c.sendall(b"220 hello\n")
            try:
                while data := c.recv(4096):
                    c.sendall(data)
            except OSError:
                pass
            c.close()


def policy_with(world, *rules):
    path = world.policy()
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace("allow:\n", "allow:\n" + "".join(f"  - {r}\n" for r in rules), 1))
    return path


TALK = """
import socket, sys, os, time
def talk(at):
    s = socket.create_connection(at, 60)
    first = s.recv(100)
    if not first:
        return "ended"
    s.sendall(b"ping")
    return first.decode().strip() + " " + s.recv(4).decode()
"""


def test_server_that_speaks_first(world):
    g = Greeter()
    policy = policy_with(world, f"{{host: svc.interop.test, scheme: tcp, ports: [{g.port}]}}")
    r = script(world, TALK + f"print(talk(('svc.interop.test', {g.port})), talk(('unnamed.interop.test', {g.port})))", policy=policy)
    check(r.code == 0 and r.out == "220 hello ping ended\n", r)


def test_observe(world):
    """What no rule names passes, whatever it speaks; deny rules hold."""
    g = Greeter()
    path = os.path.join(world.folder, "observe.yaml")
    with open(path, "w") as f:
        f.write(f"egress: 1\ndeny: [git.interop.test]\nnetworks: {{allow: [127.0.0.2/32]}}\n"
                f'dns: {{servers: ["127.0.0.1:{world.names.port}"]}}\n')
    r = script(world, TALK + f"""
os.system('curl -sS --noproxy "*" --cacert "$CA" "https://$API/"; curl -sS --noproxy "*" "http://$PLAIN/"')
print(talk(('svc.interop.test', {g.port})), talk(('git.interop.test', {g.port})))
""", policy=path, options=("--transparent", "--observe"))
    check(r.code == 0 and r.out == "hello from the origin\n" * 2 + "220 hello ping ended\n", r)
    check({d[1:3] for d in decisions(world)} == {("api.interop.test", "would_deny"), ("plain.interop.test", "would_deny"),
                                                 ("svc.interop.test", "would_deny"), ("git.interop.test", "deny")}, decisions(world))


def test_several_workers(world):
    g = Greeter()
    policy = policy_with(world, f"{{host: svc.interop.test, scheme: tcp, ports: [{g.port}]}}")
    r = script(world, TALK + f"print(*(talk(('svc.interop.test', {g.port})) for _ in range(20)), sep='\\n')", policy=policy,
               options=("--transparent", "-w", "3"))
    check(r.code == 0 and r.out == "220 hello ping\n" * 20, r)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


def test_worker_that_dies_loses_the_names(world):
    """An address from before is refused; who looks the name up again goes on."""
    check(captured(world, "true").code == 0, "it can't be had")
    g = Greeter()
    policy = policy_with(world, f"{{host: svc.interop.test, scheme: tcp, ports: [{g.port}]}}")
    path = os.path.join(world.work, "script.py")
    with open(path, "w") as f:
        f.write(TALK + f"""
at = (socket.gethostbyname("svc.interop.test"), {g.port})
print(talk(at), flush=True)
sys.stdin.readline()
end = time.monotonic() + {DEADLINE}
said = "timeout"
while time.monotonic() < end:
    try:
        said = talk(at)
        break
    except OSError:  # nobody serves for a moment
        pass
while time.monotonic() < end:
    try:
        print(said, talk(("svc.interop.test", {g.port})), flush=True)
        break
    except OSError:
        pass
""")
    p = subprocess.Popen(world.command(PYTHON, path, policy=policy, options=TRANSPARENT), env=world.environment(), cwd=world.work,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        check(read_line(p.stdout) == "220 hello ping\n", "it does not begin")
        workers = [c for c in children(p.pid) if not children(c) and not is_janitor(c)]  # the namespace's init has the command
        check(len(workers) == 1, f"which is the worker? {workers}")
        os.kill(workers[0], signal.SIGKILL)
        wait_gone(workers[0])
        p.stdin.write(b"\n")
        p.stdin.flush()
        check(read_line(p.stdout) == "ended 220 hello ping\n", "what came after")
        check(p.wait(DEADLINE) == 0, "exit status")
    finally:
        end(p)
    check(("captured", "198.18.1.1", "deny", "dns_not_found") in decisions(world), decisions(world))


def wait_gone(pid):
    limit = time.monotonic() + DEADLINE
    while time.monotonic() < limit:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise Wrong(f"process {pid} stays")


def test_what_it_needs_is_said(world):
    r = world.run("true", options=("--transparent", "--no-enforce"))
    check(r.code == 125 and "--transparent" in r.err, r)


def test_listener_without_a_token(world):
    """Java's variable names it; it is the run's session, and the same rules."""
    r = world.run("sh", "-c", 'P=$(echo "$JAVA_TOOL_OPTIONS" | sed -n "s/.*-Dhttps.proxyPort=\\([0-9]*\\).*/\\1/p"); unset http_proxy https_proxy; '
                  'curl -sS --cacert "$CA" -x "http://127.0.0.1:$P" "https://$API/"; curl -sS --cacert "$CA" -x "http://127.0.0.1:$P" "https://$UNNAMED/"')
    check(r.code == 56 and r.out == "hello from the origin\n", r)
    sessions = {e["session"] for e in world.events() if e["event"] == "decision"}
    check(len(sessions) == 1 and re.match(r"run-\d+$", *sessions), sessions)
