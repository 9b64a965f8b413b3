# reverse.py - routes: the TLS origin that answers the real credential alone, nginx as the reverse proxy beside egressd's route, and that route's policy.
import os

from lib.lab import find, free_port

REAL = 'bench-real-' + 'k' * 29         # the credential that only the origin may see
PLACEHOLDER = 'bench-fake-' + 'p' * 29  # what nginx's clients send in its place


def nginx(lab, name, body):
    program = find('nginx')
    user = 'user root;' if os.geteuid() == 0 else ''
    temp = '\n'.join(f'  {kind}_temp_path {lab.path(name + "." + kind)};'
                     for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    lab.write(name + '.conf', f'''daemon off; {user} worker_processes 1; pid {lab.path(name + '.pid')};
error_log {lab.path(name + '.log')} warn; worker_rlimit_nofile 8192;
events {{ worker_connections 2048; }}
http {{
  access_log off; server_tokens off; keepalive_requests 100000000; keepalive_timeout 300s;
{temp}
{body}
}}
''')
    return [program, '-e', lab.path(name + '.log'), '-p', lab.dir, '-c', lab.path(name + '.conf')]


def tls_origin(lab):
    """Answers 200 to the real credential and 403 to all else, over TLS and, as a floor, in plain."""
    lab.tls_port, lab.plain_port = free_port(), free_port()
    argv = nginx(lab, 'origin', f'''  server {{
    listen 127.0.0.1:{lab.tls_port} ssl; listen 127.0.0.1:{lab.plain_port};
    ssl_certificate origin.pem; ssl_certificate_key origin.key; ssl_session_cache shared:s:1m;
    location / {{
      if ($http_authorization != "Bearer {REAL}") {{ return 403; }}
      default_type application/json; return 200 '{{"answer":"{'a' * 180}"}}';
    }}
  }}''')
    return lab.start('origin', argv, lab.tls_port)


def reverse(lab):
    """(port, command) of nginx as the reverse proxy."""
    port = free_port()
    return port, nginx(lab, 'reverse', f'''  upstream api {{ server 127.0.0.1:{lab.tls_port}; keepalive 32;
    keepalive_requests 100000000; keepalive_timeout 300s; }}
  server {{
    listen 127.0.0.1:{port};
    location /api/ {{
      proxy_pass https://api/; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host localhost; proxy_set_header Authorization "Bearer {REAL}";
      proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name localhost;
      proxy_ssl_server_name on; proxy_ssl_session_reuse on;
    }}
  }}''')


def services(lab):
    """The part of egressd's policy that makes the same route."""
    lab.write('credential', REAL, 0o600)
    return f'''services:
  api:
    upstream: https://localhost:{lab.tls_port}
    credential: api
    accept: [bearer]
    write: ["header:Authorization: Bearer {{}}"]
    env: {{base_url: BENCH_URL, key: [BENCH_KEY]}}
credentials:
  api: {{from: "file:{lab.path('credential')}", hosts: [localhost]}}
tls: {{ca: {lab.path('ca.pem')}}}
'''
