#!/usr/bin/env python3
"""Lifeboat and the failover tools that it is compared with, on this machine, under the same faults, with the same client.

The harness of the other tools is not part of this repository: --peers names its folder (peer_patroni.py, peer_pgaf.py, peer_repmgr.py).
Lifeboat's side is lifeboat_bench, client 'multihost', whose connection string is the one that the harness uses. Needs root: both
sides drop packets between network namespaces. Results stay in --out, one JSON line a run; the table goes to standard output.
Figures that were not measured in this run may be taken from an earlier report of the harness (--quote); they are marked as quoted.
"""
import argparse
import collections
import glob
import json
import os
import re
import statistics
import subprocess
import sys

PACKAGES = {
    "patroni": ["patroni", "python3-etcd", "etcd-server", "etcd-client"],
    "pgaf": ["pg-auto-failover-cli", "postgresql-15-auto-failover"],
    "repmgr": ["repmgr", "postgresql-15-repmgr"],
}
FOR_ALL = ["python3-psycopg2", "nftables", "iproute2"]
PROFILES = {
    "patroni": {"default": ["default"], "tuned": ["tuned", "belowmin"]},
    "pgaf": {"default": ["default"], "tuned": ["tuned_safe", "tuned"]},
    "repmgr": {"default": ["default"], "tuned": ["tuned"]},
}
LEASES = {"default": 3, "tuned": 1}  # seconds
# What the two sides call the same fault.
FAULTS = {"cut": ("partition", "outage.region_cut"), "killed": ("crash", "outage.region_killed"),
          "switchover": ("switchover", "outage.switchover")}
TITLES = {"cut": "region cut off, silently", "killed": "region killed", "switchover": "planned switchover"}

Cell = collections.namedtuple("Cell", "least median most n failed lost dual quoted")


def tell(text):
    print("bench-peers: " + text, file=sys.stderr, flush=True)


def missing(packages):
    """Those of the Debian packages that are not installed."""
    absent = []
    for package in packages:
        state = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, text=True)
        if state.stdout.strip() != "installed":
            absent.append(package)
    return absent


def run(argv, log, environment=None, timeout=3600):
    """Runs to the end, everything that it says into `log`. True: it ended well."""
    with open(log, "ab") as out:
        try:
            ended = subprocess.run(argv, stdout=out, stderr=out, env=dict(os.environ, **(environment or {})), timeout=timeout)
        except subprocess.TimeoutExpired:
            return False
    return ended.returncode == 0


def measure_lifeboat(options, profile):
    file = os.path.join(options.out, "lifeboat.%s.jsonl" % profile)
    for fault in options.faults:
        tell("lifeboat, %s, %s" % (profile, fault))
        argv = [options.bench, FAULTS[fault][1], "--runs", str(options.runs), "--lease", str(LEASES[profile]), "--network", "namespaces",
                "--lab", os.path.join(options.out, "lab")]
        with open(file, "a") as out, open(file + ".log", "a") as log:
            if subprocess.run(argv, stdout=out, stderr=log).returncode != 0:
                tell("it failed; see %s.log" % file)


def measure_peer(options, peer, profile):
    faults = ",".join(FAULTS[fault][0] for fault in options.faults)
    tell("%s, %s, %s" % (peer, profile, faults))
    argv = ["/usr/bin/python3", os.path.join(options.peers, "peer_%s.py" % peer), "--profile", profile, "--faults", faults, "--runs",
            str(options.runs)]
    log = os.path.join(options.out, "%s.%s.log" % (peer, profile))
    if not run(argv, log, {"PEERS_OUT": options.out}, options.timeout):
        tell("it failed or took too long; see %s" % log)


def lines_of(file):
    with open(file) as text:
        return [json.loads(line) for line in text if line.startswith("{")]


def read_lifeboat(options):
    """{(tool, profile, fault): Cell} of what was measured; the newest line of a figure counts."""
    cells = {}
    for profile in LEASES:
        file = os.path.join(options.out, "lifeboat.%s.jsonl" % profile)
        if not os.path.exists(file):
            continue
        stale = {line["name"]: line for line in lines_of(file)}.get("outage.stale_acks")
        for line in lines_of(file):
            for fault, (_, figure) in FAULTS.items():
                if line["name"] != figure + ".multihost":
                    continue
                dual = None
                if fault == "cut" and stale:
                    dual = "0" if stale["max"] == 0 else "%d rows" % stale["max"]
                cells["lifeboat", "L = %d s" % LEASES[profile], fault] = Cell(
                    line["min"], line["median"], line["max"], line["n"], 0, line.get("lost_rows", []), dual, False)
    return cells


def read_peers(options):
    runs = {}
    for file in glob.glob(os.path.join(options.out, "results", "*.jsonl")):
        for line in lines_of(file):
            if "fault" in line:
                runs.setdefault((line["peer"], line["profile"], line["fault"]), []).append(line)
    cells = {}
    for (peer, profile, fault), lines in runs.items():
        good = [line for line in lines if "outage" in line]
        name = next((ours for ours, (theirs, _) in FAULTS.items() if theirs == fault), None)
        if not name or not good:
            continue
        times = [line["outage"] for line in good]
        dual = None
        if fault == "partition":
            dual = "%.1f s" % max(line.get("dual_writable_s", 0) for line in good)
        cells[peer, profile, name] = Cell(min(times), statistics.median(times), max(times), len(good), len(lines) - len(good),
                                          [line.get("lost", 0) for line in good], dual, False)
    return cells


