"""The ready pieces of policy/ci: every command of the hooks and of the workflow, run in a scratch git repository, on a change that is fine and on ones that are not."""

import os
import re
import subprocess

from lib.world import DEADLINE, EGRESSCTL, REPOSITORY, Skip, check

POLICY = "egress: 1\n\nallow:\n  - a.example\n\ntests:\n  - {connect: a.example:443, expect: allow}\n  - {connect: b.example:443, expect: deny}\n"


def piece(name):
    with open(os.path.join(REPOSITORY, "policy", "ci", name), encoding="utf-8") as f:
        return f.read()


def hooks():
    """entry by id; the files are in a form that needs no YAML reader."""
    found = re.findall(r"^- id: (\S+)\n(?:  .*\n)*?  entry: (.*)\n", piece("pre-commit-hooks.yaml"), re.M)
    check(len(found) == 4, f"{len(found)} hooks")
    return {name.removeprefix("egress-policy-"): entry for name, entry in found}


def steps():
    """What the workflow runs of egressctl."""
    text = piece("github-workflow.yml")
    found = dict(re.findall(r"- name: (\w+)\n +run: (egressctl .*)\n", text))
    block = re.search(r"- name: diff\n +run: \|\n((?: {10}.*\n)+)", text)
    found["diff"] = re.sub(r"^ {10}", "", block.group(1), flags=re.M)
    check(set(found) == {"check", "layout", "test", "diff"}, str(sorted(found)))
    return found


class Scratch:
    """A git repository with one commit of the policy, and egressctl in PATH."""

    def __init__(self, world):
        self.folder = os.path.join(world.work, "scratch")
        os.makedirs(os.path.join(world.work, "bin"))
        os.makedirs(self.folder)
        os.symlink(EGRESSCTL, os.path.join(world.work, "bin", "egressctl"))
        self.env = {"PATH": os.path.join(world.work, "bin") + ":" + os.environ["PATH"], "HOME": world.home,
                    "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@a.example",
                    "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@a.example", "POLICY": "egress.yaml"}
        self.write(POLICY)
        for command in ("git init -q .", "git add egress.yaml", "git commit -q -m first"):
            done = self.run(command)
            check(done.returncode == 0, f"{command}: {done.stderr}")
        self.env["BASE"] = self.run("git rev-parse HEAD").stdout.strip()

    def write(self, text):
        with open(os.path.join(self.folder, "egress.yaml"), "w", encoding="utf-8") as f:
            f.write(text)

    def run(self, command):
        return subprocess.run(["sh", "-ec", command], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=DEADLINE)

    def expect(self, what, command, code):
        done = self.run(command)
        check(done.returncode == code, f"{what}: exit {done.returncode}, not {code}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr


def test_pieces_pass_what_is_fine_and_stop_what_is_not(world):
    if subprocess.run([EGRESSCTL, "policy", "diff", "--help"], capture_output=True, timeout=DEADLINE).returncode != 0:
        raise Skip("there is no egressctl policy diff")
    scratch, hook, step = Scratch(world), hooks(), steps()
    for name, entry in hook.items():
        scratch.expect(name, f"{entry} egress.yaml", 0)
    for name, command in step.items():
        scratch.expect(name, command, 0)

    scratch.write(POLICY.replace("  - a.example\n", "  - a.example\n  - c.example\n"))
    check("c.example" in scratch.expect("hook diff", f"{hook['diff']} egress.yaml", 0), "the hook does not show what is let out")
    check("c.example" in scratch.expect("step diff", step["diff"], 1), "the annotation does not name the host")

    scratch.write(POLICY.replace("b.example:443, expect: deny", "b.example:443, expect: allow"))
    scratch.expect("hook test", f"{hook['test']} egress.yaml", 1)
    scratch.expect("step test", step["test"], 1)

    scratch.write(POLICY.replace("  - a.example\n", "  -   a.example\n"))
    scratch.expect("hook fmt", f"{hook['fmt']} egress.yaml", 1)
    scratch.expect("step layout", step["layout"], 1)

    scratch.write(POLICY.replace("allow:", "allowed:"))
    scratch.expect("hook check", f"{hook['check']} egress.yaml", 3)
    check("::error" in scratch.expect("step check", step["check"], 3), "no annotation")
