#!/usr/bin/env python3
"""One of the emulators as a server on a free port of 127.0.0.1: emulator.py ministack|moto.

The first line of standard output is the port; it can be connected to from then on. Everything else goes to standard error.
The socket is bound here, so that no other process can take the port between its choice and its use.
"""
import os
import socket
import sys
import tempfile


def listen():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def tell(port):
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    os.dup2(2, 1)


def ministack(listener):
    port = listener.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="lifeboat-ministack-")
    os.environ.update(GATEWAY_PORT=str(port), BIND_HOST="127.0.0.1", IOT_MTLS_ENABLED="0", SFTP_ENABLED="0", TMPDIR=folder,
                      S3_DATA_DIR=folder + "/s3", STATE_DIR=folder + "/state", LOG_LEVEL="WARNING")
    import asyncio
    import shutil
    import signal

    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    tell(port)
    try:
        asyncio.run(serve(app, config))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def promote_as_rds_does():
    """moto answers a promotion at once, and the promoted instance goes on naming its source for ever. RDS carries it out afterwards: the
    replica is at work, then follows nobody, and is backed up first while it takes writes already. Each state lasts half a second here."""
    import threading

    from moto.rds.models import RDSBackend

    taken_on = RDSBackend.promote_read_replica

    def states(instance):
        instance.status, instance.source_db_instance_identifier = "backing-up", None
        threading.Timer(0.5, lambda: setattr(instance, "status", "available")).start()

    def promote(self, db_kwargs):
        instance = taken_on(self, db_kwargs)
        instance.status = "modifying"
        threading.Timer(0.5, states, [instance]).start()
        return instance

    RDSBackend.promote_read_replica = promote


def moto(listener):
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    promote_as_rds_does()
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    port = listener.getsockname()[1]
    app = DomainDispatcherApplication(create_backend_app)
    app.debug = True
    server = make_server("127.0.0.1", port, app, threaded=True, fd=listener.fileno())
    tell(port)
    server.serve_forever()


if __name__ == "__main__":
    {"ministack": ministack, "moto": moto}[sys.argv[1]](listen())
