"""What must work: curl, git, requests, pip, npm and node by HTTP and SOCKS5, the vendors' npm packages, server-sent events, a keyring."""

import base64
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import tarfile
import zipfile

from lib.world import DEADLINE, PYTHON, Skip, check, end, need, one_key_and_no_phantom, read_line


# The same listener and token as http_proxy has, in SOCKS5 with names that the proxy resolves; the shell in the child writes it.
SOCKS = '"socks5h${http_proxy#http}"'


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


def test_curl_socks5h(world):
    for url in ("https://$API/", "http://$PLAIN/"):
        r = world.run("sh", "-c", f'curl -sS --cacert "$CA" -x {SOCKS} "{url}"')
        check(r.code == 0 and r.out == "hello from the origin\n", r)
        decision = [e for e in world.events() if e["event"] == "decision"]
        check(len(decision) in (1, 2) and {e["host"] for e in decision} == {url[url.index("$") + 1:-1].lower() + ".interop.test"}, decision)


def test_curl_socks5h_to_what_no_rule_names(world):
    r = world.run("sh", "-c", f'curl -sS --cacert "$CA" -x {SOCKS} "https://$UNNAMED/"')
    check(r.code == 97 and "(2)" in r.err, r)
    check(world.names.asked == [] and world.api.connections == 0, (world.names.asked, world.api.connections))
    check("unnamed.interop.test" in r.err and "host_not_allowed" in r.err, f"the summary does not tell: {r}")


def test_curl_socks5_with_an_address_of_its_own(world):
    """Without the h the child resolves, which it can't; an address is not what the rule names."""
    r = world.run("sh", "-c", f'P={SOCKS}; curl -sS --cacert "$CA" -x "socks5${{P#socks5h}}" --resolve "$API:127.0.0.2" "https://$API/"')
    check(r.code == 97 and world.api.connections == 0, r)


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


def clone(world, how, guard=""):
    """A clone inside a run by those words, of a repository behind TLS; guard: what its server asks before."""
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
server {{ listen 127.0.0.2:{world.git_port} ssl; ssl_certificate {world.cert}; ssl_certificate_key {world.key}; root {site}; {guard} }} }}
""")
    # nginx takes the listener over by its number, so that nobody can take the port meanwhile, and nothing waits for it.
    nginx = subprocess.Popen(["nginx", "-e", folder + "/error.log", "-p", folder, "-c", folder + "/nginx.conf"],
                             env={"NGINX": f"{listener.fileno()};", **world.environment()}, pass_fds=[listener.fileno()],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        r = world.run("sh", "-c", f'{how} "$WORK/clone" && git -C "$WORK/clone" log --format=%s')
        check(r.code == 0 and r.out.endswith("the commit\n"), r)
        with open(folder + "/access.log") as f:
            check("/repo.git/info/refs" in f.read(), "nginx saw no clone")
    finally:
        end(nginx)
        listener.close()
    return r


def clone_over_https(world, options):
    clone(world, f'GIT_SSL_CAINFO="$CA" git {options} clone -q "https://git.interop.test:$GIT_PORT/repo.git"')


def test_git_clone_over_https(world):
    clone_over_https(world, "")


def test_git_clone_through_a_route(world):
    """The launcher's way (git's insteadOf and extraHeader, by env.git): remotes as they are written, the real token at the server."""
    basic = base64.b64encode(b"x-access-token:" + world.keys["git"].encode()).decode()
    host = "github.interop.test"
    r = clone(world, f'echo "$GIT_API_KEY"; git clone -q git@{host}:repo.git "$WORK/other" && git -C "$WORK/other" fetch -q '
              f'&& git ls-remote -q ssh://git@{host}/repo.git >/dev/null && git clone -q "https://{host}/repo.git"',
              f'if ($http_authorization != "Basic {basic}") {{ return 403; }}')
    check(r.out.splitlines()[0] != world.keys["git"], r)


def test_git_clone_over_https_through_socks5(world):
    clone_over_https(world, f"-c http.proxy={SOCKS}")
    check([e["via"] for e in world.events() if e["event"] == "decision"][0] == "socks", world.events())


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


# ---- package managers, and libraries that are told of the proxy ----

def test_requests_through_http_and_socks5(world):
    have = subprocess.run([PYTHON, "-c", "import requests, socks"], capture_output=True, text=True, timeout=DEADLINE)
    if have.returncode:
        raise Skip(have.stderr.strip().splitlines()[-1])
    for proxy in ('""', SOCKS):
        r = world.run("sh", "-c", f'exec {PYTHON} {world.child}/requested.py "https://$API/" {proxy} "$CA"')
        check(r.code == 0 and r.out == "200 hello from the origin\n\n", r)


def wheel(name):
    """A package of one module, as pip wants it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        z.writestr(f"{name}.py", "print('hello from the package')\n")
        z.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        z.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: egress\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return data.getvalue()


