/* policy_diff.c - what the comparison of two policies says: every kind of change by its label, subject and example; what means the same; and that each
 * example is answered differently. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

#include "policy/diff.h"
#include "support/policies.h"
#include "support/property.h"

struct said {
    const struct eg_policy *p[2];
    struct eg_buf text;
    unsigned wrong;
};

static void take(void *ctx, const struct eg_change *c)
{
    struct said *s = ctx;
    struct eg_verdict v[2];
    cr_assert_eq(eg_buf_printf(&s->text, "%s%s%s %s%s%s%s%s%s%s", s->text.len ? "; " : "",
                               c->may ? "may " : "", eg_change_label_name(c->label), c->subject,
                               *c->ports ? " on " : "", c->ports, *c->example ? ": " : "",
                               c->example, c->kind == EG_CHANGE_SETTING ? " -> " : "",
                               c->kind == EG_CHANGE_SETTING ? c->after : ""),
                 EG_OK);
    for (unsigned i = 0; i < 2 && c->asked && c->kind != EG_CHANGE_ADDRESS; i++)
        eg_policy_ask(s->p[i], &c->ask[i], &v[i]);
    if (c->asked && c->kind != EG_CHANGE_ADDRESS)
        s->wrong += !eg_policy_diff_tells(c->kind, &v[0], &v[1]);
}

struct row {
    const char *a, *b, *want; /* bodies behind "egress: 1"; want: of a to b, "-": nothing */
};

static unsigned check(const struct row *r, size_t number)
{
    struct said s = { .wrong = 0 };
    struct eg_buf block[2];
    char text[2][2048];
    const char *bodies[2] = { r->a, r->b };
    struct eg_policy *p[2];
    for (unsigned i = 0; i < 2; i++) {
        snprintf(text[i], sizeof text[i], "egress: 1\n%s", bodies[i]);
        p[i] = eg_policies_build(i ? "b.yaml" : "a.yaml", text[i], &block[i]);
        s.p[i] = p[i];
    }
    eg_buf_init(&s.text, 1 << 20);
    cr_assert_eq(eg_policy_diff(p[0], p[1], take, &s), EG_OK);
    if (s.text.len == 0)
        cr_assert_eq(eg_buf_put(&s.text, EG_SLICE("-")), EG_OK);
    bool fine = eg_slice_eq(eg_buf_slice(&s.text), eg_slice_str(r->want)) && s.wrong == 0;
    if (!fine)
        fprintf(stderr, "row %zu: %u wrong examples\n  got  %.*s\n  want %s\n", number, s.wrong,
                (int)s.text.len, s.text.data, r->want);
    eg_buf_done(&s.text);
    for (unsigned i = 0; i < 2; i++) {
        eg_policy_close(p[i]);
        eg_buf_done(&block[i]);
    }
    return !fine;
}

static void check_all(const struct row *rows, size_t count)
{
    unsigned failed = 0;
    cr_assert_geq(sodium_init(), 0);
    for (size_t i = 0; i < count; i++)
        failed += check(&rows[i], i);
    cr_assert_eq(failed, 0, "%u rows differ", failed);
}
#define CHECK(rows) check_all(rows, sizeof rows / sizeof *rows)

#define H(x) "allow:\n  - {host: a.example, scheme: http, " x "}\n"

