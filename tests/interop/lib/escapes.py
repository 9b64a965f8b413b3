"""Attempts to get out of the sandbox (tests/support/escape*.c), each made outside first: one that does not succeed there tests nothing and is counted apart.

Outside and inside, the same program runs as the same person with the same environment, descriptors, terminal and keyring; only `egressctl run` is between. Inside, none may get out, and the
files of the person's are looked at afterwards. It runs in the matrix' namespaces (inside.py), with another host at the far end of a pair of interfaces."""

import ctypes
import fcntl
import hashlib
import os
import pty
import shutil
import stat
import subprocess
import termios

from lib.world import BUILD, DEADLINE, EGRESSCTL, PYTHON, Skip, check, is_janitor, read_line

NAME, UID = "escaper", 64998
LEAST = 60  # attempts that are shown to succeed outside
OWN4, HOST4, OWN6, HOST6 = "203.0.113.1", "203.0.113.2", "2001:db8:77::1", "2001:db8:77::2"
PROOF = "escape-proof\n"
NUMBERS_FROM = 30000
KEYCTL, ADD_KEY = {"x86_64": (250, 248)}.get(os.uname().machine, (219, 217))  # numbers of system calls
ANSWER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "answer.py")
OPTIONS = {"namespaces": ["--enforcement", "namespaces"], "transparent": ["--enforcement", "namespaces", "--transparent"], "seccomp": ["--enforcement", "seccomp"]}
# What succeeds inside, and reaches nothing but the sandbox.
OWN = {"namespaces": {"proc.init-prlimit": "the namespace's first process is the sandbox's own, and the last thing that its end would end",
                      "proc.init-signal": "the kernel lets it, and does nothing",
                      "file.credential-replace": "its folder is an empty one of the command's; the real one is looked at afterwards"}}
OWN["transparent"] = OWN["namespaces"]
# What the fallback can't refuse, and egressctl(1) says so.
LIMITS = {"seccomp": {"proc.cmdline": "rules of the file system can't tell one process' /proc from another's, and this needs no more",
                      "file.control": "that a path exists is no secret to them",
                      "file.credential-mode": "its owner may change the mode of a file that it may not read",
                      **{f"later.git-{name}": "rules are for folders with all that is in them: the project's would be frozen; a warning says what changed"
                         for name in ("hook", "hook-parent", "repository", "repository-replace")}}}
LIMITS.update({f"landlock{abi}": LIMITS["seccomp"] for abi in (1, 2, 4)})
# What is written for a program that may not be here: then nobody would read it later, and `run` does not make it.
READERS = {"later.zshenv": "zsh", "later.vim-plugin": "vi", "later.gpg": "gpg"}
PATH = "/usr/local/bin:/usr/bin:/bin"
LIBC = ctypes.CDLL(None, use_errno=True)


def command(*argv):
    r = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE)
    if r.returncode:
        raise Skip(f"{' '.join(argv)}: {r.stderr.strip()[-200:]}")


def put(path, text="", mode=0o644, uid=0):
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w") as f:
        f.write(text)
    os.chmod(path, mode)
    os.chown(path, uid, uid)
    return path


def setting(name, text):
    with open("/proc/sys/" + name, "w") as f:
        f.write(text)


def high_numbers():
    """Of the processes that are started from now on. Inside they begin at 1 and are a few hundred: none may be mistaken for one of these."""
    try:
        setting("kernel/ns_last_pid", str(NUMBERS_FROM))
    except OSError:
        for _ in range(NUMBERS_FROM // 10):
            os.waitpid(os.fork() or os._exit(0), 0)


def folder(path, mode=0o755, uid=0):
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)
    os.chown(path, uid, uid)
    return path


