"""The vendors' own clients behind a route: OpenAI, Anthropic, Gemini and Groq from npm and PyPI, streaming, files of a gibibyte with flat memory, WebSocket."""

import os
import subprocess

from lib.world import BUILD, DEADLINE, PYTHON, Skip, check, end, need, one_key_and_no_phantom, read_line

GIB = 1 << 30
LONG = 120  # seconds that a gibibyte may take
INSTALLED = os.path.join(os.path.dirname(BUILD), "interop")
NPM = ("openai", "@anthropic-ai/sdk", "@google/genai", "groq-sdk", "ws")
PYPI = ("openai", "anthropic")
KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY", "groq": "GROQ_API_KEY", "socket": "SOCKET_API_KEY"}
unreachable = {}  # folder -> why the packages could not be had: asked once a run


def install(folder, command, there):
    """The folder with the packages, installed the first time."""
    if folder not in unreachable and not all(os.path.exists(os.path.join(folder, t)) for t in there):
        os.makedirs(folder, exist_ok=True)
        try:
            r = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL)
            if r.returncode:
                unreachable[folder] = (r.stderr.strip().splitlines() or ["?"])[-1][:200]
        except (OSError, subprocess.TimeoutExpired) as e:
            unreachable[folder] = type(e).__name__
    if folder in unreachable:
        raise Skip(f"{command[0]} can't install here: {unreachable[folder]}")
    return folder


def node_modules():
    need("node", "npm")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=DEADLINE).stdout
    if int(version[1:].split(".")[0]) < 20:
        raise Skip(f"node {version.strip()} is older than 20")
    folder = os.path.join(INSTALLED, "npm")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "package.json"), "w") as f:
        f.write('{"private": true}\n')
    return install(folder, ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1", "--fetch-timeout=20000", *NPM],
                   [f"node_modules/{n}/package.json" for n in NPM])


def python_modules():
    have = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, text=True, timeout=DEADLINE)
    if have.returncode:
        raise Skip(have.stderr.strip().splitlines()[-1])
    return install(os.path.join(INSTALLED, "python"), [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--root-user-action=ignore",
                                                       "--retries=1", "--target", ".", *PYPI], PYPI)


def node(world, what, *extra):
    return world.command("sh", "-c", f'echo "${KEYS[what.partition(":")[0]]}"; exec node "$@"', "sh", os.path.join(world.child, "sdk.mjs"),
                         world.copy(node_modules(), "modules"), what, *extra)


def python(world, what):
    return world.command("sh", "-c", f'echo "${KEYS[what.partition(":")[0]]}"; exec {PYTHON} "$@"', "sh", os.path.join(world.child, "sdk.py"),
                         world.copy(python_modules(), "modules"), what)


def asked(world, command, key, request):
    """One question and its answer; what the origin saw of it."""
    r = world.finish(world.start(command))
    check(r.code == 0 and "ANSWER origin says hi" in r.out, r)
    one_key_and_no_phantom(world, world.keys[key], r.out.splitlines()[0])
    check(request in world.api.received, world.api.received)


