/* policy_credentials.c - sources, times, and what oauth2 and aws_sigv4 become: every fault at its place, and every accessor. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "support/policies.h"

#define CHECK(rows) eg_policies_check(rows, sizeof rows / sizeof *rows)
#define K           "egress: 1\ncredentials:\n  k:\n    hosts: [a.example]\n"
#define FROM(x)     K "    from: " x "\n"
#define OAUTH(x)    K "    oauth2: {" x "}\n"
#define SIGV4(x)    K "    aws_sigv4: {" x "}\n"
#define CLIENT      "grant: client_credentials, token_url: \"https://t.example/t\", client_id: me, "

Test(policy, sources_of_credentials)
{
    static const struct eg_policies_row rows[] = {
        { FROM("\"kernel:llm key\""), "-", 0, false },
        { FROM("\"kernel:\""), "5:11 bad-source", 0, false },
        { FROM("\"systemd:llm\""), "-", 0, false },
        { FROM("\"systemd:\""), "5:11 bad-source", 0, false },
        { FROM("\"systemd:..\""), "5:11 bad-source", 0, false },
        { FROM("\"systemd:a/b\""), "5:11 bad-source", 0, false },
        { FROM("\"op://vault/item/field\""), "-", 0, false },
        { FROM("\"op://vault/item/section/field\""), "-", 0, false },
        { FROM("\"op://vault/x5nyw3ftxuh2mbkvtqwlsu6ge4/field\""), "-", 0, false },
        { FROM("\"op://vault/item\""), "5:11 bad-source", 0, false },
        { FROM("\"op://vault/item/\""), "5:11 bad-source", 0, false },
        { FROM("\"bw://item/password\""), "-", 0, false },
        { FROM("\"bw://item/custom\""), "5:11 bad-source", 0, false },
        { FROM("\"bw://item\""), "5:11 bad-source", 0, false },
        { FROM("\"bw://--raw/password\""), "5:11 bad-source", 0, false },
        { FROM("\"pass:work/llm\""), "-", 0, false },
        { FROM("\"pass:\""), "5:11 bad-source", 0, false },
        { FROM("\"pass:-c\""), "5:11 bad-source", 0, false },
        { FROM("\"secret-tool:service/llm\""), "-", 0, false },
        { FROM("\"secret-tool:service/llm/user/me\""), "-", 0, false },
        { FROM("\"secret-tool:service\""), "5:11 bad-source", 0, false },
        { FROM("\"secret-tool:service/llm/user\""), "5:11 bad-source", 0, false },
        { FROM("\"secret-tool:service/llm/\""), "5:11 bad-source", 0, false },
        { FROM("\"gh:\""), "-", 0, false },
        { FROM("\"gh:git.example.com\""), "-", 0, false },
        { FROM("\"gh:-x\""), "5:11 bad-source", 0, false },
        { FROM("\"gcloud:\""), "-", 0, false },
        { FROM("\"gcloud:me@example.com\""), "-", 0, false },
        { FROM("\"gcloud:--x\""), "5:11 bad-source", 0, false },
        { FROM("\"aws:prod\""), "5:11 bad-source", 0, false },
        { FROM("{cmd: [/bin/echo, a]}"), "-", 0, false },
        { FROM("{cmd: [/bin/echo], json: true, field: Value}"), "-", 0, false },
        { FROM("{cmd: [echo]}"), "5:18 bad-source", 0, false },
        { FROM("{cmd: [/]}"), "5:18 bad-source", 0, false },
        { FROM("{cmd: [/bin/]}"), "5:18 bad-source", 0, false },
        { FROM("{cmd: []}"), "5:12 bad-source", 0, false },
        { FROM("{cmd: /bin/echo}"), "5:17 bad-type", 0, false },
        { FROM("{json: true}"), "5:5 missing-key", 0, false },
        { FROM("{cmd: [/bin/echo], jsn: true}"), "5:30 unknown-key", 0, false },
        { FROM("{cmd: [/bin/echo], field: a}"), "5:30 bad-value", 0, false },
        { FROM("{cmd: [/bin/echo], json: true, field: \"\"}"), "5:49 bad-value", 0, false },
        { FROM("{cmd: [/bin/echo, ghp_abcdefghijklmnopqrstuvwxyz0123456789]}"),
          "5:29 W inline-secret", 0, false },
        { FROM("[/bin/echo]"), "5:11 bad-type", 0, false },
        { K, "3:3 missing-key", 0, false },
        { FROM("\"env:K\"\n    oauth2: {}"), "6:5 missing-key", 0, false },
        { FROM("\"env:K\"\n    oauth2: {grant: jwt_bearer}"), "6:5 bad-source", 0, false },
        { FROM("\"env:K\"\n    aws_sigv4: {}"), "6:5 bad-source", 0, false },
    };
    CHECK(rows);
}

Test(policy, times_of_credentials)
{
    static const struct eg_policies_row rows[] = {
        { FROM("\"file:k\"\n    ttl: 15m\n    load: lazy"), "-", 0, false },
        { FROM("\"file:k\"\n    ttl: 500ms"), "6:10 bad-value", 0, false },
        { FROM("\"file:k\"\n    ttl: soon"), "6:10 bad-type", 0, false },
        { FROM("\"file:k\"\n    load: never"), "6:11 bad-type", 0, false },
        { FROM("\"env:K\"\n    load: start"), "-", 0, false },
        { FROM("\"env:K\"\n    load: lazy"), "6:5 bad-value", 0, false },
        { FROM("\"env:K\"\n    ttl: 5m"), "6:5 bad-value", 0, false },
        { FROM("{cmd: [/bin/echo]}\n    timeout: 5s"), "-", 0, false },
        { FROM("{cmd: [/bin/echo]}\n    timeout: 11m"), "6:14 bad-value", 0, false },
        { FROM("\"pass:x\"\n    timeout: 5s"), "-", 0, false },
        { FROM("\"file:k\"\n    timeout: 5s"), "6:5 bad-value", 0, false },
    };
    CHECK(rows);
}

Test(policy, oauth2_has_what_its_grant_needs)
{
    static const struct eg_policies_row rows[] = {
        { OAUTH(CLIENT "client_secret: \"env:S\""), "-", 0, false },
        { OAUTH(CLIENT "client_secret: {cmd: [/bin/echo]}, auth: body, scope: a b"), "-", 0,
          false },
        { OAUTH("client_id: me"), "5:5 missing-key", 0, false },
        { OAUTH(CLIENT "auth: body"), "5:5 missing-key, 5:90 missing-key", 0, false },
        { OAUTH(CLIENT "client_secret: hunter2"), "5:105 bad-source", 0, false },
        { OAUTH(CLIENT "client_secret: \"env:S\", key: \"env:K\""), "5:114 bad-value", 0, false },
        { OAUTH(CLIENT "client_secret: \"env:S\", refresh_token: \"file:K\""), "5:114 bad-value", 0,
          false },
        { OAUTH(CLIENT "client_secret: \"env:S\", scope: \"a\\u00e9\""), "5:121 bad-value", 0,
          false },
        { OAUTH(CLIENT "client_secret: \"env:S\", scope: ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
          "5:121 inline-secret", 0, false },
        { OAUTH("grant: client_credentials, client_id: me, client_secret: \"env:S\""),
          "5:5 missing-key", 0, false },
        { OAUTH("grant: client_credentials, client_id: me, client_secret: \"env:S\", token_url: "
                "\"http://t.example/\""),
          "5:91 plaintext-credential", 0, false },
        { OAUTH("grant: client_credentials, client_id: me, client_secret: \"env:S\", token_url: "
                "\"http://127.0.0.1:9/t?x=y\""),
          "-", 0, false },
        { OAUTH("grant: client_credentials, client_id: me, client_secret: \"env:S\", token_url: "
                "t.example"),
          "5:91 bad-url", 0, false },
        { OAUTH("grant: client_credentials, client_id: me, client_secret: \"env:S\", token_url: "
                "\"https://u:p@t.example\""),
          "5:91 bad-url", 0, false },
        { OAUTH("grant: client_credentials, client_id: me, client_secret: \"env:S\", token_url: "
                "\"https://t.example/#x\""),
          "5:91 bad-url", 0, false },
        { OAUTH("grant: client_credentials, client_id: me, client_secret: \"env:S\", token_url: "
                "\"https://t.example/a/../b\""),
          "5:91 bad-url", 0, false },
        { OAUTH("grant: refresh_token, token_url: \"https://t.example/t\", client_id: me, "
                "refresh_token: \"keyring:a/b\""),
          "-", 0, false },
        { OAUTH("grant: refresh_token, token_url: \"https://t.example/t\", client_id: me, "
                "refresh_token: \"file:t\""),
          "-", 0, false },
        { OAUTH("grant: refresh_token, token_url: \"https://t.example/t\", client_id: me, "
                "refresh_token: \"env:T\""),
          "5:100 bad-source", 0, false },
        { OAUTH("grant: refresh_token, token_url: \"https://t.example/t\", client_id: me, "
                "refresh_token: {cmd: [/bin/echo]}"),
          "5:100 bad-source", 0, false },
        { OAUTH("grant: jwt_bearer, token_url: \"https://t.example/t\", issuer: me, key: "
                "\"file:k.pem\", subject: you, audience: a"),
          "-", 0, false },
        { OAUTH("grant: jwt_bearer, token_url: \"https://t.example/t\", key: \"file:k.pem\""),
          "5:5 missing-key", 0, false },
        { OAUTH("grant: github_app, issuer: \"12\", key: \"file:k.pem\", installation: 345"), "-",
          0, false },
        { OAUTH("grant: github_app, issuer: \"12\", key: \"file:k.pem\""), "5:5 missing-key", 0,
          false },
        { OAUTH("grant: github_app, issuer: \"12\", key: \"file:k.pem\", installation: abc"),
          "5:80 bad-type", 0, false },
        { OAUTH("grant: github_app, issuer: \"12\", key: \"file:k.pem\", installation: 345, "
                "token_url: \"https://g.example/t\""),
          "5:66 bad-value", 0, false },
        { OAUTH("grant: google_service_account, key: \"file:sa.json\", scope: a"), "-", 0, false },
        { OAUTH("grant: google_service_account, key: \"file:sa.json\", client_id: a"),
          "5:66 bad-value", 0, false },
        { OAUTH("grant: password, username: a"), "5:21 bad-type, 5:31 unknown-key", 0, false },
        { "egress: 1\nupstream: [{proxy: \"http://a.example:1\", credential: k}]\ncredentials:\n "
          " k: {hosts: [a.example], oauth2: {" CLIENT "client_secret: \"env:S\"}}\n",
          "2:20 W remote-resolution, 2:20 W plaintext-credential, 2:54 bad-source", 0, false },
    };
    CHECK(rows);
}

#define SERVICE "services:\n  s: {upstream: \"https://a.example\", credential: k"
#define KEYS    "access_key: \"env:A\", secret_key: \"env:S\""

Test(policy, sigv4_and_fields_fit_their_services)
{
    static const struct eg_policies_row rows[] = {
        { SIGV4(KEYS), "-", 0, false },
        { SIGV4(KEYS ", session_token: \"env:T\", region: eu-central-1, service: s3"), "-", 0,
          false },
        { SIGV4("access_key: \"env:A\""), "5:5 missing-key", 0, false },
        { SIGV4(""), "5:5 missing-key, 5:5 missing-key", 0, false },
        { SIGV4(KEYS ", region: EU"), "5:67 bad-value", 0, false },
        { SIGV4("from: \"aws:prod\""), "-", 0, false },
        { SIGV4("from: \"aws:\""), "-", 0, false },
        { SIGV4("from: \"aws:--x\""), "5:23 bad-source", 0, false },
        { SIGV4("from: {cmd: [/bin/echo]}"), "-", 0, false },
        { SIGV4("from: {cmd: [/bin/echo], json: true, field: a}"), "5:54 bad-value", 0, false },
        { SIGV4("from: \"env:A\""), "5:23 bad-source", 0, false },
        { SIGV4("from: \"pass:a\""), "5:23 bad-source", 0, false },
        { SIGV4("from: \"aws:\", " KEYS), "5:31 bad-value, 5:52 bad-value", 0, false },
        { SIGV4(KEYS) SERVICE "}\n", "-", 0, false },
        { SIGV4(KEYS) SERVICE ", accept: [sigv4], write: [sigv4, \"header:x-a: b\"]}\n", "-", 0,
          false },
        { SIGV4(KEYS) SERVICE ", accept: [bearer]}\n", "7:61 bad-slot", 0, false },
        { SIGV4(KEYS) SERVICE ", accept: [sigv4, bearer]}\n", "7:61 bad-slot", 0, false },
        { SIGV4(KEYS) SERVICE ", write: bearer}\n", "7:60 bad-slot", 0, false },
        { SIGV4(KEYS) SERVICE ", write: [sigv4, \"query:k={}\"]}\n", "7:60 bad-slot", 0, false },
        { SIGV4(KEYS) SERVICE ", write: [sigv4, bearer]}\n", "7:68 duplicate-name", 0, false },
        { FROM("\"file:k\"") SERVICE ", accept: [sigv4]}\n", "7:61 bad-slot", 0, false },
        { FROM("\"file:k\"") SERVICE ", write: [sigv4]}\n", "7:60 bad-slot", 0, false },
        { FROM("\"file:k\"") SERVICE ", write: [\"basic:{user}:{}\"]}\n", "7:60 bad-slot", 0,
          false },
        { FROM("{cmd: [/bin/echo]}") SERVICE ", write: [\"basic:{user}:{}\"]}\n", "7:60 bad-slot",
          0, false },
        { FROM("{cmd: [/bin/echo], json: true}") SERVICE ", write: [\"basic:{user}:{}\"]}\n", "-",
          0, false },
        { SIGV4(KEYS) SERVICE "}\n  t: {upstream: \"https://a.example\", credential: k}\n",
          "8:3 duplicate-name, 8:3 duplicate-name", 0, false },
        { "egress: 1\nupstream: [{proxy: \"http://a.example:1\", credential: k}]\ncredentials:\n "
          " k: {hosts: [a.example], aws_sigv4: {" KEYS "}}\n",
          "2:20 W remote-resolution, 2:20 W plaintext-credential, 2:54 bad-source", 0, false },
    };
    CHECK(rows);
}

static void is(struct eg_slice got, const char *want)
{
    cr_assert(eg_slice_eq(got, eg_slice_str(want)), "got '%.*s', want '%s'", (int)got.n, got.p,
              want);
}

static unsigned find(const struct eg_policy *p, const char *name, struct eg_credential *c)
{
    int i = eg_policy_credential_find(p, eg_slice_str(name));
    cr_assert_geq(i, 0, "%s", name);
    eg_policy_credential(p, (unsigned)i, c);
    is(c->name, name);
    return (unsigned)i;
}

Test(policy, programs_and_their_arguments)
{
    static const struct {
        const char *from;
        const char *argv; /* with | between */
    } rows[] = {
        { "{cmd: [/bin/a, \"b c\", \"\"]}", "/bin/a|b c|" },
        { "\"op://v/i/f\"", "op|read|--no-newline|op://v/i/f" },
        { "\"bw://i/username\"", "bw|--nointeraction|--raw|get|username|i" },
        { "\"pass:a/b\"", "pass|show|a/b" },
        { "\"secret-tool:a/b/c/d\"", "secret-tool|lookup|a|b|c|d" },
        { "\"gh:\"", "gh|auth|token" },
        { "\"gh:h.example\"", "gh|auth|token|--hostname|h.example" },
        { "\"gcloud:\"", "gcloud|auth|print-access-token" },
        { "\"gcloud:a@b\"", "gcloud|auth|print-access-token|a@b" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[300], got[300] = "";
        struct eg_buf block;
        struct eg_credential c;
        size_t n = 0;
        snprintf(text, sizeof text, K "    from: %s\n", rows[i].from);
        struct eg_policy *p = eg_policies_build("egress.yaml", text, &block);
        unsigned at = find(p, "k", &c);
        cr_assert(c.kind == EG_SOURCE_CMD && c.timeout_ms == 30000 && !c.json && !c.kept);
        for (unsigned k = 0; k < c.arg_count; k++) {
            struct eg_slice arg = eg_policy_credential_arg(p, at, k);
            n += (size_t)snprintf(got + n, sizeof got - n, "%s%.*s", k ? "|" : "", (int)arg.n,
                                  arg.n ? arg.p : "");
        }
        cr_assert_str_eq(got, rows[i].argv);
        eg_policy_close(p);
        eg_buf_done(&block);
    }
}

