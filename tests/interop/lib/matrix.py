"""Every way in by every way out by {IPv4, IPv6, name} by {allowed, denied, refused, unreachable}, against real parts, in a network of its own (inside.py).

In the cases that must fail, the origins must have received nothing; with names that the far side resolves, egressd's own name server must not have been asked."""

import os

from lib import parts, ways
from lib.inside import PASSWORD, REMOTE_DNS, USER, closed_port
from lib.origin import Names, Origin
from lib.world import Skip, check

NAMES = {"open.matrix.test": "127.0.0.2", "gone.matrix.test": "192.0.2.1", "denied.matrix.test": "127.0.0.2", "proxy.matrix.test": "127.0.0.1"}
HELLO = b"hello from the origin\n"


class Site:
    """Origins, name servers and certificates that all tests share; proxies are started when a test first asks."""

    def __init__(self, folder):
        self.folder = folder
        self.home = os.path.join(folder, "home")
        self.certificates = parts.Certificates(os.path.join(folder, "pki"))
        cert, key = self.certificates.path("server.pem"), self.certificates.path("server.key")
        self.local, self.remote = Names(NAMES), Names(NAMES, (REMOTE_DNS, 53))
        self.hosts = {"IPv4": "127.0.0.2", "IPv6": "::1", "name": "open.matrix.test"}
        self.gone = {"IPv4": "192.0.2.1", "IPv6": "2001:db8::1", "name": "gone.matrix.test"}
        self.denied = {"IPv4": "127.0.0.9", "IPv6": "fd00::9", "name": "denied.matrix.test"}
        self.tunnel, self.plain, self.tls = {}, {}, {}
        for kind, host in (("IPv4", "127.0.0.2"), ("IPv6", "::1")):
            self.tunnel[kind], self.plain[kind], self.tls[kind] = Origin(host), Origin(host), Origin(host, cert, key)
        for by in (self.tunnel, self.plain, self.tls):
            by["name"] = by["IPv4"]
        self.closed, self.held = {}, []
        for kind, host in (("IPv4", "127.0.0.2"), ("IPv6", "::1")):
            self.closed[kind] = {}
            for scheme in ("tcp", "http", "https"):
                self.closed[kind][scheme], held = closed_port(host)
                self.held.append(held)
        self.closed["name"] = self.closed["IPv4"]
        self.started = {}
        self.resolved = set()  # what any proxy has asked for: they keep answers

    def origins(self):
        return [o for by in (self.tunnel, self.plain, self.tls) for k, o in by.items() if k != "name"]

    def reset(self):
        for o in self.origins():
            o.reset()
        self.resolved.update(self.remote.asked)
        self.local.asked.clear()
        self.remote.asked.clear()

    def received(self):
        return b"".join(o.received for o in self.origins())

    def once(self, name, make):
        """The part that make gives; a Skip is remembered too."""
        if name not in self.started:
            try:
                self.started[name] = make()
            except Skip as e:
                self.started[name] = e
        if isinstance(self.started[name], Skip):
            raise self.started[name]
        return self.started[name]

    def squid(self):
        return self.once("squid", lambda: parts.squid(self.folder, self.certificates))

    def microsocks(self):
        return self.once("microsocks", lambda: parts.microsocks(self.folder))[1]

    def dante(self):
        return self.once("dante", lambda: parts.dante(self.folder))[1]

    def sshd(self):
        return self.once("sshd", lambda: parts.sshd(self.folder, self.home))[1]

    def peer(self):
        """A second egressd: mutual TLS, which stands for the token; it allows all that the first one does."""
        return self.once("peer", lambda: parts.Egressd(self.folder, self.policy("none", listen=self.mutual(), peer=True), options=())).ports[0]

    def mutual(self):
        pki = self.certificates.path
        return (f"listen:\n  - {{address: \"127.0.0.1:0\", auth: client_cert, sessions: {{\"san:build.matrix.test\": default}}, "
                f"tls: {{cert: {pki('server.pem')}, key: {pki('server.key')}, client_ca: {pki('ca.pem')}, require_client: true}}}}\n")

    def policy(self, upstream, resolve="remote", listen="", peer=False):
        """The allowed are tcp (tunnels), http (absolute-form) and https (routes) on ports of their own. peer: what the others' routes want is a tunnel here,
        and names are asked for where the machine says."""
        rules, services = [], []
        for kind in self.hosts:
            for host, where in ((self.hosts[kind], "open"), (self.gone[kind], "gone")):
                key = "host" if kind == "name" else "address"
                port = {"tcp": self.tunnel[kind].port, "http": self.plain[kind].port, "https": self.tls[kind].port}
                for scheme in ("tcp", "http", "https") if peer else ("tcp", "http"):
                    closed = f", {self.closed[kind][scheme]}" if where == "open" else ""
                    rules.append(f"  - {{{key}: \"{host}\", scheme: {'tcp' if scheme == 'https' else scheme}, ports: [{port[scheme]}{closed}]}}")
                services.append(f"  {kind.lower()}-{where}: {{upstream: \"https://{ways.authority(host, self.tls[kind].port)}\"}}")
            services.append(f"  {kind.lower()}-closed: {{upstream: \"https://{ways.authority(self.hosts[kind], self.closed[kind]['https'])}\"}}")
            services.append(f"  {kind.lower()}-denied: {{upstream: \"https://{ways.authority(self.denied[kind], self.tls[kind].port)}\"}}")
        if peer:
            rules.append("  - {address: 127.0.0.1, scheme: tcp, ports: any}  # the next proxy of a chain")
        rules.append(f"deny:\n  - denied.matrix.test\n  - {{address: \"{self.denied['IPv4']}\"}}\n  - {{address: \"{self.denied['IPv6']}\"}}")
        lines = ["egress: 1", "name: matrix", "allow:", *rules, "services:", *services,
                 "networks: {allow: [127.0.0.0/8, \"::1/128\", 192.0.2.0/24, \"2001:db8::/32\"]}",
                 "limits: {connect_timeout: 8s, tls_timeout: 8s, dns_timeout: 8s}",
                 "" if peer else f"dns: {{servers: [\"127.0.0.1:{self.local.port}\"]}}", f"tls: {{ca: {self.certificates.path('ca.pem')}, system: false}}"]
        if upstream == "none":
            lines.append("upstream: none")
        else:
            lines.append(f"upstream: {{proxies: [{upstream}], resolve: {resolve}}}\ncredentials:\n"
                         "  login: {from: env:MATRIX_LOGIN, hosts: [127.0.0.1, proxy.matrix.test]}")
        return "\n".join(lines) + "\n" + listen

    def egressd(self, upstream, **more):
        return parts.Egressd(self.folder, self.policy(upstream, **more), env={"MATRIX_LOGIN": f"{USER}:{PASSWORD}"})

    def done(self):
        for started in self.started.values():
            part = started[0] if isinstance(started, tuple) else started
            if hasattr(part, "end"):
                part.end()


