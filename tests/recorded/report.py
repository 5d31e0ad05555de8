"""Matches Differences to the reasons in reasons.json, and writes the list in docs/compatibility.md.

reasons.json is a list of {"recording", "row", "what", "why", "unserved"}: the first three are regular expressions that match the
whole name of the recording, the beginning of the row's name, and the whole kind of difference; `what` is optional. The first match
counts. `unserved`: the row is about a kind that is not served; it is listed, and does not count as a difference or a match.
"""
import collections
import json
import pathlib
import re

REASONS = json.loads((pathlib.Path(__file__).parent / "reasons.json").read_text())
BEGIN = "<!-- written by tools/replay --write: begin -->"
END = "<!-- written by tools/replay --write: end -->"


def reason_of(difference):
    """The index of the reason that explains a difference, or None."""
    for index, reason in enumerate(REASONS):
        if (re.fullmatch(reason["recording"], difference.recording) and re.match(reason["row"], difference.row)
                and re.fullmatch(reason.get("what", ".*"), difference.what)):
            return index
    return None


def unexplained(differences):
    return [d for d in differences if reason_of(d) is None]


def of_served_kinds(differences, rows):
    """Returns (differences, rows, rows left out) without the rows about kinds that are not served."""
    served = [d for d in differences if not (reason_of(d) is not None and REASONS[reason_of(d)].get("unserved"))]
    left_out = len(differences) - len(served)
    return served, rows - left_out, left_out


def cell(text, limit=150):
    text = re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= limit else text[:limit] + "…"


def listed(differences):
    """Groups rows by request; rows that differ only in the value are one line."""
    lines = collections.Counter(re.sub(r" = .*", "", d.row, flags=re.S) + f" ({d.what})" for d in differences)
    return "<br>".join(cell(line) + (f" × {count}" if count > 1 else "") for line, count in sorted(lines.items()))


def text_of(results):
    """Returns the section as Markdown. `results`: recording -> (Differences, number of rows)."""
    lines = [BEGIN, "", "| recording | rows of served kinds | the same | share | rows of other kinds, left out |", "| --- | --- | --- | --- | --- |"]
    for name, (differences, rows) in results.items():
        served, rows, left_out = of_served_kinds(differences, rows)
        same = rows - len(served)
        lines.append(f"| {name} | {rows} | {same} | {same / rows:.2%} | {left_out} |")
    by_reason = collections.defaultdict(list)
    for differences, _ in results.values():
        for difference in differences:
            by_reason[reason_of(difference)].append(difference)
    lines += ["", "| why it differs | rows | which |", "| --- | --- | --- |"]
    for index in sorted(by_reason, key=lambda i: (i is None, i)):
        found = by_reason[index]
        why = "no reason yet" if index is None else REASONS[index]["why"]
        lines.append(f"| {cell(why, 1000)} | {len(found)} | {listed(found)} |")
    return "\n".join([*lines, "", END])


def write(document, results):
    text = document.read_text()
    before, rest = text.split(BEGIN)
    document.write_text(before + text_of(results) + rest.split(END)[1])
