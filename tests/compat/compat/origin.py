"""The far side of the clients that want more than a page: git over HTTP, package indexes, a cluster, GitHub's API, the Responses API. Everything else is the interop origin's."""

import base64
import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import tarfile
import zipfile

from lib.clients import tarball, wheel
from lib.origin import Origin
from lib.world import DEADLINE

STRICT = ("/git/", "/apt/", "/index/", "/crates/", "/simple/", "/files/", "/registry/", "/api", "/apis", "/version")  # elsewhere an unknown path is a page


class Site(Origin):
    repository = None  # a bare one, for paths below /git/

    def _answer(self, connection, method, path, fields, asked):
        if path.startswith("/git/") and self.repository:
            self._git(connection, path, fields, asked)
        elif path in self.files or not path.startswith(STRICT):
            super()._answer(connection, method, path, fields, asked)
        else:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def _accept(self):
        try:
            super()._accept()
        except OSError:  # closed
            pass

    def close(self):
        """For a port that is wanted again: a socket that a thread accepts at is not closed by close alone."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _websocket(self, connection, fields, data):
        """The Responses API's other way in, which Codex tries first: one answer to each frame that asks for one."""
        key = fields.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                           + base64.b64encode(hashlib.sha1(key.encode()).digest()) + b"\r\n\r\n")
        while True:
            kind, body, data = frame(connection, data)
            if kind == 8:
                connection.sendall(b"\x88\x02\x03\xe8")
                return False
            if kind == 9:
                connection.sendall(bytes([0x8a, len(body)]) + body)
            elif b'"response.create"' in body:
                for event in RESPONSE:
                    text = json.dumps(event).encode()
                    connection.sendall(b"\x81\x7e" + len(text).to_bytes(2, "big") + text)

    def _git(self, connection, path, fields, asked):
        """Git's smart protocol, as far as a clone goes."""
        listing = path.endswith("/info/refs")
        body = gzip.decompress(asked) if fields.get("content-encoding") == "gzip" else asked
        env = {**os.environ, "GIT_PROTOCOL": fields.get("git-protocol", ""), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        r = subprocess.run(["git", "upload-pack", "--stateless-rpc", *(["--advertise-refs"] if listing else []), self.repository],
                           input=b"" if listing else body, stdout=subprocess.PIPE, env=env, timeout=DEADLINE)
        kind = b"advertisement" if listing else b"result"
        out = (b"001e# service=git-upload-pack\n0000" if listing else b"") + r.stdout
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-%s\r\nContent-Length: %d\r\n\r\n" % (kind, len(out)) + out)


def frame(connection, data):
    """(opcode, body, what follows) of one masked frame."""
    def need(n):
        nonlocal data
        while len(data) < n:
            more = connection.recv(65536)
            if not more:
                raise OSError("the frame was cut short")
            data += more
    need(2)
    n, at = data[1] & 127, 2
    if n > 125:
        at += 2 if n == 126 else 8
        need(at)
        n = int.from_bytes(data[2:at], "big")
    need(at + 4 + n)
    mask = int.from_bytes((data[at:at + 4] * (n // 4 + 1))[:n], "big")
    body = (int.from_bytes(data[at + 4:at + 4 + n], "big") ^ mask).to_bytes(n, "big")
    return data[0] & 15, body, data[at + 4 + n:]


def repository(folder):
    """A bare one with one commit, which everybody may read."""
    tree, bare = os.path.join(folder, "tree"), os.path.join(folder, "repo.git")
    git = {**os.environ, "HOME": folder, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    for command in (["git", "init", "-q", tree], ["git", "-C", tree, "commit", "-q", "--allow-empty", "-m", "the commit"], ["git", "clone", "-q", "--bare", tree, bare]):
        subprocess.run(command, env=git, check=True, timeout=DEADLINE, stdout=subprocess.DEVNULL)
    return bare


def document(value):
    return b"application/json", json.dumps(value).encode()


def npm(at):
    """A registry of one package below /registry."""
    package = tarball("console.log('hello from the origin')\n")
    file = "/registry/egresstry/-/egresstry-1.0.0.tgz"
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    about = {"name": "egresstry", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
        "name": "egresstry", "version": "1.0.0", "dist": {"tarball": at + file, "shasum": hashlib.sha1(package).hexdigest(), "integrity": integrity}}}}
    return {"/registry/egresstry": document(about), file: (b"application/octet-stream", package)}


def pypi():
    """An index of one package below /simple."""
    file = "egresstry-1.0-py3-none-any.whl"
    page = f'<a href="/files/{file}">{file}</a>'.encode()
    data = io.BytesIO(wheel("egresstry"))
    with zipfile.ZipFile(data, "a") as z:
        z.writestr("egresstry_word.py", "WORD = 'hello from the origin'\n")
    return {"/simple/egresstry/": (b"text/html", page), f"/files/{file}": (b"application/zip", data.getvalue())}


def cargo(at):
    """A sparse index of one crate below /index."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as t:
        for name, body in (("Cargo.toml", '[package]\nname = "egresstry"\nversion = "1.0.0"\nedition = "2021"\n'), ("src/lib.rs", "pub const WORD: &str = \"hello from the origin\";\n")):
            entry = tarfile.TarInfo("egresstry-1.0.0/" + name)
            entry.size = len(body)
            t.addfile(entry, io.BytesIO(body.encode()))
    crate = data.getvalue()
    line = {"name": "egresstry", "vers": "1.0.0", "deps": [], "cksum": hashlib.sha256(crate).hexdigest(), "features": {}, "yanked": False}
    return {"/index/config.json": document({"dl": at + "/crates"}), "/index/eg/re/egresstry": (b"text/plain", json.dumps(line).encode() + b"\n"),
            "/crates/egresstry/1.0.0/download": (b"application/gzip", crate)}


def apt(folder):
    """A flat archive of one package below /apt."""
    tree = os.path.join(folder, "deb")
    os.makedirs(tree + "/DEBIAN", 0o755)
    os.makedirs(tree + "/usr/share/egresstry", 0o755)
    with open(tree + "/DEBIAN/control", "w") as f:
        f.write("Package: egresstry\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a try\n")
    with open(tree + "/usr/share/egresstry/word", "w") as f:
        f.write("hello from the origin\n")
    os.chmod(tree, 0o755)
    package = os.path.join(folder, "egresstry.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, package], check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
    with open(package, "rb") as f:
        body = f.read()
    about = (f"Package: egresstry\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@b>\nFilename: ./egresstry_1.0_all.deb\nSize: {len(body)}\n"
             f"SHA256: {hashlib.sha256(body).hexdigest()}\nDescription: a try\n\n")
    return {"/apt/./Packages": (b"text/plain", about.encode()), "/apt/Packages": (b"text/plain", about.encode()),
            "/apt/./egresstry_1.0_all.deb": (b"application/octet-stream", body), "/apt/egresstry_1.0_all.deb": (b"application/octet-stream", body)}


def cluster():
    """What `kubectl get pods` asks."""
    pods = {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"]}
    pod = {"metadata": {"name": "hello-from-the-origin", "namespace": "default"}}
    return {"/api": document({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
            "/apis": document({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
            "/api/v1": document({"kind": "APIResourceList", "groupVersion": "v1", "resources": [pods]}),
            "/api/v1/namespaces/default/pods": document({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [pod]})}


# The Responses API's stream of one answer.
RESPONSE = ({"type": "response.created", "response": {"id": "resp_1"}},
            {"type": "response.output_item.done", "output_index": 0, "item": {
                "type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
                "content": [{"type": "output_text", "text": "origin says hi", "annotations": []}]}},
            {"type": "response.completed", "response": {"id": "resp_1", "usage": {
                "input_tokens": 1, "input_tokens_details": None, "output_tokens": 1, "output_tokens_details": None, "total_tokens": 2}}})


def responses():
    return b"text/event-stream", b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in RESPONSE)
