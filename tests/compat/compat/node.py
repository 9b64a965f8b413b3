"""What runs on Node, Deno and Bun: fetch, undici, axios, npm and pnpm."""

import os
import subprocess

from lib.world import DEADLINE, Skip, need

from compat import parts
from compat.client import CAPTURED, Trial, client, version_of
from compat.origin import npm as registry
from compat.stage import need_transparent

CA = 'export NODE_EXTRA_CA_CERTS="$CA"; '


def node24():
    return os.path.join(parts.npm(), "node_modules", parts.NODE24, "bin/node")


def get(stage, program, what, modules="", before=CA, options=()):
    words = f'{before}{program} {stage.get}/get.mjs {what} "https://{{}}/" {modules}'
    return words.format("$API"), words.format("$UNNAMED"), options


@client("Node 20 fetch", CAPTURED)
def fetch20(stage):
    version = version_of("node", "--version")
    if int(version.split(".")[0]) >= 24:
        raise Skip(f"node is {version}, which reads the proxy variables")
    need_transparent(stage)
    allowed, refused, _ = get(stage, "node", "fetch")
    return Trial(version, allowed, refused, options=("--transparent",))


@client("Node 24 fetch")
def fetch24(stage):
    allowed, refused, _ = get(stage, node24(), "fetch")
    return Trial(version_of(node24(), "--version"), allowed, refused)


@client("undici (EnvHttpProxyAgent)")
def undici(stage):
    folder = parts.npm()
    allowed, refused, _ = get(stage, node24(), "undici", folder)
    return Trial(parts.npm_version(folder, "undici"), allowed, refused)


@client("axios", tells=True)
def axios(stage):
    folder = parts.npm()
    allowed, refused, _ = get(stage, "node", "axios", folder)
    return Trial(parts.npm_version(folder, "axios"), allowed, refused)


def installs(stage, manager, more=""):
    """A package of the registry at the origin, and its module run."""
    stage.api.files = registry(stage.at)
    words = ('export npm_config_cafile="$CA" npm_config_update_notifier=false NODE_EXTRA_CA_CERTS="$CA" npm_config_registry={}/registry/; echo registry={}/registry/ >.npmrc; echo "{{}}" >package.json; '
             f"{manager} egresstry {more} && node -e \"require('egresstry')\"")
    return words.format(stage.at, stage.at), words.format(stage.hidden, stage.hidden)


@client("npm", tells=True)
def npm(stage):
    need("node", "npm")
    version = subprocess.run(["npm", "--version"], capture_output=True, text=True, timeout=DEADLINE).stdout.strip()
    if version == "9.2.0":
        raise Skip("Debian's npm 9.2.0 drops the user and password of a proxy URL")
    allowed, refused = installs(stage, "npm install --no-audit --no-fund --ignore-scripts --fetch-retries=0")
    return Trial(version, allowed, refused)


@client("pnpm")
def pnpm(stage):
    folder = parts.npm()
    program = next((p for p in (f"{folder}/node_modules/@pnpm/exe.linux-{parts.WORD}/pnpm",) if os.access(p, os.X_OK)), f"node {folder}/node_modules/pnpm/bin/pnpm.cjs")
    allowed, refused = installs(stage, f"{program} add", "--ignore-scripts --config.fetch-retries=0")
    return Trial(parts.npm_version(folder, "pnpm"), allowed, refused)


@client("Deno fetch")
def deno(stage):
    program = os.path.join(parts.npm(), "node_modules", parts.DENO, "deno")
    allowed, refused, _ = get(stage, program + " run -q --allow-all --no-lock", "fetch", before='export DENO_CERT="$CA" DENO_NO_UPDATE_CHECK=1; ')
    return Trial(version_of(program, "--version"), allowed, refused)


@client("Bun fetch", tells=True)
def bun(stage):
    program = os.path.join(parts.npm(), "node_modules", parts.BUN, "bin/bun")
    allowed, refused, _ = get(stage, program + " run", "fetch")
    return Trial(version_of(program, "--version"), allowed, refused)
