"""Programs of the command line: curl, wget, git by https and ssh, apt, psql."""

import getpass
import os
import shutil
import socket
import subprocess

from lib import parts as servers
from lib.world import DEADLINE, Skip, need

from compat.client import CAPTURED, Trial, client, version_of
from compat.origin import apt as archive
from compat.origin import repository
from compat.stage import need_transparent


@client("curl")
def curl(stage):
    return Trial(version_of("curl", "--version"), 'curl -sS --cacert "$CA" "https://$API/"', 'curl -sS --cacert "$CA" "https://$UNNAMED/"')


@client("curl --noproxy '*'", CAPTURED)
def curl_captured(stage):
    need_transparent(stage)
    words = "curl -sS --noproxy '*' --cacert \"$CA\""
    return Trial(version_of("curl", "--version"), words + ' "https://$API/"', words + ' "https://$UNNAMED/"', options=("--transparent",))


@client("wget", tells=True)
def wget(stage):
    words = 'wget -nv -t 1 -O - --ca-certificate="$CA"'
    return Trial(version_of("wget", "--version"), words + ' "https://$API/"', words + ' "https://$UNNAMED/"')


def clone(url):
    return f'git clone -q "{url}" clone && git -C clone log --format=%s'


@client("git (https)")
def git_https(stage):
    stage.api.repository = repository(stage.folder)
    words = 'export GIT_SSL_CAINFO="$CA"; '
    return Trial(version_of("git", "--version"), words + clone("https://$API/git/repo.git"), words + clone("https://$UNNAMED/git/repo.git"), expect="the commit")


@client("git (ssh)", CAPTURED, tells=True)
def git_ssh(stage):
    need_transparent(stage)
    bare = repository(stage.folder)
    part, port = servers.sshd(stage.folder, stage.home)
    stage.parts.append(part)
    stage.tcp.append(("ssh.interop.test", port))
    user = getpass.getuser()
    direct = subprocess.run(["ssh", "-F", "none", "-i", stage.home + "/.ssh/id_ed25519", "-o", f"UserKnownHostsFile={stage.home}/.ssh/known_hosts", "-o", "BatchMode=yes",
                             "-p", str(port), user + "@127.0.0.1", "true"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=DEADLINE)
    if direct.returncode:
        raise Skip(f"a server of {user}'s lets {user} not in: {direct.stderr.strip()[-120:]}")
    dot = os.path.join(stage.work, "ssh")
    shutil.copytree(stage.home + "/.ssh", dot)
    for name, mode in ((".", 0o755), ("known_hosts", 0o644), ("id_ed25519", 0o644)):
        os.chmod(os.path.join(dot, name), mode)
    words = (f"install -m 600 {dot}/id_ed25519 key; export GIT_SSH_COMMAND=\"ssh -F none -i $PWD/key -p {port} -o BatchMode=yes -o CheckHostIP=no "
             f"-o UserKnownHostsFile={dot}/known_hosts -o 'HostKeyAlias=[127.0.0.1]:{port}'\"; ")
    return Trial(version_of("git", "--version"), words + clone(f"{user}@ssh.interop.test:{bare}"), words + clone(f"{user}@unnamed.interop.test:{bare}"),
                 expect="the commit", options=("--transparent",))


def apt(stage, allowed, refused):
    need("apt-get", "dpkg-deb")
    words = ('mkdir -p a/lists/partial a/cache/archives/partial a/etc && : >a/status && echo "deb [trusted=yes] {} ./" >a/etc/list && '
             'apt() {{ apt-get -q -o Dir::State::Lists="$PWD/a/lists" -o Dir::Cache="$PWD/a/cache" -o Dir::Etc::SourceList="$PWD/a/etc/list" -o Dir::Etc::SourceParts=/dev/null '
             '-o Dir::State::Status="$PWD/a/status" -o Dir::Etc::Parts=/dev/null -o APT::Update::Error-Mode=any -o Acquire::Retries=0 -o Acquire::https::CAInfo="$CA" -o Acquire::https::Pipeline-Depth=0 -o Acquire::Languages=none "$@"; }}; '
             'apt update && apt download egresstry && dpkg-deb --fsys-tarfile egresstry_1.0_all.deb | tar xO ./usr/share/egresstry/word')
    return Trial(version_of("apt-get", "--version"), words.format(allowed + "/apt"), words.format(refused + "/apt"))


@client("apt (http)", tells=True)
def apt_http(stage):
    stage.plain.files = archive(stage.private)
    return apt(stage, "http://$PLAIN", f"http://unnamed.interop.test:{stage.plain.port}")


@client("apt (https)", tells=True)
def apt_https(stage):
    stage.api.files = archive(stage.private)
    return apt(stage, stage.at, stage.hidden)


class Postgres:
    """A server of its own for one try, at 127.0.0.2; as root it runs as nobody."""

    def __init__(self, stage):
        found = shutil.which("initdb") or next((os.path.join(p, "initdb") for p in sorted(_versions(), reverse=True)), None)
        if not found:
            raise Skip("no PostgreSQL server here")
        bin_ = os.path.dirname(found)
        home = os.path.join(stage.folder, "postgres")
        os.mkdir(home)
        who = {}
        if os.geteuid() == 0:
            who = {"user": "nobody", "group": "nogroup"}
            shutil.chown(home, "nobody", "nogroup")
        data, quiet = home + "/data", {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": DEADLINE, "cwd": home}
        subprocess.run([found, "-D", data, "-U", "egress", "-A", "trust", "-N"], **quiet, **who)
        with socket.socket() as s:
            s.bind(("127.0.0.2", 0))
            self.port = s.getsockname()[1]
        self.stop = [bin_ + "/pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"]
        self.how = {**quiet, **who}
        subprocess.run([bin_ + "/pg_ctl", "-D", data, "-l", home + "/log", "-w", "-o", f"-h 127.0.0.2 -p {self.port} -k {home} -F", "start"], **self.how)

    def end(self):
        subprocess.run(self.stop, **self.how)


def _versions():
    root = "/usr/lib/postgresql"
    return [os.path.join(root, v, "bin") for v in (os.listdir(root) if os.path.isdir(root) else [])]


@client("psql", CAPTURED)
def psql(stage):
    need("psql")
    need_transparent(stage)
    server = Postgres(stage)
    stage.parts.append(server)
    stage.tcp.append(("db.interop.test", server.port))
    words = f"psql 'host={{}}.interop.test port={server.port} user=egress dbname=postgres sslmode=disable' -Atc \"select 'hello from ' || 'the origin'\""
    return Trial(version_of("psql", "--version"), words.format("db"), words.format("unnamed"), options=("--transparent",))
