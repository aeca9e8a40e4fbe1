#!/usr/bin/env python3
"""How quick verification of backups is, on this machine: `make bench-backups`. Never a timed test.

Builds a cluster of at least 4 GB (pgbench, some indexes, some updates), takes base backups with a CRC32C and with a SHA-256 manifest
and one of pgBackRest, and runs in turns, each as a process of its own, over a warm and over a cold page cache:
  ours        levels 1 to 3 in one pass (self-test included), 2 threads
  stock       pg_verifybackup, then pg_checksums on a copy that was recovered and cleanly shut down (recovery is not counted)
  plain       reads the same files by as many threads and does nothing with them
  pgBackRest  its verify, against our pass over its repository
Before each group of measurements the files are read once; for the cold ones they are then taken out of this machine's page cache.
Measured too: the index-to-heap coverage of the recovered copy, by one thread and by two. Prints one JSON line a figure; progress goes to standard
error. Everything lies in a folder of its own and is removed afterwards (--keep leaves it; --scratch with such a folder measures again).
"""
import argparse
import json
import os
import pwd
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

GIB = 1 << 30
PAGES_PER_SCALE = 16.2e6  # bytes of one unit of pgbench's scale, with the indexes that are made here
COPIES = 4.2              # source, two base backups, the recovered copy, a compressed repository


def tell(text):
    print("bench-backups: " + text, file=sys.stderr, flush=True)


def end(text):
    tell(text)
    sys.exit(1)