class Range:
    """The targets that all runs share, and what stays the same between them."""

    def __init__(self, site):
        self.folder = folder(os.path.join(site.folder, "escape"))
        self.processes, self.held = [], []
        high_numbers()
        self._user()
        self._programs()
        self._neighbour()
        self.work = folder(self.folder + "/work", 0o777)
        folder(self.work + "/mnt", 0o777)
        self.temporary = folder(self.folder + "/tmp", 0o1777)
        for fifo in ("calls", "answers", "heard"):
            os.mkfifo(f"{self.work}/{fifo}")
            os.chmod(f"{self.work}/{fifo}", 0o666)
        self.private = folder(self.folder + "/private", 0o700)
        self.secret = put(self.private + "/proof", PROOF, 0o600)
        put(folder(self.private + "/open") + "/proof", PROOF)
        self.targets = {"device": "eg0", "own4": OWN4, "own6": OWN6, "host4": HOST4, "host6": HOST6, "mapped": "::ffff:" + HOST4, "link6": "fe80::2%eg0",
                        "private4": "10.77.0.2", "name": "open.matrix.test", "name_address": "127.0.0.2", "work": self.work, "mountpoint": self.work + "/mnt",
                        "calls": self.work + "/calls", "answers": self.work + "/answers", "heard": self.work + "/heard", "root_folder": self.secret, **self.programs}
        self._servers()
        self._cgroup()

    def _user(self):
        """In the list of users of these namespaces. Its home is made anew for every run."""
        self.homes = {0: self.folder + "/home-of-root", UID: self.folder + "/home"}
        with open("/etc/passwd", "a") as f:
            f.write(f"{NAME}:x:{UID}:{UID}::{self.homes[UID]}:/bin/sh\n")
        folder("/run/user")

    def _programs(self):
        bin = folder(self.folder + "/bin")
        self.escape = shutil.copy(os.path.join(BUILD, "tests", "bin", "escape"), bin + "/escape")
        self.egressctl = shutil.copy(EGRESSCTL, bin + "/egressctl")
        self.fallback = shutil.copy(os.path.join(BUILD, "tests", "bin", "fallback"), bin + "/fallback")
        os.chmod(shutil.copy("/usr/bin/test", bin + "/setuid"), 0o4755)
        self.programs = {"setuid": bin + "/setuid", "capable": shutil.copy(self.escape, bin + "/capable")}
        try:  # CAP_NET_RAW, effective: capability.h's second version
            os.setxattr(bin + "/capable", "security.capability", b"\x01\x00\x00\x02" + (1 << 13).to_bytes(4, "little") + bytes(12))
        except OSError:
            del self.programs["capable"]

    def _neighbour(self):
        """Another host, by a pair of interfaces; the metadata address is its."""
        command("ip", "netns", "add", "neighbour")
        command("ip", "link", "add", "eg0", "type", "veth", "peer", "name", "eg1", "netns", "neighbour")
        for address in (f"{OWN4}/24", "10.77.0.1/24", "169.254.1.1/16"):
            command("ip", "addr", "add", address, "brd", "+", "dev", "eg0")
        command("ip", "addr", "add", f"{OWN6}/64", "dev", "eg0", "nodad")
        command("ip", "link", "set", "eg0", "up")
        there = ("ip", "-n", "neighbour")
        for address in (f"{HOST4}/24", "10.77.0.2/24", "169.254.169.254/16"):
            command(*there, "addr", "add", address, "brd", "+", "dev", "eg1")
        for address in (f"{HOST6}/64", "fe80::2/64"):
            command(*there, "addr", "add", address, "dev", "eg1", "nodad")
        command(*there, "link", "set", "lo", "up")
        command(*there, "link", "set", "eg1", "up")
        self.pings = open("/proc/sys/net/ipv4/ping_group_range").read()
        setting("net/ipv4/ping_group_range", "0 2147483647")

    def start(self, *argv, **more):
        p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)
        self.processes.append(p)
        return p

    def _cgroup(self):
        """One that is the user's to manage, with nothing in it."""
        with open("/proc/mounts") as f:
            tops = [line.split()[1] for line in f if line.split()[2] == "cgroup2"]
        self.cgroup = f"{tops[0]}/escape-{os.getpid()}-{os.path.basename(os.path.dirname(self.folder))}" if tops else None
        try:
            os.mkdir(self.cgroup or "")
            for path in (self.cgroup, self.cgroup + "/cgroup.kill", self.cgroup + "/cgroup.freeze"):
                os.chown(path, UID, UID)
            self.targets["cgroup"] = self.cgroup
        except OSError:
            pass

    def _servers(self):
        sockets = folder(self.folder + "/sockets", 0o777)
        paths = {"unix_stream": ("stream", sockets + "/stream"), "unix_packets": ("packets", sockets + "/packets"), "unix_datagram": ("datagram", sockets + "/datagram"),
                 "abstract_stream": ("stream", f"@escape-stream-{os.getpid()}"), "abstract_datagram": ("datagram", f"@escape-datagram-{os.getpid()}"),
                 "docker": ("stream", "/run/docker.sock"), "ssh_agent": ("stream", folder(self.folder + "/agent") + "/agent.1"),
                 "system_bus": ("stream", folder("/run/dbus") + "/system_bus_socket")}
        here = self.start(PYTHON, ANSWER, "net", *(w for pair in paths.values() for w in ("unix", *pair)))
        there = self.start("ip", "netns", "exec", "neighbour", PYTHON, ANSWER, "net", "dns", "group", "eg1", "calls", self.work + "/calls", self.work + "/answers",
                           OWN4, OWN6)
        for p, name in ((here, "port"), (there, "host_port")):
            self.targets[name] = dict(w.split("=") for w in read_line(p.stdout).split())["net"]
        self.targets.update({name: path for name, (_, path) in paths.items()})

    def end(self):
        for p in self.processes:
            p.stdin.close()
        for p in self.processes:
            p.wait(DEADLINE)
        setting("net/ipv4/ping_group_range", self.pings)
        if "cgroup" in self.targets:
            os.rmdir(self.cgroup)
        for argv in (("ip", "link", "del", "eg0"), ("ip", "netns", "del", "neighbour")):
            subprocess.run(argv, capture_output=True, timeout=DEADLINE)


