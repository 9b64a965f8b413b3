"""Real clients of the ways in, in the network of the matrix: curl in every mode, nc, ssh and git through SOCKS5, requests with PySocks; and whom they ask for names."""

import os
import subprocess

from lib import parts
from lib.inside import PASSWORD, USER
from lib.matrix import OUT
from lib.origin import Names
from lib.world import DEADLINE, PYTHON, Skip, check, need

CLIENT_DNS = "127.0.0.54"  # what the clients' own /etc/resolv.conf names: neither egressd nor a proxy asks it
CHILD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "child")


class Stand:
    """One egressd with a listener of each kind, and what a client of it has to know."""

    def __init__(self, site, upstream="none"):
        pki = site.certificates.path
        listen = f"""listen:
  - {{address: "127.0.0.1:0"}}
  - {{address: "127.0.0.1:0", tls: {{cert: {pki('server.pem')}, key: {pki('server.key')}}}}}
  - {{address: "127.0.0.1:0", auth: none}}
"""
        listen += site.mutual().partition("\n")[2]
        rule = f"allow:\n  - {{host: proxy.matrix.test, scheme: tcp, ports: [{sshd_port(site)}]}}\n"
        rule += f"  - {{host: open.matrix.test, ports: [{site.tls['name'].port}]}}\n"
        policy = site.policy(upstream, listen=listen).replace("allow:\n", rule, 1)
        self.egressd = parts.Egressd(site.folder, policy, options=(), env={"MATRIX_LOGIN": f"{USER}:{PASSWORD}"})
        self.plain, self.tls, self.open, self.mutual = (f"127.0.0.1:{p}" for p in self.egressd.ports)
        self.login = f"matrix:{self.egressd.token}@"

    def end(self):
        self.egressd.end()


def sshd_port(site):
    try:
        return site.sshd()
    except Skip:
        return 1


def stand(site, upstream="none"):
    return site.once(f"stand {upstream}", lambda: Stand(site, upstream if upstream == "none" else OUT[upstream](site)))


def run(site, *argv, input=None, env=None):
    """In a mount namespace with a resolver of its own; site.client is who it asks."""
    if "client" not in site.started:
        site.started["client"] = Names(site.local.table, (CLIENT_DNS, 53))
        parts.write(os.path.join(site.folder, "client.conf"), f"nameserver {CLIENT_DNS}\n")
    site.reset()
    site.started["client"].asked.clear()
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    r = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script, os.path.join(site.folder, "client.conf"), *argv],
                       capture_output=True, text=True, input=input, timeout=DEADLINE, cwd=site.folder,
                       env={**parts.ENVIRONMENT, "HOME": site.home, **(env or {})})
    r.asked = list(site.started["client"].asked)
    return r


def curl(site, proxy, url, *more):
    need("curl")
    ca = site.certificates.path("ca.pem")
    return run(site, "curl", "-sS", "-m", "30", "--cacert", ca, "--proxy-cacert", ca, "-x", proxy, *more, url)


def urls(site):
    return [f"https://open.matrix.test:{site.tls['name'].port}/x"]


def fine(site, r, what):
    check(r.returncode == 0 and r.stdout == "hello from the origin\n", f"{what}: {r}")


def each_url(site, proxy, what, *more):
    for url in (f"https://open.matrix.test:{site.tls['name'].port}/x", f"http://open.matrix.test:{site.plain['name'].port}/x"):
        r = curl(site, proxy, url, *more)
        fine(site, r, f"{what}, {url}")
        check(r.asked == [], f"{what}: curl asked for {r.asked}")


def test_curl_http_proxy(site):
    s = stand(site)
    each_url(site, f"http://{s.login}{s.plain}", "http")


def test_curl_https_proxy(site):
    s = stand(site)
    each_url(site, f"https://{s.login}{s.tls}", "https")


def test_curl_proxy_cert(site):
    """The client's certificate is the session: no login."""
    s, path = stand(site), site.certificates.path
    each_url(site, f"https://{s.mutual}", "proxy-cert", "--proxy-cert", path("client.pem"), "--proxy-key", path("client.key"))
    for name in ("stranger", "expired"):
        r = curl(site, f"https://{s.mutual}", urls(site)[0], "--proxy-cert", path(name + ".pem"), "--proxy-key", path(name + ".key"))
        check(r.returncode != 0 and not site.received(), f"{name}: {r}")
    r = curl(site, f"https://{s.mutual}", urls(site)[0])
    check(r.returncode != 0 and not site.received(), f"no certificate: {r}")


def socks_urls(site):
    """Inside SOCKS a scheme of the policy decides: https, and http that is parsed."""
    return urls(site) + [f"http://open.matrix.test:{site.plain['name'].port}/x"]


def test_curl_socks5h(site):
    s = stand(site)
    for url in socks_urls(site):
        r = curl(site, f"socks5h://{s.login}{s.plain}", url)
        fine(site, r, url)
        check(r.asked == [], f"curl asked for {r.asked}")
        check("open.matrix.test" in site.local.asked or not site.local.asked, site.local.asked)