Test(policy, oauth2_becomes_parts_and_an_internal_service)
{
    struct eg_buf block;
    struct eg_credential c;
    struct eg_oauth2 o;
    struct eg_service s;
    struct eg_verdict v;
    struct eg_authority to;
    struct eg_policy *p = eg_policies_build(
        "egress.yaml",
        OAUTH("grant: refresh_token, token_url: \"https://t.example:8443/o/to%6ben?a=b%20c\", "
              "client_id: me, client_secret: \"env:S\", refresh_token: \"keyring:a/b\", scope: x "
              "y, auth: body") "    load: lazy\n    ttl: 5m\n    timeout: 3s\n" SERVICE "}\n",
        &block);
    unsigned k = find(p, "k", &c);
    cr_assert(c.kind == EG_SOURCE_OAUTH2 && c.lazy && c.ttl_ms == 300000 && c.timeout_ms == 3000 &&
              !c.kept);
    eg_policy_credential_oauth2(p, k, &o);
    cr_assert(o.grant == EG_GRANT_REFRESH_TOKEN && !o.basic);
    is(o.route, "oauth2~k");
    is(o.path, "/o/token?a=b%20c");
    is(o.client_id, "me");
    is(o.scope, "x y");
    is(o.audience, "");
    find(p, "k#client_secret", &c);
    cr_assert(c.kind == EG_SOURCE_ENV && c.kept && !c.lazy && c.ttl_ms == 0);
    find(p, "k#refresh_token", &c);
    cr_assert(c.kind == EG_SOURCE_KEYRING && c.kept && c.lazy);
    is(c.account, "b");
    cr_assert(eg_policy_credential_host(p, EG_SLICE("k#refresh_token"), EG_SLICE("t.example")) &&
              !eg_policy_credential_host(p, EG_SLICE("k#refresh_token"), EG_SLICE("a.example")) &&
              eg_policy_credential_host(p, EG_SLICE("k"), EG_SLICE("a.example")) &&
              !eg_policy_credential_host(p, EG_SLICE("k"), EG_SLICE("t.example")));
    int at = eg_policy_service_of_route(p, o.route);
    cr_assert_geq(at, 0);
    eg_policy_service(p, (unsigned)at, &s);
    cr_assert(s.internal && s.tls && s.upstream.port == 8443 && s.credential.n == 0 &&
              s.env_base_url.n == 0 && s.env_key_count == 0 && !s.redact);
    is(eg_authority_host(&s.upstream), "t.example");
    is(s.base_path, "");
    eg_policy_judge_route(p, (unsigned)at, EG_SLICE("POST"), EG_SLICE("/o/token"),
                          (struct eg_path_flags){ 0 }, &v);
    cr_assert_eq(v.status, EG_OK);
    cr_assert_eq(eg_authority_parse(EG_SLICE("t.example:8443"), 0, &to, NULL), EG_OK);
    eg_policy_judge_tunnel(p, &to, &v);
    cr_assert_eq(v.status, EG_HOST_NOT_ALLOWED);
    cr_assert_null(memmem(v.detail.p, v.detail.n, "route", 5), "%.*s", (int)v.detail.n, v.detail.p);
    cr_assert_eq(eg_policy_service_of_route(p, EG_SLICE("s")), 0);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, presets_of_oauth2)
{
    static const struct {
        const char *text, *host, *path, *audience;
        enum eg_grant grant;
    } rows[] = {
        { OAUTH("grant: github_app, issuer: \"12\", key: \"file:k\", installation: 345"),
          "api.github.com", "/app/installations/345/access_tokens", "", EG_GRANT_GITHUB_APP },
        { OAUTH("grant: google_service_account, key: \"file:k\", scope: s"),
          "oauth2.googleapis.com", "/token", "https://oauth2.googleapis.com/token",
          EG_GRANT_JWT_BEARER },
        { OAUTH("grant: jwt_bearer, issuer: i, key: \"file:k\", token_url: \"https://t.example\""),
          "t.example", "/", "https://t.example", EG_GRANT_JWT_BEARER },
        { OAUTH("grant: jwt_bearer, issuer: i, key: \"file:k\", audience: a, token_url: "
                "\"https://t.example?x\""),
          "t.example", "/?x", "a", EG_GRANT_JWT_BEARER },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_buf block;
        struct eg_credential c;
        struct eg_oauth2 o;
        struct eg_service s;
        struct eg_policy *p = eg_policies_build("egress.yaml", rows[i].text, &block);
        eg_policy_credential_oauth2(p, find(p, "k", &c), &o);
        cr_assert_eq(o.grant, rows[i].grant);
        is(o.path, rows[i].path);
        is(o.audience, rows[i].audience);
        eg_policy_service(p, (unsigned)eg_policy_service_of_route(p, o.route), &s);
        is(eg_authority_host(&s.upstream), rows[i].host);
        find(p, "k#key", &c);
        cr_assert(c.kept);
        eg_policy_close(p);
        eg_buf_done(&block);
    }
}

