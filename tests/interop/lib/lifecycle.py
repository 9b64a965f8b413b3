"""How a run ends, and its terminal."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from lib.world import DEADLINE, EGRESSCTL, Skip, Wrong, check, is_janitor, read_line


def test_status_of_the_command(world):
    for script, code in (("exit 0", 0), ("exit 42", 42), ("kill -KILL $$", 137), ("kill -TERM $$", 143)):
        r = world.run("sh", "-c", script)
        check(r.code == code, (script, str(r)))
        check(r.err == "", f"something was printed: {r}")


def test_command_that_is_not_there(world):
    r = world.run("egress-no-such-command")
    check(r.code == 127 and "egress-no-such-command" in r.err, r)
    hidden = os.path.join(world.private, "hidden")  # root's alone, in the PATH of a child of nobody
    os.mkdir(hidden, 0o700)
    r = world.run("egress-no-such-command", env=world.environment(PATH=hidden + ":/usr/bin:/bin"))
    check(r.code == 127, f"a folder that can't be read hides that there is no command: {r}")
    r = world.run(os.path.join(world.folder, "policy.yaml"))
    check(r.code == 126 and r.err, r)


def test_policy_with_errors(world):
    path = os.path.join(world.folder, "broken.yaml")
    with open(path, "w") as f:
        f.write("egress: 1\nallow:\n  - '*'\n  - ok.example\nalow: []\n")
    marker = os.path.join(world.work, "started")
    r = world.run("touch", marker, policy=path)
    check(r.code == 125 and "broken.yaml:3:" in r.err and "broken.yaml:5:" in r.err, r)
    check(not os.path.exists(marker), "the command was started")


def test_no_policy_and_wrong_options(world):
    for argv in ([EGRESSCTL, "run", "true"], [EGRESSCTL, "run", "-p", "/no/such/file", "true"], [EGRESSCTL, "run", "--workers", "0", "true"],
                 [EGRESSCTL, "run", "--no-such-option", "true"], [EGRESSCTL, "run"]):
        r = world.finish(world.start(argv))
        check(r.code == 125 and r.err, (argv, str(r)))


def test_root_needs_a_user(world):
    if os.geteuid() != 0:
        return
    r = world.finish(world.start([EGRESSCTL, "run", "-p", world.policy(), "--trust", "true"]))
    check(r.code == 125 and "--user" in r.err, r)


def test_without_enforcement_it_warns(world):
    r = world.run("sh", "-c", 'curl -sS --cacert "$CA" "https://$API/"; exit 3', options=("--no-enforce",))
    check(r.code == 3 and "hello from the origin" in r.out, r)
    check("--no-enforce" in r.err, r)


def test_several_workers(world):
    r = world.run("sh", "-c", 'for i in 1 2 3 4 5 6; do curl -sS --cacert "$CA" "https://$API/"; done', options=("--workers", "3"))
    check(r.code == 0 and r.out == "hello from the origin\n" * 6, r)


def test_events_are_kept_and_bounded(world):
    for _ in range(2):
        r = world.run("sh", "-c", 'curl -sS -o /dev/null "http://$PLAIN/"')
        check(r.code == 0, r)
    state = os.path.join(world.home, ".local/state/egress")
    for i in range(30):
        with open(os.path.join(state, f"run-20200101t0000{i:02}-1.jsonl"), "w"):
            pass
    world.run("true")
    kept = sorted(n for n in os.listdir(state) if n.endswith(".jsonl"))
    check(len(kept) == 20, kept)
    check(all(os.stat(os.path.join(state, n)).st_mode & 0o777 == 0o600 for n in kept if "2020" not in n), "modes")
    audit = world.finish(world.start([EGRESSCTL, "audit", "--json"]))
    check(audit.code == 0, audit)


def test_no_child_outlives_the_proxy(world):
    """The pipe's end comes when the last process that holds it is gone."""
    p = subprocess.Popen(world.command("sh", "-c", "sleep 600 & echo up; exec sleep 600"), env=world.environment(), cwd=world.work,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    check(read_line(p.stdout) == "up\n", "another line")
    p.kill()
    p.wait()
    ready, _, _ = select.select([p.stdout], [], [], DEADLINE)
    check(ready and os.read(p.stdout.fileno(), 1) == b"", "something of it is still there")


def test_nothing_of_the_child_is_left_behind(world):
    r = world.run("sh", "-c", "(setsid sleep 600 &) ; exit 4")  # its stdout is our pipe: communicate() waits for its end
    check(r.code == 4, r)
    check(os.listdir(os.path.join(world.runtime, "egress")) == [], "a socket was left")


def test_signals_reach_the_command(world):
    p = subprocess.Popen(world.command("sh", "-c", "trap 'exit 9' TERM; echo up; while :; do read x || sleep 0.05; done"),
                         env=world.environment(), cwd=world.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(read_line(p.stdout) == "up\n", "another line")
    p.send_signal(signal.SIGTERM)
    p.communicate(timeout=DEADLINE)
    check(p.returncode == 9, p.returncode)


def workers_of(pid):
    """Its children, without the janitor and the child's first process, which has a second number in its own namespace."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/status") as f:
                status = f.read()
        except OSError:
            continue
        if f"\nPPid:\t{pid}\n" in status and len(status.split("NSpid:")[1].split("\n")[0].split()) == 1 and not is_janitor(name):
            found.append(int(name))
    return found


def test_worker_that_is_killed_is_replaced_and_nothing_is_printed(world):
    fifo = os.path.join(world.work, "fifo")
    os.mkfifo(fifo)
    os.chmod(fifo, 0o666)
    p = subprocess.Popen(world.command("sh", "-c", 'curl -sS "http://$PLAIN/"; cat "$WORK/fifo"; curl -sS "http://$PLAIN/"'),
                         env=world.environment(), cwd=world.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(read_line(p.stdout) == "hello from the origin\n", "another line")
    killed = workers_of(p.pid)
    check(len(killed) == 1, killed)
    os.kill(killed[0], signal.SIGKILL)
    with open(fifo, "w") as f:
        f.write("\n")
    out, err = p.communicate(timeout=DEADLINE)
    check(p.returncode == 0 and out == b"\nhello from the origin\n" and err == b"", (p.returncode, out, err))
    check("worker_died" in [e["reason"] for e in world.events()], world.events())


class Terminal:
    """A small job-control shell's part: a session with a terminal, one job in its foreground."""

    def __init__(self, argv, env, cwd):
        self.seen = b""
        self.master, slave = pty.openpty()
        self.report, report = os.pipe()
        self.alive, alive = os.pipe()  # its end: the job is gone, and what it started
        self.orders, orders = socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.master)
                os.set_inheritable(alive, True)
                self._shell(argv, env, cwd, slave, report, orders)
            finally:
                os._exit(99)
        os.close(slave)
        os.close(report)
        os.close(alive)

    @staticmethod
    def _shell(argv, env, cwd, slave, report, orders):
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        job = os.fork()
        if job == 0:
            os.setpgid(0, 0)
            os.tcsetpgrp(slave, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            for fd in (0, 1, 2):
                os.dup2(slave, fd)
            os.chdir(cwd)
            os.execve(argv[0], argv, env)
        while True:
            _, status = os.waitpid(job, os.WUNTRACED)
            os.tcsetpgrp(slave, os.getpgrp())
            if not os.WIFSTOPPED(status):
                os.write(report, b"E%03d" % os.waitstatus_to_exitcode(status))
                os.read(orders, 1)  # its end hangs the terminal up, and drops what nobody has read yet
                os._exit(0)
            os.write(report, b"Stop")
            os.read(orders, 1)
            os.tcsetpgrp(slave, job)
            os.killpg(job, signal.SIGCONT)

    def _wait(self, fd):
        check(select.select([fd], [], [], DEADLINE)[0], "nothing came in time")

    def expect(self, text):
        """What follows it is kept for the next one: one read may bring both."""
        end = time.monotonic() + DEADLINE
        while text not in self.seen:
            if time.monotonic() > end:
                raise Wrong(f"the terminal shows {self.seen!r}")
            self._wait(self.master)
            try:
                self.seen += os.read(self.master, 4096)
            except OSError:
                raise Wrong(f"the terminal ended with {self.seen!r}, the job with {self.reported()!r}")
        self.seen = self.seen.partition(text)[2]

    def type(self, data):
        os.write(self.master, data)

    def reported(self):
        self._wait(self.report)
        return os.read(self.report, 4)

    def ended(self):
        self._wait(self.alive)
        return os.read(self.alive, 1) == b""

    def kill(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = None

    def resume(self):
        os.write(self.orders, b"x")

    def done(self):
        self.kill()
        os.close(self.master)


def socketpair():
    import socket
    a, b = socket.socketpair()
    return a.detach(), b.detach()


def on_terminal(world, script, conversation):
    t = Terminal(world.command("sh", "-c", script), world.environment(), world.work)
    try:
        conversation(t)
    finally:
        t.done()


def test_interrupt_key_reaches_the_command_only(world):
    def conversation(t):
        t.expect(b"up")
        t.type(b"\x03")
        t.expect(b"caught")
        check(t.reported() == b"E005", "another status")
    on_terminal(world, "trap 'echo caught; exit 5' INT; echo up; while :; do read x; done", conversation)


def test_suspend_key_stops_the_whole_run_and_it_goes_on(world):
    def conversation(t):
        t.expect(b"up")
        t.type(b"\x1a")
        check(t.reported() == b"Stop", "it did not stop")
        t.resume()
        t.type(b"line\n")
        t.expect(b"got line")
        check(t.reported() == b"E006", "another status")
    on_terminal(world, "echo up; read x; echo got $x; exit 6", conversation)


def test_run_ends_with_its_terminal(world):
    """A stopped one and a running one, both without anybody who could wake or end them."""
    def stopped(t):
        t.expect(b"up")
        t.type(b"\x1a")
        check(t.reported() == b"Stop", "it did not stop")
        t.kill()
        check(t.ended(), "something of it is still there")

    def running(t):
        t.expect(b"up")
        t.kill()
        check(t.ended(), "something of it is still there")
    on_terminal(world, "echo up; while :; do read x; done", stopped)
    on_terminal(world, "echo up; read x; read x; read x", running)


def in_shell(world, before, script, after, conversation):
    """The run is a part of a pipeline, which is one job."""
    quote = "'"
    run = " ".join(a if a.startswith("-") else quote + a + quote for a in world.command("sh", "-c", "$SCRIPT")[:-3])
    t = Terminal(["/bin/sh", "-c", f'{before} {run} sh -c "$SCRIPT" {after}'], world.environment(SCRIPT=script), world.work)
    try:
        conversation(t)
    finally:
        t.done()


def test_rest_of_a_pipeline_keeps_the_terminal(world):
    """As a pager does: egressctl run CMD | less."""
    os.mkfifo(os.path.join(world.work, "fifo"))
    os.chmod(os.path.join(world.work, "fifo"), 0o666)

    def conversation(t):
        t.expect(b"up")
        t.type(b"key\n")
        t.expect(b"pager got key")
        t.expect(b"the end")
        check(t.reported() == b"E000", "another status")
    in_shell(world, "", 'echo up; cat "$WORK/fifo"', '| sh -c \'read a; echo $a; read x </dev/tty; echo pager got $x; '
             'echo the end >"$WORK/fifo"; cat\'', conversation)


def test_part_of_a_pipeline_that_asks_gets_the_terminal(world):
    """As a chooser does: ls | egressctl run fzf."""
    def conversation(t):
        t.expect(b"up data")
        t.type(b"choice\n")
        t.expect(b"got choice")
        check(t.reported() == b"E007", "another status")
    in_shell(world, "echo data |", 'read a; echo up $a; read x </dev/tty; echo got $x; exit 7', "", conversation)


def stopped(t):
    """Waits until the launcher itself has stopped: what wakes it before that would be lost."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as f:
                    state, _, _, session = f.read().rpartition(")")[2].split()[:4]
                with open(f"/proc/{name}/cmdline") as f:
                    program = f.read().split("\0")[0]
            except OSError:
                continue
            if state == "T" and int(session) == t.pid and program == EGRESSCTL:
                return
        select.select([], [], [], 0.02)
    raise Wrong("the launcher goes on")


def test_suspend_key_in_a_pipeline_stops_it_once(world):
    """It was stopped a second time by the command's own stop, right after it had been woken."""
    def conversation(t):
        t.expect(b"up")
        t.type(b"\x1a")
        check(t.reported() == b"Stop", "it did not stop")
        stopped(t)
        with open(os.path.join(world.work, "go"), "w"):
            pass
        t.resume()
        t.expect(b"went on")
        check(t.reported() == b"E000", "another status")
    in_shell(world, "", 'echo up; until test -e "$WORK/go"; do sleep 0.05; done; echo went on', "| cat", conversation)


def test_rest_of_a_pipeline_keeps_the_terminal_after_a_stop(world):
    os.mkfifo(os.path.join(world.work, "fifo"))
    os.chmod(os.path.join(world.work, "fifo"), 0o666)

    def conversation(t):
        t.expect(b"up")
        t.type(b"\x1a")
        check(t.reported() == b"Stop", "it did not stop")
        stopped(t)
        t.resume()
        t.type(b"key\n")
        t.expect(b"pager got key")
        t.expect(b"the end")
        check(t.reported() == b"E000", "another status")
    in_shell(world, "", 'echo up; cat "$WORK/fifo"', '| sh -c \'read a; echo $a; read x </dev/tty; echo pager got $x; '
             'echo the end >"$WORK/fifo"; cat\'', conversation)


def test_interrupt_key_in_a_pipeline_ends_all_of_the_job(world):
    """bash waits for what it started before it looks at the signal: that has to get it too."""
    if not os.access("/bin/bash", os.X_OK):
        raise Skip("no bash here")

    def conversation(t):
        t.expect(b"up")
        t.type(b"\x03")
        t.reported()
        t.resume()
        check(t.ended(), "something of it is still there")
    in_shell(world, "", 'exec bash -c "sh -c \'echo up; exec sleep 600\'; echo after"', "| cat", conversation)


def test_window_size_reaches_the_command(world):
    def conversation(t):
        t.expect(b"up")
        fcntl.ioctl(t.master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        t.expect(b"33 77")
        check(t.reported() == b"E000", "another status")
    script = "trap 'stty size </dev/tty; exit 0' WINCH; echo up; while :; do sleep 0.05; done"
    on_terminal(world, script, conversation)
    in_shell(world, "", script, "| cat", conversation)


def test_interrupt_key_ends_run_as_it_ended_the_command(world):
    """By the signal: bash goes on with a loop after any exit status, 130 too. What handles the key has its own status."""
    def conversation(status):
        def talk(t):
            t.expect(b"up")
            t.type(b"\x03")
            check(t.reported() == status, "another status")
        return talk
    on_terminal(world, "echo up; exec sleep 600", conversation(b"E-02"))
    on_terminal(world, "trap 'exit 130' INT; echo up; while :; do read x; done", conversation(b"E130"))