Test(policy_diff, hosts)
{
    static const struct row rows[] = {
        { "", "", "-" },
        { "", "allow: [a.example]\n", "widens a.example on 443: CONNECT a.example:443" },
        { "allow: [a.example]\n", "", "narrows a.example on 443: CONNECT a.example:443" },
        { "allow: [a.example, b.example]\n", "allow: [b.example, a.example, b.example]\n", "-" },
        { "allow: [a.b.example]\n", "allow: [\"*.b.example\"]\n",
          "widens *.b.example on 443: CONNECT sub.b.example:443" },
        { "allow: [\"*.b.example\", a.b.example]\n", "allow: [\"*.b.example\"]\n", "-" },
        { "allow: [\"*.b.example\", sub.b.example]\n", "allow: [sub.b.example]\n",
          "narrows *.b.example on 443: CONNECT any.b.example:443" },
        { "allow: [\"*.b.example\"]\n", "allow: [\"*.b.example\"]\ndeny: [x.b.example]\n",
          "narrows x.b.example on 443: CONNECT x.b.example:443" },
        { "allow: [\"*.b.example\"]\n", "allow: [\"*.b.example\"]\ndeny: [\"*.x.b.example\"]\n",
          "narrows *.x.b.example on 443: CONNECT sub.x.b.example:443" },
        { "allow: [a.example]\n", "allow: [a.example]\ndeny: [b.example]\n", "-" },
        { "allow: [a.example]\ndeny: [a.example]\n", "deny: [a.example]\n", "-" },
        { "allow: [a.example]\n", "allow: [{host: a.example, ports: [443, 8443]}]\n",
          "widens a.example on 8443: CONNECT a.example:8443" },
        { "allow: [a.example]\n", "allow: [{host: a.example, ports: any}]\n",
          "widens a.example on any other port: CONNECT a.example:8443" },
        { "allow: [a.example]\n", "allow: [{host: a.example, sni: optional}]\n",
          "widens a.example on 443: CONNECT a.example:443" },
        { "allow: [a.example]\n", "allow: [{host: a.example, scheme: tcp, ports: [443]}]\n",
          "widens a.example on 443: CONNECT a.example:443" },
        { "allow: [{host: a.example, scheme: tcp, ports: [443]}]\n", "allow: [a.example]\n",
          "narrows a.example on 443: CONNECT a.example:443" },
        { "allow: [a.example]\n", "allow: [{host: a.example, scheme: http, ports: [443]}]\n",
          "narrows a.example on 443: CONNECT a.example:443; widens a.example on 443: GET "
          "http://a.example:443/a/../b" },
        { "allow: [a.example]\n", "allow: [{host: a.example, why: other}]\n", "-" },
    };
    CHECK(rows);
}

Test(policy_diff, requests)
{
    static const struct row rows[] = {
        { H("rules: [\"GET /a\"]"), H("rules: [\"GET /a\"], why: x"), "-" },
        { H("rules: [\"GET /a\"]"), H("rules: [\"GET /a\", \"PUT /b\"]"),
          "widens a.example on 80: PUT http://a.example/b" },
        { H("rules: [\"GET /a/**\"]"), H("rules: [\"GET /a/**\", \"GET /a/b\"]"), "-" },
        { H("rules: [\"GET /a/{b,c}\"]"), H("rules: [\"GET /a/b\", \"GET /a/c\"]"), "-" },
        { H("rules: [\"GET /a/*\"]"), H("rules: [\"GET /a/**\"]"),
          "widens a.example on 80: GET http://a.example/a" },
        { H("rules: [\"GET /a*\"]"), H("rules: [\"GET /ab*\"]"),
          "narrows a.example on 80: GET http://a.example/a" },
        { H("rules: [\"GET /*\", \"GET /**/a*b\"]"), H("rules: [\"GET /*\"]"),
          "narrows a.example on 80: GET http://a.example/x/ab" },
        { H("rules: [\"* /a\"]"), H("rules: [\"GET /a\"]"),
          "narrows a.example on 80: POST http://a.example/a" },
        { H("rules: [\"* /**\"]"),
          H("rules: [\"* /**\"]") "deny: [{host: a.example, rules: [\"* /x\"]}]\n",
          "narrows a.example on 80: GET http://a.example/x" },
        { H("rules: [\"* /**\"]") "deny: [{host: a.example, rules: [\"* /x/**\"]}]\n",
          H("rules: [\"* /**\"]") "deny: [{host: a.example, rules: [\"* /x/**\", \"* /x/y\"]}]\n",
          "-" },
        { H("rules: [\"* /**\"]") "deny: [{host: a.example, rules: [\"DELETE /x\"]}]\n",
          H("rules: [\"* /**\"]"), "widens a.example on 80: DELETE http://a.example/x" },
        { H("max_request_body: 1MiB"), H("max_request_body: 2MiB"),
          "widens a.example on 80: GET http://a.example/a/../b" },
        { H("max_request_body: 1MiB, rules: [\"GET /a\"]"), H("rules: [\"GET /a\"]"),
          "widens a.example on 80: GET http://a.example/a" },
    };
    CHECK(rows);
}

