"""The ways in, spoken by hand: CONNECT, SOCKS5, absolute-form and a route. Each gives an Outcome; each closes its connection."""

import base64
import http.client
import io
import socket
import ssl
import struct

TIMEOUT = 20


class Outcome:
    """status: of HTTP, or 1000 and the SOCKS5 reply. reason: what X-Egress-Reason says. body: what the origin, or the refusal, said."""

    def __init__(self, status, reason="", body=b""):
        self.status, self.reason, self.body = status, reason, body

    def __repr__(self):
        return f"{self.status} {self.reason or '-'} {self.body[:80]!r}"


class _Kept(io.BytesIO):
    def makefile(self, *_):
        return self


def read_answer(s, method="GET"):
    """One HTTP response; nothing behind it is taken off the connection when it has no body."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = s.recv(1)
        if not more:
            raise OSError(f"the connection ended in the head: {head!r}")
        head += more
    parsed = http.client.HTTPResponse(_Kept(head), method=method)
    parsed.begin()
    length, body = int(parsed.headers.get("Content-Length") or 0), b""
    connect_fine = method == "CONNECT" and parsed.status == 200
    while not connect_fine and len(body) < length:
        more = s.recv(length - len(body))
        if not more:
            break
        body += more
    return Outcome(parsed.status, parsed.headers.get("X-Egress-Reason", ""), body)


def authority(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dial(port, tls=None, address="127.0.0.1"):
    """A connection to a listener; tls: (SSLContext, server_hostname)."""
    s = socket.create_connection((address, port), TIMEOUT)
    s.settimeout(TIMEOUT)
    return tls[0].wrap_socket(s, server_hostname=tls[1]) if tls else s


def field(token):
    return f"Proxy-Authorization: Basic {base64.b64encode(f'matrix:{token}'.encode()).decode()}\r\n" if token else ""


def ask(s, host, port, more=""):
    """One request to the origin, through what s is."""
    s.sendall(f"GET /x HTTP/1.1\r\nHost: {authority(host, port)}\r\n{more}Connection: close\r\n\r\n".encode())
    return read_answer(s)


def connect(listener, token, host, port, tls=None):
    with dial(listener, tls) as s:
        to = authority(host, port)
        s.sendall(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{field(token)}\r\n".encode())
        answer = read_answer(s, "CONNECT")
        return ask(s, host, port) if answer.status == 200 else answer


def exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise OSError(f"the connection ended after {data!r}")
        data += more
    return data


def socks_address(host):
    for family, kind in ((socket.AF_INET, b"\1"), (socket.AF_INET6, b"\4")):
        try:
            return kind + socket.inet_pton(family, host)
        except OSError:
            pass
    return b"\3" + bytes([len(host)]) + host.encode()


def socks_open(s, token, host, port):
    """RFC 1928 and, with a token, RFC 1929; the reply."""
    s.sendall(b"\5\1\2" if token else b"\5\1\0")
    method = exactly(s, 2)
    if method[1] == 0xff or method[0] != 5:
        return 0xff
    if token:
        s.sendall(b"\1\6matrix" + bytes([len(token)]) + token.encode())
        if exactly(s, 2)[1] != 0:
            return 0xfe
    s.sendall(b"\5\1\0" + socks_address(host) + struct.pack("!H", port))
    reply = exactly(s, 4)
    rest = {1: 4, 4: 16}.get(reply[3])
    exactly(s, (exactly(s, 1)[0] if rest is None else rest) + 2)
    return reply[1]


def socks(listener, token, host, port, tls=None):
    with dial(listener, tls) as s:
        reply = socks_open(s, token, host, port)
        return Outcome(1000 + reply) if reply else ask(s, host, port)


def absolute(listener, token, host, port, tls=None):
    with dial(listener, tls) as s:
        to = authority(host, port)
        s.sendall(f"GET http://{to}/x HTTP/1.1\r\nHost: {to}\r\n{field(token)}Connection: close\r\n\r\n".encode())
        return read_answer(s)


def route(listener, name, tls=None):
    with dial(listener, tls) as s:
        s.sendall(f"GET /{name}/x HTTP/1.1\r\nHost: 127.0.0.1:{listener}\r\nConnection: close\r\n\r\n".encode())
        return read_answer(s)


def context(ca, cert=None, key=None):
    c = ssl.create_default_context(cafile=ca)
    if cert:
        c.load_cert_chain(cert, key)
    return c
