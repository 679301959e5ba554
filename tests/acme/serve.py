"""acme2certifier on loopback: its own WSGI application, with DNS and HTTP of the names at ports that need no privilege."""

import ssl
import sys

import dns.resolver
from urllib3.util import connection
from werkzeug.serving import run_simple

port, dns_port, http_port, chain, key = sys.argv[1:]
reset = dns.resolver.BaseResolver.reset
connect = connection.create_connection


def reset_to_port(resolver):
    reset(resolver)
    resolver.port = int(dns_port)


def connect_to_port(address, *args, **kwargs):
    host, at = address
    return connect((host, int(http_port) if at == 80 else at), *args, **kwargs)


dns.resolver.BaseResolver.reset = reset_to_port
connection.create_connection = connect_to_port

from acme2certifier.share.acme2certifier_wsgi import application  # noqa: E402 (reads its configuration)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
run_simple("127.0.0.1", int(port), application, ssl_context=context, threaded=True)
