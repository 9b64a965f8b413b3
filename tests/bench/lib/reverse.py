# reverse.py - routes: the TLS origin that answers the real credential alone, and who puts that in: nginx, haproxy, egressd's policy.
#
# All three do the same job with one worker: a header set, TLS 1.3 to the origin with its certificate verified, connections kept alive on both sides,
# bodies streamed and not written to disk.
import os

from lib.lab import find, free_port

REAL = 'bench-real-' + 'k' * 29         # the credential that only the origin may see
PLACEHOLDER = 'bench-fake-' + 'p' * 29  # what the clients of the others send in its place
SMALL, MEDIUM, LARGE = 100, 64 << 10, 10 << 20


def nginx(lab, name, body):
    program = find('nginx')
    user = 'user root;' if os.geteuid() == 0 else ''
    temp = '\n'.join(f'  {kind}_temp_path {lab.path(name + "." + kind)};'
                     for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    lab.write(name + '.conf', f'''daemon off; {user} worker_processes 1; pid {lab.path(name + '.pid')};
error_log {lab.path(name + '.log')} error; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off; server_tokens off; keepalive_requests 100000000; keepalive_timeout 300s; tcp_nodelay on;
  client_max_body_size 0;
{temp}
{body}
}}
''')
    return [program, '-e', lab.path(name + '.log'), '-p', lab.dir, '-c', lab.path(name + '.conf')]


def tls_origin(lab, events):
    """Answers 200 to the real credential and 403 to all else, over TLS and, as a floor, in plain."""
    lab.tls_port, lab.plain_port = free_port(), free_port()
    os.makedirs(lab.path('www'), exist_ok=True)
    for name, size in (('medium', MEDIUM), ('large', LARGE)):
        with open(lab.path('www/' + name), 'wb') as f:
            f.write(b'a' * size)
    argv = nginx(lab, 'origin', f'''  upstream events {{ server 127.0.0.1:{events}; keepalive 64; }}
  upstream self {{ server 127.0.0.1:{lab.plain_port}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{lab.tls_port} ssl; listen 127.0.0.1:{lab.plain_port};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate origin.pem; ssl_certificate_key origin.key; ssl_session_cache shared:s:1m;
    root {lab.path('www')}; default_type application/json; sendfile on;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    if ($http_authorization != "Bearer {REAL}") {{ return 403; }}
    location = /small {{ return 200 '{"a" * SMALL}'; }}
    location = /events {{ proxy_pass http://events; }}
    location = /upload {{
      client_body_buffer_size 2m; proxy_pass http://self/taken; proxy_set_header Authorization "Bearer {REAL}";
    }}
    location = /taken {{ return 200 'ok'; }}
  }}''')
    return lab.start('origin', argv, lab.tls_port)


def nginx_reverse(lab):
    """(port, command) of nginx as the reverse proxy."""
    port = free_port()
    return port, nginx(lab, 'reverse', f'''  upstream api {{ server 127.0.0.1:{lab.tls_port}; keepalive 64;
    keepalive_requests 100000000; keepalive_timeout 300s; }}
  server {{
    listen 127.0.0.1:{port};
    location /api/ {{
      proxy_pass https://api/; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host localhost; proxy_set_header Authorization "Bearer {REAL}";
      proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name localhost;
      proxy_ssl_server_name on; proxy_ssl_session_reuse on; proxy_ssl_protocols TLSv1.2 TLSv1.3;
      proxy_request_buffering off; proxy_max_temp_file_size 0; proxy_buffer_size 16k; proxy_buffers 8 16k;
    }}
    location /api/events {{
      proxy_pass https://api/events; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host localhost; proxy_set_header Authorization "Bearer {REAL}";
      proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name localhost;
      proxy_ssl_server_name on; proxy_buffering off;
    }}
  }}''')


def haproxy_reverse(lab):
    """(port, command) of haproxy as the reverse proxy."""
    port = free_port()
    lab.write('reverse.haproxy', f'''global
  nbthread 1
  maxconn 4096
  log 127.0.0.1:1 local0 emerg
defaults
  mode http
  option http-keep-alive
  option http-no-delay
  timeout connect 10s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
frontend f
  bind 127.0.0.1:{port}
  default_backend api
backend api
  http-reuse always
  http-request replace-path /api(/.*) \\1
  http-request set-header Host localhost
  http-request set-header Authorization "Bearer {REAL}"
  server s 127.0.0.1:{lab.tls_port} ssl verify required ca-file {lab.path('ca.pem')} sni str(localhost) verifyhost localhost pool-max-conn 64
''')
    return port, [find('haproxy'), '-db', '-f', lab.path('reverse.haproxy')]


def services(lab):
    """The part of egressd's policy that makes the same route: api as everybody has it, bare without redaction."""
    lab.write('credential', REAL, 0o600)

    def service(name, variable, more):
        return f'''  {name}:
    upstream: https://localhost:{lab.tls_port}
    credential: {name}
    accept: [bearer]
    write: ["header:Authorization: Bearer {{}}"]
    env: {{base_url: {variable}_URL, key: [{variable}_KEY]}}
{more}'''
    return f'''services:
{service('api', 'BENCH', '')}{service('bare', 'BARE', '    redact: false' + chr(10))}credentials:
  api: {{from: "file:{lab.path('credential')}", hosts: [localhost]}}
  bare: {{from: "file:{lab.path('credential')}", hosts: [localhost]}}
tls: {{ca: {lab.path('ca.pem')}}}
'''