#define R(x) "services:\n  s: {upstream: \"https://a.example/v1\", " x "}\n"

Test(policy_diff, services_and_credentials)
{
    static const struct row rows[] = {
        { R("rules: [\"GET /v1/a\"]"), R("rules: [\"GET /v1/a\", \"POST /v1/b\"]"),
          "widens services.s: POST /s/b" },
        { R("rules: [\"GET /v1/*\"]"), R("rules: [\"GET /v1/*\"], deny: [\"GET /v1/x\"]"),
          "narrows services.s: GET /s/x" },
        { R("limits: {concurrent: 4}"), R("limits: {concurrent: 5}"),
          "widens services.s.limits.concurrent -> 5" },
        { R("limits: {concurrent: 4}"), R("websocket: true"),
          "widens services.s.limits.concurrent -> none; widens services.s.websocket -> true" },
        { R("route: s"), "services:\n  s: {upstream: \"https://b.example/v1\"}\n",
          "widens services.s.upstream -> https://b.example/v1" },
        { R("route: s"), "", "neutral services.s.upstream -> none; narrows services.s: GET /s/" },
        { "credentials:\n  k: {from: \"env:K\", hosts: a.example}\n",
          "credentials:\n  k: {from: \"env:L\", hosts: \"*.example.com\"}\n",
          "credential credentials.k.from -> env:L; credential credentials.k.hosts -> "
          "*.example.com" },
        { R("credential: k") "credentials:\n  k: {from: \"env:K\", hosts: a.example}\n",
          R("credential: k, redact: false, accept: [\"header:x-k\"], env: {key: K}") "credentials:"
                                                                                     "\n  k: "
                                                                                     "{from: "
                                                                                     "\"env:K\", "
                                                                                     "hosts: "
                                                                                     "a.example}\n",
          "credential services.s.accept -> header:x-k; credential services.s.redact -> false" },
    };
    CHECK(rows);
}

Test(policy_diff, addresses)
{
    static const struct row rows[] = {
        { "", "networks: {allow: [10.1.0.0/16]}\n",
          "widens 10.1.0.0/16 on every port: a name that leads to 10.1.0.1, port 8443" },
        { "networks: {allow: [10.1.0.0/16]}\n", "networks: {allow: [10.0.0.0/8]}\n",
          "widens 10.0.0.0/8 on every port: a name that leads to 10.0.0.1, port 8443" },
        { "", "networks: {allow: [8.8.8.0/24]}\n", "widens networks.allow -> 8.8.8.0/24" },
        { "", "deny: [{cidr: 8.8.8.0/24, ports: [53]}]\n",
          "narrows 8.8.8.0/24 on 53: a name that leads to 8.8.8.1, port 53" },
        { "", "deny: [{cidr: 10.0.0.0/24}]\n", "-" },
        { "", "allow: [{address: 10.0.0.7, scheme: tcp, ports: [22]}]\n",
          "widens 10.0.0.7/32 on 22: CONNECT 10.0.0.7:22" },
        { "", "networks: {allow: [\"64:ff9b:1::/48\"]}\n",
          "widens 64:ff9b:1::/48 on every port: a name that leads to 64:ff9b:1::1, port 8443" },
    };
    CHECK(rows);
}

