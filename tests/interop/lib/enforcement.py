"""What holds the command: each way of enforcement with real programs, the choice between them, a run inside a run, and Unix sockets that are let in."""

import json
import os
import shutil
import socketserver
import subprocess
import threading

from lib.world import DEADLINE, EGRESSCTL, Skip, Wrong, check, end, read_line

FETCH = 'curl -sS --cacert "$CA" "https://$API/"; curl -s --noproxy "*" -m 20 "https://$API/"; echo "around $?"'
WAYS = ("namespaces", "seccomp")


def held(world, mode, *command, more=(), **rest):
    """Skips where the system has not got that way."""
    r = world.run(*command, options=("--enforcement", mode, *more), **rest)
    if r.code == 125 and "no sandbox" in r.err:
        raise Skip(r.err.strip())
    return r


def each_way(world, *command, **rest):
    """(mode, result) by every way that the system has: where namespaces are refused, the other is tried all the same."""
    why = None
    for mode in WAYS:
        try:
            r = held(world, mode, *command, **rest)
        except Skip as e:
            if mode == WAYS[-1]:  # without namespaces it is what holds the command
                raise
            why = e
            continue
        yield mode, r
    if why:
        print(f"    {WAYS[-1]} alone: {why}", flush=True)


def test_each_way_leads_to_the_proxy_alone(world):
    for mode, r in each_way(world, "sh", "-c", FETCH + "; exit 9"):
        check(r.code == 9 and "hello from the origin" in r.out, (mode, str(r)))
        check("around 0" not in r.out and "around" in r.out, (mode, str(r)))


def test_own_servers_are_reached(world):
    script = ("import socket,sys\ns=socket.socket();s.bind(('127.0.0.1',0));s.listen()\n"
              "c=socket.create_connection(s.getsockname(),20);a,_=s.accept();a.sendall(b'mine');print(c.recv(4).decode())\n")
    for mode, r in each_way(world, "python3", "-c", script):
        check(r.code == 0 and r.out == "mine\n", (mode, str(r)))


def test_status_and_audit_tell_which_it_is(world):
    for mode in [mode for mode, _ in each_way(world, "true")]:
        p = world.start(world.command("sh", "-c", "echo up; exec sleep 600", options=("--enforcement", mode)))
        try:
            read_line(p.stdout)
            control = os.path.join(world.runtime, "egress", f"run-{p.pid}.sock")
            r = world.finish(world.start([EGRESSCTL, "status", "--json", "--control", control]))
            check(r.code == 0 and json.loads(r.out)["enforcement"]["mode"] == mode, r)
        finally:
            end(p)
            p.communicate()
        said = [e.get("detail", "") for e in world.events() if e.get("event") == "system"]
        check(any(f"enforcement: {mode}" in d for d in said), said)


def test_wrong_options(world):
    for options in (("--enforcement", "none"), ("--enforcement", "seccomp", "--no-enforce"), ("--socket", "relative.sock"),
                    ("--socket", "/" + 120 * "x"), ("--socket", "/run/x.sock", "--no-enforce"), ("--enforcement", "seccomp", "--transparent")):
        r = world.run("true", options=options)
        check(r.code == 125 and "egressctl run:" in r.err, (options, str(r)))


def inner(world):
    """Where the child may read it, with a policy of its own: less than the outer's, and one name more."""
    program = os.path.join(world.folder, "inner-egressctl")
    shutil.copy(EGRESSCTL, program)
    path = os.path.join(world.folder, "inner.yaml")
    with open(path, "w") as f:
        f.write(f"egress: 1\nallow:\n  - {{host: api.interop.test, ports: [{world.api.port}]}}\n"
                f"  - {{host: unnamed.interop.test, ports: [{world.api.port}]}}\n")
    return program, path


def run_inside_a_run(world, folder, more):
    program, policy = inner(world)
    fetch = 'for n in "https://$API/" "https://$UNNAMED/" "http://$PLAIN/"; do curl -sS --cacert "$CA" "$n"; echo "= $?"; done; exit 5'
    script = f'HOME=$WORK/{folder} && mkdir -p $HOME && exec "$0" run -p "$1" --trust -- sh -c "$2"'
    r = held(world, "namespaces", "sh", "-c", script, program, policy, fetch, more=more)
    if "nor:" in r.err:
        raise Skip(r.err.strip())
    check(r.code == 5 and "hello from the origin\n= 0" in r.out, r)
    check(r.out.count("= ") == 3 and r.out.count("= 0") <= 2, r)
    check("unnamed.interop.test" in r.err and "host_not_allowed" in r.err, r)  # by the outer
    check(r.out.count("hello from the origin") == 1, r)  # plain: the inner refuses it
    check("no namespaces" in r.err and "no control socket" in r.err, r)


def test_a_run_inside_a_run_chains_to_the_outer(world):
    run_inside_a_run(world, "inner", ())
    if os.geteuid() == 0:  # nobody's number is what root's is inside, too: then what is root's would be ours
        run_inside_a_run(world, "inner-daemon", ("--user", "daemon"))


def test_in_a_chroot(world):
    """User namespaces are refused there, to root too."""
    if os.geteuid() != 0:
        raise Skip("only root can make one")
    root = os.path.join(world.folder, "root")
    os.makedirs(root, exist_ok=True)
    run = world.command("sh", "-c", FETCH + "; exit 9")
    for who in ([], ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]):
        argv = [a for a in run if not who or a not in ("--user", "nobody")]
        argv[0] = shutil.copy(EGRESSCTL, os.path.join(world.folder, "inner-egressctl"))
        script = 'mount --make-rprivate / && mount --rbind / "$1" && root=$1 && shift && exec chroot "$root" "$@"'
        env = world.environment(**({"HOME": world.work, "XDG_RUNTIME_DIR": world.work} if who else {}))
        r = world.finish(world.start(["unshare", "-m", "sh", "-c", script, "sh", root, *who, "sh", "-c", 'cd "$WORK" && exec "$@"', "sh", *argv], env))
        if r.code == 1 and "unshare" in r.err:
            raise Skip(r.err.strip())
        if who and "credential" in r.err and r.code == 125:
            raise Skip(r.err.strip())
        check(r.code == 9 and "hello from the origin" in r.out and "around 0" not in r.out, r)
        check("no namespaces" in r.err and ("chroot" in r.err or "user.max_user_namespaces" in r.err), r)  # what is refused everywhere has that reason


class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nby name\n")


def test_unix_sockets_are_let_in_by_name(world):
    servers = []
    for name in ("in.sock", "out.sock"):
        path = os.path.join(world.work, name)
        servers.append(socketserver.ThreadingUnixStreamServer(path, Answer) if hasattr(socketserver, "ThreadingUnixStreamServer")
                       else socketserver.UnixStreamServer(path, Answer))
        os.chmod(path, 0o777)
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
    script = 'for n in in out; do curl -s --noproxy "*" -m 20 --unix-socket "$WORK/$n.sock" http://x/; echo "= $?"; done; curl -sS --cacert "$CA" "https://$API/"'
    try:
        for mode, r in each_way(world, "sh", "-c", script, more=("--socket", os.path.join(world.work, "in.sock"))):
            check(r.out == "by name\n= 0\n= 7\nhello from the origin\n", (mode, str(r)))
    finally:
        for s in servers:
            s.shutdown()
            s.server_close()
            os.unlink(s.server_address)
