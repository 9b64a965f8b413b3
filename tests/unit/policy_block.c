/* policy_block.c - the compiled block: what it answers about the configuration, its identity, layers, and that no damage to it can crash. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>

#include "policy/schema.h"
#include "support/policies.h"

static const char full[] =
    "egress: 1\n"
    "name: agent\n"
    "allow:\n"
    "  - api.example.com\n"
    "  - {host: \"*.example.org\", ports: [443, 8443], sni: optional, why: mirrors}\n"
    "  - {cidr: 10.1.0.0/16, scheme: tcp, ports: any}\n"
    "deny: [\"*.bad.example.org\", {address: 10.1.2.3}]\n"
    "services:\n"
    "  openai:\n"
    "    upstream: https://llm.example.com/v1/\n"
    "    route: ai\n"
    "    credential: key\n"
    "    accept: [bearer, \"header:X-Api-Key\", \"basic:password\"]\n"
    "    write: [\"header:Authorization: Token {}!\", \"header:x-org: acme\"]\n"
    "    strip: [\"header:x-debug\"]\n"
    "    env: {base_url: LLM_URL, base_path: /v1/, key: [LLM_KEY, LLM_KEY2]}\n"
    "    shape: {prefix: \"sk-\", length: 64}\n"
    "    tls: {ca: ca.pem, client_cert: cert.pem, client_key: key.pem, server_name: "
    "sni.example.com}\n"
    "  my-docs.v2: {upstream: \"http://127.0.0.1:8080\"}\n"
    "credentials:\n"
    "  key: {from: \"env:REAL_KEY\", hosts: [llm.example.com, \"*.corp.example\", 127.0.0.1]}\n"
    "  ring: {from: \"keyring:service/account/more\", hosts: [a.example]}\n"
    "  disk: {from: \"file:secrets/key\", hosts: [a.example]}\n"
    "  proxy: {from: \"file:/run/key\", hosts: [proxy.example]}\n"
    "networks: {allow: [192.168.7.0/24]}\n"
    "dns: {servers: [127.0.0.1, \"[::1]:5353\"]}\n"
    "tls: {ca: ca.pem, system: false}\n"
    "listen: [{address: \"127.0.0.1:8080\"}, {address: \"[::1]:0\", auth: none, tls: {cert: "
    "cert.pem, key: key.pem}}]\n"
    "limits: {connections: 7, head_bytes: 32KiB, idle_timeout: 5m}\n"
    "via: true\n"
    "audit: {capacity: 99, destinations: host, file: log/audit.jsonl, strict: false}\n"
    "upstream: {proxies: [{proxy: \"http://proxy.example:3128\", credential: proxy}], resolve: "
    "local}\n";

/* What only other services and credentials have. */
static const char derived[] =
    "egress: 1\n"
    "allow: [{host: h.example, scheme: http, rules: [GET /a/**, \"* /{b,c}*\"]}]\n"
    "deny: [{host: llm.example.com, rules: [DELETE /**], why: no}]\n"
    "services:\n"
    "  s:\n"
    "    upstream: https://llm.example.com/v1\n"
    "    credential: cmd\n"
    "    accept: [\"query:key\", \"path:2\", \"cookie:c\"]\n"
    "    write: [\"basic:{user}:{}\", \"query:key={}\", \"path:/bot{}/\", \"cookie:c={}\"]\n"
    "    strip: [\"query:x\", \"cookie:y\"]\n"
    "    rules: [GET /v1/*, \"POST /**/x\"]\n"
    "    deny: \"* /v1/admin\"\n"
    "    limits: {requests_per_minute: 5, request_bytes: 1MiB, response_bytes: 2MiB, concurrent: "
    "3}\n"
    "    tls: {pin: \"sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}\n"
    "    trailers: [x-a, x-b]\n"
    "    websocket: true\n"
    "  aws: {upstream: \"https://s3.example.com\", credential: aws}\n"
    "credentials:\n"
    "  cmd: {from: {cmd: [/bin/x, y], json: true, field: token}, hosts: [llm.example.com], ttl: "
    "5m, "
    "load: lazy}\n"
    "  aws: {aws_sigv4: {access_key: \"env:A\", secret_key: \"env:B\", region: eu-west-1}, hosts: "
    "[\"*.example.com\"]}\n"
    "  token: {oauth2: {grant: refresh_token, token_url: \"https://t.example/t\", client_id: me, "
    "refresh_token: \"keyring:a/b\"}, hosts: [llm.example.com]}\n";

