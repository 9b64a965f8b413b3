"""The vendors' own: SDKs of npm and PyPI and the AWS command line behind routes, and two agents, Claude Code and Codex. The key that they hold is a phantom."""

import os

from lib.aws import IDENTITY
from lib.world import PYTHON, Skip

from compat import parts
from compat.client import ROUTE, Trial, client, version_of
from compat.origin import responses

ASKS = {"openai": "POST /v1/chat/completions", "anthropic": "POST /v1/messages", "gemini": "POST /*/models/*", "groq": "POST /openai/v1/chat/completions"}
TITLES = {"openai": "OpenAI", "anthropic": "Anthropic", "gemini": "Gemini", "groq": "Groq"}
ON_NPM = {"openai": "openai", "anthropic": "@anthropic-ai/sdk", "gemini": "@google/genai", "groq": "groq-sdk"}
ON_PYPI = {"openai": "openai", "anthropic": "anthropic", "gemini": "google-genai", "groq": "groq"}


def on_route(version, words, service, expect="origin says hi", deny=None):
    return Trial(version, words, words, expect=expect, reason="rule_denied", where="svc.interop.test", deny=((service, deny or ASKS[service]),))


def sdk_node(service):
    def trial(stage):
        folder = parts.npm()
        return on_route(parts.npm_version(folder, ON_NPM[service]), f"node {stage.child}/sdk.mjs {folder} {service}:ask", service)
    return trial


def sdk_python(service):
    def trial(stage):
        folder = parts.python()
        return on_route(parts.pip_version(folder, ON_PYPI[service]), f"{PYTHON} {stage.child}/sdk.py {folder} {service}:ask", service)
    return trial


for name, title in TITLES.items():
    client(f"{title} SDK (Node)", ROUTE, tells=True)(sdk_node(name))
    client(f"{title} SDK (Python)", ROUTE, tells=True)(sdk_python(name))


@client("aws-cli", ROUTE, tells=True)
def aws(stage):
    folder = parts.pip("aws", ("awscli",), ("awscli",))
    stage.api.files["/"] = (b"text/xml", IDENTITY)
    words = (f"export PYTHONPATH={folder} AWS_DEFAULT_REGION=eu-central-1 AWS_EC2_METADATA_DISABLED=true AWS_MAX_ATTEMPTS=1; "
             f"{PYTHON} -m awscli sts get-caller-identity --output json")
    return on_route(parts.pip_version(folder, "awscli"), words, "aws", expect="123456789012", deny="POST /")


def program(package, name):
    """A native one that a platform's package holds."""
    for folder, _, files in os.walk(os.path.join(parts.agents(), "node_modules", package)):
        if name in files and os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise Skip(f"npm has no {name} for this machine")


@client("Claude Code", ROUTE, tells=True)
def claude(stage):
    path = program(f"@anthropic-ai/claude-code-linux-{parts.WORD}", "claude")
    words = f"export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1; {path} -p 'say hi' </dev/null"
    return on_route(parts.npm_version(parts.agents(), "@anthropic-ai/claude-code"), words, "anthropic")


@client("Codex", ROUTE, tells=True)
def codex(stage):
    path = program(f"@openai/codex-linux-{parts.WORD}", "codex")
    stage.api.files["/v1/responses"] = responses()
    words = (f'export CODEX_API_KEY="$OPENAI_API_KEY"; {path} exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -c "openai_base_url=\\"$OPENAI_BASE_URL\\"" '
             "'say hi' </dev/null")
    return on_route(version_of(path, "--version"), words, "openai", deny="* /v1/responses")
