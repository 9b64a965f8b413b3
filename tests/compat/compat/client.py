"""What a client is: how it is tried, and what came of it. Knows nothing of any one client."""

import dataclasses
import re
import subprocess

from lib.world import DEADLINE, Skip

HELLO = "hello from the origin"
CLIENTS = []  # in the order of the table

VARIABLES, ROUTE, CAPTURED, LISTENER = "proxy variables", "route", "--transparent", "tokenless listener"


@dataclasses.dataclass
class Trial:
    """Two shell scripts for the sandbox. Of the second nothing may reach the origin."""
    version: str
    allowed: str
    refused: str
    expect: str = HELLO  # in what the first prints
    reason: str = "host_not_allowed"
    where: str = "unnamed.interop.test"  # what the summary's line names
    deny: tuple = ()  # (service, rule): of the second one's policy alone
    options: tuple = ()
    stdin: str = ""
    silent: bool = False  # the client's status is 0 whatever happens


@dataclasses.dataclass
class Client:
    name: str
    way: str
    trial: object  # of a stage; raises Skip where it can't be tried
    tells: bool  # it is known to show our reason: less is a fault

    @property
    def key(self):
        words = f"{self.name} {self.way}" if self.way in (CAPTURED, LISTENER) else self.name
        return re.sub(r"[^a-z0-9.+]+", "-", words.lower()).strip("-")


def client(name, way=VARIABLES, tells=False):
    def registered(function):
        CLIENTS.append(Client(name, way, function, tells))
        return function
    return registered


def version_of(*argv, env=None):
    """The first thing in its words that looks like a version, or Skip."""
    try:
        r = subprocess.run(argv, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=DEADLINE, env=env)
    except OSError as e:
        raise Skip(f"no {argv[0].rpartition('/')[2]} here ({e.strerror})") from None
    found = re.search(r"\d+(\.\d+)+([-.+][0-9A-Za-z.]+)?", r.stdout + r.stderr)
    if r.returncode or not found:
        raise Skip(f"{argv[0].rpartition('/')[2]} does not start: {(r.stderr or r.stdout).strip()[-200:]}")
    return found.group(0)


# ---- what the person sees ----

BEFORE_SUMMARY = "egressctl run: what did not get through:"
TOLD = re.compile(r"egress policy: |egress refused ")
NUMBER = re.compile(r"\b40[0-9]\b|Forbidden", re.I)
FAILED = re.compile(r"^(?!at |File ).*(error|fail|refus|denied|cannot|could not|unable|closed|reset|alert)", re.I)


def parted(result):
    """(what the client said, what egressctl said at the end)."""
    said, mark, summary = result.err.partition(BEFORE_SUMMARY)
    return result.out + "\n" + said, summary if mark else ""


def seen(said, reason):
    """(how much of the reason the client shows, its line): the reason, the number, an error of its own, or nothing."""
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in said.splitlines()]
    lines = [line for line in lines if line]
    for how, pick in (("reason", TOLD.search), ("reason", lambda x: reason in x), ("number", NUMBER.search), ("error", FAILED.search)):
        found = [line for line in lines if pick(line)]
        if found:
            return how, found[-1] if how == "error" else found[0]
    return ("error", lines[-1]) if lines else ("nothing", "")


def tidy(line, limit=120):
    """A line as the table shows it: no ports, tokens and folders of one run, the reason in sight."""
    line = re.sub(r"http://[^@/ ]*@127\.0\.0\.1", "http://127.0.0.1", line)
    line = re.sub(r"/tmp/egress-interop-[^/\s'\"]+", "…", line)
    line = re.sub(r"\bport \d{4,5}\b", "port PORT", line)
    line = re.sub(r"\b[0-9A-F]{12,}:(?=error)", "", line)
    line = re.sub(r"\b127\.0\.0\.1 \d+", "127.0.0.1 PORT", line)
    line = re.sub(r"(interop\.test|127\.0\.0\.1)(:| port )\d+", r"\1\2PORT", line)
    line = re.sub(r"\b(req|msg|run|event)[-_ ]?[0-9a-f]{4,}\b", "…", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z?|\b\d+(\.\d+)? ?ms\b", "…", line)
    found = TOLD.search(line)
    if found and found.start() > 40:
        line = "… " + line[found.start() - 20:]
    return line if len(line) <= limit else line[:limit - 2].rstrip() + " …"
