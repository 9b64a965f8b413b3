"""The README's table, between its markers."""

import os

from lib.world import REPOSITORY, check

from compat.client import CAPTURED, LISTENER, tidy

BEGIN, END = "<!-- compat: begin, written by `make compat` -->", "<!-- compat: end -->"
SEES = {"reason": "the reason", "number": "a number", "error": "an error of its own", "nothing": "nothing"}
README = os.path.join(REPOSITORY, "README.md")


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def code(text):
    return "`` " + text + " ``" if "`" in text else f"`{text}`"


def row(result, other):
    name, way = cell(result["name"]), cell(result["way"])
    if result["result"] == "skip":
        return f"| {name} | | {way} | not tried: {cell(result['why'])[:100]} | | | |"
    if result["result"] != "ok":
        return f"| {name} | {result.get('version', '')} | {way} | **fails** | | | |"
    fallback = {"ok": "the same", "skip": "not there" if result["way"] in (CAPTURED, LISTENER) else "not tried", "fail": "**fails**"}[other["result"]]
    how, line = result["seen"]
    sees = SEES[how] + (": " + code(cell(tidy(line))) if line else "")
    return f"| {name} | {cell(result['version'])} | {way} | works | refused | {fallback} | {sees} |"


def table(results):
    first, second = ([r for r in results if r["mode"] == mode] for mode in ("namespaces", "seccomp"))
    counts = [f"{sum(r['result'] == what for r in first)} {text}" for what, text in (("ok", "rows fine"), ("skip", "not tried"), ("fail", "failed"))]
    return "\n".join([", ".join(counts) + ".", "", "| Client | Version | Way out | Allowed | Refused | In the fallback | What its user sees of the refusal |",
                      "|---|---|---|---|---|---|---|", *map(row, first, second)])


def write(results, about):
    """Replaces what is between the markers."""
    with open(README) as f:
        text = f.read()
    check(text.count(BEGIN) == 1 and text.count(END) == 1, "README.md has no place for the table")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    with open(README + ".new", "w") as f:
        f.write(f"{before}{BEGIN}\n{about} {table(results)}\n{END}{after}")
    os.replace(README + ".new", README)
