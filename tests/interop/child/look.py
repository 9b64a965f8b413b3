"""Looks for what it should not have: look.py dump writes all of /proc and the environment to stdout, look.py touch tries what must fail."""

import glob
import os
import socket
import stat
import sys

SKIP = ("kmsg", "kcore", "pagemap", "mem", "kpagecount", "kpageflags", "kpagecgroup", "clear_refs")


def readable(path):
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return b""
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return b""
    data = b""
    try:
        while len(data) < 1 << 20:
            more = os.read(fd, 65536)
            if not more:
                break
            data += more
    except OSError:
        pass
    os.close(fd)
    return data


def dump():
    out = sys.stdout.buffer
    out.write(repr(dict(os.environ)).encode() + b"\n")
    count = 0
    for folder, _, files in os.walk("/proc"):
        if folder.count("/") > 5:
            continue
        for name in files:
            if name not in SKIP:
                data = readable(os.path.join(folder, name))
                count += bool(data)
                out.write(data)
    for fd in os.listdir("/proc/self/fd"):
        try:
            out.write(os.readlink("/proc/self/fd/" + fd).encode() + b"\n")
        except OSError:
            pass
    out.write(b"\nREAD %d\n" % count)


def attempt(what, action):
    try:
        print("DONE", what, repr(action()))
    except OSError as e:
        print("refused", what, e.errno)


def unix(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(path)
    return s


def touch():
    secret = os.environ["SECRET_FILE"]
    attempt("credential file", lambda: open(secret).read())
    print("control", sorted(glob.glob(os.environ["CONTROL"] + "/**", recursive=True))[1:])
    for path in sys.argv[2:]:
        attempt(path, lambda: unix(path))
    print("processes", sorted(int(p) for p in os.listdir("/proc") if p.isdigit()))
    for name in ("environ", "mem", "maps", "fd", "root", "cwd"):
        attempt("init " + name, lambda: os.listdir("/proc/1/" + name) if name in ("fd", "root", "cwd") else open("/proc/1/" + name, "rb").read())
    os.kill(1, 9)  # has no effect on a namespace's first process; the lines below would not come
    attempt("core pattern", lambda: open("/proc/sys/kernel/core_pattern", "w"))
    attempt("shadow", lambda: open("/etc/shadow").read())
    home = os.environ.get("EGRESS_HOME", "")
    if home:
        attempt("own policy", lambda: open(home + "/.config/egress/user.yaml", "w"))
        attempt("own trust", lambda: open(home + "/.local/state/egress/trust", "a"))
        attempt("moved config", lambda: os.rename(home + "/.config", home + "/.config.old"))


{"dump": dump, "touch": touch}[sys.argv[1]]()
