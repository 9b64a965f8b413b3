"""Programs that ask a configuration of their own before the proxy variables, with one that leads nowhere; the generated files; `egressctl shell`."""

import glob
import os
import signal
import subprocess

from lib.lifecycle import Terminal
from lib.world import DEADLINE, EGRESSCTL, PYTHON, Skip, check, need, read_line

DEAD = "http://corp:secret@proxy.invalid:3128"


def home_of_child(world, **files):
    """A home that the child may read; as root's child it has none of its own."""
    home = os.path.join(world.folder, "childhome")
    os.makedirs(home, exist_ok=True)
    os.chmod(home, 0o755)
    for name, text in files.items():
        path = os.path.join(home, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
    return home


def in_home(home, script):
    """With what `run` leaves out where the user has a file of their own."""
    return f"export HOME={home}; unset WGETRC PIP_CONFIG_FILE DOCKER_CONFIG; {script}"


def asked(world, host, r):
    check([e for e in world.events() if e["event"] == "decision" and e.get("host") == host], f"the proxy was not asked: {r}")


def test_git_with_another_proxy_in_its_configuration(world):
    need("git")
    home = home_of_child(world, **{".gitconfig": f"[http]\n\tproxy = {DEAD}\n"})
    r = world.run("sh", "-c", in_home(home, 'GIT_SSL_CAINFO="$CA" git ls-remote "https://$API/x.git"'))
    check("proxy.invalid" not in r.err, r)
    asked(world, "api.interop.test", r)


def test_npm_with_another_proxy_in_its_configuration(world):
    need("npm")
    version = subprocess.run(["npm", "--version"], capture_output=True, text=True, timeout=DEADLINE).stdout.strip()
    if int(version.partition(".")[0]) < 10:
        raise Skip(f"npm {version} shows its credentials to no proxy, whoever names it")
    home = home_of_child(world, **{".npmrc": f"proxy={DEAD}\nhttps-proxy={DEAD}\nregistry=http://{'plain.interop.test:%d' % world.plain.port}/\nfetch-retries=0\n"})
    r = world.run("sh", "-c", in_home(home, f"cd {world.work} && npm view something --cache {world.work}/cache"))
    check("proxy.invalid" not in r.err, r)
    asked(world, "plain.interop.test", r)


def test_pip_with_another_proxy_in_its_configuration(world):
    home = home_of_child(world, **{".config/pip/pip.conf": f"[global]\nproxy = {DEAD}\nindex-url = http://plain.interop.test:{world.plain.port}/\n"
                                   "trusted-host = plain.interop.test\nretries = 0\n"})
    have = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, timeout=DEADLINE)
    if have.returncode:
        raise Skip("no pip here")
    r = world.run("sh", "-c", in_home(home, f"{PYTHON} -m pip download --no-cache-dir -d {world.work} something"))
    check("proxy.invalid" not in r.err, r)
    asked(world, "plain.interop.test", r)


def test_wget_by_its_file_alone(world):
    need("wget")
    r = world.run("sh", "-c", 'unset http_proxy https_proxy; wget -q -O - "http://$PLAIN/"')
    check(r.code == 0 and r.out == "hello from the origin\n", r)


def test_apt_by_its_file_alone(world):
    if not os.access("/usr/lib/apt/apt-helper", os.X_OK):
        raise Skip("no apt here")
    r = world.run("sh", "-c", f'unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY; cd {world.work}; '
                  '/usr/lib/apt/apt-helper download-file "http://$PLAIN/" got >&2; cat got')
    check(r.out == "hello from the origin\n", r)


def test_php_streams(world):
    """No setting reaches the default context of PHP's streams: a file that is run first does."""
    need("php")
    script = os.path.join(world.work, "fetch.php")
    with open(script, "w") as f:
        f.write("<?php echo file_get_contents('http://' . getenv('PLAIN') . '/');\n"
                "echo file_get_contents('https://' . getenv('API') . '/', false);\n"
                "echo @file_get_contents('https://' . getenv('UNNAMED') . '/') === false ? \"refused\\n\" : \"through\\n\";\n")
    os.chmod(script, 0o644)
    r = world.run("php", "-d", "openssl.cafile=" + world.ca, script)
    check(r.out == "hello from the origin\nhello from the origin\nrefused\n", r)
    check(b"roxy-Authorization" not in world.api.received + world.plain.received, (world.api.received, world.plain.received))


def test_files_are_read_only_and_gone_afterwards(world):
    r = world.run("sh", "-c", 'f=$(dirname "$WGETRC"); echo "$f"; head -c 20 "$f/pip.conf" >/dev/null && echo read; '
                  '(echo x >"$f/wgetrc") 2>/dev/null && echo written; mv "$f" "$f.x" 2>/dev/null && echo moved; rm -rf "$f" 2>/dev/null; '
                  'test -e "$f/wgetrc" && echo there')
    folder, *said = r.out.splitlines()
    check(said == ["read", "there"], r)
    check(os.path.basename(folder).startswith("egress-files-") and not os.path.exists(folder), folder)


