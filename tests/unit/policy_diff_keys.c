/* policy_diff_keys.c - every key of the language, changed: the comparison says so, or the two policies are one and the same. The rows of schema.c are
 * gone through, so that a new key needs an entry here before anybody can forget it in the comparison. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "policy/diff.h"
#include "policy/schema.h"
#include "support/policies.h"

/* want: how one of the changes begins; NULL: the key means nothing for what flows, so both have one id and no change is said. org: it belongs there. */
struct entry {
    const char *key, *a, *b, *want;
    bool org;
};

#define CRED            "credentials:\n  k: {from: \"env:K\", hosts: [a.example]}\n"
#define HTTP(x)         "allow:\n  - {host: a.example, scheme: http, " x "}\n"
#define PLAIN(x)        "services:\n  s: {upstream: \"https://a.example/v1\", " x "}\n"
#define SERVICE(x)      PLAIN("credential: k, " x) CRED
#define KEPT(x)         "credentials:\n  k: {hosts: [a.example], " x "}\n"
#define OAUTH(grant, x) KEPT("oauth2: {grant: " grant ", " x "}")
#define CLIENT(x)       OAUTH("client_credentials", "client_id: c, client_secret: \"env:S\", " x)
#define TOKEN           "token_url: \"https://t.example/t\""
#define JWT(x)          OAUTH("jwt_bearer", "key: \"file:/key\", " TOKEN ", " x)
#define APP(x)          OAUTH("github_app", "issuer: \"1\", key: \"file:/key\", " x)
#define SIGN(x)         KEPT("aws_sigv4: {" x "}")
#define KEYS(x)         SIGN("access_key: \"env:A\", secret_key: \"env:B\"" x)
#define HOP(x)          "upstream: [{proxy: \"https://p.example:1\"" x "}]\n"
#define HOPS(x)         "upstream: {proxies: [{proxy: \"https://p.example:1\"" x "}]}\n"
#define WAY(x)          "upstream: {proxies: [{proxy: \"http://p.example:1\"}]" x "}\n"
#define PROXY_CRED      "credentials:\n  k: {from: \"env:K\", hosts: [p.example]}\n"
#define LISTEN(x)       "listen: [{address: \"127.0.0.1:1\"" x "}]\n"
#define LISTEN_TLS(x)   LISTEN(", tls: {cert: c.pem, key: key.pem" x "}")
#define LISTEN_CERT(x)  LISTEN(", tls: {cert: c.pem, key: key.pem, client_ca: c.pem}" x)
#define PIN(x)          "sha256/" x "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define ASKED(x)        "tests: [{" x ", expect: deny}]\n"
#define LIMIT(key, x, y)                                                                           \
    {                                                                                              \
        "limits." key, "limits: {" key ": " x "}\n", "limits: {" key ": " y "}\n",                 \
            "widens limits." key, false                                                            \
    }