def tls(site, more=""):
    return f"tls: {{ca: {site.certificates.path('ca.pem')}{more}}}"


def client(site, name="client"):
    return f", client_cert: {site.certificates.path(name + '.pem')}, client_key: {site.certificates.path(name + '.key')}"


OUT = {
    "direct": lambda site: "none",
    "http_squid": lambda site: f"{{proxy: \"http://127.0.0.1:{site.squid()[1]}\", credential: login}}",
    "https_squid": lambda site: f"{{proxy: \"https://127.0.0.1:{site.squid()[2]}\", credential: login, {tls(site)}}}",
    "socks5_dante": lambda site: f"{{proxy: \"socks5://127.0.0.1:{site.dante()}\", credential: login}}",
    "socks5h_microsocks": lambda site: f"{{proxy: \"socks5h://127.0.0.1:{site.microsocks()}\", credential: login}}",
    "ssh": lambda site: f"{{proxy: \"ssh://root@127.0.0.1:{site.sshd()}\"}}",
    "https_egressd_mutual_tls": lambda site: f"{{proxy: \"https://127.0.0.1:{site.peer()}\", {tls(site, client(site))}}}",
    "socks5_tls_egressd_mutual_tls": lambda site: f"{{proxy: \"socks5+tls://127.0.0.1:{site.peer()}\", {tls(site, client(site))}}}",
    "chain_microsocks_https_squid": lambda site: f"{OUT['socks5h_microsocks'](site)}, {OUT['https_squid'](site)}",
    "chain_https_egressd_socks5_dante": lambda site: f"{OUT['https_egressd_mutual_tls'](site)}, {OUT['socks5_dante'](site)}",
}
IN = ("connect", "socks5", "absolute", "route")