def test_curl_socks5(site):
    """The client resolves: what arrives is an address, which the rule of a name does not allow."""
    s = stand(site)
    r = curl(site, f"socks5://{s.login}{s.plain}", urls(site)[0])
    check(r.returncode == 97 and "open.matrix.test" in r.asked and not site.received(), r)
    r = curl(site, f"socks5://{s.login}{s.plain}", f"http://127.0.0.2:{site.tunnel['IPv4'].port}/x")
    fine(site, r, "an address that is allowed")


def test_curl_socks5_wrong_token(site):
    s = stand(site)
    for login in ("matrix:wrong@", ""):
        r = curl(site, f"socks5h://{login}{s.plain}", urls(site)[0])
        check(r.returncode == 97 and not site.received(), r)


def test_socks5h_with_remote_resolving_upstream_asks_for_no_name(site):
    """Neither the client nor egressd: only the proxy at the far side."""
    done = 0
    for name in ("socks5h_microsocks", "http_squid", "ssh"):
        try:
            s = stand(site, name)
        except Skip:
            continue
        for url in urls(site):
            r = curl(site, f"socks5h://{s.login}{s.plain}", url)
            fine(site, r, f"{name}, {url}")
            check(r.asked == [], f"{name}: curl asked for {r.asked}")
            check(site.local.asked == [], f"{name}: egressd asked for {site.local.asked}")
        done += 1
    if not done:
        raise Skip("no such proxy here")


def nc(site, *words):
    port = site.tunnel["name"].port
    need("nc")
    request = "GET /x HTTP/1.1\r\nHost: open.matrix.test\r\nConnection: close\r\n\r\n"
    return run(site, "nc", "-w", "10", *words, "open.matrix.test", str(port), input=request)


def openbsd(site):
    need("nc")
    said = run(site, "nc", "-h")
    if "proxy_username" not in said.stderr + said.stdout:
        raise Skip("nc is not OpenBSD's")


def test_nc_socks5(site):
    openbsd(site)
    s = stand(site)
    r = nc(site, "-X", "5", "-x", s.open)
    check(r.returncode == 0 and r.stdout.endswith("hello from the origin\n"), r)
    check(r.asked == [], f"nc asked for {r.asked}")
    r = nc(site, "-X", "5", "-x", s.plain)  # it can't tell a token
    check(r.returncode != 0 and not site.received(), r)


def test_nc_connect(site):
    openbsd(site)
    r = nc(site, "-X", "connect", "-x", stand(site).open)
    check(r.returncode == 0 and r.stdout.endswith("hello from the origin\n"), r)


def ssh_options(site):
    """ssh to the matrix's sshd by name through SOCKS5; its key is known under its address."""
    port = site.sshd()
    return (f"ssh -o BatchMode=yes -o 'HostKeyAlias=[127.0.0.1]:{port}' -o CheckHostIP=no -p {port} "
            f"-o 'ProxyCommand=nc -X 5 -x {stand(site).open} %h %p'")


def test_ssh_proxy_command(site):
    openbsd(site)
    r = run(site, "sh", "-c", ssh_options(site) + " root@proxy.matrix.test echo through")
    check(r.returncode == 0 and r.stdout == "through\n", r)
    check(r.asked == [], f"ssh asked for {r.asked}")


def test_git_over_ssh(site):
    openbsd(site)
    need("git")
    tree, bare, clone = (os.path.join(site.folder, n) for n in ("tree", "bare.git", "clone"))
    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    script = (f"git init -q {tree} && git -C {tree} commit -q --allow-empty -m 'the commit' && git clone -q --bare {tree} {bare} && "
              f"git clone -q root@proxy.matrix.test:{bare} {clone} && git -C {clone} log --format=%s")
    r = run(site, "sh", "-c", script, env={**env, "GIT_SSH_COMMAND": ssh_options(site)})
    check(r.returncode == 0 and r.stdout == "the commit\n", r)


def test_requests_with_pysocks(site):
    have = subprocess.run([PYTHON, "-c", "import requests, socks"], capture_output=True, text=True, timeout=DEADLINE)
    if have.returncode:
        raise Skip(have.stderr.strip().splitlines()[-1])
    s = stand(site)
    for url in socks_urls(site):
        r = run(site, PYTHON, os.path.join(CHILD, "requested.py"), url, f"socks5h://{s.login}{s.plain}", site.certificates.path("ca.pem"))
        check(r.returncode == 0 and r.stdout == "200 hello from the origin\n\n", r)
        check(r.asked == [], f"requests asked for {r.asked}")
    r = run(site, PYTHON, os.path.join(CHILD, "requested.py"), "https://denied.matrix.test/", f"socks5h://{s.login}{s.plain}", site.certificates.path("ca.pem"))
    check("0x02" in r.stdout and "not allowed" in r.stdout and not site.received(), r)
