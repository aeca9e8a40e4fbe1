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


def moto(listener):
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
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
