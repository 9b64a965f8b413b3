"""What must work: curl, git, the vendors' npm packages, server-sent events, a keyring."""

import os
import re
import socket
import subprocess

from lib.world import BUILD, DEADLINE, PYTHON, Skip, check, end, need, read_line


def one_key_and_no_phantom(world, key, phantom):
    """What the origin recorded: the real credential exactly once, the phantom nowhere."""
    got = world.api.received
    check(got.count(key.encode()) == 1, f"the origin got the real key {got.count(key.encode())} times:\n{got!r}")
    check(phantom and phantom != key, f"the child's key is {phantom!r}")
    check(phantom.encode() not in got, f"the origin got the phantom:\n{got!r}")


def test_curl_https_through_the_tunnel(world):
    r = world.run("sh", "-c", 'curl -sS --cacert "$CA" "https://$API/"')
    check(r.code == 0 and r.out == "hello from the origin\n", r)
    decision = [e for e in world.events() if e["event"] == "decision"]
    check(len(decision) == 1 and decision[0]["host"] == "api.interop.test", decision)


def test_curl_http(world):
    r = world.run("sh", "-c", 'curl -sS "http://$PLAIN/"')
    check(r.code == 0 and r.out == "hello from the origin\n", r)
    check(b"roxy-Authorization" not in world.plain.received, world.plain.received)


def test_curl_http_in_a_tunnel(world):
    r = world.run("sh", "-c", 'curl -sS --proxytunnel "http://$PLAIN/"')
    check(r.code == 0 and r.out == "hello from the origin\n", r)


def test_curl_route_with_the_phantom(world):
    r = world.run("sh", "-c", 'echo "$OPENAI_API_KEY"; curl -sS -H "Authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/models"')
    check(r.code == 0 and r.out.endswith("hello from the origin\n"), r)
    phantom = r.out.splitlines()[0]
    check(len(phantom) == len(world.keys["openai"]) and phantom.startswith("sk-"), phantom)
    one_key_and_no_phantom(world, world.keys["openai"], phantom)
    check(b"GET /v1/models HTTP/1.1" in world.api.received, world.api.received)


def test_curl_route_of_a_file_credential(world):
    r = world.run("sh", "-c", 'echo "$FILED_API_KEY"; curl -sS -H "Authorization: Bearer $FILED_API_KEY" "$FILED_BASE_URL/x"')
    check(r.code == 0 and r.out.endswith("hello from the origin\n"), r)
    one_key_and_no_phantom(world, world.keys["file"], r.out.splitlines()[0])


def test_upload_of_many_megabytes_through_a_route(world):
    r = world.run("sh", "-c", 'head -c 8000000 /dev/zero | curl -sS -T - -X POST -H "Authorization: Bearer $OPENAI_API_KEY" '
                  '-w "%{http_code}" "$OPENAI_BASE_URL/up"')
    check(r.code == 0 and r.out.endswith("200"), r)
    check(len(world.api.received) > 8000000, len(world.api.received))


def test_git_clone_over_https(world):
    need("git", "nginx")
    git = {**world.environment(), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
           "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    site, tree = os.path.join(world.folder, "site"), os.path.join(world.folder, "tree")
    os.mkdir(site)
    for command in (["git", "init", "-q", tree], ["git", "-C", tree, "commit", "-q", "--allow-empty", "-m", "the commit"],
                    ["git", "clone", "-q", "--bare", tree, site + "/repo.git"], ["git", "-C", site + "/repo.git", "update-server-info"]):
        subprocess.run(command, env=git, check=True, timeout=DEADLINE, stdout=subprocess.DEVNULL)
    listener = socket.create_server(("127.0.0.2", 0))
    listener.setblocking(False)  # nginx leaves an inherited one as it is
    world.git_port = listener.getsockname()[1]
    folder = os.path.join(world.private, "nginx")
    os.mkdir(folder)
    temporary = "".join(f" {n}_temp_path {folder}/{n};" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(folder + "/nginx.conf", "w") as f:
        f.write(("user root;" if os.geteuid() == 0 else "") + f"""
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{ access_log {folder}/access.log; {temporary}
server {{ listen 127.0.0.2:{world.git_port} ssl; ssl_certificate {world.cert}; ssl_certificate_key {world.key}; root {site}; }} }}
""")
    # nginx takes the listener over by its number, so that nobody can take the port meanwhile, and nothing waits for it.
    nginx = subprocess.Popen(["nginx", "-e", folder + "/error.log", "-p", folder, "-c", folder + "/nginx.conf"],
                             env={"NGINX": f"{listener.fileno()};", **world.environment()}, pass_fds=[listener.fileno()],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        r = world.run("sh", "-c", f'GIT_SSL_CAINFO="$CA" git clone -q "https://git.interop.test:{world.git_port}/repo.git" "$WORK/clone" '
                      '&& git -C "$WORK/clone" log --format=%s')
        check(r.code == 0 and r.out == "the commit\n", r)
        with open(folder + "/access.log") as f:
            check("/repo.git/info/refs" in f.read(), "nginx saw no clone")
    finally:
        end(nginx)
        listener.close()


unreachable = []  # why the packages could not be had: asked once a run


def install(folder, wanted):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "package.json"), "w") as f:
        f.write('{"private": true}\n')
    r = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1",
                        "--fetch-timeout=20000", *wanted], cwd=folder, capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL)
    return (r.stderr.strip().splitlines() or ["?"])[0][:200] if r.returncode else None


