"""What proxies and peers on the way must not get away with, in the network of the matrix: certificates of mutual TLS, wrong passwords, host keys; and who resolves."""

import os
import shutil
import ssl

from lib import parts, ways
from lib.inside import PASSWORD, USER
from lib.matrix import HELLO, OUT, client, tls
from lib.world import Skip, check, need

WRONG = "wrong-horse-7"


def started(site, upstream, **more):
    """egressd with that upstream; the caller ends it."""
    login = more.pop("login", f"{USER}:{PASSWORD}")
    return parts.Egressd(site.folder, site.policy(upstream, **more), env={"MATRIX_LOGIN": login, **more.get("env", {})})


def every_way(site, egressd, kind="IPv4"):
    """[(way in, outcome)] of an allowed target."""
    host = site.hosts[kind]
    return [("connect", ways.connect(egressd.ports[0], egressd.token, host, site.tunnel[kind].port)),
            ("socks5", ways.socks(egressd.ports[0], egressd.token, host, site.tunnel[kind].port)),
            ("absolute", ways.absolute(egressd.ports[0], egressd.token, host, site.plain[kind].port)),
            ("route", ways.route(egressd.ports[0], f"{kind.lower()}-open"))]


def refused(site, upstream, reasons, secret=None, **more):
    """Every way in fails with one of these reasons, and the origins got nothing."""
    site.reset()
    egressd = started(site, upstream, **more)
    try:
        for way, outcome in every_way(site, egressd):
            fine = 1000 < outcome.status < 1010 if way == "socks5" else (outcome.status in (502, 504) and outcome.reason in reasons)
            check(fine, f"{way}: {outcome!r}; wanted {reasons}")
            check(not secret or secret.encode() not in outcome.body, f"{way}: the password is in {outcome.body!r}")
        check(not site.received(), f"the origins got {site.received()!r}")
        check(not secret or secret not in egressd.said(), f"the password is in the log: {egressd.said()}")
    finally:
        egressd.end()


# ---- mutual TLS, as the one who asks ----

BROKEN = ("tls_failed", "tls_untrusted", "upstream_proxy_failed")


def peer_url(site, scheme="https"):
    return f"proxy: \"{scheme}://127.0.0.1:{site.peer()}\""


def test_mutual_tls_client_certificate_of_another_ca(site):
    for scheme in ("https", "socks5+tls"):
        refused(site, f"{{{peer_url(site, scheme)}, {tls(site, client(site, 'stranger'))}}}", BROKEN)


def test_mutual_tls_client_certificate_that_has_expired(site):
    for scheme in ("https", "socks5+tls"):
        refused(site, f"{{{peer_url(site, scheme)}, {tls(site, client(site, 'expired'))}}}", BROKEN)


def test_mutual_tls_without_a_client_certificate(site):
    for scheme in ("https", "socks5+tls"):
        refused(site, f"{{{peer_url(site, scheme)}, {tls(site)}}}", BROKEN)


def test_mutual_tls_wrong_server_name(site):
    refused(site, f"{{{peer_url(site)}, {tls(site, client(site) + ', server_name: other.example')}}}", ("tls_name",))


def test_mutual_tls_server_of_another_ca(site):
    other = f"tls: {{ca: {site.certificates.path('other-ca.pem')}{client(site)}}}"
    refused(site, f"{{{peer_url(site)}, {other}}}", ("tls_untrusted",))


def test_https_proxy_server_name(site):
    """server_name stands for the host of the URL, and is checked."""
    url = f"proxy: \"https://127.0.0.1:{site.squid()[2]}\", credential: login"
    egressd = started(site, f"{{{url}, {tls(site, ', server_name: proxy.matrix.test')}}}")
    try:
        site.reset()
        for way, outcome in every_way(site, egressd):
            check(outcome.status == 200 and outcome.body == HELLO, f"{way}: {outcome!r}")
    finally:
        egressd.end()
    refused(site, f"{{{url}, {tls(site, ', server_name: other.example')}}}", ("tls_name",))


# ---- mutual TLS, as the one who is asked ----

def knock(site, context):
    """What a client with that TLS gets of the peer: the answer, or None when it was cut."""
    try:
        return ways.connect(site.peer(), None, "127.0.0.2", site.tunnel["IPv4"].port, (context, "proxy.matrix.test"))
    except (ssl.SSLError, OSError):
        return None


