"""Real PostgreSQL servers for aurora_plane.py: one a region, a throw-away CA, TCP endpoints that can fall silent, and the guarantee
that nothing of it outlives the program. As root the servers run as user postgres. Only processes end here, never the machine: no fsync.
"""
import asyncio
import ctypes
import datetime
import glob
import ipaddress
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time

DATABASE = "orders"
ROLES = ("clients", "lifeboat", "replicator")
START = 60  # seconds that a server may take to start or to stop

SETTINGS = """
include '../region.conf'
max_connections = 60
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
wal_level = replica
wal_keep_size = 256MB
max_wal_size = 256MB
wal_retrieve_retry_interval = 100ms
wal_receiver_status_interval = 1s
hot_standby_feedback = on
fsync = off
full_page_writes = off
autovacuum = off
ssl = on
log_line_prefix = '%m [%p] %q%u@%d '
log_timezone = 'UTC'
timezone = 'UTC'
"""
HOSTS = """
local all all trust
local replication all trust
hostssl all all 127.0.0.0/8 scram-sha-256
host replication replicator 127.0.0.1/32 scram-sha-256
"""

# What Aurora says of a global database, by its documented columns. On the writer: measured now, of pg_stat_replication; a reader that
# is gone keeps its last row with the time at which it was calculated. On a reader: what the writer last noted, as replicated.
STATUS = """
SET allow_system_table_mods = on;
CREATE SCHEMA aurora_plane;
CREATE TABLE aurora_plane.noted(aws_region text PRIMARY KEY, highest_lsn_written bigint, durability_lag_in_msec bigint,
  rpo_lag_in_msec bigint, last_lag_calculation_time timestamptz, feedback_epoch bigint, feedback_xmin bigint);
CREATE FUNCTION aurora_plane.measured() RETURNS SETOF aurora_plane.noted LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT current_setting('aurora.region'), (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint, -1::bigint, -1::bigint,
         'epoch'::timestamptz, 0::bigint, 0::bigint
  UNION ALL
  SELECT application_name, (flush_lsn - '0/0'::pg_lsn)::bigint, lag, lag, clock_timestamp(),
         (pg_snapshot_xmax(pg_current_snapshot())::text::bigint >> 32), coalesce(backend_xmin::text::bigint, 0)
  FROM (SELECT *, CASE WHEN flush_lsn >= pg_current_wal_flush_lsn() THEN 0
                       ELSE ceil(1000 * extract(epoch FROM greatest(flush_lag, clock_timestamp() - reply_time)))::bigint END AS lag
        FROM pg_stat_replication WHERE state IN ('catchup', 'streaming') AND application_name <> 'pg_basebackup'
          AND flush_lsn IS NOT NULL) AS seen
$$;
CREATE FUNCTION pg_catalog.aurora_global_db_status(OUT aws_region text, OUT highest_lsn_written bigint,
  OUT durability_lag_in_msec bigint, OUT rpo_lag_in_msec bigint, OUT last_lag_calculation_time timestamptz,
  OUT feedback_epoch bigint, OUT feedback_xmin bigint) RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  IF pg_is_in_recovery() THEN
    RETURN QUERY SELECT * FROM aurora_plane.noted;
  ELSE
    RETURN QUERY SELECT * FROM aurora_plane.measured() UNION ALL
      SELECT * FROM aurora_plane.noted n
      WHERE n.last_lag_calculation_time > 'epoch' AND n.aws_region <> current_setting('aurora.region')
        AND n.aws_region NOT IN (SELECT m.aws_region FROM aurora_plane.measured() m);
  END IF;
END $$;
GRANT EXECUTE ON FUNCTION pg_catalog.aurora_global_db_status() TO PUBLIC;
CREATE TABLE ledger_rows(client int, n bigint, at timestamptz DEFAULT clock_timestamp(), pad text, PRIMARY KEY (client, n));
GRANT SELECT, INSERT ON ledger_rows TO clients;
"""
NOTE = """INSERT INTO aurora_plane.noted SELECT * FROM aurora_plane.measured()
ON CONFLICT (aws_region) DO UPDATE SET highest_lsn_written = excluded.highest_lsn_written,
  durability_lag_in_msec = excluded.durability_lag_in_msec, rpo_lag_in_msec = excluded.rpo_lag_in_msec,
  last_lag_calculation_time = excluded.last_lag_calculation_time, feedback_epoch = excluded.feedback_epoch,
  feedback_xmin = excluded.feedback_xmin"""


