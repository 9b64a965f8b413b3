"""What a person and a pipeline are told of refusals: the summary and the command in it, --fail-on-deny, --observe."""

import re
import shlex
import subprocess

from lib.world import DEADLINE, EGRESSCTL, check

UNNAMED = 'curl -sS --cacert "$CA" "https://$UNNAMED/"; '
ALLOWED = 'curl -sSf --cacert "$CA" "https://$API/" >/dev/null; '
WRONG = 'curl -sS "http://meta.interop.test/"; '


def test_summary_has_the_command_that_explains(world):
    r = world.run("sh", "-c", UNNAMED + WRONG + "exit 0")
    check(r.code == 0 and "what did not get through" in r.err, r)
    commands = re.findall(r"^    (egressctl explain -p /.*)$", r.err, re.M)
    check(len(commands) == 2, r)
    for command, reason in zip(commands, ("host_not_allowed", "metadata_denied")):
        e = subprocess.run([EGRESSCTL, *shlex.split(command)[1:]], env=world.environment(), cwd=world.work, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
        check(e.returncode == 1 and "refused" in e.stdout and reason in e.stdout, (command, e.returncode, e.stdout))


def test_fail_on_deny(world):
    for script, code in ((ALLOWED + "exit 0", 0), (UNNAMED + "exit 0", 1), (UNNAMED + "exit 7", 7), (ALLOWED + "exit 7", 7)):
        r = world.run("sh", "-c", script, options=("--fail-on-deny",))
        check(r.code == code, (script, code, str(r)))
        check((code == 1) == ("--fail-on-deny: something was refused" in r.err), r)
    r = world.run("sh", "-c", 'curl -sS "http://gone.interop.test/"; exit 0', options=("--fail-on-deny", "--observe"))
    check(r.code == 1, f"under observe what would have been refused counts: {r}")


def test_observe_lets_through_and_tells(world):
    r = world.run("sh", "-c", UNNAMED + WRONG + "exit 0", options=("--observe",))
    check(r.code == 0 and "hello from the origin" in r.out, r)
    check("--observe" in r.err and re.search(r"would refuse 1x  unnamed\.interop\.test", r.err), r)
    check(re.search(r"(?m)^refused 1x  meta\.interop\.test", r.err), r)
    decisions = [(e["decision"], e["reason"]) for e in world.events() if e["event"] == "decision"]
    check(("would_deny", "host_not_allowed") in decisions and ("deny", "metadata_denied") in decisions, decisions)
    r = world.run("sh", "-c", UNNAMED + "exit 0", options=("--observe",))
    check("what would not get through" in r.err and "did not" not in r.err, f"nothing was refused: {r}")
