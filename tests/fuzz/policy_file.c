/* policy_file.c - fuzzes the way from a policy file to decisions. The first byte chooses trust, layer and who else names proxies, the rest is
 * the file, or with the high bit the URL of a proxy. Whatever is
 * in it, compiling ends, its messages can be shown, and what compiles can be opened, asked and explained; under mode: observe nothing passes that is
 * not said to. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>

#include "findings_fuzz.h"
#include "policy/compile.h"
#include "base/arena.h"
#include "policy/tests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum eg_status read_pem(void *ctx, const char *path, struct eg_buf *out, struct eg_err *err)
{
    (void)ctx;
    if (strstr(path, "no"))
        return eg_err_set(err, EG_NOT_FOUND, "file", 0, "there is no such file");
    return eg_buf_printf(
        out, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE "
             "KEY-----\nMAA=\n-----END PRIVATE KEY-----\n");
}

static void ask_credentials(const struct eg_policy *p)
{
    for (unsigned i = 0; i < eg_policy_credential_count(p); i++) {
        struct eg_credential c;
        struct eg_oauth2 o;
        struct eg_sigv4_scope scope;
        eg_policy_credential(p, i, &c);
        eg_policy_credential_oauth2(p, i, &o);
        eg_policy_credential_sigv4(p, i, &scope);
        if (eg_policy_credential_find(p, c.name) != (int)i ||
            (c.kind == EG_SOURCE_CMD) != (c.arg_count > 0 && c.kind != EG_SOURCE_SIGV4))
            abort();
        for (unsigned k = 0; k < c.arg_count; k++)
            (void)eg_policy_credential_arg(p, i, k);
        if (c.kind == EG_SOURCE_OAUTH2 && eg_policy_service_of_route(p, o.route) < 0)
            abort();
        if (c.kept && eg_slice_index(c.name, '#') < 0)
            abort();
    }
}

struct seen {
    bool decides;
    unsigned count;
};

static void see(void *ctx, const struct eg_considered *c)
{
    struct seen *s = ctx;
    s->count++;
    s->decides = s->decides || c->decides;
    if (!c->why[0] || !c->to[0])
        abort();
}

/* explain gives the same answer, shows who decides, and says what would help. */
static void explain(const struct eg_policy *p, const struct eg_ask *asked)
{
    struct eg_verdict v;
    struct eg_least least;
    struct seen seen = { .count = 0 };
    eg_policy_ask(p, asked, &v);
    eg_policy_consider(p, asked, &v, see, &seen);
    eg_policy_least(p, asked, &v, &least);
    if (v.rule.n > 0 && !seen.decides)
        abort();
    if ((v.status != EG_OK || v.would_deny != EG_OK) != (least.text[0] != '\0'))
        abort();
    if (v.would_deny != EG_OK && (v.status != EG_OK || !eg_policy_settings(p)->observe))
        abort();
}

static void explain_all(const struct eg_policy *p, const struct eg_authority *to,
                        const struct eg_addr *addr)
{
    static const char *const paths[] = { "/", "/v1/x", "/a/*/{b}\"" };
    struct eg_ask asked = { .kind = EG_ASK_TUNNEL, .to = *to, .method = EG_SLICE("GET") };
    explain(p, &asked);
    asked.addr = to->literal ? NULL : addr;
    explain(p, &asked);
    asked.kind = EG_ASK_HTTP;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        asked.path = eg_slice_str(paths[i]);
        explain(p, &asked);
    }
    asked.flags = (struct eg_path_flags){ true, "it is a test" };
    explain(p, &asked);
    asked.kind = EG_ASK_ROUTE;
    asked.addr = NULL;
    for (unsigned i = 0; i < eg_policy_service_count(p) && i < 4; i++) {
        asked.service = i;
        asked.flags.unsafe = i % 2;
        explain(p, &asked);
    }
}