class Machine:
    """Runs programs as PostgreSQL's user and measures them."""

    def __init__(self, options):
        self.options = options
        self.owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None

    def become(self):
        if self.owner:
            os.initgroups(self.owner.pw_name, self.owner.pw_gid)
            os.setresgid(*[self.owner.pw_gid] * 3)
            os.setresuid(*[self.owner.pw_uid] * 3)

    def run(self, argv, check=True):
        """To the end. Returns its output, wall seconds, processor seconds, largest resident memory in bytes."""
        began = time.monotonic()
        with tempfile.TemporaryFile() as out:
            child = subprocess.Popen([str(word) for word in argv], stdout=out, stderr=subprocess.STDOUT, cwd="/", preexec_fn=self.become)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - began
            out.seek(0)
            text = out.read().decode(errors="replace")
        if check and child.returncode != 0:
            end("'%s' ended with %d: %s" % (" ".join(map(str, argv))[:200], child.returncode, text[-2000:]))
        return text, {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "rss": used.ru_maxrss * 1024}

    def pg(self, name):
        return os.path.join(self.options.bin, name)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class World:
    """The cluster, its backups, the recovered copy, beneath one folder."""

    def __init__(self, machine, folder, scale):
        self.machine = machine
        self.folder = folder
        self.scale = scale
        self.port = free_port()
        self.source = os.path.join(folder, "source")
        self.recovered = os.path.join(folder, "recovered")
        self.backups = {"CRC32C": os.path.join(folder, "base_crc32c"), "SHA256": os.path.join(folder, "base_sha256")}
        self.repository = os.path.join(folder, "repository")
        self.config = os.path.join(folder, "pgbackrest.conf")
        self.indexes = os.path.join(folder, "indexes.json")
        self.ready = os.path.join(folder, "ready.json")

    def start(self, data, more=()):
        words = [self.machine.pg("pg_ctl"), "start", "-w", "-t", "600", "-D", data, "-l", os.path.join(self.folder, "log"), "-o",
                 "-p %d -c listen_addresses='' -c unix_socket_directories='%s' %s" % (self.port, self.folder, " ".join(more))]
        self.machine.run(words)

    def stop(self, data):
        self.machine.run([self.machine.pg("pg_ctl"), "stop", "-w", "-t", "600", "-m", "fast", "-D", data])

    def sql(self, *statements):
        words = [self.machine.pg("psql"), "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", self.port, "-U", "postgres"]
        for statement in statements:
            words += ["-c", statement]
        return self.machine.run(words + ["postgres"])[0]

    def tool(self, name, *words):
        return self.machine.run([self.machine.pg(name), "-h", self.folder, "-p", self.port, "-U", "postgres", *words])

    def make(self):
        self.make_source()
        self.make_backups()
        shutil.rmtree(self.source)  # what follows reads backups alone
        self.recover()
        os.sync()
        size = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(self.backups["CRC32C"]) for name in names)
        with open(self.ready, "w") as out:
            json.dump({"bytes": size}, out)
        tell("a backup has %.2f GB" % (size / 1e9))

    def make_source(self):
        tell("building a cluster of scale %d in '%s'" % (self.scale, self.folder))
        self.machine.run([self.machine.pg("initdb"), "-D", self.source, "-U", "postgres", "-A", "trust", "--no-sync", "-k", "--locale=C", "-E",
                          "UTF8"])
        with open(os.path.join(self.source, "postgresql.conf"), "a") as settings:
            settings.write("fsync = off\nautovacuum = off\nshared_buffers = 1GB\nmaintenance_work_mem = 512MB\nmax_wal_size = 16GB\n"
                           "checkpoint_timeout = 1h\nmax_parallel_maintenance_workers = 1\n")
        # Nothing of the filling needs WAL: it is begun anew with it for the backups.
        self.start(self.source, ["-c wal_level=minimal", "-c max_wal_senders=0"])
        self.tool("pgbench", "-i", "-q", "-I", "dtGp", "-s", str(self.scale), "postgres")
        self.sql("vacuum analyze", "create index by_branch on pgbench_accounts(bid)", "create index by_balance on pgbench_accounts(abalance, aid)",
                 "create index by_chance on pgbench_accounts(hashint4(aid))")
        self.tool("pgbench", "-n", "-c", "4", "-t", "5000", "postgres")
        self.sql("vacuum pgbench_accounts")
        self.stop(self.source)

    def make_backups(self):
        with open(self.config, "w") as config:
            config.write("[global]\nrepo1-path=%s\nlog-path=%s\nlock-path=%s\nlog-level-file=off\nlog-level-console=warn\nstart-fast=y\n"
                         "process-max=%d\ncompress-type=%s\n[main]\npg1-path=%s\npg1-port=%d\npg1-socket-path=%s\npg1-user=postgres\n"
                         % (self.repository, self.folder, self.folder, self.machine.options.threads, self.machine.options.compress, self.source,
                            self.port, self.folder))
        for name in [self.repository]:
            os.mkdir(name)
            if self.machine.owner:
                os.chown(name, self.machine.owner.pw_uid, self.machine.owner.pw_gid)
        self.start(self.source, ["-c archive_mode=on",
                                 "-c archive_command=\"pgbackrest --config=%s --stanza=main archive-push %%p\"" % self.config])
        for checksum, to in self.backups.items():
            tell("pg_basebackup, %s" % checksum)
            self.tool("pg_basebackup", "-c", "fast", "--no-sync", "--manifest-checksums=" + checksum, "-D", to)
        tell("pgbackrest backup")
        pgbackrest = ["pgbackrest", "--config=" + self.config, "--stanza=main"]
        self.machine.run(pgbackrest + ["stanza-create"])
        self.machine.run(pgbackrest + ["--type=full", "backup"])
        self.stop(self.source)

    def recover(self):
        tell("recovering a copy")
        self.machine.run(["cp", "-a", self.backups["CRC32C"], self.recovered])
        self.start(self.recovered, ["-c archive_mode=off"])
        question = self.machine.run([self.machine.options.helper, "sql"])[0]
        rows = self.sql("select json_build_array(%s) from (%s) q(a, b, c, d, e, f, g)" % ("a, b, c, d, e, f, g", question))
        with open(self.indexes, "w") as out:
            out.write("\n".join(line for line in rows.splitlines() if line) + "\n")
        self.stop(self.recovered)


def drop_cache(folder):
    """Takes the files below `folder` out of the page cache. Dirty pages stay: sync comes first, once, when all is made."""
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            if os.path.islink(path):
                continue
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


