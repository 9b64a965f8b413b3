"""A process that answers whatever comes with the proof of escape.h; the servers that the escape suite aims at.

answer.py [net] [dns] [group DEVICE] [calls FIFO FIFO ADDRESS4 ADDRESS6] [unix KIND NAME]...   It prints one line of name=value words when it is ready and lives until its stdin ends.
net: TCP and UDP of both families on one port; dns: the same on port 53; group: takes part in 224.0.0.251; calls: what is written to the first FIFO ("tcp4 PORT") is called at ADDRESS, and what
came of it goes to the second; unix: KIND is stream, packets or datagram, NAME a path or @abstract."""

import os
import selectors
import socket
import sys

PROOF = b"escape-proof\n"
KINDS = {"stream": socket.SOCK_STREAM, "packets": socket.SOCK_SEQPACKET, "datagram": socket.SOCK_DGRAM}
FAMILIES = (socket.AF_INET, socket.AF_INET6)
chosen = selectors.DefaultSelector()


def watch(s, call):
    s.setblocking(False)
    chosen.register(s, selectors.EVENT_READ, call)


def answer(s):
    try:
        if s.recv(512):
            s.send(PROOF)
            return
    except BlockingIOError:
        return
    except OSError:
        pass
    chosen.unregister(s)
    s.close()


def accept(s):
    try:
        watch(s.accept()[0], answer)
    except OSError:
        pass


def datagram(s):
    try:
        data, who = s.recvfrom(512)
        if who:
            s.sendto(PROOF, who)
    except OSError:
        pass


def listen(family, kind, at):
    s = socket.socket(family, kind)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(at)
    if kind != socket.SOCK_DGRAM:
        s.listen(64)
    watch(s, datagram if kind == socket.SOCK_DGRAM else accept)
    return s


def everywhere(port):
    """One port of TCP and UDP over both families; the kernel's choice may be taken in one of the others, then again."""
    for attempt in range(50):
        made, number = [], port
        try:
            for family in FAMILIES:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    made.append(listen(family, kind, ("", number)))
                    number = made[0].getsockname()[1]
            return number, made
        except OSError:
            for s in made:
                chosen.unregister(s)
                s.close()
            if port:
                raise
    raise OSError("no port is free four times")


def unix(kind, name):
    s = listen(socket.AF_UNIX, KINDS[kind], "\0" + name[1:] if name.startswith("@") else name)
    if not name.startswith("@"):
        os.chmod(name, 0o666)
    return s


def calls(asked, told, address4, address6):
    ours = os.open(asked, os.O_RDWR | os.O_NONBLOCK)
    back = os.open(told, os.O_RDWR | os.O_NONBLOCK)

    def call(_):
        for line in os.read(ours, 512).decode().splitlines():
            kind, port = line.split()
            with socket.socket(FAMILIES[kind.endswith("6")], KINDS["stream" if kind[0] == "t" else "datagram"]) as s:
                s.settimeout(2)
                try:
                    s.connect((address6 if kind.endswith("6") else address4, int(port)))
                    s.send(PROOF)
                except OSError:
                    pass
            os.write(back, b"tried\n")
    chosen.register(ours, selectors.EVENT_READ, call)


def main():
    words, said, net = sys.argv[1:], "", []
    while words:
        what = words.pop(0)
        if what in ("net", "dns"):
            port, made = everywhere(53 if what == "dns" else 0)
            net += made
            said += f"{what}={port} "
        elif what == "group":
            device = socket.if_nametoindex(words.pop(0))
            for s in net:
                if s.family == socket.AF_INET and s.type == socket.SOCK_DGRAM:
                    member = socket.inet_aton("224.0.0.251") + bytes(4) + device.to_bytes(4, sys.byteorder)
                    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        elif what == "calls":
            calls(*(words.pop(0) for _ in range(4)))
        else:
            unix(words.pop(0), words.pop(0))
    print(said, flush=True)
    chosen.register(sys.stdin, selectors.EVENT_READ, None)
    while True:
        for key, _ in chosen.select():
            if key.data is None:
                return
            key.data(key.fileobj)


main()