static void ask(const struct eg_policy *p)
{
    static const char *const hosts[] = { "a.example:443", "x.a.example:80", "127.0.0.1:80",
                                         "[::1]:443",     "10.0.0.1:5",     "metadata:80" };
    struct eg_authority to;
    struct eg_verdict v, w;
    struct eg_addr addr = { 4, { 10, 0, 0, 1 } };
    char advice[200];
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        if (eg_authority_parse(eg_slice_str(hosts[i]), 0, &to, NULL) != EG_OK)
            abort();
        eg_policy_judge_tunnel(p, &to, &v);
        if (v.status != EG_OK && v.detail.n == 0)
            abort();
        if (v.status == EG_OK && v.scheme == EG_SCHEME_NONE)
            abort();
        (void)eg_policy_advise(p, &v, &to, advice, sizeof advice);
        eg_policy_judge_address(p, &v, &addr, to.port, &w);
        if (eg_policy_service_count(p) + eg_policy_credential_count(p) == 0 && v.status == EG_OK &&
            v.would_deny == EG_OK && v.rule.n == 0)
            abort();
        explain_all(p, &to, &addr);
    }
    for (unsigned i = 0; i < eg_policy_service_count(p); i++) {
        struct eg_service s;
        eg_policy_service(p, i, &s);
        if (eg_policy_service_of_route(p, s.route) != (int)i)
            abort();
        if (s.credential.n &&
            !eg_policy_credential_host(p, s.credential, eg_authority_host(&s.upstream)))
            abort(); /* a credential that may go where it is not bound */
        eg_policy_judge_route(p, i, EG_SLICE("GET"), EG_SLICE("/"), (struct eg_path_flags){ 0 },
                              &v);
        if (s.internal != (eg_slice_index(s.route, '~') >= 0) || (s.internal && s.credential.n))
            abort(); /* a route that children could ask for */
        for (unsigned k = 0; k < s.write_count; k++)
            if (s.write[k].text.n == 0)
                abort();
    }
    ask_credentials(p);
}

static void ask_ways(const struct eg_policy *p, bool allow_remote)
{
    struct eg_hop hops[EG_HOPS_MAX];
    struct eg_authority to;
    struct eg_slice san, label;
    static const struct eg_addr loopback = { 6, { [15] = 1 } };
    for (int c = EG_CHAIN_SECURE; c <= EG_CHAIN_PLAIN; c++)
        for (unsigned i = 0, n = eg_policy_hops(p, c, hops); i < n; i++)
            if ((hops[i].kind == EG_HOP_SSH && (i > 0 || hops[i].credential.n)) ||
                hops[i].text.n == 0 || hops[i].at.port == 0 ||
                (hops[i].credential.n &&
                 !eg_policy_credential_host(p, hops[i].credential, eg_authority_host(&hops[i].at))))
                abort();
    for (unsigned i = 0; i < eg_policy_listen_count(p); i++) {
        struct eg_listen_spec l;
        eg_policy_listen(p, i, &l);
        bool near = l.unix_path.n || (l.at.addr.family == 4 && l.at.addr.b[0] == 127) ||
                    eg_addr_eq(&l.at.addr, &loopback);
        if ((!near && !allow_remote && !l.require_client) || l.protocols == 0 ||
            (l.require_client && l.client_ca_pem.n == 0) ||
            (l.cert_pem.n == 0) != (l.key_pem.n == 0))
            abort(); /* asks for less than it says */
        for (unsigned k = 0; k < l.session_count; k++)
            eg_policy_listen_session(p, i, k, &san, &label);
    }
    if (eg_authority_parse(EG_SLICE("[::ffff:10.0.0.1]:80"), 0, &to, NULL) != EG_OK)
        abort();
    bool mapped = eg_policy_bypassed(p, &to);
    if (eg_authority_parse(EG_SLICE("10.0.0.1:80"), 0, &to, NULL) != EG_OK ||
        mapped != eg_policy_bypassed(p, &to))
        abort();
}

/* ---- tests: entries are kept as a command keeps them, then asked ---- */

enum { TESTS_KEPT = 8 };
struct kept {
    struct eg_arena arena;
    struct eg_policy_test list[TESTS_KEPT];
    unsigned count;
};

static void keep(void *ctx, const struct eg_policy_test *t)
{
    struct kept *k = ctx;
    if (k->count == TESTS_KEPT)
        return;
    struct eg_policy_test *copy = &k->list[k->count++];
    *copy = *t;
    struct eg_slice *texts[] = { &copy->connect, &copy->request, &copy->service,
                                 &copy->address, &copy->rule,    &copy->reason };
    if ((t->connect.n > 0) == (t->request.n > 0))
        abort();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i]->n > 0 && !(texts[i]->p = eg_arena_dup(&k->arena, *texts[i])))
            abort();
}