class Bench:
    def __init__(self, machine, world):
        self.machine = machine
        self.world = world
        self.options = machine.options
        self.took = {}  # what -> list of measurements

    def measure(self, what, argv, folder, cache):
        if cache == "cold":
            drop_cache(folder)
        out, used = self.machine.run(argv)
        try:
            used["said"] = json.loads(out.splitlines()[-1])
        except (ValueError, IndexError):
            used["said"] = {}
        used["rss"] = used["said"].get("rss", used["rss"])  # a child's record begins with its parent's memory
        self.took.setdefault(what, []).append(used)
        tell("%-34s %7.2f s, %6.2f s of processor, %4.0f MiB" % (" ".join(what), used["seconds"], used["cpu"], used["rss"] / (1 << 20)))

    def warm_up(self, folder):
        self.machine.run([self.options.helper, "plain", folder, "--threads", self.options.threads])

    def helper(self, command, folder, *more):
        return [self.options.helper, command, folder, "--threads", self.options.threads, *more]

    def group(self, cache, turn, folder, measurements):
        """Measures one after the other, each time beginning with another, so that none always meets the machine in the same state."""
        self.warm_up(folder)  # for a cold cache too: below this machine's cache there may be the host's, which cannot be dropped
        first = turn % len(measurements)
        for what, argv in measurements[first:] + measurements[:first]:
            self.measure((cache,) + what, argv, folder, cache)

    def one_round(self, cache, turn):
        world = self.world
        for checksum, backup in world.backups.items():
            self.group(cache, turn, backup, [((checksum, "ours"), self.helper("pass", backup)),
                                             ((checksum, "pg_verifybackup"), [self.machine.pg("pg_verifybackup"), "-q", backup]),
                                             ((checksum, "plain"), self.helper("plain", backup))])
        coverage = [(("coverage", str(threads)), [self.options.helper, "coverage", world.recovered, "--threads", threads, "--indexes", world.indexes])
                    for threads in [1, 2]]
        self.group(cache, turn, world.recovered,
                   [(("pg_checksums",), [self.machine.pg("pg_checksums"), "--check", "-D", world.recovered])] + coverage)
        if turn < self.options.repository_runs:
            verify = ["pgbackrest", "--config=" + world.config, "--stanza=main", "--output=text", "verify"]
            self.group(cache, turn, world.repository, [(("repository", "ours"), self.helper("pass", world.repository)),
                                                       (("repository", "pgbackrest"), verify)])

    def seconds(self, *what):
        return [each["seconds"] for each in self.took[what]]

    def bytes_of(self, *what):
        return self.took[what][0]["said"]["bytes"]

    def detail(self, what, size):
        runs = self.took[what]
        seconds = statistics.median(each["seconds"] for each in runs)
        return {"seconds": round(seconds, 3), "gb_per_s": round(size / seconds / 1e9, 2),
                "cpu_s": round(statistics.median(each["cpu"] for each in runs), 2), "rss_mib": round(max(each["rss"] for each in runs) / (1 << 20), 1)}

    def line(self, name, unit, values, goal, **more):
        values = sorted(values)
        print(json.dumps({"name": name, "unit": unit, "n": len(values), "min": round(values[0], 3), "median": round(statistics.median(values), 3),
                          "max": round(values[-1], 3), "goal": goal, **more}), flush=True)

    def tell_figures(self, kernels):
        threads = self.options.threads
        for cache in self.options.cache:
            for checksum in self.world.backups:
                ours, plain = (cache, checksum, "ours"), (cache, checksum, "plain")
                verify, checksums = (cache, checksum, "pg_verifybackup"), (cache, "pg_checksums")
                size = self.bytes_of(*plain)
                rounds = list(zip(self.seconds(*ours), self.seconds(*verify), self.seconds(*checksums), self.seconds(*plain)))
                where = {"cache": cache, "manifest": checksum, "threads": threads, "bytes": size}
                self.line("verify.ratio_to_stock", "times as quick", [(v + c) / o for o, v, c, _ in rounds], ">= 2", **where,
                          ours=self.detail(ours, size), pg_verifybackup=self.detail(verify, size), pg_checksums=self.detail(checksums, size))
                judged = checksum == "CRC32C" and cache == "cold"
                bound = kernels[checksum] * kernels["page"] / (kernels[checksum] + kernels["page"]) * threads
                self.line("verify.share_of_plain_read", "percent", [100 * p / o for o, _, _, p in rounds], ">= 80" if judged else None, **where,
                          ours=self.detail(ours, size), plain=self.detail(plain, size), hash_bound_gb_per_s=round(bound, 2))
            for count in ["1", "2"]:
                what = (cache, "coverage", count)
                size = self.bytes_of(*what)
                per_core = [size / 1e9 / each["seconds"] / int(count) for each in self.took[what]]
                said = self.took[what][0]["said"]
                self.line("verify.tid_coverage", "GB/s of a core", per_core, ">= 1" if cache == "warm" else None, cache=cache, threads=int(count),
                          entries=said["entries"], indexes=said["indexes"], **self.detail(what, size))
            if (cache, "repository", "ours") in self.took:
                ours, theirs = (cache, "repository", "ours"), (cache, "repository", "pgbackrest")
                said = self.took[ours][0]["said"]
                ratios = [t / o for o, t in zip(self.seconds(*ours), self.seconds(*theirs))]
                self.line("verify.ratio_to_pgbackrest", "times as quick", ratios, None, cache=cache, threads=threads, compress=self.options.compress,
                          stored_bytes=said["stored_bytes"], ours=self.detail(ours, said["bytes"]), pgbackrest=self.detail(theirs, said["bytes"]))
        rss = [each["rss"] / (1 << 20) for what, runs in self.took.items() if what[-1] == "ours" or "coverage" in what for each in runs]
        self.line("verify.rss", "MiB", rss, "<= 64", threads=threads)
        print(json.dumps({"name": "verify.kernels", "unit": "GB/s of a core, from its cache", **{name: round(rate, 2) for name, rate in kernels.items()}}))

    def measure_all(self):
        kernels = json.loads(self.machine.run([self.options.helper, "kernels"])[0])
        del kernels["rss"]
        for turn in range(self.options.runs):
            for cache in self.options.cache:
                tell("round %d of %d, %s" % (turn + 1, self.options.runs, cache))
                self.one_round(cache, turn)
        self.tell_figures(kernels)


