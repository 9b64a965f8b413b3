"""Policies in layers, as a person meets them: files that extend files, trust of all of them, what the organisation's file keeps for itself, and the exit
status that tells a lack of trust from a mistake. The organisation's file stands in /etc: it is there in a mount namespace only."""

import os
import shlex
import subprocess

from lib.world import DEADLINE, EGRESSCTL, Skip, check

TEAM = "egress: 1\nallow: [team.example]\n"


class Repository:
    def __init__(self, world, org=None):
        self.folder, self.org = os.path.join(world.work, "repository"), org
        os.makedirs(os.path.join(self.folder, "sub"))
        home = os.path.join(world.work, "layers-home")
        os.makedirs(home)
        self.env = {"PATH": os.environ["PATH"], "HOME": home, "XDG_STATE_HOME": home + "/state", "XDG_CONFIG_HOME": home + "/config"}
        if org is not None:
            self.write("org.yaml", org)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
            f.write(text)

    def run(self, *arguments):
        argv = [EGRESSCTL, *arguments]
        if self.org is not None:
            command = "mount -t tmpfs none /etc && mkdir /etc/egress && cp org.yaml /etc/egress/ && exec " + shlex.join(argv)
            argv = ["unshare", "-rm", "sh", "-c", command]
        return subprocess.run(argv, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=DEADLINE)

    def expect(self, code, words, *arguments):
        done = self.run(*arguments)
        check(done.returncode == code and words in done.stdout + done.stderr,
              f"{arguments}: exit {done.returncode}, not {code} with '{words}': {done.stdout}{done.stderr}")


def need_namespaces():
    done = subprocess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /etc"], capture_output=True, text=True, timeout=DEADLINE)
    if done.returncode != 0:
        raise Skip(f"no mount namespace can be had here: {done.stderr.strip()}")


def test_trust_covers_what_is_extended(world):
    r = Repository(world)
    r.write("egress.yaml", "egress: 1\nextends: [./sub/team.yaml]\nvia: true\n")
    r.write("sub/team.yaml", TEAM)
    r.expect(6, "`egressctl trust egress.yaml`", "policy", "check")
    r.expect(0, "sub/team.yaml", "trust", "egress.yaml")
    r.expect(0, "valid", "policy", "check")
    r.expect(0, "sub/team.yaml:2", "explain", "team.example")
    r.write("sub/team.yaml", TEAM + "limits: {connections: 2000}\n")
    r.expect(6, "trust-changed", "policy", "check")
    r.expect(0, "changed", "trust", "--list")
    r.expect(0, "valid", "policy", "check", "--trust")
    r.expect(6, "untrusted-key", "explain", "team.example")
    r.write("sub/team.yaml", "egress: [\n")
    r.expect(3, "syntax", "policy", "check")


def test_an_untrusted_file_shows_nothing_from_outside(world):
    r = Repository(world)
    r.write("secret.yaml", "egress: 1\nname: [what-nobody-should-read]\n")
    os.symlink("../secret.yaml", os.path.join(r.folder, "sub", "link.yaml"))
    for name in ("../secret.yaml", "./link.yaml", os.path.join(r.folder, "secret.yaml")):
        r.write("sub/egress.yaml", f"egress: 1\nextends: {name}\n")
        done = r.run("policy", "check", "sub/egress.yaml")
        check(done.returncode == 6 and "what-nobody-should-read" not in done.stdout + done.stderr, f"{name}: {done}")
        r.expect(3, "what-nobody-should-read", "policy", "check", "--trust", "sub/egress.yaml")


def test_the_organisation_keeps_its_keys(world):
    need_namespaces()
    r = Repository(world, org="egress: 1\nfinal: [limits.connections, mode]\nlimits: {connections: 10}\ndeny: [no.example]\n")
    r.write("egress.yaml", "egress: 1\nallow: [a.example, no.example]\n")
    r.expect(0, "allowed", "explain", "a.example")
    r.expect(1, "/etc/egress/org.yaml:4", "explain", "no.example")
    r.write("egress.yaml", "egress: 1\nlimits: {connections: 5}\n")
    for options in ((), ("--trust",)):
        r.expect(6, "final-key", "explain", *options, "a.example")
        r.expect(6, "/etc/egress/org.yaml:2", "explain", *options, "a.example")
    r.write("egress.yaml", "egress: 1\nfinal: [via]\n")
    r.expect(6, "org-only", "explain", "--trust", "a.example")