class Person:
    """Who starts it: their homes with what a person has there, made anew; their other processes; how a program of theirs is started."""

    def __init__(self, range, uid, alone=False):
        """alone: without what the attempts are aimed at."""
        self.range, self.uid, self.stack, self.masters = range, uid, [], []
        for owner, home in range.homes.items():
            shutil.rmtree(home, ignore_errors=True)
            self._home(owner, home)
        self.home = range.homes[uid]
        self.runtime = folder(f"/run/user/{uid}", 0o700, uid)
        state, config = self.home + "/.local/state/egress", self.home + "/.config/egress"
        self.credential = put(folder(self.home + "/keys", 0o700, uid) + "/credential", PROOF.strip() + "-and-16-bytes-more\n", 0o600, uid)
        self.policy = put(self.home + "/egress.yaml", f"""egress: 1
name: escape
allow: [allowed.matrix.test]
services: {{filed: {{upstream: "https://svc.matrix.test", credential: filed, write: ["header:Authorization: Bearer {{}}"]}}}}
credentials: {{filed: {{from: "file:{self.credential}", hosts: [svc.matrix.test]}}}}
""", 0o644, uid)
        self._repository()
        self.targets = {**range.targets, "home": range.homes[UID], "state": state, "config": config, "policy": self.policy, "credential": self.credential,
                        "runtime": self.runtime}
        if not alone:
            self._sockets()
            self._victims()
            self._terminal()

    def _home(self, owner, home):
        folder(home, 0o755, owner)
        for path in (".config", ".config/fish", ".config/git", ".config/systemd", ".config/systemd/user", ".config/autostart", ".config/environment.d",
                     ".config/pip", ".local", ".local/bin", ".local/state"):
            folder(f"{home}/{path}", 0o755, owner)
        for path in (".ssh", ".config/egress", ".local/state/egress"):
            folder(f"{home}/{path}", 0o700, owner)
        for path in (".bashrc", ".profile", ".zshrc", ".gitconfig", ".vimrc", ".npmrc", ".config/fish/config.fish", ".config/pip/pip.conf", ".ssh/authorized_keys",
                     ".ssh/config", ".local/bin/tool"):
            put(f"{home}/{path}", "# as it was\n", 0o755 if "bin/" in path else 0o644, owner)
        for path in ("trust", "run-20200101T000000-1.jsonl"):
            put(f"{home}/.local/state/egress/{path}", "", 0o600, owner)

    def _repository(self):
        """The working folder is one, as git would know it."""
        git = self.range.work + "/.git"
        shutil.rmtree(git, ignore_errors=True)
        for path in (git, git + "/hooks", git + "/objects", git + "/refs", git + "/refs/heads"):
            folder(path, 0o755, UID)
        put(git + "/HEAD", "ref: refs/heads/main\n", 0o644, UID)
        put(git + "/config", "[core]\n\trepositoryformatversion = 0\n", 0o644, UID)

    def _sockets(self):
        """In the runtime folder of the user that the command runs as; a stand-in of the control socket for the run outside."""
        own = folder(f"/run/user/{UID}", 0o700, UID)
        paths = {"session_bus": own + "/bus", "gpg_agent": folder(own + "/gnupg", 0o700, UID) + "/S.gpg-agent",
                 "control": folder(self.runtime + "/egress", 0o700, self.uid) + "/stand-in.sock"}
        for path in paths.values():
            if os.path.exists(path):
                os.unlink(path)
        server = self._process(0, PYTHON, ANSWER, *(w for path in paths.values() for w in ("unix", "stream", path)))
        read_line(server.stdout)
        self.targets.update(paths)

    def _process(self, uid, *argv, **more):
        p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self.range.folder, user=uid, group=uid, extra_groups=[],
                             env={"PATH": "/usr/bin:/bin", "ESCAPE": PROOF.strip()}, **more)
        self.stack.append(p)
        return p

    def _victims(self):
        """The victim is of the command's user; launcher, worker, janitor and init have others in their place until there are such."""
        fd = os.open(self.range.secret, os.O_RDONLY)
        for name, uid in (("launcher", self.uid), ("worker", self.uid), ("janitor", self.uid), ("init", UID), ("victim", UID)):
            p = self._process(uid, PROOF.strip(), "victim", str(fd), *(["things"] if name == "victim" else []), executable=self.range.escape, pass_fds=[fd])
            line = ""
            while not line.startswith("victim="):
                line = read_line(p.stdout).strip()
                self.targets.update([line.split("=", 1)])
            self.targets[name] = str(p.pid)
        os.close(fd)
        guest = self._process(UID, self.range.escape, "guest")
        try:
            self.targets.update([read_line(guest.stdout).strip().split("=")])
        except Exception:
            pass  # namespaces are refused: the attempts on it can't be tried

    def _terminal(self):
        for name in ("tty", "other_pty"):
            master, slave = pty.openpty()
            os.chown(os.ttyname(slave), UID, -1)
            self.masters += [master, slave]
            self.targets[name] = os.ttyname(slave)
        self.tty = self.masters[1]

    def inside(self, mode, *argv):
        """The command, as an argument list for start()."""
        if mode.startswith("landlock"):
            return self._older(mode[8:], argv)
        options = OPTIONS[mode] + (["--user", NAME] if self.uid == 0 else [])
        return [self.range.egressctl, "run", "-p", self.policy, "--trust", *options, "--", *argv]

    def _older(self, abi, argv):
        """As on a kernel with that Landlock; a proxy is not needed to be kept from everything else."""
        words = ["--user", NAME] if self.uid == 0 else []
        for path in (os.path.dirname(self.credential), f"/run/user/{UID}", self.runtime, "/run/docker.sock", "/run/dbus/system_bus_socket"):
            words += ["--cover", path]
        for path in (self.targets["state"], self.targets["config"], self.policy):
            words += ["--read-only", path]
        return [self.range.fallback, abi, *words, "--", *argv]

    def start(self, *argv):
        """With a terminal, a session keyring, and descriptors that a careless caller left open."""
        import socket
        left = [os.open(self.range.secret, os.O_RDONLY), os.open(self.range.private + "/open", os.O_RDONLY | os.O_DIRECTORY)]
        connection = socket.create_connection(("127.0.0.1", int(self.targets["port"])), DEADLINE)
        left.append(connection.fileno())

        def prepare():
            os.setsid()
            fcntl.ioctl(self.tty, termios.TIOCSCTTY, 0)
            LIBC.syscall(KEYCTL, 1, None)  # a session keyring of its own
            LIBC.syscall(ADD_KEY, b"user", b"escape-key", PROOF.encode(), len(PROOF), -3)
        env = self.environment()
        if argv[0] != self.range.egressctl:
            env["HTTPS_PROXY"] = "http://127.0.0.1:" + self.targets["port"]
        p = subprocess.Popen(argv, env=env, cwd=self.range.work, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             pass_fds=[*left, self.tty], preexec_fn=prepare, user=self.uid, group=self.uid, extra_groups=[])
        connection.close()
        for fd in left[:2]:
            os.close(fd)
        return p

    def environment(self):
        return {"PATH": PATH, "HOME": self.home, "XDG_RUNTIME_DIR": self.runtime, "SSH_AUTH_SOCK": self.targets["ssh_agent"],
                "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{UID}/bus", "LANG": "C.UTF-8", "TMPDIR": self.range.temporary}

    def end(self):
        for p in self.stack:
            if p.poll() is None:
                p.terminate()
            p.wait(DEADLINE)
            p.stdin.close()
            p.stdout.close()
        for fd in self.masters:
            os.close(fd)

    def fingerprint(self):
        """Of all that stands in the homes and the repository, but for what a run keeps itself."""
        found = {}
        for top in (*self.range.homes.values(), self.range.work + "/.git"):
            for place, folders, files in os.walk(top):
                folders[:] = [n for n in folders if not (n == "spare" and place.endswith("/egress"))]
                for name in folders + files:
                    path = os.path.join(place, name)
                    st = os.lstat(path)
                    if name.startswith("run-2") and not name.startswith("run-2020"):
                        continue
                    content = open(path, "rb").read() if stat.S_ISREG(st.st_mode) else b""
                    found[path] = (oct(st.st_mode), st.st_uid, hashlib.sha256(content).hexdigest())
        return found


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def parents():
    """pid -> parent."""
    found = {}
    for name in os.listdir("/proc"):
        try:
            found[int(name)] = int(status_of(name)["PPid"]) if name.isdigit() else 0
        except (OSError, ValueError, KeyError):
            continue
    return found