def measure_restore(machine, world):
    """restore.rto: the drill as an operator runs it, from the start to the first verified query; its phases as it says them."""
    for name, path in [("pg_basebackup", world.backups["CRC32C"]), ("pgbackrest", world.repository)]:
        scratch = os.path.join(world.folder, "drill")
        os.makedirs(scratch, exist_ok=True)
        if machine.owner:
            os.chown(scratch, machine.owner.pw_uid, machine.owner.pw_gid)
        out, used = machine.run([machine.options.program, "backup", "drill", "--repo", path, "--level", "4", "--scratch", scratch, "--json"], check=False)
        try:
            said = json.loads(out[out.index("{"):])
        except ValueError:
            tell("the drill of %s said: %s" % (name, out[-500:]))
            continue
        print(json.dumps({"name": "restore.rto", "unit": "seconds", "source": name, "n": 1, "all_seconds": round(used["seconds"], 2),
                          "cpu_s": round(used["cpu"], 2), "rto": said.get("rto"), "phases": said.get("phases")}), flush=True)


def parse():
    here = os.path.dirname(os.path.abspath(__file__))
    build = os.path.join(os.path.dirname(here), "build", "release", "bin")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=300, help="of pgbench; 300 makes about 5 GB")
    parser.add_argument("--runs", type=int, default=3, help="rounds, in turns")
    parser.add_argument("--repository-runs", type=int, default=1, help="rounds that also measure pgBackRest")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", choices=["cold", "warm"], nargs="+", default=["cold", "warm"])
    parser.add_argument("--compress", default="lz4", help="compress-type of the pgBackRest repository")
    parser.add_argument("--scratch", default=None, help="where a folder is made; or a folder that --keep left")
    parser.add_argument("--keep", action="store_true", help="leave the folder for more measurements")
    parser.add_argument("--no-restore", action="store_true", help="leave restore.rto out")
    parser.add_argument("--bin", default="/usr/lib/postgresql/15/bin")
    parser.add_argument("--helper", default=os.path.join(build, "lifeboat_bench_backups"))
    parser.add_argument("--program", default=os.path.join(build, "lifeboat"))
    return parser.parse_args()


def main():
    options = parse()
    machine = Machine(options)
    again = options.scratch and os.path.exists(os.path.join(options.scratch, "ready.json"))
    folder = options.scratch if again else tempfile.mkdtemp(prefix="lifeboat-bench-", dir=options.scratch)
    try:
        # PostgreSQL's user runs what is measured; the build may lie where it has no way in.
        for name in ["helper"] if options.no_restore else ["helper", "program"]:
            to = os.path.join(folder, os.path.basename(getattr(options, name)))
            shutil.copy2(getattr(options, name), to)
            setattr(options, name, to)
        os.chmod(folder, 0o755)
        if machine.owner:
            os.chown(folder, machine.owner.pw_uid, machine.owner.pw_gid)
        world = World(machine, folder, options.scale)
        if not again:
            needed = options.scale * PAGES_PER_SCALE * COPIES
            free = shutil.disk_usage(folder).free
            if free < needed * 1.1:
                end("'%s' has %.0f GB free, and %.0f are needed (--scratch, --scale)" % (folder, free / GIB, needed * 1.1 / GIB))
            world.make()
        bench = Bench(machine, world)
        bench.measure_all()
        if not options.no_restore:
            measure_restore(machine, world)
    finally:
        if options.keep:
            tell("left: %s" % folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)


main()