class Problem(Exception):
    pass


# ---- processes ----


def programs():
    """Where PostgreSQL's programs are: those of 15, or else the newest."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
    if not found:
        raise Problem("there is no PostgreSQL in /usr/lib/postgresql")
    return next((path for path in found if path.split("/")[4] == "15"), found[-1])


def run_as():
    """What subprocess needs to run a server, which refuses to be root's."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [user.pw_gid]}


def within(folder):
    """Pids that work beneath `folder`, that is, servers and what they have forked."""
    pids = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                place = os.readlink(f"/proc/{entry}/cwd")
            except OSError:
                continue
            if place == folder or place.startswith(folder + "/"):
                pids.append(int(entry))
    return pids


def signal_all(folder, number):
    """Everything beneath `folder`, also what is forked meanwhile. @return how many"""
    told = set()
    while fresh := [pid for pid in within(folder) if pid not in told]:
        for pid in sorted(fresh):  # the postmaster before those that it has forked
            told.add(pid)
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
    return len(told)


def forget_memory(data):
    """The System V segment of a server that was killed: line 7 of its lock file is "key id"."""
    try:
        with open(os.path.join(data, "postmaster.pid")) as lock:
            words = lock.read().split("\n")[6].split()
        ctypes.CDLL(None).shmctl(int(words[1]), 0, None)
    except (OSError, IndexError, ValueError):
        pass


def end_all(folder):
    """Kills by pid whatever works beneath `folder`, and removes it."""
    signal_all(folder, signal.SIGKILL)
    while within(folder):
        time.sleep(0.01)
    for data in glob.glob(os.path.join(folder, "*", "data*")):
        forget_memory(data)
    shutil.rmtree(folder, ignore_errors=True)


def end_with_us(folder):
    """A child that waits for our end, however that comes, and then ends everything beneath `folder`. Call it before any thread."""
    read, write = os.pipe()
    if os.fork():
        os.close(read)
        return write  # closed by our end
    os.close(write)
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    while os.read(read, 1):
        pass
    end_all(folder)
    os._exit(0)


# ---- certificates ----


