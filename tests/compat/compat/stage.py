"""One client's try: an interop world with the origins of this suite, the two runs, and what is checked of each."""

import os
import subprocess

from lib.world import REPOSITORY, Result, Skip, World, Wrong, check

from compat import client as clients
from compat.origin import Site

LIMIT = 100  # seconds of one run; what a client does about a refusal may take its time
# An ordinary user's clients have the home that the launcher guards; root's child, who is nobody, has none.
PRELUDE = '[ -w "$HOME" ] || HOME=$(mktemp -d "$WORK/home-XXXXXX") && export HOME && cd "$(mktemp -d "$WORK/try-XXXXXX")" || exit 99; '
SERVICES = {"openai": "OPENAI", "anthropic": "ANTHROPIC", "gemini": "GEMINI", "groq": "GROQ"}
HOW = {"openai": ("header:Authorization: Bearer {}", "{base_url: OPENAI_BASE_URL, base_path: /v1, key: [OPENAI_API_KEY]}, shape: {prefix: sk-}"),
       "anthropic": ("header:x-api-key: {}", "{base_url: ANTHROPIC_BASE_URL, key: [ANTHROPIC_API_KEY]}, shape: {prefix: sk-ant-}"),
       "gemini": ("header:x-goog-api-key: {}", "{base_url: GOOGLE_GEMINI_BASE_URL, key: [GEMINI_API_KEY]}"),
       "groq": ("header:Authorization: Bearer {}", "{base_url: GROQ_BASE_URL, key: [GROQ_API_KEY]}, shape: {prefix: gsk_}")}
AWS = ("AKIAREALREALREALREAL", "rEaLsEcReT/rEaLsEcReT+rEaLsEcReTrEaLsEcR")


def socket(name):
    return ", websocket: true" if name == "openai" else ""


class Stage(World):
    def __init__(self, enforcement=None):
        super().__init__()
        self.enforcement = [f"--enforcement={enforcement}"] if enforcement else []
        self.api = Site("127.0.0.2", self.cert, self.key)
        self.plain = Site("127.0.0.2")
        self.names.table.update({"db.interop.test": "127.0.0.2", "ssh.interop.test": "127.0.0.1"})
        self.get = self.copy(os.path.join(REPOSITORY, "tests", "compat", "child"), "get")
        self.at = f"https://api.interop.test:{self.api.port}"
        self.hidden = f"https://unnamed.interop.test:{self.api.port}"
        self.hub = None  # an origin at the port that gh insists on
        self.tcp = []  # (name, port) of what is neither HTTP nor TLS
        self.parts = []  # what was started for this client

    def policy(self, deny=()):
        lines = ["egress: 1", "name: compat", "allow:", f"  - {{host: api.interop.test, ports: [{self.api.port}]}}",
                 f"  - {{host: plain.interop.test, scheme: http, ports: [{self.plain.port}]}}",
                 "  - {host: hub.interop.test}",
                 *(f"  - {{host: {name}, scheme: tcp, ports: [{port}]}}" for name, port in self.tcp), "services:"]
        for name, (write, env) in HOW.items():
            lines.append(f'  {name}: {{upstream: "https://svc.interop.test:{self.api.port}", credential: {name}, write: ["{write}"], env: {env}{self._denied(name, deny)}{socket(name)}}}')
        lines += [f'  aws: {{upstream: "https://svc.interop.test:{self.api.port}", credential: aws, accept: [sigv4], write: [sigv4], '
                  f'env: {{base_url: AWS_ENDPOINT_URL}}{self._denied("aws", deny)}}}', "credentials:",
                  *(f"  {n}: {{from: env:INTEROP_{v}_KEY, hosts: [svc.interop.test]}}" for n, v in SERVICES.items()),
                  '  aws: {aws_sigv4: {access_key: "env:INTEROP_AWS_ID", secret_key: "env:INTEROP_AWS_SECRET"}, hosts: [svc.interop.test]}',
                  "networks: {allow: [127.0.0.1/32, 127.0.0.2/32]}", f'dns: {{servers: ["127.0.0.1:{self.names.port}"]}}', f"tls: {{ca: {self.ca}, system: false}}"]
        path = os.path.join(self.folder, "policy.yaml")
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
        return path

    @staticmethod
    def _denied(name, deny):
        rules = ", ".join(f'"{rule}"' for service, rule in deny if service == name)
        return f", deny: [{rules}]" if rules else ""

    def environment(self, **more):
        return super().environment(INTEROP_AWS_ID=AWS[0], INTEROP_AWS_SECRET=AWS[1], **more)

    def finish(self, process):
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.terminate()  # the launcher ends what it started
            out, err = process.communicate()
            raise Wrong(f"not done in {LIMIT} s: {Result(None, out, err)}") from None
        return Result(process.returncode, out, err)

    def inside(self, script, deny=(), options=()):
        self.api.release.set()
        return self.run("sh", "-c", PRELUDE + script, policy=self.policy(deny), options=(*self.enforcement, *options))

    def secrets(self):
        return [*self.keys.values(), AWS[1]]

    def github(self):
        """An origin for hub.interop.test at port 443, or Skip."""
        try:
            self.hub = Site("127.0.0.2", self.cert, self.key, 443)
        except OSError as e:
            raise Skip(f"port 443 of 127.0.0.2 can't be had: {e.strerror}") from None
        self.names.table["hub.interop.test"] = "127.0.0.2"
        return self.hub

    def done(self):
        for part in self.parts:
            part.end()
        if self.hub:
            self.hub.close()
        super().done()


def refusals(stage):
    return [e for e in stage.events() if e.get("decision") == "deny"]


def works(stage, trial):
    r = stage.inside(trial.allowed, options=trial.options)
    check(r.code == 0 and trial.expect in r.out, f"allowed, but it does not work: {r}")
    said, _ = clients.parted(r)
    check(not any(s in said for s in stage.secrets()), f"a real key was printed: {r}")


def is_refused(stage, trial):
    """The client's own words."""
    stage.api.reset()
    stage.plain.reset()
    stage.names.asked.clear()
    r = stage.inside(trial.refused, trial.deny, trial.options)
    check(r.code != 0 or trial.silent, f"refused, but it succeeds: {r}")
    check(not stage.api.received and not stage.plain.received, f"the origin got {stage.api.received[:2000]!r}: {r}")
    check(trial.where not in stage.names.asked or trial.deny, f"the name was asked for: {r}")
    reasons = {(e["reason"], e["host"]) for e in refusals(stage)}
    check((trial.reason, trial.where) in reasons, f"the events tell {reasons}: {r}")
    said, summary = clients.parted(r)
    lines = [x for x in summary.splitlines() if trial.where in x and trial.reason in x]
    check(lines, f"the summary does not tell: {r}")
    check(not any(s in r.out + r.err for s in stage.secrets()), f"a real key was printed: {r}")
    return clients.seen(said, trial.reason), r


def need_transparent(stage):
    """Skip where `run --transparent` can't be had, with what it says."""
    r = stage.inside("true", options=("--transparent",))
    if r.code:
        said = (r.err.strip().splitlines() or ["?"])[0].removeprefix("egressctl run: ")
        raise Skip(f"`run --transparent`: {said}")


def system():
    """Of this machine, for the table's heading."""
    with open("/etc/os-release") as f:
        name = next((line.partition("=")[2].strip().strip('"') for line in f if line.startswith("PRETTY_NAME=")), "Linux")
    return f"{name.partition(' (')[0]}, Linux {'.'.join(os.uname().release.split('.')[:2])}"