Test(policy_diff, settings)
{
    static const struct row rows[] = {
        { "name: a\n", "name: b\n", "neutral name -> b" },
        { "", "via: true\n", "neutral via -> true" },
        { "", "audit: {capacity: 100}\n", "neutral audit.capacity -> 100" },
        { "", "audit: {destinations: none}\n", "widens audit.destinations -> none" },
        { "", "audit: {file: /x}\n", "narrows audit.file -> /x" },
        { "", "audit: {strict: false}\n", "widens audit.strict -> false" },
        { "", "limits: {connections: 2000}\n", "widens limits.connections -> 2000" },
        { "", "limits: {idle_timeout: 5m}\n", "narrows limits.idle_timeout -> 5m" },
        { "", "dns: {servers: [\"9.9.9.9:53\"]}\n", "widens dns.servers -> 9.9.9.9:53" },
        { "", "tls: {ca: ca.pem}\n", "widens tls.ca -> set" },
        { "", "tls: {ca: ca.pem, system: false}\n",
          "widens tls.ca -> set; narrows tls.system -> false" },
        { "", "upstream: none\n", "narrows upstream -> the policy's" },
        { "upstream: none\n", "upstream: [{proxy: \"http://p.example:3128\"}]\n",
          "widens upstream.proxies -> 1. http://p.example:3128" },
        { "", "listen: [{address: \"127.0.0.1:8080\"}]\n", "widens listen -> 127.0.0.1:8080" },
        { "listen: [{address: \"127.0.0.1:8080\"}]\n",
          "listen: [{address: \"127.0.0.1:8080\", auth: none}]\n", "widens listen.auth -> none" },
        { "mode: enforce\n", "mode: observe\n",
          "widens mode -> observe; widens every other host on every port: GET "
          "http://sub.nothing-names-this.example/a/../b; widens every other host on 443: CONNECT "
          "sub.nothing-names-this.example:443; widens every other host on any other port: CONNECT "
          "sub.nothing-names-this.example:8443" },
    };
    CHECK(rows);
}

#define S20    "ssssssssssssssssssss"
#define DEEP   "/" S20 "/" S20 "/" S20 "/" S20 "/" S20 "/" S20 "/" S20 "/" S20 "/" S20 "/" S20
#define Q100   S20 S20 S20 S20 S20
#define ONE(x) "listen: [{address: \"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"" x "}]\n"
#define CERT(x)                                                                                    \
    "listen: [{address: \"127.0.0.1:1\", auth: client_cert, tls: {cert: c.pem, key: key.pem, "     \
    "client_ca: c.pem}, sessions: {" x "}}]\n"
#define CREDENTIAL "credentials:\n  k: {from: \"env:K\", hosts: [a.example, \"*.p.example\"]}\n"
#define PROXY(x)   "upstream: [{proxy: \"" x ":1\", credential: k}]\n" CREDENTIAL

/* What was refused now was once taken for all that there is to say: --fail-on widens passed. */
Test(policy_diff, a_widening_is_found_behind_a_narrowing)
{
    static const struct row rows[] = {
        { H("rules: [\"GET /a\"]"), H("rules: [\"GET " DEEP "/x%2Fy\"]"),
          "narrows a.example on 80: GET http://a.example/a; widens a.example on 80: GET "
          "http://a.example" DEEP "/x%2Fy" },
        { R("rules: [\"GET /v1/a\"]"), R("rules: [\"GET /v1" DEEP "/x%2Fy\"]"),
          "narrows services.s: GET /s/a; widens services.s: GET /s" DEEP "/x%2Fy" },
    };
    CHECK(rows);
}