/* What compiled can be asked; of the three outcomes one passes at most, and one that fails says why. */
static void ask_tests(const struct eg_policy *p, struct kept *k)
{
    static struct eg_test_result result;
    for (unsigned i = 0; i < k->count; i++) {
        unsigned passed = 0;
        for (unsigned expect = EG_EXPECT_ALLOW; expect <= EG_EXPECT_WOULD_DENY; expect++) {
            k->list[i].expect = (enum eg_test_expect)expect;
            if (eg_policy_test(p, &k->list[i], &result) != EG_OK ||
                result.passed == (result.text[0] != '\0') || !result.way[0])
                abort();
            passed += result.passed;
        }
        if (passed > 1)
            abort();
    }
}

/* What is taken can be written in its one form and means the same then. */
static void parse_url(struct eg_slice url)
{
    struct eg_hop hop, again;
    struct eg_slice user, password;
    struct eg_err err = { 0 };
    char text[EG_HOP_TEXT], small[EG_HOP_TEXT];
    char *room = malloc(url.n + 1);
    if (!room)
        return;
    if (eg_proxy_url_parse(url, room, &hop, &user, &password, &err) != EG_OK) {
        if (err.status != EG_INVALID || !err.text[0])
            abort();
        free(room);
        return;
    }
    for (size_t i = 0; i < user.n + password.n; i++)
        if ((unsigned char)room[i] < ' ' || user.p != room)
            abort();
    eg_hop_format(&hop, text, sizeof text);
    if (eg_proxy_url_parse(eg_slice_str(text), small, &again, &user, &password, NULL) != EG_OK ||
        again.kind != hop.kind || again.tls != hop.tls || !eg_authority_eq(&again.at, &hop.at) ||
        user.n + password.n > 0)
        abort();
    free(room);
}

static void choose(uint8_t bits, struct eg_hop *hop, struct eg_upstream_choice *choice)
{
    static const struct eg_slice bypass[] = { { ".corp", 5 }, { "10.0.0.0/8", 10 }, { "10.*", 4 } };
    *hop = (struct eg_hop){ .kind = EG_HOP_HTTP, .credential = EG_SLICE("@1") };
    if (eg_authority_parse(EG_SLICE("p.example:3128"), 0, &hop->at, NULL) != EG_OK)
        abort();
    *choice = (struct eg_upstream_choice){ .from = bits & 8 ? EG_UPSTREAM_OPTION : EG_UPSTREAM_ENV,
                                           .secure = hop,
                                           .secure_count = 1,
                                           .bypass = bypass,
                                           .bypass_count = 3 };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct eg_addr own[] = { { 4, { 192, 168, 1, 2 } } };
    struct eg_hop hop;
    struct eg_upstream_choice choice;
    struct kept kept = { .count = 0 };
    struct eg_policy_reader reader = {
        .read = read_pem, .own_addresses = own, .own_count = 1, .test = keep, .test_ctx = &kept
    };
    struct eg_diags *diags = NULL;
    struct eg_policy *p = NULL;
    struct eg_buf block, text;
    if (size == 0 || sodium_init() < 0 || eg_diags_new(&diags) != EG_OK)
        return 0;
    if (data[0] & 0x80) {
        parse_url(eg_slice(data + 1, size - 1));
        eg_diags_free(diags);
        return 0;
    }
    choose(data[0], &hop, &choice);
    reader.upstream = data[0] & 4 ? &choice : NULL;
    reader.observe = !(data[0] & 0x10);
    reader.allow_remote = data[0] & 0x40;
    struct eg_policy_file file = { "dir/egress.yaml", eg_slice(data + 1, size - 1),
                                   data[0] & 2 ? EG_LAYER_ORG : EG_LAYER_REPO, !(data[0] & 1) };
    eg_buf_init(&block, 16 << 20);
    eg_buf_init(&text, 16 << 20);
    eg_arena_init(&kept.arena, 64 << 20);
    enum eg_status st = eg_policy_compile(&file, 1, &reader, diags, &block, NULL);
    if (st != EG_OK && st != EG_INVALID)
        abort();
    if ((st == EG_OK) != (eg_diags_count(diags, EG_DIAG_ERROR) == 0))
        abort();
    if (eg_diags_render(diags, false, &text) != EG_OK)
        abort();
    check_findings(diags, file.path, file.text);
    if (st == EG_OK) {
        if (eg_policy_open(block.data, block.len, &p, NULL) != EG_OK)
            abort();
        ask(p);
        ask_ways(p, reader.allow_remote);
        ask_tests(p, &kept);
        eg_policy_close(p);
    }
    eg_arena_done(&kept.arena);
    eg_diags_free(diags);
    eg_buf_done(&block);
    eg_buf_done(&text);
    return 0;
}