def processes_of_run(launcher, command, outside=False):
    """(first process, workers, janitor): the first is above the command, just below the launcher; its number is the one that it has inside."""
    above = parents()
    pid = next(p for p in above if runs(p, command) and launcher in lineage(p, above))
    line = lineage(pid, above)
    first = line[line.index(launcher) - 1]
    others = [p for p in above if above[p] == launcher and p != first]
    janitor = [p for p in others if is_janitor(p)]
    return first if outside else status_of(first)["NSpid"].split()[-1], [p for p in others if p not in janitor], janitor


def runs(pid, command):
    try:
        return os.readlink(f"/proc/{pid}/exe") == command
    except OSError:
        return False


def lineage(pid, above):
    line = [pid]
    while above.get(line[-1]):
        line.append(above[line[-1]])
    return line


def names(range, mode):
    """Of the attempts that are made inside. What egressctl itself finds in a home is not asked of fallback.c."""
    said = subprocess.run([range.escape, "list"], capture_output=True, text=True, check=True, timeout=DEADLINE).stdout
    all = [line.split("\t")[0] for line in said.splitlines()]
    unread = [n for n, reader in READERS.items() if not shutil.which(reader, path=PATH)]
    return [n for n in all if n not in unread and not (mode.startswith("landlock") and n.startswith("later."))]


