"""What `egressctl policy` prints for other programs, read by those: JSON Schema beside the parser, SARIF, JUnit, JSON; and bad input beside clock and memory."""

import json
import os
import random
import re
import subprocess
import sys
import xml.etree.ElementTree

from lib.world import DEADLINE, EGRESSCTL, REPOSITORY, Skip, check

STRUCTURE = {"unknown-key", "bad-type"}  # what the schema knows as well
SEED = 6


def validator(schema):
    try:
        import jsonschema
    except ImportError:
        raise Skip("there is no python3-jsonschema")
    kind = getattr(jsonschema, "Draft202012Validator", None)
    if not kind:
        raise Skip("python3-jsonschema is older than 4.0")
    kind.check_schema(schema)
    return kind(schema)


def egressctl(world, *args):
    env = {"PATH": os.environ["PATH"], "HOME": world.home}
    return subprocess.run([EGRESSCTL, *args], env=env, capture_output=True, timeout=DEADLINE, cwd=world.work)


def write(world, name, data):
    with open(os.path.join(world.work, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    return name


def policy_schema(world):
    return json.loads(egressctl(world, "policy", "schema").stdout)


def codes_by_file(world, files):
    """The codes of the errors of each file, from one process."""
    done = egressctl(world, "policy", "check", "--alone", "--trust", "--format", "json", *files)
    check(done.returncode in (0, 3, 6), f"exit {done.returncode}: {done.stderr[-300:]}")
    report = json.loads(done.stdout)
    check(report["more"] == 0, "not every problem was listed")
    codes = {name: set() for name in files}
    for f in report["findings"]:
        if f["severity"] == "error":
            codes[f["file"]].add(f["code"])
    return codes


# ---- the schema ----

def test_schema_takes_and_refuses_the_corpus(world):
    valid = validator(policy_schema(world))
    with open(os.path.join(REPOSITORY, "tests", "vectors", "schema.md"), encoding="utf-8") as f:
        text = f.read()
    count = 0
    for verdict, block in re.findall(r"```json (\w+)\n(.*?)```", text, re.S):
        for line in block.splitlines():
            fine = valid.is_valid(json.loads(line))
            check(fine == (verdict != "invalid"), f"{verdict}, and the schema {'takes' if fine else 'refuses'} it: {line}")
            count += 1
    check(count >= 200, f"{count} lines")


def test_schema_takes_the_policies_that_are_shipped(world):
    valid = validator(policy_schema(world))
    try:
        import yaml
    except ImportError:
        raise Skip("there is no python3-yaml")
    count = 0
    for folder, _, names in os.walk(os.path.join(REPOSITORY, "policy")):
        for name in names:
            if not name.endswith(".yaml") or folder.endswith(("presets", "ci", "golden")):
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                problems = [e.message for e in valid.iter_errors(yaml.safe_load(f))]
            check(not problems, f"{name}: {problems}")
            count += 1
    check(count > 2, f"{count} files")


class Maker:
    """Random values that fit a schema, and such that nearly do."""

    def __init__(self, schema, rng):
        self.schema, self.rng = schema, rng

    def value(self, node):
        r = self.rng
        if "$ref" in node:
            node = self.schema["$defs"][node["$ref"].split("/")[-1]]
            return r.choice(["a.example", "x", "GET /**", "https://a.example", "env:K", 5, True])
        if "anyOf" in node:
            return self.value(r.choice(node["anyOf"]))
        if "enum" in node:
            return r.choice(node["enum"])
        kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
        if "object" in kinds:
            return self.map(node)
        if "array" in kinds:
            return [self.value(node["items"]) for _ in range(r.randrange(3))] if "items" in node else []
        if "boolean" in kinds:
            return r.random() < 0.5
        if "integer" in kinds:
            low, high = node["minimum"], node["maximum"]
            return r.choice([low, high, r.randint(low, min(high, low + 100))])
        return r.choice(["5s", "500ms", "1h"] if "(ms|s|m|h)" in node["pattern"] else ["5", "8MiB", "1KiB", "7B"])

    def map(self, node):
        if "properties" not in node:
            return {n: self.value(node["additionalProperties"]) for n in self.rng.sample(["a", "b", "c"], self.rng.randrange(3))}
        required = node.get("required", [])
        return {n: self.value(v) for n, v in node["properties"].items() if n in required or self.rng.random() < 0.25}

    def spoil(self, value):
        """One change somewhere."""
        r = self.rng
        places = []

        def walk(v):
            if isinstance(v, (dict, list)):
                keys = list(v) if isinstance(v, dict) else range(len(v))
                for k in keys:
                    places.append((v, k))
                    walk(v[k])
        walk(value)
        parent, key = r.choice(places)
        how = r.randrange(4)
        if how == 0 and isinstance(parent, dict):
            parent["nothing"] = 1
        elif how == 1 and isinstance(parent, dict):
            del parent[key]
        else:
            parent[key] = r.choice([0, -1, 1 << 62, 1.5, "5s", "", True, [], {}, [[]], {"x": 1}, "enforce"])


def test_schema_and_parser_agree_on_random_policies(world):
    schema = policy_schema(world)
    valid, rng = validator(schema), random.Random(SEED)
    maker, cases = Maker(schema, rng), {}
    for i in range(600):
        value = maker.value(schema)
        if i % 3:
            maker.spoil(value)
        cases[write(world, f"r{i}.yaml", json.dumps(value))] = value
    codes = codes_by_file(world, list(cases))
    refused = 0
    for name, value in cases.items():
        if valid.is_valid(value):
            check(not codes[name] & STRUCTURE, f"the schema takes what the parser calls {codes[name]}: {json.dumps(value)}")
        else:
            problems = [e.message for e in valid.iter_errors(value)]
            check(codes[name], f"the parser takes what the schema refuses: {problems}: {json.dumps(value)}")
            refused += 1
    check(100 < refused < 500, f"{refused} of {len(cases)} were refused: that says little")


# ---- documents ----

SPOILED = """egress: 1
alow: [x]
allow: ["*", "b\u00fccher.example", "a b", "<&\\">]]>.example"]
via: 3 # 100% ::error::
credentials:
  k: {from: ghp_abcdefghijklmnopqrstuvwxyz0123456789, hosts: [a.example]}
"""
ODD_NAME = "odd name, 100%: \u00fc<&>'\".yaml"


def spoil(world):
    files = [write(world, ODD_NAME, SPOILED), write(world, "bytes.yaml", b"egress: 1\nname: \xff\xfe\x00\x1b[2J\n\t- x: [\n"),
             write(world, "fine.yaml", "egress: 1\n"), "missing.yaml"]
    os.makedirs(os.path.join(world.work, "folder"), exist_ok=True)
    return files + ["folder"]


def document(world, form, *more):
    files = spoil(world)
    done = egressctl(world, "policy", "check", "--alone", "--trust", "--format", form, *more, *files)
    check(done.returncode == 3, f"exit {done.returncode}\n{done.stderr.decode(errors='replace')}")
    text = done.stdout.decode("utf-8")  # fails where it is none
    check("ghp_abc" not in text and "\x1b" not in text and "\0" not in text, f"{form} repeats a secret or a control byte:\n{text}")
    check(not done.stderr, done.stderr.decode(errors="replace"))
    return text


MESSAGE = {"type": "object", "additionalProperties": False, "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
PLACE = {"type": "object", "additionalProperties": False, "required": ["uri"],
         "properties": {"uri": {"type": "string", "pattern": r"^(file:///)?([A-Za-z0-9._~!$&'()*+,;=@/-]|%[0-9A-F]{2})+$"}}}
POSITION = {"type": "integer", "minimum": 1}
# The part of OASIS' schema for SARIF 2.1.0 that is used, and nothing beside it: written from sections 3.13 to 3.58 of the standard.
SARIF = {
    "type": "object", "additionalProperties": False, "required": ["version", "runs", "$schema"],
    "properties": {
        "$schema": {"type": "string", "pattern": "^https://.*sarif-schema-2\\.1\\.0\\.json$"}, "version": {"const": "2.1.0"},
        "runs": {"type": "array", "minItems": 1, "maxItems": 1, "items": {
            "type": "object", "additionalProperties": False, "required": ["tool", "results", "columnKind"],
            "properties": {
                "columnKind": {"const": "unicodeCodePoints"},
                "tool": {"type": "object", "additionalProperties": False, "required": ["driver"], "properties": {"driver": {
                    "type": "object", "additionalProperties": False, "required": ["name", "rules"],
                    "properties": {
                        "name": {"type": "string"}, "organization": {"type": "string"}, "version": {"type": "string"},
                        "rules": {"type": "array", "uniqueItems": True, "items": {
                            "type": "object", "additionalProperties": False, "required": ["id"],
                            "properties": {"id": {"type": "string"}, "shortDescription": MESSAGE, "fullDescription": MESSAGE, "help": MESSAGE,
                                           "defaultConfiguration": {"type": "object", "additionalProperties": False, "properties": {"level": LEVEL}}}}}}}}},
                "invocations": {"type": "array", "items": {
                    "type": "object", "additionalProperties": False, "required": ["executionSuccessful"],
                    "properties": {"executionSuccessful": {"type": "boolean"}, "toolExecutionNotifications": {"type": "array", "items": {
                        "type": "object", "additionalProperties": False, "required": ["message"], "properties": {"message": MESSAGE, "level": LEVEL}}}}}},
                "artifacts": {"type": "array", "uniqueItems": True, "items": {
                    "type": "object", "additionalProperties": False, "properties": {"location": PLACE}}},
                "results": {"type": "array", "items": {
                    "type": "object", "additionalProperties": False, "required": ["message", "ruleId", "locations"],
                    "properties": {
                        "ruleId": {"type": "string"}, "ruleIndex": {"type": "integer", "minimum": 0}, "level": LEVEL, "message": MESSAGE,
                        "locations": {"type": "array", "minItems": 1, "maxItems": 1, "items": {
                            "type": "object", "additionalProperties": False, "required": ["physicalLocation"],
                            "properties": {"physicalLocation": {
                                "type": "object", "additionalProperties": False, "required": ["artifactLocation"],
                                "properties": {"artifactLocation": PLACE, "region": {
                                    "type": "object", "additionalProperties": False, "required": ["startLine"],
                                    "properties": dict.fromkeys(["startLine", "startColumn", "endLine", "endColumn"], POSITION)}}}}}}}}}}}}}}


def test_sarif_is_valid_and_its_rules_are_the_results(world):
    log = json.loads(document(world, "sarif"))
    problems = [f"{list(e.path)}: {e.message}" for e in validator(SARIF).iter_errors(log)]
    official = os.environ.get("EG_SARIF_SCHEMA")  # OASIS' own, where it is at hand
    if official:
        import jsonschema
        with open(official, encoding="utf-8") as f:
            schema = json.load(f)
        problems += [e.message for e in jsonschema.validators.validator_for(schema)(schema).iter_errors(log)]
    check(not problems, "\n".join(problems[:10]))
    run = log["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    for r in run["results"]:
        check(rules[r["ruleIndex"]]["id"] == r["ruleId"], f"{r['ruleId']} is not the rule at {r['ruleIndex']}")
    places = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"]}
    check("odd%20name,%20100%25%3A%20%C3%BC%3C&%3E'%22.yaml" in places and "missing.yaml" in places, f"{places}")


def test_junit_is_xml_with_the_counts_it_says(world):
    root = xml.etree.ElementTree.fromstring(document(world, "junit"))
    suites = {s.get("name"): s for s in root.findall("testsuite")}
    check(ODD_NAME in suites and "fine.yaml" in suites and "missing.yaml" in suites, f"{list(suites)}")
    for s in suites.values():
        cases = s.findall("testcase")
        failures = [c for c in cases if c.find("failure") is not None]
        check(int(s.get("tests")) == len(cases) > 0 and int(s.get("failures")) == len(failures), s.get("name"))
    check(suites["fine.yaml"].get("failures") == "0", "a file without a problem fails")


def test_json_lists_every_problem_with_its_place(world):
    report = json.loads(document(world, "json"))
    check(report["v"] == 1 and report["verdict"] == "invalid" and report["errors"] == sum(f["severity"] == "error" for f in report["findings"]), f"{report}")
    found = {(f["file"], f["code"], f.get("line"), f.get("column")) for f in report["findings"]}
    for wanted in [(ODD_NAME, "unknown-key", 2, 1), (ODD_NAME, "idn-host", 3, 14), (ODD_NAME, "inline-secret", 6, 13),
                   ("missing.yaml", "unreadable-file", None, None), ("folder", "unreadable-file", None, None)]:
        check(wanted in found, f"{wanted} is not in {found}")
    check(report["files"] == [ODD_NAME, "bytes.yaml", "fine.yaml", "missing.yaml", "folder"], f"{report['files']}")


def test_annotations_and_terse_lines_stay_lines(world):
    count = len(json.loads(document(world, "json"))["findings"])
    github = document(world, "github").splitlines()
    check(len(github) == count and all(l.startswith("::error title=") for l in github), "\n".join(github))
    agent = document(world, "agent").splitlines()
    check(len(agent) == count and all(re.search(r"(:\d+:\d+)? error [a-z0-9-]+ ", l) for l in agent), "\n".join(agent))


# ---- bad input: an answer within a second of work and 128 MiB, whatever is in it ----

def bomb():
    lines = ["egress: 1", "a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, c in zip("abcdefghijklmnopqrstuvwx", "bcdefghijklmnopqrstuvwxy"):
        lines.append(f"{c}: &{c} [" + ", ".join([f"*{before}"] * 9) + "]")
    return "\n".join(lines)


BAD = {
    "deep": (b"egress: 1\nname: " + b"[" * 2_000_000, {"too-large"}),
    "maps": (b"egress: 1\nname: " + b"{a: " * 900_000, {"too-large"}),
    "large": (b"egress: 1\nallow:\n" + b"  - a.example\n" * 750_000, {"too-large"}),
    "huge": (b"egress: 1\n# " + b"#" * (70 << 20), {"too-large"}),
    "aliases": (bomb().encode(), {"anchor"}),
    "doubles": (b"egress: 1\n" + b"name: x\n" * 200_000, {"duplicate-key"}),
    "unknown": (b"egress: 1\n" + b"".join(b"k%d: 1\n" % i for i in range(200_000)), {"unknown-key"}),
    "nul": (b"egress: 1\nname: a\0b\n", {"bad-byte"}),
    "nuls": (b"\0" * (4 << 20), {"bad-byte"}),
    "utf8": (b"egress: 1\nname: \xc0\x80\n", {"bad-utf8"}),
    "latin": (b"egress: 1\nname: " + b"\xff" * 3_000_000, {"bad-utf8"}),
    "tabs": (b"egress: 1\nallow:\n" + b"\t- a.example\n" * 200_000, {"tab"}),
    "bracket": (b"egress: 1\nallow: [a.example,\n" + b"  b.example,\n" * 200_000, {"syntax"}),
    "quote": (b"egress: 1\nname: \"" + b"x" * 3_000_000, {"syntax"}),
    "scalar": (b"egress: 1\nname: " + b"x" * 4_000_000, {"bad-value"}),
    "secret": (b"egress: 1\nname: x\nvia: ghp_" + b"abcdefghij" * 300_000, {"bad-type"}),
    "rules": (b"egress: 1\nallow:\n" + b"".join(b"  - h%d.example\n" % i for i in range(200_000)), {"too-large"}),
    "one line": (b"egress: 1\nallow: [" + b"a," * 390_000 + b"]", {"too-large"}),
    "one line of rules": (b"egress: 1\nallow: [" + b"".join(b"h%d.example," % i for i in range(99_000)) + b"]", set()),
    "question marks": (b"egress: 1\n" + b"? " * 2_000_000, {"too-large"}),
    "values": (b"egress: 1\nallow:\n" + b"- a\n" * 590_000, {"too-large"}),
    "keys": (b"egress: 1\n" + b"".join(b"%x:\n" % i for i in range(590_000)), {"too-large"}),
    "many rules": (b"egress: 1\nallow:\n" + b"".join(b"  - h%d.example\n" % i for i in range(99_000)), set()),
    "bad rules": (b"egress: 1\nallow:\n" + b"".join(b"  - h%d..example\n" % i for i in range(200_000)), {"bad-host"}),
    "services": (b"egress: 1\nservices:\n" + b"".join(b"  s%d: {upstream: https://h%d.example}\n" % (i, i) for i in range(80_000)), {"too-large"}),
    "pipes": (b"egress: 1\nname: |\n" + b"  x\n" * 900_000, {"bad-byte"}),
    "documents": (b"egress: 1\n" + b"---\n" * 900_000, {"multi-doc"}),
}


# A process counts the memory of who started it until it is another program: so a small one starts it, and not this one, which holds the input.
MEASURE = """import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr)"""


def measured(world, *args):
    """Exit status, output, seconds of processor and MiB, of the program alone."""
    env = {"PATH": os.environ["PATH"], "HOME": world.home}
    done = subprocess.run([sys.executable, "-ISc", MEASURE, EGRESSCTL, *args], env=env, capture_output=True, timeout=DEADLINE)
    code, seconds, mib = done.stderr.decode().split()[-3:]
    return int(code), done.stdout, float(seconds), float(mib)


def sanitized():
    with open(EGRESSCTL, "rb") as f:
        return b"__asan_init" in f.read()


def test_bad_input_is_refused_within_a_second_and_128_mib(world):
    slower = 20 if sanitized() else 4  # on a loaded or slow machine; the figures of a quiet one are below 1
    for name, (data, wanted) in BAD.items():
        path = os.path.join(world.work, write(world, "bad.yaml", data))
        code, out, seconds, mib = measured(world, "policy", "check", "--alone", "--trust", "--format", "json", path)
        report = json.loads(out)
        codes = {f["code"] for f in report["findings"]}
        check(code == (3 if wanted else 0) and wanted <= codes, f"{name}: exit {code}, {codes}")
        check(len(out) < 8 << 20 and b"abcdefghijabcdefghij" not in out, f"{name}: {len(out)} bytes")
        check(all(f.get("line") or name == "huge" or f["code"] == "too-large" for f in report["findings"]), f"{name}: a problem without a place")
        check(seconds < slower, f"{name}: {seconds:.2f} s")
        check(mib < 128 or sanitized(), f"{name}: {mib:.0f} MiB")
        if os.environ.get("EG_FIGURES"):
            print(f"    {name:10} {len(data) >> 10:6} KiB  exit {code}  {seconds:5.2f} s  {mib:4.0f} MiB  {sorted(codes)}")