def modules():
    need("node", "npm")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=DEADLINE).stdout
    if int(version[1:].split(".")[0]) < 20:
        raise Skip(f"node {version.strip()} is older than 20")
    folder = os.path.join(os.path.dirname(BUILD), "interop")
    wanted = ("openai", "@anthropic-ai/sdk")
    if not unreachable and not all(os.path.exists(os.path.join(folder, "node_modules", w, "package.json")) for w in wanted):
        try:
            why = install(folder, wanted)
        except (OSError, subprocess.TimeoutExpired) as e:
            why = type(e).__name__
        if why:
            unreachable.append(why)
    if unreachable:
        raise Skip("npm can't install here: " + unreachable[0])
    return folder


def vendor(world, script, key):
    r = world.run("sh", "-c", f'echo "${key}"; exec node "$0" "$1"', os.path.join(world.child, script), world.copy(modules(), "modules"))
    check(r.code == 0 and "ANSWER origin says hi" in r.out, r)
    return r.out.splitlines()[0]


def test_openai_package(world):
    phantom = vendor(world, "openai.mjs", "OPENAI_API_KEY")
    one_key_and_no_phantom(world, world.keys["openai"], phantom)
    check(b"POST /v1/chat/completions HTTP/1.1" in world.api.received, world.api.received)


def test_anthropic_package(world):
    phantom = vendor(world, "anthropic.mjs", "ANTHROPIC_API_KEY")
    one_key_and_no_phantom(world, world.keys["anthropic"], phantom)
    check(b"POST /v1/messages HTTP/1.1" in world.api.received, world.api.received)
    check(b"x-api-key: " + world.keys["anthropic"].encode() in world.api.received, world.api.received)


def test_first_event_arrives_while_the_second_is_held_back(world):
    p = subprocess.Popen(world.command("sh", "-c", 'exec curl -sSN -H "Authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/sse"'),
                         env=world.environment(), cwd=world.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        check(read_line(p.stdout) == "data: first\n", "another first line")
        check(not world.api.release.is_set(), "the second was not held back")
        world.api.release.set()
        out, err = p.communicate(timeout=DEADLINE)
        check(p.returncode == 0 and out == b"\ndata: second\n\n", (p.returncode, out, err))
    finally:
        end(p)


KEYRING = """
printf %s password | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
printf %s "$RING" | secret-tool store --label=interop service interop account ringed || exit 90
unset RING
BUS=${DBUS_SESSION_BUS_ADDRESS#unix:path=} BUS=${BUS%%,*}
export BUS
exec "$@"
"""


def test_secret_of_a_real_keyring(world):
    need("gnome-keyring-daemon", "dbus-run-session", "secret-tool")
    inner = world.command("sh", "-c", 'echo "$RINGED_API_KEY"; curl -sS -H "Authorization: Bearer $RINGED_API_KEY" "$RINGED_BASE_URL/x";'
                          f'{PYTHON} {world.child}/look.py touch "$BUS"', policy=world.policy(keyring=True))
    p = world.start(["dbus-run-session", "--", "sh", "-c", KEYRING, "sh", *inner],
                    world.environment(RING=world.keys["keyring"]), start_new_session=True)
    r = world.finish(p)
    if r.code == 90:
        raise Skip("the keyring can't be unlocked here: " + r.err[-200:])
    check(r.code == 0 and "hello from the origin\n" in r.out, r)
    one_key_and_no_phantom(world, world.keys["keyring"], r.out.splitlines()[0])
    check(world.keys["keyring"] not in r.out + r.err + world.kept(), "the keyring's secret is in what was printed or kept")
    check("DONE" not in r.out and re.search(r"refused /\S+ ", r.out), f"the child reached the session bus: {r}")