def make_certificates(folder, regions):
    """A CA that is thrown away, `folder`/ca.pem, and for each region a certificate for its addresses.
    @param regions: {region: [name or address]}  @return {region: (certificate file, key file)}"""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.timezone.utc)

    def sign(subject, issuer, key, signer, extensions):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=30))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def name(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def alternative(text):
        try:
            return x509.IPAddress(ipaddress.ip_address(text))
        except ValueError:
            return x509.DNSName(text)

    authority = ec.generate_private_key(ec.SECP256R1())
    with open(os.path.join(folder, "ca.pem"), "wb") as out:
        out.write(sign(name("a CA of a test"), name("a CA of a test"), authority, authority,
                       [(x509.BasicConstraints(ca=True, path_length=0), True)]))
    files = {}
    for region, names in regions.items():
        key = ec.generate_private_key(ec.SECP256R1())
        paths = [os.path.join(folder, region, file) for file in ("server.crt", "server.key")]
        with open(paths[0], "wb") as out:
            out.write(sign(name(names[0]), name("a CA of a test"), key, authority,
                           [(x509.SubjectAlternativeName([alternative(text) for text in names]), False)]))
        with open(os.open(paths[1], os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
            out.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                        serialization.NoEncryption()))
        for path in paths:
            give(path)
        files[region] = tuple(paths)
    return files


def give(path):
    """To the servers' user."""
    owner = run_as()
    if owner:
        os.chown(path, owner["user"], owner["group"])


# ---- endpoints ----


class Relay:
    """A TCP address in front of a server. "open": passes everything on, a stream of replication after `delay` seconds; "closed": ends
    every connection; "silent": takes connections, keeps them and says nothing, as an address of a region that is gone.
    Its methods but `set` belong to the event loop."""

    def __init__(self, loop, address, port, target, delay=0.0):
        self.loop, self.target, self.delay = loop, target, delay
        self.state, self.connections, self.changed = "closed", set(), asyncio.Event()
        self.server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self.serve, address, port), loop).result()
        self.port = self.server.sockets[0].getsockname()[1]

    def set(self, state):
        """From any other thread; done when it returns."""
        async def change():
            if state != self.state or state == "closed":
                was, self.state = self.state, state
                self.changed.set()
                self.changed = asyncio.Event()
                if state == "closed" or was == "silent":
                    for writer in list(self.connections):
                        writer.transport.abort()

        asyncio.run_coroutine_threadsafe(change(), self.loop).result()

    async def serve(self, reader, writer):
        self.connections.add(writer)
        far = None
        try:
            while self.state == "silent":
                await self.changed.wait()
                raise ConnectionError  # whoever was kept waiting is let go
            if self.state == "closed":
                raise ConnectionError
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
            self.connections.add(far)
            streams = asyncio.Event()
            pumps = [asyncio.ensure_future(pump)
                     for pump in (self.pump(reader, far, streams), self.pump(far_reader, writer, streams, back=True))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            while self.state == "silent":
                await self.changed.wait()
            for pump in pumps:
                pump.cancel()
        except (ConnectionError, OSError):
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    self.connections.discard(end)
                    if self.state == "open":
                        end.close()  # its last words are passed on
                    else:
                        end.transport.abort()

    async def pump(self, reader, writer, streams, back=False):
        """Until the end of either side. What is on its way when the relay falls silent never arrives."""
        line = asyncio.Queue(256)

        def due():
            return self.loop.time() + (self.delay if back and streams.is_set() else 0)

        async def fill():
            try:
                while data := await reader.read(1 << 16):
                    if not back and b"START_REPLICATION" in data:
                        streams.set()
                    await line.put((due(), data))
            except (ConnectionError, OSError):
                pass
            await line.put((due(), b""))

        filling = asyncio.ensure_future(fill())
        try:
            while True:
                at, data = await line.get()
                if at > self.loop.time():
                    await asyncio.sleep(at - self.loop.time())
                if self.state == "silent" or not data:
                    return
                writer.write(data)
                await writer.drain()
        except (ConnectionError, OSError):
            pass
        finally:
            filling.cancel()


def start_loop():
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def free_port(addresses=("127.0.0.1",)):
    """One that is free at all of these at this moment."""
    while True:
        held = [socket.socket() for _ in addresses]
        try:
            port = 0
            for each, address in zip(held, addresses):
                each.bind((address, port))
                port = each.getsockname()[1]
            return port
        except OSError:
            continue
        finally:
            for each in held:
                each.close()


# ---- a server ----


class Server:
    """PostgreSQL in a region. Thread rule: one thread; blocks."""

    def __init__(self, root, region, passfile, log):
        self.region, self.passfile, self.log = region, passfile, log
        self.folder = os.path.join(root, region)
        self.data, self.socket = os.path.join(self.folder, "data"), os.path.join(self.folder, "socket")
        self.port, self.process, self.kept = free_port(), None, 0
        self.environment = {**os.environ, "HOME": self.folder, "LC_ALL": "C", "PGPASSFILE": passfile}  # libpq looks into HOME
        for folder, mode in ((self.folder, 0o755), (self.socket, 0o700)):
            os.mkdir(folder, mode)
            give(folder)

    def run(self, *command, timeout=START):
        done = subprocess.run([os.path.join(programs(), command[0]), *command[1:]], cwd=self.folder, text=True, capture_output=True,
                              timeout=timeout, env=self.environment, **run_as())
        if done.returncode != 0:
            raise Problem(f"{command[0]} in {self.region}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def sql(self, text, database=DATABASE):
        """@return what psql prints, without alignment"""
        return self.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.socket, "-p", str(self.port), "-U", "postgres", "-d",
                        database, "-c", text).strip()

    def configure(self, certificate, key, link):
        """What is the region's own, outside of the data directory, which is copied from region to region."""
        with open(os.path.join(self.folder, "region.conf"), "w") as out:
            out.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.socket}'\n"
                      f"cluster_name = '{self.region}'\naurora.region = '{self.region}'\n"
                      f"ssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\n"
                      f"primary_conninfo = 'host=127.0.0.1 port={link} user=replicator passfile=''{self.passfile}'' "
                      f"sslmode=disable connect_timeout=3'\n")

    def create(self, passwords):
        self.run("initdb", "-D", self.data, "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C", "-A", "trust")
        for name, text in (("postgresql.conf", SETTINGS), ("pg_hba.conf", HOSTS)):
            with open(os.path.join(self.data, name), "w") as out:
                out.write(text)
        self.start()
        self.sql("".join(f"CREATE ROLE {role} LOGIN {'REPLICATION' if role == 'replicator' else ''} PASSWORD '{passwords[role]}';"
                         for role in ROLES), "postgres")
        self.sql(f"CREATE DATABASE {DATABASE}", "postgres")
        self.sql(STATUS + f"GRANT CREATE ON DATABASE {DATABASE} TO lifeboat;")

    def copy_from(self, source):
        """A new volume. What stood here is kept beside it, as Aurora keeps a snapshot of it."""
        if os.path.exists(self.data):
            self.kept += 1
            os.rename(self.data, f"{self.data}.lost-{self.kept}")
        self.run("pg_basebackup", "-D", self.data, "-d", f"host=127.0.0.1 port={source.port} user=replicator sslmode=disable",
                 "--no-sync", "--checkpoint=fast", "-X", "stream")
        self.become_standby()

    def become_standby(self):
        """From its next start on."""
        with open(os.path.join(self.data, "standby.signal"), "w"):
            pass
        give(os.path.join(self.data, "standby.signal"))

    def start(self):
        self.process = subprocess.Popen([os.path.join(programs(), "postgres"), "-D", self.data], cwd=self.folder, env=self.environment,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True, **run_as())
        end = time.monotonic() + START
        while True:
            if self.process.poll() is not None:
                raise Problem(f"the server of {self.region} ended with {self.process.returncode} while it started")
            try:
                return self.sql("SELECT 1", "postgres")
            except Problem:
                if time.monotonic() > end:
                    raise
                time.sleep(0.03)

    def stop(self, number):
        """SIGINT: cleanly, when its standby has everything; SIGQUIT: at once."""
        self.process.send_signal(number)
        self.process.wait(START)

    def kill(self):
        """Everything at one instant. @return how many processes"""
        count = signal_all(self.data, signal.SIGKILL)
        self.process.wait(START)
        while within(self.data):
            time.sleep(0.002)
        forget_memory(self.data)
        lock = os.path.join(self.data, "postmaster.pid")
        if os.path.exists(lock):
            os.remove(lock)
        return count

    def promote(self):
        if self.sql("SELECT pg_promote(true, 60)") != "t":
            raise Problem(f"the server of {self.region} was not promoted")

    def checkpoint_position(self):
        """Of its last checkpoint, when it is stopped."""
        for line in self.run("pg_controldata", "-D", self.data).splitlines():
            if line.startswith("Latest checkpoint location:"):
                return line.split(":", 1)[1].strip()
        raise Problem("pg_controldata names no checkpoint")

    def await_true(self, question, patience=START):
        end = time.monotonic() + patience
        while self.sql(question) != "t":
            if time.monotonic() > end:
                raise Problem(f"in {self.region} it did not become true within {patience} s: {question}")
            time.sleep(0.02)


def make_passwords(root):
    """@return {role: password}, the passfile of the servers, the passfile of clients, both beneath `root`"""
    passwords = {role: secrets.token_hex(16) for role in ROLES}
    text = "".join(f"*:*:*:{role}:{password}\n" for role, password in passwords.items())
    files = []
    for name in ("servers.pass", "clients.pass"):
        files.append(os.path.join(root, name))
        with open(os.open(files[-1], os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
            out.write(text)
    give(files[0])
    return passwords, files[0], files[1]