def attempts(person, mode=None):
    """name -> (word, text) of every attempt, outside or inside."""
    range = person.range
    argv = [range.escape, "run", *(names(range, mode) if mode else ())]
    p = person.start(*(person.inside(mode, *argv) if mode else argv))
    killed = False
    try:
        line = read_line(p.stdout)
        while line != "up\n":  # warnings before it
            line = read_line(p.stdout)
        told = dict(person.targets)
        if mode:
            first, workers, janitor = processes_of_run(p.pid, range.escape)
            told.update({"launcher": str(p.pid), "init": first, "worker": "", "janitor": "".join(map(str, janitor))})
            if not mode.startswith("landlock"):  # which has no proxy
                check(workers and len(janitor) == 1, f"workers: {workers}, janitor: {janitor}")
                told.update({"worker": str(workers[0]), "control": f"{person.runtime}/egress/run-{p.pid}.sock"})
                check(os.path.exists(told["control"]), "the control socket is not where it was looked for")
        p.stdin.write("".join(f"{k}={v}\n" for k, v in told.items()).encode() + b"\n")
        p.stdin.close()
        p.stdin = None
        out = p.communicate(timeout=DEADLINE)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        killed = True
        p.kill()
        out = p.communicate()[0].decode(errors="replace")
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
    lines = [line.split("\t") for line in out.splitlines() if line.count("\t") == 2]
    check(not killed and p.returncode == 0 and f"\ndone {len(lines)}" in out, f"the attempts did not end as they should: {p.returncode}\n{out[-2000:]}")
    return {name: (word, text) for name, word, text in lines}