def test_tls_listener_asks_for_a_certificate(site):
    path = site.certificates.path
    site.reset()
    good = knock(site, ways.context(path("ca.pem"), path("client.pem"), path("client.key")))
    check(good and good.status == 200 and good.body == HELLO, good)
    site.reset()
    for name in ("stranger", "expired", None):
        pair = (path(name + ".pem"), path(name + ".key")) if name else ()
        check(knock(site, ways.context(path("ca.pem"), *pair)) is None, f"{name} was answered")
    check(not site.received(), f"the origins got {site.received()!r}")


def test_tls_listener_takes_no_plain_bytes(site):
    site.reset()
    for text in (b"CONNECT 127.0.0.2:%d HTTP/1.1\r\n\r\n" % site.tunnel["IPv4"].port, b"\5\1\0"):
        with ways.dial(site.peer()) as s:
            s.sendall(text)
            try:
                answer = s.recv(4096)
            except OSError:
                answer = b""
            check(not answer or answer[0] == 0x15, f"plain bytes were answered with {answer!r}")  # a TLS alert is fine
    check(not site.received(), f"the origins got {site.received()!r}")


def test_tls_listener_speaks_every_protocol_inside(site):
    path = site.certificates.path
    inside = (ways.context(path("ca.pem"), path("client.pem"), path("client.key")), "proxy.matrix.test")
    for way, port in ((ways.connect, site.tunnel), (ways.socks, site.tunnel), (ways.absolute, site.plain)):
        outcome = way(site.peer(), None, "127.0.0.2", port["IPv4"].port, inside)
        check(outcome.status == 200 and outcome.body == HELLO, f"{way.__name__}: {outcome!r}")
    outcome = ways.route(site.peer(), "ipv4-open", inside)
    check(outcome.status == 200 and outcome.body == HELLO, f"route: {outcome!r}")


# ---- wrong logins ----

def test_wrong_password_for_every_kind_of_proxy(site):
    """The upstream's refusal is our 502 and never the child's 407; no message repeats the password."""
    told, found = [], 0
    for name in ("http_squid", "https_squid", "socks5_dante", "socks5h_microsocks"):
        try:
            upstream = OUT[name](site)
        except Skip as e:
            told.append(str(e))
            continue
        refused(site, upstream, ("upstream_proxy_auth",), secret=WRONG, login=f"{USER}:{WRONG}")
        found += 1
    if not found:
        raise Skip("; ".join(told))


# ---- ssh ----

def test_ssh_host_key_that_is_not_known(site):
    known = os.path.join(site.home, ".ssh", "known_hosts")
    upstream = OUT["ssh"](site)
    shutil.move(known, known + ".away")
    try:
        parts.write(known, "", 0o600)
        refused(site, upstream, ("ssh_down",))
    finally:
        shutil.move(known + ".away", known)


def test_ssh_gateway_that_is_not_there(site):
    need("ssh")
    refused(site, f"{{proxy: \"ssh://root@127.0.0.1:{site.closed['IPv4']['tcp']}\"}}", ("ssh_down",))


def test_ssh_forwarding_that_is_prohibited(site):
    def make():
        os.mkdir(os.path.join(site.folder, "strict"))
        return parts.sshd(os.path.join(site.folder, "strict"), site.home, "AllowTcpForwarding no")
    port = site.once("strict sshd", make)[1]
    refused(site, f"{{proxy: \"ssh://root@127.0.0.1:{port}\"}}", ("ssh_prohibited",))


# ---- who resolves ----

REMOTE = ("http_squid", "socks5_dante", "socks5h_microsocks", "ssh", "https_egressd_mutual_tls", "chain_microsocks_https_squid")


def names_by(site, name, resolve):
    """Every way in to a name: what egressd asked its own name server."""
    egressd = started(site, OUT[name](site), resolve=resolve)
    try:
        site.reset()
        for way, outcome in every_way(site, egressd, "name"):
            if (name, resolve, way) == ("https_egressd_mutual_tls", "local", "absolute"):
                check(outcome.status == 421, f"{name}, {way}: {outcome!r}")  # the address in the line, the name in Host: refused there as ambiguous
                continue
            check(outcome.status == 200 and outcome.body == HELLO, f"{name}, {way}: {outcome!r}")
        return list(site.local.asked)
    finally:
        egressd.end()


def each_remote(site, test):
    skipped = []
    for name in REMOTE:
        try:
            test(name)
        except Skip as e:
            skipped.append(f"{name}: {e}")
    if len(skipped) == len(REMOTE):
        raise Skip("; ".join(skipped))


