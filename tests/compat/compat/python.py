"""Python's clients: urllib, requests, httpx, aiohttp, pip."""

from lib.world import PYTHON

from compat import parts
from compat.client import CAPTURED, Trial, client, version_of
from compat.origin import pypi
from compat.stage import need_transparent

CA = 'export SSL_CERT_FILE="$CA" REQUESTS_CA_BUNDLE="$CA"; '


def get(stage, what):
    words = f'{CA}{PYTHON} {stage.get}/get.py {what} "https://{{}}/" {parts.python() if what != "urllib" else "/nonexistent"}'
    return words.format("$API"), words.format("$UNNAMED")


@client("Python urllib", tells=True)
def urllib(stage):
    return Trial(version_of(PYTHON, "--version"), *get(stage, "urllib"))


@client("requests", tells=True)
def requests(stage):
    return Trial(parts.pip_version(parts.python(), "requests"), *get(stage, "requests"))


@client("httpx", tells=True)
def httpx(stage):
    return Trial(parts.pip_version(parts.python(), "httpx"), *get(stage, "httpx"))


@client("aiohttp (trust_env)", tells=True)
def aiohttp(stage):
    return Trial(parts.pip_version(parts.python(), "aiohttp"), *get(stage, "aiohttp-trust-env"))


@client("aiohttp", CAPTURED)
def aiohttp_captured(stage):
    need_transparent(stage)
    return Trial(parts.pip_version(parts.python(), "aiohttp"), *get(stage, "aiohttp"), options=("--transparent",))


@client("pip")
def pip(stage):
    stage.api.files = pypi()
    words = (f'export PIP_CERT="$CA" PIP_NO_CACHE_DIR=1; {PYTHON} -m pip install -q --disable-pip-version-check --retries=0 --no-deps --index-url {{}}/simple/ '
             f'--target lib egresstry && PYTHONPATH=lib {PYTHON} -c "import egresstry"')
    return Trial(version_of(PYTHON, "-m", "pip", "--version"), words.format(stage.at), words.format(stage.hidden), expect="hello from the package")
