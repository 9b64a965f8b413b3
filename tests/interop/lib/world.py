"""One folder with all that a test needs: a private CA, origins, names, a policy, and runs of `egressctl run` in it."""

import glob
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
import time

from lib.origin import Names, Origin

DEADLINE = 60
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get("EG_BUILD_DIR", os.path.join(REPOSITORY, "build", "release"))
EGRESSCTL = os.path.join(BUILD, "egressctl")
PYTHON = next((p for p in ("/usr/bin/python3", "/usr/local/bin/python3") if os.access(p, os.X_OK)), "python3")


class Skip(Exception):
    pass


class Wrong(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Wrong(text)


def need(*programs):
    for p in programs:
        if not shutil.which(p):
            raise Skip(f"no {p} here")


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __str__(self):
        return f"exit {self.code}\n--- out\n{self.out[-3000:]}\n--- err\n{self.err[-3000:]}"


class World:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="egress-interop-")
        os.chmod(self.folder, 0o755)  # the child may be another user
        self.private = self._make("private", 0o700)
        self.home = self._make("home", 0o700)
        self.work = self._make("work", 0o777)
        os.chmod(self.work, 0o777)
        self.runtime = self._make("runtime", 0o700)
        self.child = self.copy(os.path.join(REPOSITORY, "tests", "interop", "child"), "child")
        self.keys = {n: "sk-real-" + secrets.token_hex(24) for n in ("openai", "anthropic", "gemini", "groq", "socket", "npm", "git", "file", "keyring")}
        self._certificates()
        self.api = Origin("127.0.0.2", self.cert, self.key)
        self.plain = Origin("127.0.0.2")
        self.local = Origin("127.0.0.1", self.cert, self.key)  # what a rebinding name would lead to
        self.names = Names({"api.interop.test": "127.0.0.2", "svc.interop.test": "127.0.0.2", "plain.interop.test": "127.0.0.2",
                            "git.interop.test": "127.0.0.2", "code.interop.test": "127.0.0.2", "unnamed.interop.test": "127.0.0.2",
                            "loop.interop.test": "127.0.0.1", "meta.interop.test": "169.254.169.254"})
        self.secret_file = os.path.join(self.private, "credential")
        with open(os.open(self.secret_file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
            f.write(self.keys["file"] + "\n")
        self.git_port = 1
        self.said = ""  # everything that any run printed

    def _make(self, name, mode):
        path = os.path.join(self.folder, name)
        os.mkdir(path, mode)
        return path

    def copy(self, source, name):
        """Where the child can read it: the repository may be in a folder that is root's alone."""
        return shutil.copytree(source, os.path.join(self.folder, name), symlinks=True)

    def _certificates(self):
        self.ca, self.cert, self.key = (os.path.join(self.folder, n) for n in ("ca.pem", "leaf.pem", "private/leaf.key"))
        ca_key = os.path.join(self.private, "ca.key")
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        quiet = {"check": True, "stderr": subprocess.DEVNULL, "timeout": DEADLINE}
        subprocess.run(new + ["-keyout", ca_key, "-out", self.ca, "-subj", "/CN=interop CA",
                              "-addext", "keyUsage=critical,keyCertSign,cRLSign"], **quiet)
        subprocess.run(new + ["-keyout", self.key, "-out", self.cert, "-subj", "/CN=interop", "-CA", self.ca, "-CAkey", ca_key,
                              "-addext", "basicConstraints=critical,CA:FALSE",
                              "-addext", "subjectAltName=DNS:*.interop.test"], **quiet)

    def policy(self, keyring=False):
        def service(credential, field, extra=""):
            return ('{upstream: "https://svc.interop.test:%d", credential: %s, write: ["%s"]%s}'
                    % (self.api.port, credential, field, extra))
        lines = ["egress: 1", "name: interop", "allow:",
                 f"  - {{host: api.interop.test, ports: [{self.api.port}]}}",
                 f"  - {{host: plain.interop.test, scheme: http, ports: [{self.plain.port}]}}",
                 f"  - {{host: git.interop.test, ports: [{self.git_port}]}}",
                 f"  - {{host: loop.interop.test, ports: [{self.local.port}]}}",
                 "  - {host: meta.interop.test, scheme: http, ports: [80]}",
                 "services:",
                 "  openai: " + service("openai", "header:Authorization: Bearer {}",
                                        ", env: {base_url: OPENAI_BASE_URL, base_path: /v1, key: [OPENAI_API_KEY]}, shape: {prefix: sk-}"),
                 "  anthropic: " + service("anthropic", "header:x-api-key: {}",
                                           ", env: {base_url: ANTHROPIC_BASE_URL, key: [ANTHROPIC_API_KEY]}, shape: {prefix: sk-ant-}"),
                 "  gemini: " + service("gemini", "header:x-goog-api-key: {}",
                                        ", env: {base_url: GOOGLE_GEMINI_BASE_URL, key: [GEMINI_API_KEY]}"),
                 "  groq: " + service("groq", "header:Authorization: Bearer {}", ", env: {key: [GROQ_API_KEY]}, shape: {prefix: gsk_}"),
                 "  socket: " + service("socket", "header:Authorization: Bearer {}", ", env: {key: [SOCKET_API_KEY]}, websocket: true"),
                 "  npm: " + service("npm", "header:Authorization: Bearer {}", ", env: {key: [NPM_API_KEY]}"),
                 f'  git: {{upstream: "https://code.interop.test:{self.git_port}", credential: git, accept: ["basic:password"], '
                 'write: ["basic:x-access-token:{}"], env: {key: [GIT_API_KEY], git: github.interop.test}}',
                 "  filed: " + service("filed", "header:Authorization: Bearer {}")]
        if keyring:
            lines.append("  ringed: " + service("ringed", "header:Authorization: Bearer {}"))
        lines += ["credentials:",
                  "  openai: {from: env:INTEROP_OPENAI_KEY, hosts: [svc.interop.test]}",
                  *("  %s: {from: env:INTEROP_%s_KEY, hosts: [svc.interop.test]}" % (n, n.upper()) for n in ("anthropic", "gemini", "groq", "socket", "npm")),
                  "  git: {from: env:INTEROP_GIT_KEY, hosts: [code.interop.test]}",
                  f"  filed: {{from: \"file:{self.secret_file}\", hosts: [svc.interop.test]}}"]
        if keyring:
            lines.append("  ringed: {from: keyring:interop/ringed, hosts: [svc.interop.test]}")
        lines += ["networks: {allow: [127.0.0.2/32]}", f"dns: {{servers: [\"127.0.0.1:{self.names.port}\"]}}",
                  f"tls: {{ca: {self.ca}, system: false}}"]
        path = os.path.join(self.folder, "policy.yaml")
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
        return path

    def environment(self, **more):
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.home, "LANG": "C.UTF-8",
                "XDG_RUNTIME_DIR": self.runtime, "INTEROP_OPENAI_KEY": self.keys["openai"],
                **{f"INTEROP_{n.upper()}_KEY": self.keys[n] for n in ("anthropic", "gemini", "groq", "socket", "npm", "git")},
                "INTEROP_COPY": "x" + self.keys["openai"], "CA": self.ca,
                "API": f"api.interop.test:{self.api.port}", "PLAIN": f"plain.interop.test:{self.plain.port}",
                "LOOP": f"loop.interop.test:{self.local.port}", "UNNAMED": f"unnamed.interop.test:{self.api.port}", "WORK": self.work,
                "API_PORT": str(self.api.port), "GIT_PORT": str(self.git_port), "SECRET_FILE": self.secret_file, "CONTROL": self.runtime, **more}

    def command(self, *command, policy=None, options=()):
        user = ["--user", "nobody"] if os.geteuid() == 0 and "--no-enforce" not in options else []
        return [EGRESSCTL, "run", "-p", policy or self.policy(), "--trust", *user, *options, "--", *command]

    def start(self, argv, env=None, **more):
        return subprocess.Popen(argv, env=env or self.environment(), cwd=self.work, text=True, errors="replace",
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def finish(self, process):
        try:
            out, err = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise Wrong(f"not done in {DEADLINE} s: {Result(None, out, err)}")
        self.said += out + err
        return Result(process.returncode, out, err)

    def run(self, *command, env=None, **more):
        return self.finish(self.start(self.command(*command, **more), env))

    def python(self, script, *arguments, **more):
        return self.run(PYTHON, os.path.join(self.child, script), *arguments, **more)

    def events(self):
        """Of the newest run."""
        files = sorted(glob.glob(os.path.join(self.home, ".local/state/egress/run-*.jsonl")), key=os.path.getmtime)
        check(files, "no events were kept")
        with open(files[-1]) as f:
            return [json.loads(line) for line in f]

    def kept(self):
        text = ""
        for path in glob.glob(os.path.join(self.home, ".local/state/egress/*")):
            with open(path, errors="replace") as f:
                text += f.read()
        return text

    def done(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def one_key_and_no_phantom(world, key, phantom):
    """What the origin recorded: the real credential exactly once, the phantom nowhere."""
    got = world.api.received
    check(got.count(key.encode()) == 1, f"the origin got the real key {got.count(key.encode())} times:\n{got!r}")
    check(phantom and phantom != key, f"the child's key is {phantom!r}")
    check(phantom.encode() not in got, f"the origin got the phantom:\n{got!r}")


def read_line(stream, seconds=DEADLINE):
    """One line of a pipe, or Wrong; unbuffered, so that nothing waits in a buffer."""
    line, end = b"", time.monotonic() + seconds
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0, end - time.monotonic()))
        check(ready, f"no line in {seconds} s, only {line!r}")
        byte = os.read(stream.fileno(), 1)
        check(byte, f"the stream ended after {line!r}")
        line += byte
    return line.decode(errors="replace")


def is_janitor(pid):
    """Of a launcher's children the one that waits for the launcher's end."""
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read() == "egress-janitor\n"
    except OSError:
        return False


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