static const struct entry entries[] = {
    { "egress", "", "", NULL, false },
    { "name", "name: a\n", "name: b\n", "neutral name", false },
    { "extends", "", "extends: preset:agent-baseline\n", NULL,
      false }, /* refuses what nothing allows */
    { "extends.preset", "allow: [\"*.ngrok.io\"]\n",
      "allow: [\"*.ngrok.io\"]\nextends: {preset: agent-baseline}\n", "narrows *.ngrok.io", false },
    { "extends.with.*", "extends: {preset: npm, with: {host: a.example}}\n",
      "extends: {preset: npm, with: {host: b.example}}\n", "widens b.example", false },
    { "extends.with.*[]", "extends: {preset: npm, with: {host: [a.example]}}\n",
      "extends: {preset: npm, with: {host: [b.example]}}\n", "widens b.example", false },
    { "extends[]", "allow: [\"*.ngrok.io\"]\n",
      "allow: [\"*.ngrok.io\"]\nextends: [preset:agent-baseline]\n", "narrows *.ngrok.io", false },
    { "extends[].preset", "allow: [\"*.ngrok.io\"]\n",
      "allow: [\"*.ngrok.io\"]\nextends: [{preset: agent-baseline}]\n", "narrows *.ngrok.io",
      false },
    { "extends[].with.*", "extends: [{preset: npm, with: {host: a.example}}]\n",
      "extends: [{preset: npm, with: {host: b.example}}]\n", "narrows a.example", false },
    { "extends[].with.*[]", "extends: [{preset: npm, with: {host: [a.example]}}]\n",
      "extends: [{preset: npm, with: {host: [b.example, a.example]}}]\n", "widens b.example",
      false },
    { "mode", "", "mode: observe\n", "widens mode", false },
    { "final", "final: networks\n", "final: limits\n", NULL,
      true }, /* which files are refused, not what flows */
    { "final[]", "final: [networks]\n", "", NULL, true },

    { "allow[]", "", "allow: [a.example]\n", "widens a.example on 443", false },
    { "allow[].host", "allow: [{host: a.b.example}]\n", "allow: [{host: \"*.b.example\"}]\n",
      "widens *.b.example", false },
    { "allow[].address", "", "allow: [{address: 10.0.0.7}]\n", "widens 10.0.0.7/32", false },
    { "allow[].cidr", "allow: [{cidr: 8.8.8.0/24}]\n", "allow: [{cidr: 8.8.0.0/16}]\n",
      "widens 8.8.0.0/16", false },
    { "allow[].scheme", "allow: [{host: a.example, ports: [443]}]\n",
      "allow: [{host: a.example, ports: [443], scheme: tcp}]\n", "widens a.example", false },
    { "allow[].ports", "allow: [a.example]\n", "allow: [{host: a.example, ports: any}]\n",
      "widens a.example on any other", false },
    { "allow[].ports[]", "allow: [a.example]\n", "allow: [{host: a.example, ports: [443, 1]}]\n",
      "widens a.example on 1", false },
    { "allow[].sni", "allow: [a.example]\n", "allow: [{host: a.example, sni: optional}]\n",
      "widens a.example", false },
    { "allow[].rules", HTTP("rules: GET /a"), HTTP("rules: GET /**"), "widens a.example", false },
    { "allow[].rules[]", HTTP("rules: [GET /a, GET /b]"), HTTP("rules: [GET /a]"),
      "narrows a.example", false },
    { "allow[].why", "allow: [{host: a.example, why: one}]\n",
      "allow: [{host: a.example, why: two}]\n", NULL, false },
    { "allow[].max_request_body", HTTP("max_request_body: 1KiB"), HTTP("max_request_body: 2KiB"),
      "widens a.example", false },

    { "deny[]", "allow: [a.example]\n", "allow: [a.example]\ndeny: [a.example]\n",
      "narrows a.example", false },
    { "deny[].host", "allow: [a.example]\ndeny: [{host: a.example}]\n",
      "allow: [a.example]\ndeny: [{host: b.example}]\n", "widens a.example", false },
    { "deny[].address", "", "deny: [{address: 8.8.8.8}]\n", "narrows 8.8.8.8/32", false },
    { "deny[].cidr", "deny: [{cidr: 8.8.0.0/16}]\n", "deny: [{cidr: 8.8.8.0/24}]\n",
      "widens 8.8.0.0/16", false },
    { "deny[].ports", "allow: [a.example]\ndeny: [{host: a.example, ports: any}]\n",
      "allow: [a.example]\ndeny: [{host: a.example, ports: [80]}]\n", "widens a.example", false },
    { "deny[].ports[]", "allow: [a.example]\ndeny: [{host: a.example, ports: [80]}]\n",
      "allow: [a.example]\ndeny: [{host: a.example, ports: [80, 443]}]\n", "narrows a.example",
      false },
    { "deny[].rules", HTTP("rules: \"* /**\"") "deny: [{host: a.example, rules: PUT /a}]\n",
      HTTP("rules: \"* /**\"") "deny: [{host: a.example, rules: PUT /b}]\n", "widens a.example",
      false },
    { "deny[].rules[]", HTTP("rules: \"* /**\"") "deny: [{host: a.example, rules: [PUT /a]}]\n",
      HTTP("rules: \"* /**\"") "deny: [{host: a.example, rules: [PUT /a, PUT /b]}]\n",
      "narrows a.example", false },
    { "deny[].why", "deny: [{host: a.example, why: one}]\n",
      "deny: [{host: a.example, why: two}]\n", NULL, false },

    { "services.*.preset", PLAIN("route: s"), "services:\n  s: {preset: openai}\n",
      "credential services.s.upstream", false },
    { "services.*.with.*", "services:\n  gitlab: {with: {host: a.example}}\n",
      "services:\n  gitlab: {with: {host: b.example}}\n", "credential services.gitlab.upstream",
      false },
    { "services.*.with.*[]", "extends: {preset: npm, with: {host: [a.example]}}\n", "",
      "narrows a.example", false }, /* no service's has many */
    { "services.*.upstream", SERVICE("route: s"),
      "services:\n  s: {upstream: \"https://a.example/v2\", credential: k}\n" CRED,
      "credential services.s.upstream", false },
    { "services.*.plaintext", "services:\n  s: {upstream: \"http://a.example\"}\n",
      "services:\n  s: {upstream: \"http://a.example\", plaintext: true}\n", NULL,
      false }, /* lifts an error alone */
    { "services.*.route", PLAIN("route: s"), PLAIN("route: t"), "widens services.s", false },
    { "services.*.rules", PLAIN("rules: GET /v1/a"), PLAIN("route: s"), "widens services.s",
      false },
    { "services.*.rules[]", PLAIN("rules: [GET /v1/a]"), PLAIN("rules: [GET /v1/b]"),
      "widens services.s", false },
    { "services.*.deny", PLAIN("deny: GET /v1/a"), PLAIN("route: s"), "widens services.s", false },
    { "services.*.deny[]", PLAIN("deny: [GET /v1/a]"), PLAIN("deny: [GET /v1/b]"),
      "widens services.s", false },
    { "services.*.credential", PLAIN("route: s") CRED, SERVICE("route: s"),
      "credential services.s.credential", false },
    { "services.*.accept", SERVICE("accept: bearer"), SERVICE("accept: \"header:x-k\""),
      "credential services.s.accept", false },
    { "services.*.accept[]", SERVICE("accept: [bearer]"), SERVICE("accept: [bearer, \"path:2\"]"),
      "credential services.s.accept", false },
    { "services.*.write", SERVICE("write: bearer"),
      SERVICE("write: \"header:Authorization: Bot {}\""), "credential services.s.write", false },
    { "services.*.write[]", SERVICE("write: [bearer, \"header:x-o: a\"]"),
      SERVICE("write: [bearer, \"header:x-o: b\"]"), "credential services.s.write", false },
    { "services.*.strip", SERVICE("strip: \"header:x-a\""), SERVICE("route: s"),
      "credential services.s.strip", false },
    { "services.*.strip[]", SERVICE("strip: [\"header:x-a\"]"), SERVICE("strip: [\"query:x-a\"]"),
      "credential services.s.strip", false },
    { "services.*.env.base_url", SERVICE("env: {base_url: A}"), SERVICE("env: {base_url: B}"),
      "neutral services.s.env.base_url", false },
    { "services.*.env.base_path", SERVICE("env: {base_path: /a}"), SERVICE("env: {base_path: /b}"),
      "neutral services.s.env.base_path", false },
    { "services.*.env.key", SERVICE("env: {key: A}"), SERVICE("env: {key: B}"),
      "neutral services.s.env.key", false },
    { "services.*.env.key[]", SERVICE("env: {key: [A, B]}"), SERVICE("env: {key: [B, A]}"),
      "neutral services.s.env.key", false },
    { "services.*.env.git", SERVICE("env: {git: a.example}"), SERVICE("env: {git: b.example}"),
      "neutral services.s.env.git", false },
    { "services.*.shape.prefix", SERVICE("shape: {prefix: a}"), SERVICE("shape: {prefix: b}"),
      "neutral services.s.shape.prefix", false },
    { "services.*.shape.length", SERVICE("shape: {length: same}"), SERVICE("shape: {length: 99}"),
      "neutral services.s.shape.length", false },
    { "services.*.limits.requests_per_minute", PLAIN("limits: {requests_per_minute: 1}"),
      PLAIN("limits: {requests_per_minute: 2}"), "widens services.s.limits.requests_per_minute",
      false },
    { "services.*.limits.request_bytes", PLAIN("limits: {request_bytes: 1}"), PLAIN("route: s"),
      "widens services.s.limits.request_bytes", false },
    { "services.*.limits.response_bytes", PLAIN("limits: {response_bytes: 2}"),
      PLAIN("limits: {response_bytes: 1}"), "narrows services.s.limits.response_bytes", false },
    { "services.*.limits.concurrent", PLAIN("limits: {concurrent: 1}"),
      PLAIN("limits: {concurrent: 2}"), "widens services.s.limits.concurrent", false },
    { "services.*.tls.ca", SERVICE("tls: {ca: a.pem}"), SERVICE("tls: {ca: b.pem}"),
      "credential services.s.tls.ca", false },
    { "services.*.tls.client_cert", SERVICE("tls: {client_cert: a.pem, client_key: key.pem}"),
      SERVICE("tls: {client_cert: b.pem, client_key: key.pem}"),
      "credential services.s.tls.client_cert", false },
    { "services.*.tls.client_key", SERVICE("tls: {client_cert: a.pem, client_key: key.pem}"),
      SERVICE("tls: {client_cert: a.pem, client_key: key2.pem}"),
      "credential services.s.tls.client_key", false },
    { "services.*.tls.server_name", SERVICE("tls: {server_name: b.example}"), SERVICE("route: s"),
      "credential services.s.tls.server_name", false },
    { "services.*.tls.pin", SERVICE("tls: {pin: \"" PIN("A") "\"}"),
      SERVICE("tls: {pin: \"" PIN("B") "\"}"), "credential services.s.tls.pin", false },
    { "services.*.tls.pin[]", SERVICE("tls: {pin: [\"" PIN("A") "\"]}"),
      SERVICE("tls: {pin: [\"" PIN("A") "\", \"" PIN("B") "\"]}"), "credential services.s.tls.pin",
      false },
    { "services.*.redact", SERVICE("route: s"), SERVICE("redact: false"),
      "credential services.s.redact", false },
    { "services.*.trailers", PLAIN("route: s"), PLAIN("trailers: x-a"),
      "widens services.s.trailers", false },
    { "services.*.trailers[]", PLAIN("trailers: [x-a]"), PLAIN("trailers: [x-a, x-b]"),
      "widens services.s.trailers", false },
    { "services.*.websocket", PLAIN("route: s"), PLAIN("websocket: true"),
      "widens services.s.websocket", false },

    { "credentials.*.from", KEPT("from: \"env:A\""), KEPT("from: \"env:B\""),
      "credential credentials.k.from", false },
    { "credentials.*.from.cmd[]", KEPT("from: {cmd: [/a, b]}"), KEPT("from: {cmd: [/a, c]}"),
      "credential credentials.k.from", false },
    { "credentials.*.from.json", KEPT("from: {cmd: [/a]}"), KEPT("from: {cmd: [/a], json: true}"),
      "credential credentials.k.from", false },
    { "credentials.*.from.field", KEPT("from: {cmd: [/a], json: true}"),
      KEPT("from: {cmd: [/a], json: true, field: b}"), "credential credentials.k.from", false },
    { "credentials.*.hosts", "credentials:\n  k: {from: \"env:K\", hosts: a.example}\n",
      "credentials:\n  k: {from: \"env:K\", hosts: \"*.b.example\"}\n",
      "credential credentials.k.hosts", false },
    { "credentials.*.hosts[]", CRED,
      "credentials:\n  k: {from: \"env:K\", hosts: [a.example, 10.0.0.1]}\n",
      "credential credentials.k.hosts", false },
    { "credentials.*.ttl", KEPT("from: \"file:/a\", ttl: 1m"), KEPT("from: \"file:/a\", ttl: 2m"),
      "neutral credentials.k.ttl", false },
    { "credentials.*.load", KEPT("from: \"file:/a\""), KEPT("from: \"file:/a\", load: lazy"),
      "neutral credentials.k.load", false },
    { "credentials.*.timeout", KEPT("from: {cmd: [/a]}"), KEPT("from: {cmd: [/a]}, timeout: 1s"),
      "neutral credentials.k.timeout", false },
    { "credentials.*.oauth2.grant", CLIENT(TOKEN),
      OAUTH("refresh_token", "client_id: c, refresh_token: \"file:/r\", " TOKEN),
      "credential credentials.k.oauth2.grant", false },
    { "credentials.*.oauth2.token_url", CLIENT(TOKEN), CLIENT("token_url: \"https://u.example/t\""),
      "credential services.oauth2~k.upstream", false },
    { "credentials.*.oauth2.client_id",
      OAUTH("client_credentials", "client_id: a, client_secret: \"env:S\", " TOKEN),
      OAUTH("client_credentials", "client_id: b, client_secret: \"env:S\", " TOKEN),
      "credential credentials.k.oauth2.client_id", false },
    { "credentials.*.oauth2.client_secret",
      OAUTH("client_credentials", "client_id: a, client_secret: \"env:S\", " TOKEN),
      OAUTH("client_credentials", "client_id: a, client_secret: \"env:T\", " TOKEN),
      "credential credentials.k#client_secret.from", false },
    { "credentials.*.oauth2.refresh_token",
      OAUTH("refresh_token", "client_id: c, refresh_token: \"file:/r\", " TOKEN),
      OAUTH("refresh_token", "client_id: c, refresh_token: \"file:/s\", " TOKEN),
      "credential credentials.k#refresh_token.from", false },
    { "credentials.*.oauth2.key", JWT("issuer: i"),
      OAUTH("jwt_bearer", "key: \"file:/k\", issuer: i, " TOKEN),
      "credential credentials.k#key.from", false },
    { "credentials.*.oauth2.scope", CLIENT(TOKEN), CLIENT("scope: a, " TOKEN),
      "credential credentials.k.oauth2.scope", false },
    { "credentials.*.oauth2.audience", JWT("issuer: i, audience: a"), JWT("issuer: i"),
      "credential credentials.k.oauth2.audience", false },
    { "credentials.*.oauth2.issuer", JWT("issuer: i"), JWT("issuer: j"),
      "credential credentials.k.oauth2.issuer", false },
    { "credentials.*.oauth2.subject", JWT("issuer: i"), JWT("issuer: i, subject: j"),
      "credential credentials.k.oauth2.subject", false },
    { "credentials.*.oauth2.installation", APP("installation: 1"), APP("installation: 2"),
      "credential credentials.k.oauth2.token_url", false },
    { "credentials.*.oauth2.auth", CLIENT(TOKEN), CLIENT("auth: body, " TOKEN),
      "credential credentials.k.oauth2.auth", false },
    { "credentials.*.aws_sigv4.from", SIGN("from: \"aws:a\""), SIGN("from: \"aws:b\""),
      "credential credentials.k", false },
    { "credentials.*.aws_sigv4.access_key", KEYS(""),
      SIGN("access_key: \"env:C\", secret_key: \"env:B\""),
      "credential credentials.k#access_key.from", false },
    { "credentials.*.aws_sigv4.secret_key", KEYS(""),
      SIGN("access_key: \"env:A\", secret_key: \"env:C\""),
      "credential credentials.k#secret_key.from", false },
    { "credentials.*.aws_sigv4.session_token", KEYS(""), KEYS(", session_token: \"env:C\""),
      "credential credentials.k#session_token", false },
    { "credentials.*.aws_sigv4.region", KEYS(", region: a"), KEYS(", region: b"),
      "credential credentials.k.aws_sigv4.region", false },
    { "credentials.*.aws_sigv4.service", KEYS(", service: a"), KEYS(", service: b"),
      "credential credentials.k.aws_sigv4.service", false },

    { "networks.allow[]", "", "networks: {allow: [10.0.0.0/8]}\n", "widens 10.0.0.0/8", false },
    { "networks.allow_metadata", "", "networks: {allow_metadata: true}\n",
      "widens networks.allow_metadata", true },
    { "upstream", "", "upstream: none\n", "narrows upstream", false },
    { "upstream[].proxy", HOP(""), "upstream: [{proxy: \"https://q.example:1\"}]\n",
      "widens upstream.proxies", false },
    { "upstream[].credential", HOP("") PROXY_CRED, HOP(", credential: k") PROXY_CRED,
      "credential upstream.proxy.credential", false },
    { "upstream[].auth", HOP(", credential: k") PROXY_CRED,
      HOP(", credential: k, auth: bearer") PROXY_CRED, "credential upstream.proxy.bearer", false },
    { "upstream[].tls.ca", HOP(""), HOP(", tls: {ca: a.pem}"), "credential upstream.proxy.tls.ca",
      false },
    { "upstream[].tls.client_cert", HOP(", tls: {client_cert: a.pem, client_key: key.pem}"),
      HOP(", tls: {client_cert: b.pem, client_key: key.pem}"),
      "credential upstream.proxy.tls.client_cert", false },
    { "upstream[].tls.client_key", HOP(", tls: {client_cert: a.pem, client_key: key.pem}"),
      HOP(", tls: {client_cert: a.pem, client_key: key2.pem}"),
      "credential upstream.proxy.tls.client_key", false },
    { "upstream[].tls.server_name", HOP(""), HOP(", tls: {server_name: q.example}"),
      "credential upstream.proxy.tls.server_name", false },
    { "upstream.proxies[].proxy", HOPS(""),
      "upstream: {proxies: [{proxy: \"http://p.example:1\"}]}\n", "widens upstream.proxies",
      false },
    { "upstream.proxies[].credential", HOPS("") PROXY_CRED, HOPS(", credential: k") PROXY_CRED,
      "credential upstream.proxy.credential", false },
    { "upstream.proxies[].auth", HOPS(", credential: k") PROXY_CRED,
      HOPS(", credential: k, auth: bearer") PROXY_CRED, "credential upstream.proxy.bearer", false },
    { "upstream.proxies[].tls.ca", HOPS(""), HOPS(", tls: {ca: a.pem}"),
      "credential upstream.proxy.tls.ca", false },
    { "upstream.proxies[].tls.client_cert",
      HOPS(", tls: {client_cert: a.pem, client_key: key.pem}"),
      HOPS(", tls: {client_cert: b.pem, client_key: key.pem}"),
      "credential upstream.proxy.tls.client_cert", false },
    { "upstream.proxies[].tls.client_key", HOPS(", tls: {client_cert: a.pem, client_key: key.pem}"),
      HOPS(", tls: {client_cert: a.pem, client_key: key2.pem}"),
      "credential upstream.proxy.tls.client_key", false },
    { "upstream.proxies[].tls.server_name", HOPS(""), HOPS(", tls: {server_name: q.example}"),
      "credential upstream.proxy.tls.server_name", false },
    { "upstream.resolve", WAY(", resolve: local"), WAY(""), "widens upstream.resolve", false },
    { "upstream.bypass", WAY(""), WAY(", bypass: b.example"), "widens upstream.bypass", false },
    { "upstream.bypass[]", WAY(", bypass: [b.example]"), WAY(", bypass: [c.example]"),
      "widens upstream.bypass", false },

    { "listen[].address", LISTEN(""), "listen: [{address: \"127.0.0.1:2\"}]\n", "widens listen",
      false },
    { "listen[].protocols[]", LISTEN(", protocols: [http]"), LISTEN(""), "widens listen.protocols",
      false },
    { "listen[].tls.cert", LISTEN_TLS(""), LISTEN(", tls: {cert: d.pem, key: key.pem}"),
      "widens listen.tls.cert", false },
    { "listen[].tls.key", LISTEN_TLS(""), LISTEN(", tls: {cert: c.pem, key: key2.pem}"),
      "widens listen.tls.key", false },
    { "listen[].tls.client_ca", LISTEN_TLS(", client_ca: c.pem"), LISTEN_TLS(""),
      "widens listen.tls.client_ca", false },
    { "listen[].tls.require_client", LISTEN_TLS(", client_ca: c.pem"),
      LISTEN_TLS(", client_ca: c.pem, require_client: false"), "widens listen.tls.require_client",
      false },
    { "listen[].auth", LISTEN(""), LISTEN(", auth: none"), "widens listen.auth", false },
    { "listen[].sessions.*", LISTEN_CERT(", auth: client_cert, sessions: {\"san:a.example\": x}"),
      LISTEN_CERT(", auth: client_cert, sessions: {\"san:a.example\": y}"),
      "widens listen.sessions", false },
    { "dns.servers[]", "", "dns: {servers: [\"9.9.9.9:53\"]}\n", "widens dns.servers", false },
    { "tls.ca", CRED, CRED "tls: {ca: a.pem}\n", "credential tls.ca", false },
    { "tls.system", "tls: {ca: a.pem, system: false}\n", "tls: {ca: a.pem}\n", "widens tls.system",
      false },
    LIMIT("connections", "1", "2"),
    LIMIT("head_bytes", "1KiB", "2KiB"),
    LIMIT("headers", "8", "9"),
    LIMIT("target_bytes", "256", "257"),
    LIMIT("head_timeout", "1s", "2s"),
    LIMIT("body_timeout", "1s", "2s"),
    LIMIT("idle_timeout", "1s", "2s"),
    LIMIT("total_timeout", "1s", "2s"),
    LIMIT("dns_timeout", "1s", "2s"),
    LIMIT("connect_timeout", "1s", "2s"),
    LIMIT("tls_timeout", "1s", "2s"),
    LIMIT("response_timeout", "1s", "2s"),
    LIMIT("drain_timeout", "1s", "2s"),
    { "via", "", "via: true\n", "neutral via", false },
    { "audit.capacity", "", "audit: {capacity: 16}\n", "neutral audit.capacity", false },
    { "audit.destinations", "", "audit: {destinations: host}\n", "widens audit.destinations",
      false },
    { "audit.file", "audit: {file: /a}\n", "", "widens audit.file", false },
    { "audit.strict", "", "audit: {strict: false}\n", "widens audit.strict", false },

    { "tests[].connect", ASKED("connect: \"a.example:443\""), ASKED("connect: \"b.example:443\""),
      NULL, false },
    { "tests[].request", ASKED("request: GET http://a.example/"),
      ASKED("request: GET http://b.example/"), NULL, false },
    { "tests[].service", PLAIN("route: s") ASKED("service: s, request: GET /v1/"),
      PLAIN("route: s"), NULL, false },
    { "tests[].address", ASKED("connect: \"a.example:443\""),
      ASKED("connect: \"a.example:443\", address: 10.0.0.1"), NULL, false },
    { "tests[].expect", "tests: [{connect: \"a.example:443\", expect: deny}]\n",
      "tests: [{connect: \"a.example:443\", expect: allow}]\n", NULL, false },
    { "tests[].rule", ASKED("connect: \"a.example:443\""),
      ASKED("connect: \"a.example:443\", rule: x"), NULL, false },
    { "tests[].reason", ASKED("connect: \"a.example:443\""),
      ASKED("connect: \"a.example:443\", reason: host_not_allowed"), NULL, false },
    { "tests[].scheme", "tests: [{connect: \"a.example:443\", expect: allow, scheme: https}]\n",
      "tests: [{connect: \"a.example:443\", expect: allow, scheme: tcp}]\n", NULL, false },
};
enum { ENTRIES = sizeof entries / sizeof *entries };

