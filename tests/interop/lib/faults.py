"""Runs that end badly: each of their processes killed, all of them at once, a command that forks without end, disks that are full. Afterwards nothing is there that was not there before: no process,
no mount, no listening socket, no file; and while it went down nothing got out. The place and the persons are those of escapes.py."""

import os
import resource
import select
import signal
import socket
import subprocess
import time

from lib.escapes import UID, Person, Range, processes_of_run
from lib.world import DEADLINE, Skip, check, read_line

PROCESSES = 250  # of the command's user; a bomb has no more


def pids():
    return {int(n) for n in os.listdir("/proc") if n.isdigit()}


def name_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as f:
            return f"{pid} {f.read().replace(chr(0), ' ')[:80]}"
    except OSError:
        return str(pid)


def mounts():
    with open("/proc/self/mountinfo") as f:
        return {line.split(" ", 2)[2] for line in f}


def listeners():
    """Of this network: TCP by address, UDP, and Unix sockets by name."""
    found = set()
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        with open("/proc/net/" + kind) as f:
            rows = [line.split() for line in f][1:]
        found |= {(kind, r[1]) for r in rows if kind.startswith("udp") or r[3] == "0A"}
    with open("/proc/net/unix") as f:
        found |= {("unix", line.split()[7]) for line in f if len(line.split()) == 8 and line.split()[3] == "00010000"}
    return found


def files(person):
    """What a run keeps on purpose is left out: its events, and its stock of empty files and folders."""
    found = set()
    for top in (*person.range.homes.values(), "/run/user", person.range.temporary, person.range.work):
        for place, folders, names in os.walk(top):
            folders[:] = [n for n in folders if not (n == "spare" and place.endswith("/egress"))]
            found |= {os.path.join(place, n) for n in folders + names if not (n.startswith("run-") and n.endswith(".jsonl"))}
    return found


# What a run makes in a home where there is none, and keeps.
OURS = {".config", ".config/egress", ".local", ".local/state", ".local/state/egress"}


def below(top):
    found = {os.path.relpath(os.path.join(place, n), top) for place, folders, names in os.walk(top) for n in folders + names}
    return {n for n in found if not n.startswith(".local/state/egress/spare")}


class Scene:
    """One run, what was there before it, and a listener that nobody may reach from inside."""

    def __init__(self, site, uid, mode):
        self.range = site.once("escapes", lambda: Range(site))
        self.person, self.mode = Person(self.range, uid, alone=True), mode
        self.target = socket.create_server(("127.0.0.1", 0))
        self.target.setblocking(False)
        self.process = None
        self.finish("true")  # folders that the first run makes are there from now on
        self.before = (mounts(), listeners(), files(self.person))
        self.pids = pids()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in pids() - self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.person.end()
        self.target.close()

    def start(self, *argv, env=None, limit=False):
        def prepare():
            os.setsid()
            if limit:
                resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
        self.process = subprocess.Popen(self.person.inside(self.mode, *argv), env={**self.person.environment(), **(env or {})}, cwd=self.range.work, preexec_fn=prepare,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, user=self.person.uid, group=self.person.uid,
                                        extra_groups=[])
        return self.process

    def finish(self, *argv, **more):
        """(exit status, stdout, stderr)"""
        p = self.start(*argv, **more)
        out, err = p.communicate(timeout=DEADLINE)
        return p.returncode, out.decode(), err.decode()

    def up(self, *argv, **more):
        """The command is busy; the numbers of the run's processes."""
        p = self.start(*argv, **more)
        line = read_line(p.stdout)
        check(line == "up\n", line)
        first, workers, janitor = processes_of_run(p.pid, self.range.escape, outside=True)
        check(len(janitor) == 1, janitor)
        known = (p.pid, first, *workers, *janitor)
        return {"launcher": [p.pid], "init": [first], "worker": workers, "janitor": janitor, "command": [c for c in pids() - self.pids if c not in known]}

    def ended(self):
        """Its status; no process of it is there any more."""
        end = time.monotonic() + DEADLINE
        try:
            status = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            check(False, f"the launcher did not end; there are {[name_of(p) for p in pids() - self.pids]}")
        while pids() - self.pids and time.monotonic() < end:
            for pid in pids() - self.pids:
                try:
                    fd = os.pidfd_open(pid)
                except OSError:
                    continue
                select.select([fd], [], [], max(0, end - time.monotonic()))
                os.close(fd)
                try:
                    os.waitpid(pid, os.WNOHANG)  # an orphan of these namespaces is ours
                except OSError:
                    pass
        left = pids() - self.pids
        check(not left, f"processes were left: {[name_of(p) for p in left]}")
        return status

    def nothing_left(self):
        """Nothing of it, and nothing of it was ever outside."""
        now = (mounts(), listeners(), files(self.person))
        check(not (now[0] - self.before[0]), f"mounts were left: {now[0] - self.before[0]}")
        check(not (now[1] - self.before[1]), f"listening sockets were left: {now[1] - self.before[1]}")
        check(not (now[2] - self.before[2]), f"files were left: {now[2] - self.before[2]}")
        try:
            self.target.accept()
        except BlockingIOError:
            return
        check(False, "something got out")


