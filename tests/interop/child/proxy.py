"""Speaks to the proxy by hand. Run in the sandbox: proxy.py challenge | sni NAME | direct | reach NAME:PORT"""

import base64
import os
import socket
import ssl
import sys
import urllib.parse

proxy = urllib.parse.urlsplit(os.environ["http_proxy"])
basic = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()


def read_head(s):
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(4096)
        if not more:
            break
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    want = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            want = int(value)
    while len(body) < want:
        more = s.recv(4096)
        if not more:
            break
        body += more
    return head.decode("latin-1"), body.decode("latin-1")


def connect(s, authority, token=True):
    field = f"Proxy-Authorization: Basic {basic}\r\n" if token else ""
    s.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{field}\r\n".encode())
    return read_head(s)


def dial():
    return socket.create_connection((proxy.hostname, proxy.port), 30)


def context():
    return ssl.create_default_context(cafile=os.environ["CA"])


def challenge():
    """Without a token: 407 with a challenge, and the same connection takes the token."""
    s = dial()
    head, body = connect(s, os.environ["API"], token=False)
    print(head)
    print(body)
    head, _ = connect(s, os.environ["API"])
    print("THEN", head.split("\r\n")[0])
    t = context().wrap_socket(s, server_hostname="api.interop.test")
    t.sendall(b"GET / HTTP/1.1\r\nHost: api.interop.test\r\nConnection: close\r\n\r\n")
    print("INSIDE", read_head(t)[0].split("\r\n")[0])


def wrong_token():
    s = dial()
    s.sendall(f"CONNECT {os.environ['API']} HTTP/1.1\r\nProxy-Authorization: Bearer {'0' * 64}\r\n\r\n".encode())
    print(read_head(s)[0])


def sni(name):
    s = dial()
    print(connect(s, os.environ["API"])[0].split("\r\n")[0])
    c = context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    try:
        c.wrap_socket(s, server_hostname=None if name == "-" else name)
        print("HANDSHAKE DONE")
    except (ssl.SSLError, OSError) as e:
        print("CUT", e)


def plaintext():
    s = dial()
    print(connect(s, os.environ["API"])[0].split("\r\n")[0])
    s.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    try:
        print("GOT", s.recv(4096)[:1])
    except OSError as e:
        print("CUT", e)


def direct():
    """Every way that ignores the proxy."""
    port = int(os.environ["API_PORT"])
    ways = [(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.2", port)), (socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 443)),
            (socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)), (socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::1", 443)),
            (socket.AF_INET6, socket.SOCK_DGRAM, ("2001:db8::1", 53)), (socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80))]
    for family, kind, address in ways:
        try:
            s = socket.socket(family, kind)
            s.settimeout(10)
            s.connect(address)
            s.send(b"x")
            print("REACHED", address)
        except OSError as e:
            print("refused", address, e.errno)
    for family, kind in ((socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_VSOCK, socket.SOCK_STREAM), (socket.AF_PACKET, socket.SOCK_RAW)):
        try:
            socket.socket(family, kind)
            print("REACHED", family)
        except OSError as e:
            print("refused", int(family), e.errno)


def reach(authority):
    print(*connect(dial(), authority), sep="\n")


if __name__ == "__main__":
    {"challenge": challenge, "wrong_token": wrong_token, "sni": sni, "plaintext": plaintext, "direct": direct,
     "reach": reach}[sys.argv[1]](*sys.argv[2:])