struct said {
    const char *want;
    struct eg_buf all;
    bool found;
};

static void take(void *ctx, const struct eg_change *c)
{
    struct said *s = ctx;
    char text[512];
    snprintf(text, sizeof text, "%s %s%s%s", eg_change_label_name(c->label), c->subject,
             *c->ports ? " on " : "", c->ports);
    cr_assert_eq(eg_buf_printf(&s->all, "%s; ", text), EG_OK);
    s->found = s->found || (s->want && strncmp(text, s->want, strlen(s->want)) == 0);
}

static bool is_fine(const struct entry *e)
{
    struct said s = { .want = e->want };
    const char *bodies[2] = { e->a, e->b };
    struct eg_policy *p[2];
    struct eg_buf block[2];
    for (unsigned i = 0; i < 2; i++) {
        char text[1024];
        snprintf(text, sizeof text, "egress: 1\n%s", bodies[i]);
        const struct eg_policy_file file = { "egress.yaml", eg_slice_str(text),
                                             e->org ? EG_LAYER_ORG : EG_LAYER_REPO, true };
        p[i] = eg_policies_build_files(&file, 1, &block[i]);
    }
    eg_buf_init(&s.all, 1 << 16);
    cr_assert_eq(eg_policy_diff(p[0], p[1], take, &s), EG_OK);
    bool same = memcmp(eg_policy_id(p[0]), eg_policy_id(p[1]), 32) == 0;
    bool fine = e->want ? s.found : s.all.len == 0;
    if (!e->want && strcmp(e->key, "extends") != 0)
        fine = fine && same;
    if (!fine)
        fprintf(stderr, "%s: want %s, got %.*s\n", e->key, e->want ? e->want : "one id, no change",
                (int)s.all.len, s.all.len ? s.all.data : "");
    eg_buf_done(&s.all);
    for (unsigned i = 0; i < 2; i++) {
        eg_policy_close(p[i]);
        eg_buf_done(&block[i]);
    }
    return fine;
}

static unsigned count(const char *key)
{
    unsigned n = 0;
    for (unsigned i = 0; i < ENTRIES; i++)
        n += strcmp(entries[i].key, key) == 0;
    return n;
}

/* A list or a map of others is told by what is in it. */
Test(policy_diff_keys, each_has_an_entry)
{
    const struct eg_schema_key *row;
    unsigned wanted = 0;
    for (unsigned i = 0; (row = eg_schema_each(i)) != NULL; i++) {
        if (row->type == EG_TYPE_NONE || (row->flags & EG_KEY_RESERVED))
            continue;
        wanted++;
        cr_expect_eq(count(row->path), 1, "%s has %u entries", row->path, count(row->path));
    }
    cr_assert_eq(wanted, ENTRIES, "an entry for no key");
}

Test(policy_diff_keys, a_change_of_each_is_said_or_means_nothing)
{
    unsigned failed = 0;
    for (unsigned i = 0; i < ENTRIES; i++)
        failed += !is_fine(&entries[i]);
    cr_assert_eq(failed, 0, "%u entries", failed);
}