def test_pip_install(world):
    have = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, text=True, timeout=DEADLINE)
    if have.returncode:
        raise Skip(have.stderr.strip().splitlines()[-1])
    file = "egresstry-1.0-py3-none-any.whl"
    world.api.files = {"/simple/egresstry/": (b"text/html", f'<a href="/files/{file}">{file}</a>'.encode()),
                       f"/files/{file}": (b"application/zip", wheel("egresstry"))}
    r = world.run("sh", "-c", f'export HOME="$WORK" PIP_CERT="$CA" PIP_NO_CACHE_DIR=1; {PYTHON} -m pip install -q --disable-pip-version-check '
                  f'--no-deps --index-url "https://$API/simple/" --target "$WORK/pip" egresstry && cd "$WORK/pip" && exec {PYTHON} -c "import egresstry"')
    check(r.code == 0 and r.out.endswith("hello from the package\n"), r)
    check(b"GET /simple/egresstry/" in world.api.received and f"GET /files/{file}".encode() in world.api.received, world.api.received)


def tarball(text):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as t:
        for name, body in (("package/package.json", '{"name":"egresstry","version":"1.0.0","main":"index.js"}'), ("package/index.js", text)):
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            t.addfile(entry, io.BytesIO(body.encode()))
    return data.getvalue()


def registry(world):
    """An npm registry of one package at the origin."""
    need("node", "npm")
    package, at = tarball("console.log('hello from the package')\n"), f"https://api.interop.test:{world.api.port}"
    about = {"name": "egresstry", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
        "name": "egresstry", "version": "1.0.0", "dist": {"tarball": f"{at}/egresstry/-/egresstry-1.0.0.tgz", "shasum": hashlib.sha1(package).hexdigest()}}}}
    world.api.files = {"/egresstry": (b"application/json", json.dumps(about).encode()), "/egresstry/-/egresstry-1.0.0.tgz": (b"application/octet-stream", package)}
    return at


def npm_try(words=""):
    """Words before npm are env's: a shell would drop variables with names like npm's."""
    return ('export HOME="$WORK" npm_config_update_notifier=false; mkdir "$WORK/npm" && cd "$WORK/npm" && '
            f'env {words} npm install --no-audit --no-fund --ignore-scripts --loglevel=error egresstry && exec node -e "require(\'egresstry\')"')


def test_npm_install(world):
    at = registry(world)
    r = world.run("sh", "-c", f'export npm_config_cafile="$CA" npm_config_registry={at}/; {npm_try()}')
    version = subprocess.run(["npm", "--version"], capture_output=True, text=True, timeout=DEADLINE).stdout.strip()
    if "E407" in r.err and version == "9.2.0":  # seen with Debian 13's package, whose proxy agent is newer than what this npm was written for
        raise Skip("Debian's npm 9.2.0 drops the user and password of a proxy URL")
    check(r.code == 0 and r.out.endswith("hello from the package\n"), r)
    check(b"GET /egresstry/-/egresstry-1.0.0.tgz" in world.api.received, world.api.received)


def test_npm_install_through_a_route(world):
    """The registry and its token are the route and its phantom; what npm asks for, it asks with the real token."""
    registry(world)
    r = world.run("sh", "-c", 'export npm_config_registry="$NPM_BASE_URL/" npm_config_replace_registry_host=always; echo "$NPM_API_KEY"; '
                  + npm_try('"npm_config_//${NPM_BASE_URL#http://}/:_authToken=$NPM_API_KEY"'))
    check(r.code == 0 and r.out.endswith("hello from the package\n"), r)
    got = world.api.received
    check(got.count(world.keys["npm"].encode()) == got.count(b"GET /") >= 2 and r.out.splitlines()[0].encode() not in got, got)


def test_node_connect_and_fetch(world):
    """Its http module by CONNECT, and fetch with NODE_USE_ENV_PROXY where it has that."""
    need("node")
    r = world.run("sh", "-c", f'NODE_EXTRA_CA_CERTS="$CA" exec node {world.child}/ways.mjs "https://$API/"')
    check(r.code == 0 and "CONNECT 200 hello from the origin" in r.out, r)
    check("FETCH 200 hello from the origin" in r.out or "FETCH has no proxy" in r.out, r)