def test_names_are_resolved_at_the_far_side(site):
    def one(name):
        asked = names_by(site, name, "remote")
        check(asked == [], f"{name}: egressd asked for {asked}")
        check("open.matrix.test" in site.resolved | set(site.remote.asked), f"{name}: the far side asked for nothing")
    each_remote(site, one)


def test_resolve_local_asks_the_upstream_for_the_address(site):
    def one(name):
        site.remote.asked.clear()
        asked = names_by(site, name, "local")
        check("open.matrix.test" in asked, f"{name}: egressd asked for {asked}")
        check("open.matrix.test" not in site.remote.asked, f"{name}: the far side asked for {site.remote.asked}")
    each_remote(site, one)


def test_resolve_local_judges_the_addresses(site):
    """The name is allowed; where it leads to is not."""
    site.local.table["bad.matrix.test"] = "10.1.2.3"
    policy = site.policy(OUT["http_squid"](site), resolve="local").replace(
        "allow:\n", f"allow:\n  - {{host: bad.matrix.test, scheme: tcp, ports: [{site.tunnel['IPv4'].port}]}}\n", 1)
    egressd = parts.Egressd(site.folder, policy, env={"MATRIX_LOGIN": f"{USER}:{PASSWORD}"})
    try:
        site.reset()
        outcome = ways.connect(egressd.ports[0], egressd.token, "bad.matrix.test", site.tunnel["IPv4"].port)
        check((outcome.status, outcome.reason) == (403, "address_denied"), outcome)
        check(not site.received(), site.received())
    finally:
        egressd.end()


# ---- the environment ----

def test_environment_chooses_and_no_proxy_spares(site):
    """Without `upstream` in the policy, egressd's own HTTPS_PROXY, HTTP_PROXY and NO_PROXY."""
    http, port = f"http://{USER}:{PASSWORD}@127.0.0.1:{site.squid()[1]}", site.tunnel["IPv4"].port
    policy = site.policy("none").replace("upstream: none\n", "")
    for no_proxy, asked in (("", False), ("matrix.test", True), (f"open.matrix.test:{port}", True), ("127.0.0.0/8", False)):
        egressd = parts.Egressd(site.folder, policy, env={"HTTPS_PROXY": http, "http_proxy": http, "NO_PROXY": no_proxy})
        try:
            site.reset()
            outcome = ways.connect(egressd.ports[0], egressd.token, "open.matrix.test", port)
            check(outcome.status == 200 and outcome.body == HELLO, f"NO_PROXY={no_proxy}: {outcome!r}")
            check(bool(site.local.asked) == asked, f"NO_PROXY={no_proxy}: egressd asked for {site.local.asked}")
            check(PASSWORD not in egressd.said(), "the password is in the log")
        finally:
            egressd.end()


def test_environment_is_ignored_where_the_policy_speaks(site):
    """A dead proxy in the environment, and one in the policy that works: authoritative, whatever NO_PROXY says."""
    dead = f"http://127.0.0.1:{site.closed['IPv4']['tcp']}"
    egressd = parts.Egressd(site.folder, site.policy(OUT["http_squid"](site)), env={
        "MATRIX_LOGIN": f"{USER}:{PASSWORD}", "HTTPS_PROXY": dead, "HTTP_PROXY": dead, "ALL_PROXY": dead, "NO_PROXY": "*"})
    try:
        site.reset()
        for way, outcome in every_way(site, egressd, "name"):
            check(outcome.status == 200 and outcome.body == HELLO, f"{way}: {outcome!r}")
        check(site.local.asked == [], f"egressd asked for {site.local.asked}: NO_PROXY was followed")
    finally:
        egressd.end()


def test_bad_proxy_of_the_environment_fails_the_start(site):
    policy = site.policy("none").replace("upstream: none\n", "")
    for value in (f"http://{USER}:{PASSWORD}@127.0.0.1:1/path", f"gopher://{USER}:{PASSWORD}@127.0.0.1:1", f"http://{USER}:{PASSWORD}@127.0.0.1:99999"):
        path = parts.write(os.path.join(site.folder, "bad.yaml"), policy)
        r = parts.refused_start(site.folder, path, {"HTTPS_PROXY": value})
        check(r.returncode != 0 and r.stdout == "" and r.stderr, f"{value}: {r}")
        check(PASSWORD not in r.stderr and USER not in r.stderr, f"the login is in {r.stderr}")