/* Lists that are long enough for an index, with every kind of step in it. */
static const char indexed[] =
    "egress: 1\n"
    "services:\n"
    "  s:\n"
    "    upstream: https://llm.example.com\n"
    "    rules: [GET /a, GET /b, GET /c, GET /d, GET /e, GET /f/**/g, \"* /a/*\", \"* /a*/x\", \"* "
    "/{b,h}c\"]\n"
    "    deny: [GET /a/1, GET /b/%2F1, GET /c1*, GET /d/*/e, GET /e1, PUT /f, GET /g/**, GET /h, "
    "\"* "
    "/a%2Fb/x\"]\n";

static void is(struct eg_slice got, const char *want)
{
    cr_assert(eg_slice_eq(got, eg_slice_str(want)), "got '%.*s', want '%s'", (int)got.n, got.p,
              want);
    cr_assert_eq(got.p[got.n], '\0');
}

Test(policy, service_has_all_that_was_written)
{
    struct eg_buf block;
    struct eg_service s;
    struct eg_policy *p = eg_policies_build("conf/egress.yaml", full, &block);
    cr_assert_eq(eg_policy_service_count(p), 2);
    cr_assert_eq(eg_policy_service_of_route(p, EG_SLICE("ai")), 0);
    cr_assert_eq(eg_policy_service_of_route(p, EG_SLICE("openai")), -1);
    eg_policy_service(p, 0, &s);
    is(s.name, "openai");
    is(s.route, "ai");
    is(eg_authority_host(&s.upstream), "llm.example.com");
    cr_assert(s.upstream.port == 443 && s.tls && !s.upstream.literal);
    is(s.base_path, "/v1");
    is(s.credential, "key");
    cr_assert_eq(s.accept_count, 3);
    cr_assert(s.accept[0].kind == EG_SLOT_BEARER && s.accept[1].kind == EG_SLOT_HEADER &&
              s.accept[2].kind == EG_SLOT_BASIC_PASSWORD);
    is(s.accept[1].name, "X-Api-Key");
    cr_assert_eq(s.write_count, 2);
    is(s.write[0].name, "Authorization");
    is(s.write[0].text, "Token {}!");
    cr_assert(s.write[0].credential && !s.write[1].credential);
    is(s.write[1].text, "acme");
    cr_assert_eq(s.strip_slot_count, 1);
    is(s.strip_slots[0].name, "x-debug");
    is(s.env_base_url, "LLM_URL");
    is(s.env_base_path, "/v1");
    cr_assert_eq(s.env_key_count, 2);
    is(s.env_keys[1], "LLM_KEY2");
    is(s.shape_prefix, "sk-");
    cr_assert_eq(s.shape_length, 64);
    is(s.ca_pem, "conf/ca.pem\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    is(s.client_key_pem,
       "conf/key.pem\n-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n");
    is(s.server_name, "sni.example.com");
    is(s.rule, "conf/egress.yaml:9");
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, service_defaults)
{
    struct eg_buf block;
    struct eg_service s;
    struct eg_policy *p = eg_policies_build(
        "egress.yaml",
        "egress: 1\nservices:\n  a: {upstream: \"https://a.example\", credential: k}\n"
        "  my-docs.v2: {upstream: \"http://b.example:8080/\"}\n  9x: {upstream: "
        "\"https://c.example\", credential: f}\n"
        "credentials:\n  k: {from: \"env:REAL\", hosts: [a.example]}\n  f: {from: "
        "\"file:/k\", hosts: [c.example]}\n",
        &block);
    eg_policy_service(p, 0, &s);
    is(s.route, "a");
    is(s.env_base_url, "A_BASE_URL");
    cr_assert_eq(s.env_key_count, 1);
    is(s.env_keys[0], "REAL");
    cr_assert_eq(s.accept_count, 4);
    is(s.accept[3].name, "api-key");
    cr_assert(s.write_count == 1 && s.write[0].credential);
    is(s.write[0].name, "Authorization");
    is(s.write[0].text, "Bearer {}");
    cr_assert_eq(s.shape_length, 0);
    eg_policy_service(p, 1, &s);
    is(s.env_base_url, "MY_DOCS_V2_BASE_URL");
    is(s.base_path, "");
    cr_assert(!s.tls && s.upstream.port == 8080 && s.env_key_count == 0 && s.accept_count == 0 &&
              s.write_count == 0);
    eg_policy_service(p, 2, &s);
    is(s.env_base_url, "_9X_BASE_URL");
    is(s.env_keys[0], "_9X_API_KEY");
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, credentials_and_their_hosts)
{
    struct eg_buf block;
    struct eg_credential c;
    struct eg_policy *p = eg_policies_build("conf/egress.yaml", full, &block);
    cr_assert_eq(eg_policy_credential_count(p), 4);
    eg_policy_credential(p, 0, &c);
    is(c.place, "REAL_KEY");
    is(c.rule, "conf/egress.yaml:21");
    eg_policy_credential(p, 1, &c);
    cr_assert_eq(c.kind, EG_SOURCE_KEYRING);
    is(c.place, "service");
    is(c.account, "account/more");
    eg_policy_credential(p, 2, &c);
    is(c.place, "conf/secrets/key");
    eg_policy_credential(p, 3, &c);
    is(c.place, "/run/key");
    static const struct {
        const char *credential, *host;
        bool bound;
    } rows[] = { { "key", "llm.example.com", true },
                 { "key", "x.llm.example.com", false },
                 { "key", "example.com", false },
                 { "key", "a.corp.example", true },
                 { "key", "a.b.corp.example", true },
                 { "key", "corp.example", false },
                 { "key", "xcorp.example", false },
                 { "key", "127.0.0.1", true },
                 { "key", "127.0.0.2", false },
                 { "ring", "a.example", true },
                 { "ring", "llm.example.com", false },
                 { "none", "a.example", false },
                 { "", "a.example", false } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(eg_policy_credential_host(p, eg_slice_str(rows[i].credential),
                                               eg_slice_str(rows[i].host)),
                     rows[i].bound, "%s %s", rows[i].credential, rows[i].host);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, settings_limits_and_listeners)
{
    struct eg_buf block;
    struct eg_listen_spec l;
    struct eg_policy *p = eg_policies_build("conf/egress.yaml", full, &block);
    const struct eg_settings *s = eg_policy_settings(p);
    const struct eg_limits *limits = eg_policy_limits(p);
    is(eg_policy_name(p), "agent");
    cr_assert(s->dns_count == 2 && s->dns_servers[0].port == 53 && s->dns_servers[1].port == 5353 &&
              s->dns_servers[1].addr.family == 6);
    cr_assert(!s->ca_system && s->via && s->audit_capacity == 99 && s->audit_destinations == 1 &&
              !s->audit_strict);
    is(s->audit_file, "conf/log/audit.jsonl");
    struct eg_hop hops[EG_HOPS_MAX];
    cr_assert(eg_policy_hops(p, EG_CHAIN_SECURE, hops) == 1 && s->proxy_resolve_local &&
              s->upstream_from == EG_UPSTREAM_POLICY && hops[0].at.port == 3128);
    is(eg_authority_host(&hops[0].at), "proxy.example");
    is(hops[0].credential, "proxy");
    cr_assert(limits->connections == 7 && limits->head_bytes == 32768 &&
              limits->idle_timeout == 300000);
    cr_assert(limits->headers == 128 && limits->target_bytes == 16384 &&
              limits->total_timeout == 86400000);
    cr_assert_eq(eg_policy_listen_count(p), 2);
    eg_policy_listen(p, 1, &l);
    cr_assert(l.auth == EG_AUTH_NONE && l.at.port == 0 && l.at.addr.family == 6 && l.cert_pem.n &&
              l.key_pem.n);
    is(l.rule, "conf/egress.yaml:28");
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, defaults_of_an_empty_policy)
{
    struct eg_buf block;
    struct eg_policy *p = eg_policies_build("egress.yaml", "egress: 1\n", &block);
    const struct eg_settings *s = eg_policy_settings(p);
    const struct eg_limits *l = eg_policy_limits(p);
    struct eg_hop hops[EG_HOPS_MAX];
    cr_assert(eg_policy_hops(p, EG_CHAIN_SECURE, hops) == 0 &&
              eg_policy_hops(p, EG_CHAIN_PLAIN, hops) == 0);
    cr_assert(s->dns_count == 0 && s->ca_system && !s->via && s->audit_capacity == 8192 &&
              s->audit_strict);
    cr_assert(s->audit_destinations == 0 && s->audit_file.n == 0 && s->ca_pem.n == 0 &&
              eg_policy_listen_count(p) == 0);
    cr_assert(l->connections == 1024 && l->head_bytes == 65536 && l->headers == 128 &&
              l->target_bytes == 16384);
    cr_assert(l->head_timeout == 10000 && l->body_timeout == 60000 && l->idle_timeout == 600000 &&
              l->total_timeout == 86400000);
    cr_assert(l->dns_timeout == 5000 && l->connect_timeout == 10000 && l->tls_timeout == 10000 &&
              l->response_timeout == 600000 && l->drain_timeout == 30000);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, layers_win_unite_and_lower)
{
    static const char org[] = "egress: 1\nname: org\nallow: [org.example]\nvia: true\nlimits: "
                              "{connections: 500, headers: 100}\n"
                              "services:\n  s: {upstream: \"https://org.example\"}\n";
    static const char user[] = "egress: 1\nname: user\nlimits: {connections: 800}\nservices:\n  s: "
                               "{upstream: \"https://user.example\"}\n";
    static const char repo[] =
        "egress: 1\nname: repo\nallow: [repo.example]\nlimits: {connections: 600, headers: 90}\n";
    const struct eg_policy_file files[] = {
        { "repo.yaml", eg_slice_str(repo), EG_LAYER_REPO, false },
        { "org.yaml", eg_slice_str(org), EG_LAYER_ORG, true },
        { "user.yaml", eg_slice_str(user), EG_LAYER_USER, true }
    };
    struct eg_buf block;
    struct eg_service s;
    struct eg_authority to;
    struct eg_verdict v;
    char advice[200];
    struct eg_policy *p = eg_policies_build_files(files, 3, &block);
    cr_assert(eg_policy_settings(p)->via);
    cr_assert_eq(eg_policy_limits(p)->connections, 600);
    cr_assert_eq(eg_policy_limits(p)->headers, 90);
    is(eg_policy_name(p), "repo");
    cr_assert_eq(eg_policy_service_count(p), 1);
    eg_policy_service(p, 0, &s);
    is(s.rule, "user.yaml:5");
    cr_assert_eq(eg_authority_parse(EG_SLICE("new.example:443"), 0, &to, NULL), EG_OK);
    eg_policy_judge_tunnel(p, &to, &v);
    cr_assert_str_eq(eg_policy_advise(p, &v, &to, advice, sizeof advice),
                     "add \"- new.example\" to allow in repo.yaml");
    is(v.detail, "no rule names it; add it to allow in repo.yaml");
    cr_assert_eq(eg_authority_parse(EG_SLICE("org.example:80"), 0, &to, NULL), EG_OK);
    eg_policy_judge_tunnel(p, &to, &v);
    is(v.detail, "allowed: https on 443");
    cr_assert_str_eq(eg_policy_advise(p, &v, &to, advice, sizeof advice),
                     "allowed: https on 443; org.example:80 is not among them");
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, an_untrusted_file_may_not_redefine_a_service)
{
    const struct eg_policy_file files[] = {
        { "user.yaml",
          EG_SLICE("egress: 1\nservices:\n  s: {upstream: \"https://a.example\", credential: k}\n"
                   "credentials:\n  k: {from: \"env:K\", hosts: [a.example]}\n"),
          EG_LAYER_USER, true },
        { "repo.yaml",
          EG_SLICE("egress: 1\nservices:\n  s: {upstream: \"https://evil.example\"}\n"),
          EG_LAYER_REPO, false }
    };
    struct eg_diags *d = NULL;
    struct eg_buf block;
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(&block, 1 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    cr_assert_eq(eg_policy_compile(files, 2, &eg_policies_reader, d, &block, NULL), EG_INVALID);
    cr_assert_eq(eg_diags_total(d), 1);
    cr_assert_str_eq(eg_diags_at(d, 0)->code, "untrusted-key");
    cr_assert_str_eq(eg_diags_at(d, 0)->file, "repo.yaml");
    cr_assert_eq(block.len, 0);
    eg_diags_free(d);
    eg_buf_done(&block);
}

static void id_of(const char *text, unsigned char id[32])
{
    struct eg_buf block;
    struct eg_policy *p = eg_policies_build("egress.yaml", text, &block);
    memcpy(id, eg_policy_id(p), 32);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, identity_is_the_meaning)
{
    static const char base[] = "egress: 1\nallow: [a.example, b.example]\n";
    static const char *const same[] = {
        "egress: 1\n# comment\nallow:\n  - b.example\n  - {host: A.example., why: because}\n",
        "{\"allow\": [\"a.example\", \"b.example\", \"a.example\"], \"egress\": 1}",
        "name: x\negress: 1\nallow: [{host: a.example, ports: [443, 443]}, b.example]\n"
    };
    static const char *const other[] = {
        "egress: 1\nallow: [a.example]\n",
        "egress: 1\nallow: [a.example, b.example, c.example]\n",
        "egress: 1\nallow: [a.example, \"*.b.example\"]\n",
        "egress: 1\nallow: [a.example, {host: b.example, ports: [444]}]\n",
        "egress: 1\nallow: [a.example, b.example]\ndeny: [c.example]\n",
        "egress: 1\nallow: [a.example, b.example]\nvia: true\n",
        "egress: 1\nallow: [a.example, b.example]\nlimits: {headers: 127}\n",
        "egress: 1\nallow: [a.example, b.example]\nnetworks: {allow: [10.0.0.0/8]}\n",
        "egress: 1\nallow: [a.example, b.example]\nservices: {s: {upstream: http://c}}\n"
    };
    unsigned char id[32], got[32];
    id_of(base, id);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        id_of(same[i], got);
        cr_assert_arr_eq(id, got, 32, "%s", same[i]);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        id_of(other[i], got);
        cr_assert_neq(memcmp(id, got, 32), 0, "%s", other[i]);
    }
}

Test(policy, the_same_files_give_the_same_bytes)
{
    struct eg_buf a, b;
    struct eg_policy *p = eg_policies_build("egress.yaml", full, &a);
    struct eg_policy *q = eg_policies_build("egress.yaml", full, &b);
    cr_assert(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    eg_policy_close(p);
    eg_policy_close(q);
    eg_buf_done(&a);
    eg_buf_done(&b);
    p = eg_policies_build("egress.yaml", derived, &a);
    q = eg_policies_build("egress.yaml", derived, &b);
    cr_assert(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    eg_policy_close(p);
    eg_policy_close(q);
    eg_buf_done(&a);
    eg_buf_done(&b);
}

/* Asks everything; only a sanitizer or a crash can object. */
static void ask_all(const struct eg_policy *p)
{
    static const char *const hosts[] = { "api.example.com:443",   "a.b.example.org:8443",
                                         "x.bad.example.org:443", "10.1.2.3:5",
                                         "[fd00::1]:9",           "127.0.0.1:8080",
                                         "llm.example.com:443",   "metadata.google.internal:80" };
    struct eg_authority to;
    struct eg_verdict v, w;
    char advice[300];
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        cr_assert_eq(eg_authority_parse(eg_slice_str(hosts[i]), 0, &to, NULL), EG_OK);
        eg_policy_judge_tunnel(p, &to, &v);
        eg_policy_judge_address(p, &v, &(struct eg_addr){ 4, { 10, 1, 2, 4 } }, 5, &w);
        eg_policy_judge_address(p, &v, &(struct eg_addr){ 6, { 0x20, 1 } }, 443, &w);
        (void)eg_policy_advise(p, &v, &to, advice, sizeof advice);
        eg_policy_judge_http(p, &to, EG_SLICE("GET"), EG_SLICE("/"), (struct eg_path_flags){ 0 },
                             &v);
    }
    for (unsigned i = 0; i < eg_policy_service_count(p); i++) {
        struct eg_service s;
        eg_policy_service(p, i, &s);
        eg_policy_judge_route(p, i, EG_SLICE("GET"), EG_SLICE("/"),
                              (struct eg_path_flags){ .unsafe = true }, &v);
        eg_policy_judge_route(p, i, EG_SLICE("PUT"), EG_SLICE("/a%2Fb;c/x"),
                              (struct eg_path_flags){ 0 }, &v);
        eg_policy_judge_route(p, i, EG_SLICE("GET"), EG_SLICE("/a/x/"), (struct eg_path_flags){ 0 },
                              &v);
        eg_policy_judge_route(p, i, EG_SLICE("PUT"), EG_SLICE("/f/z/g"),
                              (struct eg_path_flags){ 0 }, &v);
        (void)eg_policy_service_of_route(p, s.name);
    }
    for (unsigned i = 0; i < eg_policy_credential_count(p); i++) {
        struct eg_credential c;
        struct eg_oauth2 oauth2;
        struct eg_sigv4_scope scope;
        eg_policy_credential(p, i, &c);
        eg_policy_credential_oauth2(p, i, &oauth2);
        eg_policy_credential_sigv4(p, i, &scope);
        for (unsigned k = 0; k < c.arg_count; k++)
            (void)eg_policy_credential_arg(p, i, k);
        (void)eg_policy_credential_find(p, c.name);
        (void)eg_policy_credential_host(p, c.name, EG_SLICE("llm.example.com"));
    }
    for (unsigned i = 0; i < eg_policy_listen_count(p); i++) {
        struct eg_listen_spec l;
        eg_policy_listen(p, i, &l);
    }
    (void)eg_policy_settings(p)->ca_pem;
    (void)eg_policy_name(p);
}

static unsigned try_block(const char *data, size_t n)
{
    char *copy = malloc(n ? n : 1); /* exactly n: what reads beyond is seen */
    struct eg_policy *p = NULL;
    unsigned opened = 0;
    cr_assert_not_null(copy);
    memcpy(copy, data, n);
    if (eg_policy_open(copy, n, &p, NULL) == EG_OK) {
        ask_all(p);
        eg_policy_close(p);
        opened = 1;
    }
    free(copy);
    return opened;
}

static void damage(const char *text)
{
    struct eg_buf block;
    unsigned opened = 0;
    struct eg_policy *p = eg_policies_build("egress.yaml", text, &block);
    ask_all(p);
    eg_policy_close(p);
    for (size_t i = 0; i < block.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            block.data[i] ^= (char)(1 << bit);
            opened += try_block(block.data, block.len);
            block.data[i] ^= (char)(1 << bit);
        }
    cr_assert_gt(opened, 0);                         /* texts and hashes may be anything */
    for (size_t i = 0; i + 4 <= block.len; i += 4) { /* numbers become huge */
        uint32_t old, huge = UINT32_MAX - (uint32_t)(i % 7);
        memcpy(&old, block.data + i, 4);
        memcpy(block.data + i, &huge, 4);
        (void)try_block(block.data, block.len);
        memcpy(block.data + i, &old, 4);
    }
    for (size_t n = 0; n < block.len; n++)
        cr_assert_eq(try_block(block.data, n), 0, "cut at %zu", n);
    eg_buf_done(&block);
}

Test(policy, a_damaged_block_is_refused_or_harmless)
{
    damage(full);
    damage(derived);
    damage(indexed);
}

Test(policy, a_misplaced_block_is_refused)
{
    struct eg_buf block;
    struct eg_policy *p = eg_policies_build("egress.yaml", "egress: 1\n", &block);
    eg_policy_close(p);
    char *room = malloc(block.len + 16);
    memcpy(room + 1, block.data, block.len);
    cr_assert_eq(eg_policy_open(room + 1, block.len, &p, NULL), EG_INVALID);
    cr_assert_eq(eg_policy_open(NULL, 0, &p, NULL), EG_INVALID);
    free(room);
    eg_buf_done(&block);
}

Test(policy, a_block_has_a_ceiling)
{
    const struct eg_policy_file file = { "egress.yaml", EG_SLICE("egress: 1\n"), EG_LAYER_REPO,
                                         true };
    struct eg_diags *d = NULL;
    struct eg_buf block;
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(&block, 100);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    cr_assert_eq(eg_policy_compile(&file, 1, NULL, d, &block, NULL), EG_TOO_BIG);
    cr_assert_eq(eg_policy_compile(&file, 0, NULL, d, &block, NULL), EG_INVALID);
    eg_diags_free(d);
    eg_buf_done(&block);
}

Test(policy, the_schema_is_well_formed)
{
    unsigned i = 0;
    for (const struct eg_schema_key *key; (key = eg_schema_each(i)) != NULL; i++) {
        cr_assert_neq(key->shapes, 0, "%s", key->path);
        for (unsigned k = 0; k < i; k++)
            cr_assert_str_neq(eg_schema_each(k)->path, key->path);
        if (key->shapes == EG_SHAPE_SCALAR)
            cr_assert_neq(key->type, EG_TYPE_NONE, "%s", key->path);
        if (key->type == EG_TYPE_WORD)
            cr_assert_not_null(key->words, "%s", key->path);
        if ((key->shapes & EG_SHAPE_LIST) && !(key->flags & EG_KEY_RESERVED))
            cr_assert_neq(eg_schema_element(i + 1), 0, "%s", key->path);
    }
    cr_assert_gt(i, 100);
}