/* A loopback endpoint is opened for the route, as an upstream is, and for nothing else. */
Test(policy, a_token_endpoint_opens_no_tunnel)
{
    struct eg_buf block;
    struct eg_verdict v, w;
    struct eg_authority to;
    struct eg_policy *p = eg_policies_build(
        "egress.yaml",
        OAUTH("grant: client_credentials, client_id: me, client_secret: \"env:S\", token_url: "
              "\"http://127.0.0.1:99/t\""),
        &block);
    int at = eg_policy_service_of_route(p, EG_SLICE("oauth2~k"));
    eg_policy_judge_route(p, (unsigned)at, EG_SLICE("POST"), EG_SLICE("/t"),
                          (struct eg_path_flags){ 0 }, &v);
    cr_assert_eq(v.status, EG_OK);
    cr_assert_eq(eg_authority_parse(EG_SLICE("127.0.0.1:99"), 0, &to, NULL), EG_OK);
    eg_policy_judge_address(p, &v, &to.addr, 99, &w);
    cr_assert_eq(w.status, EG_OK);
    eg_policy_judge_tunnel(p, &to, &v);
    cr_assert_eq(v.status, EG_HOST_NOT_ALLOWED);
    eg_policy_judge_http(p, &to, EG_SLICE("GET"), EG_SLICE("/"), (struct eg_path_flags){ 0 }, &v);
    cr_assert_eq(v.status, EG_HOST_NOT_ALLOWED);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, sigv4_becomes_parts_and_fixed_slots)
{
    struct eg_buf block;
    struct eg_credential c;
    struct eg_sigv4_scope scope;
    struct eg_service s;
    struct eg_policy *p = eg_policies_build(
        "egress.yaml",
        SIGV4(KEYS ", session_token: {cmd: [/bin/t]}, region: eu-west-1, "
                   "service: s3") "    ttl: 1h\n  j: {hosts: [b.example], "
                                  "aws_sigv4: {from: \"aws:prod\"}}\n" SERVICE "}\n",
        &block);
    unsigned k = find(p, "k", &c);
    cr_assert(c.kind == EG_SOURCE_SIGV4 && c.arg_count == 0 && c.timeout_ms == 30000);
    eg_policy_credential_sigv4(p, k, &scope);
    is(scope.region, "eu-west-1");
    is(scope.service, "s3");
    find(p, "k#access_key", &c);
    cr_assert(c.kind == EG_SOURCE_ENV && !c.kept && c.ttl_ms == 0);
    find(p, "k#session_token", &c);
    cr_assert(c.kind == EG_SOURCE_CMD && !c.kept && c.ttl_ms == 3600000 && c.timeout_ms == 30000);
    cr_assert(eg_policy_credential_host(p, EG_SLICE("k#secret_key"), EG_SLICE("a.example")));
    unsigned j = find(p, "j", &c);
    cr_assert(c.kind == EG_SOURCE_SIGV4 && c.arg_count == 7 && c.json);
    is(eg_policy_credential_arg(p, j, 6), "prod");
    cr_assert_eq(eg_policy_credential_find(p, EG_SLICE("j#access_key")), -1);
    eg_policy_service(p, 0, &s);
    cr_assert(s.accept_count == 1 && s.accept[0].kind == EG_SLOT_SIGV4 && s.write_count == 1 &&
              s.write[0].kind == EG_WRITE_SIGV4 && s.write[0].credential && s.env_key_count == 2);
    is(s.env_keys[1], "AWS_SECRET_ACCESS_KEY");
    eg_policy_close(p);
    eg_buf_done(&block);
}

/* The more specific layer's credential takes the place of the whole: no part or endpoint of the other is left. */
Test(policy, a_replaced_credential_leaves_nothing)
{
    const struct eg_policy_file files[] = {
        { "org.yaml", EG_SLICE(OAUTH(CLIENT "client_secret: \"env:S\"")), EG_LAYER_ORG, true },
        { "user.yaml", EG_SLICE(FROM("\"file:k\"")), EG_LAYER_USER, true }
    };
    struct eg_buf block;
    struct eg_policy *p = eg_policies_build_files(files, 2, &block);
    cr_assert(eg_policy_credential_count(p) == 1 && eg_policy_service_count(p) == 0);
    eg_policy_close(p);
    eg_buf_done(&block);
}