/* Values were once compared as they are printed: cut, and with a ? for what is no ASCII. */
Test(policy_diff, values_are_compared_whole)
{
    static const struct row rows[] = {
        { CERT("\"san:" S20 S20 "." S20 S20 "." S20 S20 ".a.example\": x"),
          CERT("\"san:" S20 S20 "." S20 S20 "." S20 S20 ".b.example\": x"),
          "widens listen.sessions -> " S20 S20 "." S20 S20 "." S20 S20 ".b.example: x" },
        { "listen: [{address: \"unix:/\u00e4\", auth: none}]\n",
          "listen: [{address: \"unix:/\u00f6\", auth: none}]\n", "widens listen -> unix:/\?\?" },
        { R("strip: [\"query:" Q100 "a\"]"), R("strip: [\"query:" Q100 "b\"]"),
          "widens services.s.strip -> query:" Q100 "b" },
        { "upstream: [{proxy: \"http://" S20 S20 S20 "." S20 S20 S20 "." S20 S20 S20 "." S20 S20
          ".a.example:1\"}]\n",
          "upstream: [{proxy: \"http://" S20 S20 S20 "." S20 S20 S20 "." S20 S20 S20 "." S20 S20
          ".b.example:1\"}]\n",
          "widens upstream.proxies -> 1. http://" S20 S20 S20 "." S20 S20 S20 "." S20 S20 S20
          "." S20 S20 ".b.example:1" },
    };
    CHECK(rows);
}

Test(policy_diff, each_listener_in_one_place_is_compared)
{
    static const struct row rows[] = {
        { ONE(""), ONE(", auth: none"), "widens listen.auth -> none" },
        { "listen: [{address: \"127.0.0.1:0\"}]\n", ONE(", auth: none"),
          "widens listen -> 127.0.0.1:0, 127.0.0.1:0 (no. 2)" },
    };
    CHECK(rows);
}

/* Without `listen` there is the default one: to go back to it may open a port, or mean nothing. */
Test(policy_diff, no_listener_is_the_default_one)
{
    static const struct row rows[] = {
        { "listen: [{address: \"127.0.0.1:0\"}]\n", "", "-" },
        { "listen: [{address: \"unix:/x\"}]\n", "", "widens listen -> 127.0.0.1:0" },
        { "", "listen: [{address: \"127.0.0.1:0\", auth: none}]\n", "widens listen.auth -> none" },
    };
    CHECK(rows);
}

Test(policy_diff, order_counts_where_it_means_something)
{
    static const struct row rows[] = {
        { "dns: {servers: [\"9.9.9.9:53\", \"8.8.8.8:53\"]}\n",
          "dns: {servers: [\"8.8.8.8:53\", \"9.9.9.9:53\"]}\n",
          "widens dns.servers -> 8.8.8.8:53, 9.9.9.9:53" },
        { CERT("\"san:a.example\": x, \"san:b.example\": y"),
          CERT("\"san:b.example\": y, \"san:a.example\": x"),
          "widens listen.sessions -> b.example: y, a.example: x" },
        { R("credential: k, env: {key: [A, B]}") CREDENTIAL,
          R("credential: k, env: {key: [B, A]}") CREDENTIAL, "neutral services.s.env.key -> B, A" },
        { R("credential: k, accept: [bearer, \"header:x-k\"]") CREDENTIAL,
          R("credential: k, accept: [\"header:x-k\", bearer]") CREDENTIAL, "-" },
    };
    CHECK(rows);
}

Test(policy_diff, another_proxy_that_is_shown_a_credential)
{
    static const struct row rows[] = {
        { PROXY("https://a.p.example"), PROXY("https://b.p.example"),
          "widens upstream.proxies -> 1. https://b.p.example:1; credential upstream.proxy -> "
          "https://b.p.example:1" },
        { PROXY("https://a.p.example"), PROXY("http://a.p.example"),
          "widens upstream.proxies -> 1. http://a.p.example:1; credential upstream.proxy -> "
          "http://a.p.example:1" },
    };
    CHECK(rows);
}

Test(policy_diff, misses_nothing_that_a_random_request_finds, .timeout = 300)
{
    struct eg_property_count count;
    cr_assert_geq(sodium_init(), 0);
    eg_property_diff(20261121, 150, 60, &count);
    cr_assert_eq(count.failed, 0, "%lu failed", count.failed);
    cr_assert(count.allowed > 5 && count.refused > 50, "%lu %lu", count.allowed, count.refused);
}
