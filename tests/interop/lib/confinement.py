"""What the child can reach and read, and that no real credential is in any of it."""

import base64
import os
import re

from lib.world import PYTHON, check


def forms(key):
    """The key as it stands, and as Basic authentication or a URL would carry it."""
    found = {key.encode()}
    for i in range(3):
        b = base64.b64encode(b"x" * i + key.encode())
        found.add(b[4:-4])
    return found


def hold_no_key(world, *texts):
    for name, key in world.keys.items():
        for text in texts:
            data = text if isinstance(text, bytes) else text.encode(errors="replace")
            for form in forms(key):
                check(form not in data, f"the real key of {name} is in what the child read, printed or was kept")


def test_nothing_that_the_child_reads_holds_a_key(world):
    p = world.start(world.command("sh", "-c", 'curl -sS -o /dev/null -H "Authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/models"; '
                                  f'exec {PYTHON} {world.child}/look.py dump'))
    r = world.finish(p)
    check(r.code == 0, r.err)
    read = re.search(r"\nREAD (\d+)\n", r.out)
    check(read and int(read.group(1)) > 100, f"the child read next to nothing of /proc: {r.out[-100:]!r}")
    check("OPENAI_API_KEY" in r.out and "INTEROP_OPENAI_KEY" not in r.out and "INTEROP_COPY" not in r.out, "the environment")
    hold_no_key(world, r.out, r.err, world.kept())


def test_error_pages_audit_and_logs_hold_no_key(world):
    r = world.run("sh", "-c", """
        curl -sSi -H "Authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/models" -H 'Transfer-Encoding: chunked, gzip' -d x
        curl -sSi -H "Authorization: Bearer x$OPENAI_API_KEY" "$OPENAI_BASE_URL/models"
        curl -sSi "$OPENAI_BASE_URL/models?key=$OPENAI_API_KEY"
        curl -sSi "http://127.0.0.1:${OPENAI_BASE_URL#http://127.0.0.1:}/../../nothing"
        curl -sSi "http://unnamed.interop.test/"
        curl -sSi -H "Authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/models" """)
    check("egress" in r.out, r)
    hold_no_key(world, r.out, r.err, world.kept())
    check(world.api.received.count(world.keys["openai"].encode()) == 1, world.api.received)


def test_what_the_child_must_not_touch(world):
    docker = "/run/docker.sock"
    r = world.python("look.py", "touch", os.path.join(world.runtime, "egress"), "/run/dbus/system_bus_socket", docker)
    check(r.code == 0, r)
    check("DONE core" not in r.out and "DONE shadow" not in r.out and "DONE credential" not in r.out, r)
    check(not re.search(r"DONE init (environ|mem|maps|fd|root|cwd)", r.out), r)
    check("DONE " + docker not in r.out and "DONE /run" not in r.out, r)
    check("control []" in r.out, f"the child sees the control socket: {r}")
    processes = eval(re.search(r"processes (\[.*\])", r.out).group(1))
    check(len(processes) <= 3 and processes[0] == 1, f"the child sees other processes: {processes}")
    hold_no_key(world, r.out, r.err)


def test_child_can_not_trust_itself(world):
    r = world.run(PYTHON, os.path.join(world.child, "look.py"), "touch", env=world.environment(EGRESS_HOME=world.home))
    check("refused own policy" in r.out and "refused own trust" in r.out and "refused moved config" in r.out, r)


def test_ids_capabilities_and_filter(world):
    r = world.run("sh", "-c", "id -u; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status")
    check(r.code == 0 and r.out.splitlines()[0] != "0", r)
    check(r.out.count("0000000000000000") == 5 and "NoNewPrivs:\t1" in r.out and "Seccomp:\t2" in r.out, r)


def test_unshare_is_refused(world):
    r = world.run("unshare", "-Ur", "true")
    check(r.code == 1 and "ermitted" in r.err, r)


def test_policy_that_is_not_trusted_gets_no_credential(world):
    argv = [a for a in world.command("true") if a != "--trust"]
    r = world.finish(world.start(argv))
    check(r.code == 125 and "trust" in r.err, r)
    check("sk-real" not in r.err, r)