def host_of(site, case, kind):
    return {"denied": site.denied, "unreachable": site.gone}.get(case, site.hosts)[kind]


def go(site, way_in, egressd, kind, case):
    """One try: a connection through that way in to what the case names."""
    host = host_of(site, case, kind)
    scheme = {"absolute": "http", "route": "https"}.get(way_in, "tcp")
    port = site.closed[kind][scheme] if case == "refused" else {"tcp": site.tunnel, "http": site.plain, "https": site.tls}[scheme][kind].port
    if way_in == "route":
        name = {"allowed": "open", "denied": "denied", "refused": "closed", "unreachable": "gone"}[case]
        return ways.route(egressd.ports[0], f"{kind.lower()}-{name}")
    way = {"connect": ways.connect, "socks5": ways.socks, "absolute": ways.absolute}[way_in]
    return way(egressd.ports[0], egressd.token, host, port)


# What each case must look like: statuses of HTTP, replies of SOCKS5 (1000 and the reply), reasons. A proxy that says no more than 503 is believed.
FINE = {"refused": ({502, 503, 504}, {1001, 1005}), "unreachable": ({502, 503, 504}, {1001, 1003, 1004, 1005, 1006}), "denied": ({403}, {1002})}
EXACT = {"refused": ("connect_refused", 502, 1005), "unreachable": ("net_unreachable", 502, 1003)}


def judge(site, way_out, way_in, kind, case, outcome):
    what = f"{way_in} > {way_out} > {kind}, {case}: {outcome!r}"
    if case == "allowed":
        check(outcome.status == 200 and outcome.body == HELLO, what)
        check(site.received().count(b"GET /") == 1, f"{what}: the origins got {site.received()!r}")
        check(PASSWORD.encode() not in site.received() and b"roxy-Authorization" not in site.received(), f"{what}: {site.received()!r}")
    else:
        status, replies = FINE[case]
        check(outcome.status in (status | replies), what)
        check(not site.received(), f"{what}: the origins got {site.received()!r}")
        if case in EXACT and way_out == "direct":
            reason, http, reply = EXACT[case]
            check(outcome.status == reply if outcome.status >= 1000 else (outcome.status, outcome.reason) == (http, reason), what)
    remote = way_out != "direct"
    if kind == "name" and remote:
        check(site.local.asked == [], f"{what}: egressd resolved {site.local.asked}")
        check(case == "denied" or host_of(site, case, kind) in site.resolved | set(site.remote.asked), f"{what}: nobody resolved the name")
    if case == "denied":
        check(site.remote.asked == [], f"{what}: {site.remote.asked} was asked for")


def matrix(site, way_in, way_out):
    egressd = site.once(f"out {way_out}", lambda: site.egressd(OUT[way_out](site)))
    wrong = []
    for kind in ("IPv4", "IPv6", "name"):
        for case in ("allowed", "denied", "refused", "unreachable"):
            site.reset()
            try:
                outcome = go(site, way_in, egressd, kind, case)
                judge(site, way_out, way_in, kind, case, outcome)
                if os.environ.get("MATRIX_SHOW"):
                    print(f"    {kind} {case}: {outcome!r}", flush=True)
            except Skip:
                raise
            except Exception as e:  # every cell is told of, not only the first
                wrong.append(f"{type(e).__name__}: {e}" if not str(e).startswith(way_in) else str(e))
    check(not wrong, "\n".join(wrong) + f"\n{egressd.name} said: {egressd.said()[-500:]}")


def _cell(way_in, way_out):
    def test(site):
        matrix(site, way_in, way_out)
    return test


for _out in OUT:
    for _in in IN:
        globals()[f"test_{_in}_out_{_out}"] = _cell(_in, _out)