def streamed(world, command, key):
    """The first words arrive while the origin holds the second ones back."""
    p = subprocess.Popen(command, env=world.environment(), cwd=world.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        phantom = read_line(p.stdout).strip()
        line = read_line(p.stdout)
        check(line == "WORDS origin\n" and not world.api.release.is_set(), f"first came {line!r}")
        world.api.release.set()
        out, err = p.communicate(timeout=DEADLINE)
        check(p.returncode == 0 and out == b"WORDS says hi\n", (p.returncode, out, err))
    finally:
        end(p)
    one_key_and_no_phantom(world, world.keys[key], phantom)


def test_openai_package(world):
    asked(world, node(world, "openai:ask"), "openai", b"POST /v1/chat/completions HTTP/1.1")


def test_openai_package_streaming(world):
    streamed(world, node(world, "openai:stream"), "openai")


def test_anthropic_package(world):
    asked(world, node(world, "anthropic:ask"), "anthropic", b"POST /v1/messages HTTP/1.1")
    check(b"x-api-key: " + world.keys["anthropic"].encode() in world.api.received, world.api.received)


def test_anthropic_package_streaming(world):
    streamed(world, node(world, "anthropic:stream"), "anthropic")


def test_gemini_package(world):
    asked(world, node(world, "gemini:ask"), "gemini", b"POST /v1beta/models/gemini-test:generateContent HTTP/1.1")
    check(b"x-goog-api-key: " + world.keys["gemini"].encode() in world.api.received, world.api.received)


def test_gemini_package_streaming(world):
    streamed(world, node(world, "gemini:stream"), "gemini")


def test_groq_package(world):
    asked(world, node(world, "groq:ask"), "groq", b"POST /openai/v1/chat/completions HTTP/1.1")


def test_groq_package_streaming(world):
    streamed(world, node(world, "groq:stream"), "groq")


def test_openai_python(world):
    asked(world, python(world, "openai:ask"), "openai", b"POST /v1/chat/completions HTTP/1.1")
    world.api.reset()


def test_openai_python_streaming(world):
    streamed(world, python(world, "openai:stream"), "openai")


def test_anthropic_python(world):
    asked(world, python(world, "anthropic:ask"), "anthropic", b"POST /v1/messages HTTP/1.1")


def test_anthropic_python_streaming(world):
    streamed(world, python(world, "anthropic:stream"), "anthropic")


def test_websocket_echo(world):
    r = world.finish(world.start(node(world, "socket:echo")))
    check(r.code == 0 and "ANSWER 3 1000" in r.out, r)
    one_key_and_no_phantom(world, world.keys["socket"], r.out.splitlines()[0])
    check(b"\r\nUpgrade: websocket\r\n" in world.api.received, world.api.received)


# ---- a gibibyte each way, with flat memory ----

def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


def peak(pid):
    """KiB of resident memory at most so far."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))


def peaks_of(world, command):
    """Runs it; egressctl's own peak and its worker's in KiB, as they were when it was done (it waits for a line of ours)."""
    p = subprocess.Popen(world.command("sh", "-c", command + '; printf "\\nDONE %d\\n" $?; read -r line'), env=world.environment(), cwd=world.work,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        lines = [read_line(p.stdout, LONG)]
        while not lines[-1].startswith("DONE"):
            lines.append(read_line(p.stdout, LONG))
        # The children are the workers and the namespace's init; the worker is who holds no more than it may.
        found = {pid: peak(pid) for pid in [p.pid, *children(p.pid)]}
        out, err = p.communicate(b"\n", timeout=DEADLINE)
        check(p.returncode == 0 and lines[-1] == "DONE 0\n", (lines, out, err))
        return max(found.values()), "".join(lines)
    finally:
        end(p)


MEMORY_MAX = 32 << 10  # KiB, of any process of ours: what it holds must not grow with the message


def test_upload_of_a_gibibyte_with_flat_memory(world):
    file = os.path.join(world.folder, "big")
    with open(file, "wb") as f:
        f.truncate(GIB)
    memory, out = peaks_of(world, f'curl -sS -T {file} -X POST -H "Expect:" -H "Authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/files"')
    check(f'"bytes":{GIB}' in out and world.api.bodies[0][0] == GIB, (out, world.api.bodies))
    check(memory < MEMORY_MAX, f"{memory} KiB")
    print(f"    upload of 1 GiB: at most {memory} KiB resident", flush=True)


def test_download_of_a_gibibyte_with_flat_memory(world):
    memory, out = peaks_of(world, f'curl -sS -o /dev/null -w "%{{size_download}}\n" -H "Authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/bytes/{GIB}"')
    check(f"{GIB}\n" in out, out)
    check(memory < MEMORY_MAX, f"{memory} KiB")
    print(f"    download of 1 GiB: at most {memory} KiB resident", flush=True)


def test_openai_package_uploads_a_file(world):
    file = os.path.join(world.folder, "file")
    with open(file, "wb") as f:
        f.write(os.urandom(3 << 20))
    os.chmod(file, 0o644)
    r = world.finish(world.start(node(world, "openai:upload", file)))
    check(r.code == 0 and "ANSWER" in r.out and world.api.bodies[0][0] > 3 << 20, r)
    one_key_and_no_phantom(world, world.keys["openai"], r.out.splitlines()[0])


# ---- a credential that changes ----

def test_a_401_is_answered_by_the_credential_that_has_come_meanwhile(world):
    new = "sk-real-rotated-" + "0123456789abcdef" * 2
    world.api.wanted = new
    p = subprocess.Popen(world.command("sh", "-c", 'echo "$FILED_API_KEY"; read -r line; exec curl -sS -w "%{http_code}\n" -d body '
                                       '-H "Authorization: Bearer $FILED_API_KEY" "$FILED_BASE_URL/x"'),
                         env=world.environment(), cwd=world.work, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        phantom = read_line(p.stdout).strip()
        with open(world.secret_file, "w") as f:
            f.write(new + "\n")
        out, err = p.communicate(b"\n", timeout=DEADLINE)
        check(p.returncode == 0 and out == b"hello from the origin\n200\n", (p.returncode, out, err))
    finally:
        end(p)
    got = world.api.received
    check(got.count(world.keys["file"].encode()) == 1 and got.count(new.encode()) == 1 and phantom.encode() not in got, got)
