"""Other languages and the tools written in them: Go, gh, kubectl, cargo, Java, Ruby, PHP."""

import os
import subprocess

from lib.world import DEADLINE, Skip, need

from compat import parts
from compat.client import CAPTURED, LISTENER, Trial, client, version_of
from compat.origin import cargo as index
from compat.origin import cluster, document
from compat.stage import need_transparent

CA = 'export SSL_CERT_FILE="$CA"; '


@client("Go net/http", tells=True)
def go(stage):
    words = CA + parts.go_program()
    return Trial(version_of("go", "version"), words + ' "https://$API/"', words + ' "https://$UNNAMED/"')


@client("gh", tells=True)
def gh(stage):
    need("gh")
    stage.github().files = {"/api/v3/meta": document({"word": "hello from the origin"})}
    words = CA + "export GH_ENTERPRISE_TOKEN=none GH_NO_UPDATE_NOTIFIER=1; gh api --hostname {}.interop.test meta"
    return Trial(version_of("gh", "--version"), words.format("hub"), words.format("unnamed"))


@client("kubectl", tells=True)
def kubectl(stage):
    stage.api.files = cluster()
    words = 'kubectl --server={} --certificate-authority="$CA" --token=none get pods -o name'
    return Trial(version_of("kubectl", "version", "--client"), words.format(stage.at), words.format(stage.hidden), expect="pod/hello-from-the-origin")


@client("cargo")
def cargo(stage):
    folder = parts.cargo()
    version = version_of(folder + "/cargo", "--version")
    if tuple(int(n) for n in version.split(".")[:2]) < (1, 68):
        raise Skip(f"cargo {version} knows no sparse registries")
    stage.api.files = index(stage.at)
    words = (f'export CARGO_HTTP_CAINFO="$CA" PATH="{folder}:$PATH" CARGO_REGISTRIES_TRY_INDEX=sparse+{{}}/index/ CARGO_NET_RETRY=0; mkdir -p p/src && cd p && '
             ': >src/lib.rs && printf \'[package]\\nname = "p"\\nversion = "1.0.0"\\nedition = "2021"\\n[dependencies]\\negresstry = {{ version = "1", registry = "try" }}\\n\' >Cargo.toml && '
             'cargo fetch -q && cat "${{CARGO_HOME:-$HOME/.cargo}}"/registry/src/*/egresstry-1.0.0/src/lib.rs')
    return Trial(version, words.format(stage.at), words.format(stage.hidden))


def java(stage, what, options=()):
    classes = parts.java_class()
    trust = os.path.join(stage.work, "trust.p12")
    r = subprocess.run(["keytool", "-importcert", "-noprompt", "-storetype", "PKCS12", "-alias", "try", "-file", stage.ca, "-keystore", trust, "-storepass", "changeit"],
                       capture_output=True, text=True, timeout=DEADLINE)
    if r.returncode:
        raise Skip("keytool: " + (r.stdout + r.stderr).strip()[-160:])
    words = f'java -Djavax.net.ssl.trustStore={trust} -Djavax.net.ssl.trustStorePassword=changeit -cp {classes} Get {what} "https://{{}}/"'
    return Trial(version_of("java", "-version"), words.format("$API"), words.format("$UNNAMED"), options=options)


def need_listener(stage):
    """Skip where Java is pointed at the listener that wants a token."""
    r = stage.inside('echo "PORTS ${http_proxy##*:} $JAVA_TOOL_OPTIONS"')
    port = r.out.partition("PORTS ")[2].split()[:1]
    if not port or f"proxyPort={port[0]} " in r.out + " ":
        raise Skip("no listener without a token here")


@client("Java HttpURLConnection", LISTENER, tells=True)
def java_connection(stage):
    need_listener(stage)
    return java(stage, "connection")


@client("Java HttpClient", LISTENER)
def java_client(stage):
    need_listener(stage)
    return java(stage, "client")


def without_properties(trial):
    trial.allowed, trial.refused = ("unset JAVA_TOOL_OPTIONS; " + words for words in (trial.allowed, trial.refused))
    return trial


@client("Java HttpURLConnection", CAPTURED)
def java_connection_captured(stage):
    need_transparent(stage)
    return without_properties(java(stage, "connection", ("--transparent",)))


@client("Java HttpClient", CAPTURED)
def java_client_captured(stage):
    need_transparent(stage)
    return without_properties(java(stage, "client", ("--transparent",)))


@client("Ruby Net::HTTP", tells=True)
def ruby(stage):
    words = f"{CA}ruby {stage.get}/get.rb"
    return Trial(version_of("ruby", "--version"), words + ' "https://$API/"', words + ' "https://$UNNAMED/"')


def php(stage, what, options=()):
    need("php")
    words = f'php -d curl.cainfo="$CA" -d openssl.cafile="$CA" {stage.get}/get.php {what} "https://{{}}/"'
    return Trial(version_of("php", "--version"), words.format("$API"), words.format("$UNNAMED"), options=options)


@client("PHP curl")
def php_curl(stage):
    need("php")
    if "curl" not in subprocess.run(["php", "-m"], capture_output=True, text=True, timeout=DEADLINE).stdout.split():
        raise Skip("php has no curl here")
    return php(stage, "curl")


@client("PHP streams", CAPTURED)
def php_streams(stage):
    need_transparent(stage)
    return php(stage, "streams", ("--transparent",))