def read_quoted(file):
    """The tables of the harness's report: only what stands there, marked as quoted."""
    cells = {}
    fault = None
    columns = []
    with open(file) as text:
        for line in text:
            if line.startswith("### "):
                fault = {"Node": "killed", "Silent": "cut", "Planned": "switchover"}.get(line.split()[1])
            if not fault or not line.startswith("|"):
                continue
            words = [word.strip() for word in line.strip().strip("|").split("|")]
            if words[0] == "peer":
                columns = words
                continue
            times = re.match(r"([\d.]+) / \*\*([\d.]+)\*\* / ([\d.]+)$", words[3]) if len(words) > 3 else None
            count = re.match(r"(\d+) \((\d+)\)", words[2]) if len(words) > 2 else None
            if not times or not count:
                continue
            least, median, most = (float(number) for number in times.groups())
            dual = None
            if fault == "cut":
                place = next((at for at, name in enumerate(columns) if name.startswith("two writable")), None)
                span = re.match(r"[\d.]+\.\.([\d.]+)(\+?)", words[place]) if place else None
                dual = span.group(1) + " s" + (" or more" if span.group(2) else "") if span else None
            place = next((at for at, name in enumerate(columns) if name.startswith("lost acked")), None)
            lost = [int(number) for number in re.findall(r"\d+", words[place])] if place else []
            cells[words[0], words[1], fault] = Cell(least, median, most, int(count.group(1)) - int(count.group(2)), int(count.group(2)),
                                                    lost, dual, True)
    return cells


def cell_text(cell):
    if cell is None:
        return "–"
    text = "%.2f / **%.2f** / %.2f (%d)" % (cell.least, cell.median, cell.most, cell.n)
    if cell.failed:
        text += ", %d never failed over" % cell.failed
    return text + (" †" if cell.quoted else "")


def print_table(cells, faults, source):
    rows = sorted({key[:2] for key in cells}, key=lambda key: (key[0] != "lifeboat", key[0], "default" not in key[1], key[1]))
    print("Outage in seconds of the client `multihost`, min / **median** / max (runs); † quoted, not measured in this run.\n")
    print("| tool | profile | " + " | ".join(TITLES[fault] for fault in faults) + " | two writers when cut off | acknowledged rows lost |")
    print("| --- | --- |" + " --- |" * (len(faults) + 2))
    for tool, profile in rows:
        own = {fault: cells.get((tool, profile, fault)) for fault in faults}
        cut = own.get("cut")
        dual = "–" if cut is None or cut.dual is None else cut.dual + (" †" if cut.quoted else "")
        lost = [sum(cell.lost) for cell in own.values() if cell]
        print("| %s | %s | %s | %s | %d |" % (tool, profile, " | ".join(cell_text(own[fault]) for fault in faults), dual, sum(lost)))
    if any(cell.quoted for cell in cells.values()):
        print("\n† %s" % source)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="folder of the harness")
    parser.add_argument("--bench", default="build/release/bin/lifeboat_bench")
    parser.add_argument("--out", default="/var/tmp/lifeboat-bench-peers", help="where results are kept, and added to")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tools", default="lifeboat,patroni,pgaf,repmgr", help="in this order")
    parser.add_argument("--profiles", default="default,tuned")
    parser.add_argument("--faults", default="cut,killed,switchover")
    parser.add_argument("--timeout", type=int, default=3600, help="seconds for one tool and profile")
    parser.add_argument("--quote", help="an earlier report of the harness: for what is not measured here")
    parser.add_argument("--table-only", action="store_true", help="measure nothing, print what --out holds")
    options = parser.parse_args()
    options.faults = options.faults.split(",")
    unknown = [fault for fault in options.faults if fault not in FAULTS]
    if unknown:
        parser.error("no such fault: %s (there are %s)" % (", ".join(unknown), ", ".join(FAULTS)))
    os.makedirs(os.path.join(options.out, "results"), exist_ok=True)
    if not options.table_only:
        if os.geteuid() != 0:
            parser.error("needs root: packets are dropped between network namespaces")
        for tool in options.tools.split(","):
            for profile in options.profiles.split(","):
                if tool == "lifeboat":
                    measure_lifeboat(options, profile)
                    continue
                absent = missing(PACKAGES[tool] + FOR_ALL)
                if absent:
                    tell("%s is passed over: apt-get install %s" % (tool, " ".join(absent)))
                    break
                for each in PROFILES[tool][profile]:
                    measure_peer(options, tool, each)
    cells = {}
    if options.quote:
        cells.update(read_quoted(options.quote))
    cells.update(read_peers(options))
    cells.update(read_lifeboat(options))
    print_table(cells, options.faults, "from an earlier report of the harness, another hour on the same kind of machine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