def test_files_of_a_killed_run_go_with_the_next(world):
    p = subprocess.Popen(world.command("sh", "-c", 'dirname "$WGETRC"; exec sleep 600'), env=world.environment(), cwd=world.work,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    folder = read_line(p.stdout).strip()
    check(os.path.isdir(folder), folder)
    other = world.run("true")
    check(other.code == 0 and os.path.isdir(folder), "the files of a living run were removed")
    p.send_signal(signal.SIGKILL)
    p.wait()
    p.stdout.close()
    world.run("true")
    check(not os.path.exists(folder), f"{folder} was left")


def test_full_disk_is_said_and_nothing_is_left(world):
    """A tiny file system of the run's own, for root."""
    if os.geteuid() != 0:
        raise Skip("mounting is root's")
    small = os.path.join(world.folder, "small")
    os.mkdir(small)
    r = subprocess.run(["unshare", "-m", "--propagation", "private", "true"], capture_output=True, timeout=DEADLINE)
    if r.returncode:
        raise Skip("no mount namespace here")
    script = f'mount -t tmpfs -o size=16k,mode=755 tmpfs {small} && dd if=/dev/zero of={small}/fill bs=1k count=8 2>/dev/null; ' \
             f'TMPDIR={small} "$@"; code=$?; ls -A {small}; exit $code'
    marker = os.path.join(world.work, "started")
    p = world.start(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *world.command("touch", marker)])
    r = world.finish(p)
    check(r.code == 125 and "No space left" in r.err and "TMPDIR" in r.err, r)
    check(r.out == "fill\n" and not os.path.exists(marker), f"left: {r}")


def test_strict_environment(world):
    env = world.environment(GITHUB_TOKEN="ghp-x", MY_SECRET_WORD="x", OTHER_API_KEY="x", TOKENS="kept")
    script = 'echo "${GITHUB_TOKEN-gone} ${MY_SECRET_WORD-gone} ${OTHER_API_KEY-gone} $TOKENS"; test -n "$OPENAI_API_KEY" && test -n "$EGRESS_TOKEN" && echo phantoms'
    r = world.run("sh", "-c", script, env=env, options=("--env", "strict"))
    check(r.out == "gone gone gone kept\nphantoms\n", r)
    r = world.run("sh", "-c", script, env=env)
    check(r.out == "ghp-x x x kept\nphantoms\n", r)
    r = world.run("true", options=("--env", "loose"))
    check(r.code == 125 and "strict" in r.err, r)


def shell(world, program):
    argv = [a for a in world.command("-")[:-2]]
    return Terminal([argv[0], "shell", *argv[2:]], world.environment(SHELL=program, TERM="dumb", PLAIN_URL=f"http://plain.interop.test:{world.plain.port}/"),
                    world.work)


def test_shell_on_a_terminal(world):
    """Its line, its prompt, the interrupt key, job control inside, its own status."""
    tried = 0
    for program in ("/bin/bash", "/bin/sh"):
        if not os.access(program, os.X_OK):
            continue
        t = shell(world, program)
        try:
            t.expect(b"has no network but what")
            t.expect(b"(egress) ")
            t.type(b"curl -sS $PLAIN_URL\r")
            t.expect(b"hello from the origin")
            t.expect(b"(egress) ")
            t.type(b"sh -c 'echo o''ne; exec sleep 600'\r")
            t.expect(b"one\r\n")
            t.type(b"\x03")
            t.expect(b"(egress) ")
            t.type(b"sh -c 'echo t''wo; read x; echo g''ot $x'\r")
            t.expect(b"two\r\n")
            t.type(b"\x1a")
            t.expect(b"(egress) ")
            t.type(b"fg\r")
            t.expect(b"read x")
            t.type(b"line\r")
            t.expect(b"got line")
            t.expect(b"(egress) ")
            t.type(b"exit 9\r")
            check(t.reported() == b"E009", program)
        finally:
            t.done()
        tried += 1
    check(tried, "no shell here")


def test_shell_takes_no_command(world):
    r = world.finish(world.start([EGRESSCTL, "shell", "-p", world.policy(), "ls"]))
    check(r.code == 125 and "takes no command" in r.err, r)


def test_env_of_a_run_in_every_format(world):
    """Of a session that lives: what a shell makes of it is what the others say too."""
    p = subprocess.Popen(world.command("sh", "-c", "echo up; exec sleep 600"), env=world.environment(), cwd=world.work,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        check(read_line(p.stdout) == "up\n", "another line")
        socket = glob.glob(os.path.join(world.runtime, "egress", f"run-{p.pid}.sock"))
        check(len(socket) == 1, socket)

        def env(*options):
            listed = subprocess.run([EGRESSCTL, "session", "list", "--json", "--control", socket[0]], capture_output=True, text=True, env=world.environment(),
                                    timeout=DEADLINE)
            session = listed.stdout.split('"id":')[1].split('"')[1]
            r = subprocess.run([EGRESSCTL, "env", "--control", socket[0], "--session", session, *options], capture_output=True, text=True,
                               env=world.environment(), timeout=DEADLINE)
            check(r.returncode == 0, r)
            return r.stdout
        shown = subprocess.run(["sh", "-c", 'eval "$1"; printf %s "$OPENAI_API_KEY ${INTEROP_OPENAI_KEY-gone}"', "sh", env()], capture_output=True, text=True,
                               env=world.environment(), timeout=DEADLINE).stdout
        key, gone = shown.split()
        check(gone == "gone" and key.startswith("sk-") and key != world.keys["openai"], shown)
        for name, line in (("fish", f"set -gx OPENAI_API_KEY '{key}'"), ("dotenv", f"OPENAI_API_KEY={key}"), ("github", f"OPENAI_API_KEY={key}"),
                           ("docker", f"OPENAI_API_KEY={key}")):
            out = env("--format", name)
            check(line in out.splitlines(), (name, out))
            check(world.keys["openai"] not in out, name)
    finally:
        p.kill()
        p.wait()
        p.stdout.close()
