"""Where the clients come from that Debian has no package of, or an old one: npm and pip into a private folder, once. Sandboxed children of another user read that folder."""

import atexit
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile

from lib.sdks import install
from lib.world import BUILD, DEADLINE, PYTHON, REPOSITORY, Skip, need

CHILD = os.path.join(REPOSITORY, "tests", "compat", "child")
X64 = platform.machine() == "x86_64"
WORD = "x64" if X64 else "arm64"
DENO, BUN, NODE24 = f"@deno/linux-{WORD}-glibc", f"@oven/bun-linux-{'x64' if X64 else 'aarch64'}", f"node-linux-{WORD}"
NPM = ("undici", "axios", "pnpm", DENO, BUN, NODE24 + "@24", "openai", "@anthropic-ai/sdk", "@google/genai", "groq-sdk")
AGENTS = ("@anthropic-ai/claude-code", "@openai/codex")
PYPI = ("requests", "httpx", "aiohttp", "openai", "anthropic", "groq", "google-genai")


def reachable(path):
    """Whether any user can read below it."""
    while os.stat(path).st_mode & stat.S_IXOTH:
        if path == "/":
            return True
        path = os.path.dirname(path)
    return False


OFFLINE = "--offline" in sys.argv[1:]


def chosen():
    """build/compat; where a child of another user can't read that, another place, which only what was fetched is worth leaving behind."""
    folder = os.environ.get("EG_COMPAT_DIR") or os.path.join(os.path.dirname(os.path.abspath(BUILD)), "compat")
    os.makedirs(folder, exist_ok=True)
    if os.geteuid() == 0 and not reachable(folder) and OFFLINE:
        folder = tempfile.mkdtemp(prefix="egress-compat-")
        os.chmod(folder, 0o755)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    elif os.geteuid() == 0 and not reachable(folder):
        folder = "/var/cache/egress-compat"
        os.makedirs(folder, 0o755, exist_ok=True)
    return folder


FOLDER = chosen()


def fetched(folder, command, there):
    """lib.sdks.install, but nothing is fetched with --offline."""
    missing = [t for t in there if not os.path.exists(os.path.join(folder, t))]
    if OFFLINE and missing:
        raise Skip(f"{command[0].rpartition('/')[2]} packages are not fetched by --offline")
    return install(folder, command, there)


def node_modules(name, *packages):
    """The folder that holds node_modules with them."""
    need("node", "npm")
    folder = os.path.join(FOLDER, name)
    os.makedirs(folder, exist_ok=True)
    root = os.path.join(folder, "package.json")
    if not os.path.exists(root):
        with open(root, "w") as f:
            f.write('{"private": true}\n')
    there = [f"node_modules/{p if p.rfind('@') < 1 else p[:p.rfind('@')]}/package.json" for p in packages]
    return fetched(folder, ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1", *packages], there)


def npm():
    return node_modules("npm", *NPM)


def agents():
    return node_modules("agents", *AGENTS)


def npm_version(folder, package):
    with open(os.path.join(folder, "node_modules", package, "package.json")) as f:
        return json.load(f)["version"]


def pip(name, packages, there):
    have = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, text=True, timeout=DEADLINE)
    if have.returncode:
        raise Skip(have.stderr.strip().splitlines()[-1])
    return fetched(os.path.join(FOLDER, name), [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--root-user-action=ignore", "--retries=1",
                                                "--target", ".", *packages], there)


def python():
    return pip("python", PYPI, ("requests", "httpx", "aiohttp", "openai", "anthropic", "groq", "google/genai"))


def pip_version(folder, package):
    r = subprocess.run([PYTHON, "-c", "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))", package],
                       env={**os.environ, "PYTHONPATH": folder}, capture_output=True, text=True, timeout=DEADLINE)
    return r.stdout.strip()


def built(name, source, command):
    """The file or folder NAME that command makes from source, anew when the source is newer."""
    out = os.path.join(FOLDER, "built", name)
    if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(os.path.join(CHILD, source)):
        os.makedirs(os.path.dirname(out), exist_ok=True)
        r = subprocess.run([*command, os.path.join(CHILD, source)], cwd=os.path.dirname(out), capture_output=True, text=True, timeout=180)
        if r.returncode:
            raise Skip(f"{command[0]} can't build it: {(r.stderr or r.stdout).strip()[-200:]}")
    return out


def go_program():
    need("go")
    return built("get", "get/main.go", ["go", "build", "-o", "get"])


def java_class():
    need("java", "javac")
    return os.path.dirname(built("Get.class", "Get.java", ["javac", "-d", "."]))


def cargo():
    """cargo that the child can start: rustup's is in the home of whoever installed it."""
    need("cargo", "rustc")
    root = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, timeout=DEADLINE).stdout.strip()
    if os.geteuid() != 0 or reachable(root):
        return os.path.join(root, "bin")
    if OFFLINE:
        raise Skip("cargo is in a home that the child can't read, and --offline copies nothing")
    copy = os.path.join(FOLDER, "rust")
    if not os.path.exists(copy + "/bin/rustc"):
        os.makedirs(copy + "/lib", exist_ok=True)
        for name in os.listdir(root + "/lib"):
            if ".so" in name:
                shutil.copy(os.path.join(root, "lib", name), copy + "/lib")
        os.makedirs(copy + "/bin", exist_ok=True)
        for name in ("cargo", "rustc"):
            shutil.copy(os.path.join(root, "bin", name), copy + "/bin")
    return copy + "/bin"