def report(what, own, limits, outside, inside):
    """Prints the counted table; how many attempts test something, and those that got out."""
    groups, left, limited = {}, [], []
    for name, (word, text) in inside.items():
        counts = groups.setdefault(name.partition(".")[0], [0, 0, 0])
        if outside[name][0] != "out" or word == "none":
            counts[2] += 1
        elif word == "out" and name not in own:
            counts[1] += 1
            (limited if name in limits else left).append(name)
        else:
            counts[0] += 1
    total = [sum(c[i] for c in groups.values()) for i in (0, 1, 2)]
    print(f"    {what}: {total[0]} attempts that succeed outside get nowhere, {total[1]} get through{' (' + ' '.join(limited) + ')' if limited else ''}, "
          f"{total[2]} can't be tried here")
    print("    " + ", ".join(f"{group} {'/'.join(map(str, c))}" for group, c in groups.items()), flush=True)
    if os.environ.get("ESCAPES_LIST"):  # a file for every row
        with open(os.environ["ESCAPES_LIST"], "a") as f:
            for name in inside:
                f.write("\t".join((what, name, *outside[name], *inside[name])) + "\n")
    return total[0] + total[1], left


def try_all(site, mode, uid):
    range = site.once("escapes", lambda: Range(site))
    person = Person(range, uid)
    try:
        outside = attempts(person)
    finally:
        person.end()
    person = Person(range, uid)
    try:
        before = person.fingerprint()
        inside = attempts(person, mode)
        after = person.fingerprint()
    finally:
        person.end()
    check(set(inside) == set(names(range, mode)), "the two runs made different attempts")
    tried, left = report(f"{mode}, {'root' if uid == 0 else 'an ordinary user'}", OWN.get(mode, {}), LIMITS.get(mode, {}), outside, inside)
    limits = (person.credential, range.work + "/.git/") if mode in LIMITS else ("-",)
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k) and not k.startswith(limits))
    check(not left and not changed, f"out of the sandbox: {' '.join(left)}\nchanged: {' '.join(changed)}")
    check(tried >= LEAST, f"only {tried} attempts succeed outside: {[n for n in outside if outside[n][0] != 'out']}")


def trying(mode, who):
    return lambda site: try_all(site, mode, who)


test_namespaces_as_an_ordinary_user = trying("namespaces", UID)
test_namespaces_as_root = trying("namespaces", 0)
test_transparent_as_an_ordinary_user = trying("transparent", UID)
test_seccomp_as_an_ordinary_user = trying("seccomp", UID)
test_seccomp_as_root = trying("seccomp", 0)
test_landlock1_as_an_ordinary_user = trying("landlock1", UID)
test_landlock2_as_root = trying("landlock2", 0)
test_landlock2_as_an_ordinary_user = trying("landlock2", UID)
test_landlock4_as_an_ordinary_user = trying("landlock4", UID)