def each(site, mode, uid):
    """Every process of a run killed, alone and together. Where the janitor goes too, the next run removes what it would have removed."""
    for which in ("launcher", "init", "command", "launcher init", "init launcher", "worker init", "worker launcher init command", "janitor",
                  "janitor worker launcher init command"):
        with Scene(site, uid, mode) as scene:
            numbers = scene.up(scene.range.escape, "hammer", "127.0.0.1", str(scene.target.getsockname()[1]), "3")
            for name in which.split():
                for pid in numbers[name]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            if which == "janitor":
                scene.process.send_signal(signal.SIGTERM)
            status = scene.ended()
            if "launcher" not in which:
                check(status == (143 if which == "janitor" else 137), (which, status))
            else:
                # whose init was killed first may have ended by itself before its own signal came
                check(status == -signal.SIGKILL or (status == 137 and which == "init launcher"), (which, status))
            if "janitor" in which:
                code, _, err = scene.finish("true")
                check(code == 0 and not err, (which, code, err))
            try:
                scene.nothing_left()
            except Exception as e:
                raise type(e)(f"killed: {which}: {e}")


def worker_again(site, mode, uid):
    """Killed again and again; the command does not get out meanwhile, and the run ends as it should."""
    with Scene(site, uid, mode) as scene:
        numbers = scene.up(scene.range.escape, "hammer", "127.0.0.1", str(scene.target.getsockname()[1]))
        for _ in range(5):
            for pid in numbers["worker"]:
                os.kill(pid, signal.SIGKILL)
            end = time.monotonic() + DEADLINE
            while True:
                found = [p for p in processes_of_run(scene.process.pid, scene.range.escape, outside=True)[1] if p not in numbers["worker"]]
                if found or time.monotonic() > end:
                    break
                select.select([], [], [], 0.01)
            check(found, "there is no new worker")
            numbers["worker"] = found
        scene.process.send_signal(signal.SIGTERM)
        check(scene.ended() == 143, "another status")
        scene.nothing_left()


def bombs(site, mode, uid):
    """A command that forks without end: ended by its own exit, by SIGTERM to the launcher, by the death of launcher or first process."""
    for how in ("exit", "SIGTERM", "launcher", "init"):
        with Scene(site, uid, mode) as scene:
            argv = (scene.range.escape, "bomb", "200") if how == "exit" else (scene.range.escape, "bomb")
            p = scene.start(*argv, limit=True)
            check(read_line(p.stdout) == "up\n", "another line")
            first = processes_of_run(p.pid, scene.range.escape, outside=True)[0] if how == "init" else None
            if how == "SIGTERM":
                p.send_signal(signal.SIGTERM)
            elif how != "exit":
                os.kill(p.pid if how == "launcher" else first, signal.SIGKILL)
            status = scene.ended()
            check(status == {"exit": 7, "SIGTERM": 143, "launcher": -9, "init": 137}[how], (how, status))
            scene.nothing_left()


def full_disk(site, mode, uid):
    """For the generated files, the control socket and the events: the command is not started, or without what could not be kept; nothing stays."""
    for variable, inodes in (("TMPDIR", 1), ("TMPDIR", 2), ("TMPDIR", 50), ("XDG_RUNTIME_DIR", 1), ("XDG_STATE_HOME", 1), ("HOME", 1), ("HOME", 12), ("HOME", 500)):
        with Scene(site, uid, mode) as scene:
            place = os.path.join(scene.range.folder, "full")
            os.makedirs(place, exist_ok=True)
            r = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=4k,nr_inodes={inodes},mode=700,uid={scene.person.uid}", "tmpfs", place], capture_output=True, text=True)
            if r.returncode:
                raise Skip(r.stderr.strip())
            try:
                if inodes > 2:
                    with open(place + "/all", "wb", buffering=0) as f:
                        f.write(bytes(4096))
                there = below(place)
                code, out, err = scene.finish("sh", "-c", "echo ran", env={variable: place})
                left = below(place) - there - OURS
            finally:
                subprocess.run(["umount", place], check=True)
            scene.ended()
            check(not left, f"{variable}, {inodes}: was left on the full disk: {left}; {code} {err}")
            check((code == 0 and out == "ran\n") or (code == 125 and out == "" and err), f"{variable}, {inodes}: {code} {out!r} {err!r}")
            check(err, f"{variable}, {inodes}: nobody was told")
            scene.nothing_left()


def runtime_folder(site, mode, uid):
    """Tools keep locks there (pnpm): the caller's is closed, and theirs goes with the run. Who becomes another user has none."""
    with Scene(site, uid, mode) as scene:
        code, out, err = scene.finish("sh", "-c", 'test -z "$XDG_RUNTIME_DIR" || { mkdir "$XDG_RUNTIME_DIR/locks" && ls "$XDG_RUNTIME_DIR" && stat -c %a "$XDG_RUNTIME_DIR"; }')
        check(code == 0 and out == ("" if uid == 0 else "locks\n700\n"), (code, out, err))
        scene.ended()
        scene.nothing_left()


def for_both(part, mode):
    def test(site):
        for uid in (UID, 0):
            part(site, mode, uid)
    return test


test_namespaces_kill_each = for_both(each, "namespaces")
test_namespaces_worker_again = for_both(worker_again, "namespaces")
test_namespaces_bombs = for_both(bombs, "namespaces")
test_namespaces_full_disk = for_both(full_disk, "namespaces")
test_namespaces_runtime_folder = for_both(runtime_folder, "namespaces")
test_seccomp_kill_each = for_both(each, "seccomp")
test_seccomp_worker_again = for_both(worker_again, "seccomp")
test_seccomp_bombs = for_both(bombs, "seccomp")
test_seccomp_full_disk = for_both(full_disk, "seccomp")
test_seccomp_runtime_folder = for_both(runtime_folder, "seccomp")
