/* policy_show.c - `policy show`: what it prints is the same policy; every shipped file has its golden dump, so that a change of meaning shows in review.
 *
 * `scripts/golden` renews the dumps in tests/golden. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/preset.h"
#include "policy/show.h"
#include "support/random_policy.h"

enum { TEXT_MAX = 4 << 20 };

static char *show(const struct eg_policy *p)
{
    struct eg_arena arena;
    struct eg_shown *root;
    struct eg_buf out;
    eg_arena_init(&arena, 64 << 20);
    eg_buf_init(&out, TEXT_MAX);
    cr_assert_eq(eg_policy_show(p, &arena, &root), EG_OK);
    cr_assert_eq(eg_policy_show_text(root, &out, NULL), EG_OK);
    char *text = eg_slice_dup(eg_buf_slice(&out));
    eg_buf_done(&out);
    eg_arena_done(&arena);
    return text;
}

static struct eg_policy_reader reader; /* of what is compiled next */

static struct eg_policy *compile(const char *path, const char *text, enum eg_layer layer, struct eg_buf *block)
{
    const struct eg_policy_file file = { path, eg_slice_str(text), layer, true };
    struct eg_diags *d = NULL;
    struct eg_policy *p = NULL;
    struct eg_buf problems;
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(block, 16 << 20);
    eg_buf_init(&problems, 1 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    enum eg_status st = eg_policy_compile(&file, 1, &reader, d, block, NULL);
    cr_assert_eq(eg_diags_render(d, false, &problems), EG_OK);
    cr_assert_eq(eg_buf_append(&problems, "", 1), EG_OK);
    cr_assert_eq(st, EG_OK, "%s\n%s", problems.data, text);
    cr_assert_eq(eg_policy_open(block->data, block->len, &p, NULL), EG_OK);
    eg_buf_done(&problems);
    eg_diags_free(d);
    return p;
}

static void expect_same(const struct eg_policy *p)
{
    struct eg_buf block;
    char *text = show(p);
    struct eg_policy *again = compile("shown", text, EG_LAYER_ORG, &block);
    cr_assert_arr_eq(eg_policy_id(p), eg_policy_id(again), 32, "not the same policy:\n%s", text);
    eg_policy_close(again);
    eg_buf_done(&block);
    free(text);
}

static const char everything[] =
    "egress: 1\nname: all\nmode: enforce\n"
    "allow:\n"
    "  - a.example\n"
    "  - {host: '*.b.example', ports: any, why: 'it is: needed'}\n"
    "  - {host: c.example, scheme: http, ports: [80, 8080], rules: [GET /a/**, 'POST /{x,y}/*z'], max_request_body: 5MiB}\n"
    "  - {host: d.example, scheme: tcp, ports: [22]}\n"
    "  - {host: e.example, sni: optional}\n"
    "  - {cidr: 203.0.113.0/24, scheme: tcp, ports: any}\n"
    "  - {address: 2001:db8::1}\n"
    "deny: [x.b.example, {host: c.example, ports: [80, 8080], rules: 'DELETE /**'}, {cidr: 203.0.113.128/25, why: no}]\n"
    "networks: {allow: [10.0.0.0/8, fd00::/8]}\n"
    "upstream: {proxies: [{proxy: http://p.example:3128, credential: p}, {proxy: socks5h://q.example}], bypass: [z.example, .y.example, 192.0.2.0/24], resolve: local}\n"
    "dns: {servers: [127.0.0.1:5353, '[::1]:53']}\n"
    "limits: {connections: 7, idle_timeout: 90s, head_bytes: 5000}\nvia: true\n"
    "audit: {capacity: 100, destinations: host, file: /var/log/e.jsonl, strict: false}\n"
    "listen:\n  - {address: 127.0.0.1:0, protocols: [http], auth: none}\n  - {address: 'unix:/run/e.sock'}\n"
    "services:\n"
    "  s:\n    upstream: http://u.example:8080/base\n    plaintext: true\n    route: R\n    rules: [GET /v1/**, '* /x']\n    deny: ['DELETE /**']\n"
    "    credential: k\n    accept: [bearer, 'header:x-key', 'basic:password', 'query:key', 'cookie:sid', 'path:2']\n"
    "    write: ['header:X-Key: {}', 'basic:me:{}', 'query:key={}', 'cookie:sid={}', 'header:x-org: acme']\n    strip: ['header:x-debug', 'query:dbg']\n"
    "    env: {base_url: A, base_path: /v1, key: [B, C]}\n    shape: {prefix: 'sk-', length: 64}\n"
    "    limits: {requests_per_minute: 60, request_bytes: 8MiB, response_bytes: 1GiB, concurrent: 16}\n    redact: false\n    trailers: [x-check]\n    websocket: true\n"
    "  plain: {upstream: 'https://v.example'}\n"
    "  aws: {upstream: 'https://b.s3.example', credential: aws}\n"
    "  auth: {upstream: 'https://w.example', credential: auth, tls: {server_name: n.example, pin: 'sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='}}\n"
    "credentials:\n"
    "  k: {from: {cmd: [/usr/bin/keys, -x], json: true, field: f}, hosts: [u.example], ttl: 15m, timeout: 5s, load: lazy}\n"
    "  p: {from: 'file:/etc/p', hosts: [p.example]}\n"
    "  aws: {aws_sigv4: {access_key: 'env:I', secret_key: 'keyring:a/b', region: eu-central-1, service: s3}, hosts: ['*.s3.example']}\n"
    "  auth: {oauth2: {grant: client_credentials, token_url: 'https://t.example/x?y=1', client_id: c, client_secret: 'systemd:s', scope: 'a b', auth: body}, hosts: [w.example]}\n";

Test(policy_show, what_it_prints_is_the_same_policy)
{
    struct eg_buf block;
    struct eg_policy *p = compile("egress.yaml", everything, EG_LAYER_ORG, &block);
    expect_same(p);
    eg_policy_close(p);
    eg_buf_done(&block);
}

/* By what it answers: a pattern such as a{,s} is shown as {a,as}, which is the same and has another identity. */
static void expect_answers(struct eg_random *r, const struct eg_random_policy *policy, const struct eg_policy *p)
{
    struct eg_buf block;
    char *text = show(p);
    struct eg_policy *again = compile("shown", text, EG_LAYER_ORG, &block);
    for (int i = 0; i < 300; i++) {
        struct eg_random_request q;
        struct eg_verdict a, b;
        char line[600];
        eg_random_request(r, policy, NULL, &q);
        bool some = eg_random_ask(p, &q, &a);
        cr_assert_eq(some, eg_random_ask(again, &q, &b));
        cr_assert(!some || (a.status == b.status && a.would_deny == b.would_deny), "%s:\n%s", eg_random_show(&q, line, sizeof line), text);
    }
    expect_same(again);
    eg_policy_close(again);
    eg_buf_done(&block);
    free(text);
}

Test(policy_show, random_policies_are_the_same_when_shown)
{
    static struct eg_addr own; /* a random policy is compiled on a machine that has it */
    cr_assert(eg_addr_parse(eg_slice_str(eg_random_own_address), &own));
    reader.own_addresses = &own;
    reader.own_count = 1;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct eg_random r;
        struct eg_random_policy policy;
        struct eg_buf block;
        cr_assert_geq(sodium_init(), 0);
        eg_random_seed(&r, seed);
        eg_random_policy(&r, &policy);
        struct eg_policy *p = eg_random_compile(&policy, &block);
        cr_assert_not_null(p, "seed %d", (int)seed);
        expect_answers(&r, &policy, p);
        eg_policy_close(p);
        eg_buf_done(&block);
    }
}

static void expect_line(const char *shown, const char *line)
{
    cr_assert(strstr(shown, line) != NULL, "no line %s in:\n%s", line, shown);
}

Test(policy_show, each_line_says_where_it_comes_from)
{
    struct eg_buf block;
    struct eg_policy *p = compile("egress.yaml", everything, EG_LAYER_ORG, &block);
    char *text = show(p);
    expect_line(text, "name: all      # egress.yaml:2\n");
    expect_line(text, "  - {host: a.example, scheme: https, ports: [443]}  # egress.yaml:5\n");
    expect_line(text, "  connections: 7         # egress.yaml:16\n");
    expect_line(text, "  headers: 128           # default\n");
    expect_line(text, "      prefix: sk-  # egress.yaml:34\n");
    free(text);
    eg_policy_close(p);
    eg_buf_done(&block);
}

/* ---- golden dumps ---- */

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, TEXT_MAX);
    if (f && text)
        text[fread(text, 1, TEXT_MAX - 1, f)] = '\0';
    if (f)
        fclose(f);
    else
        text[0] = '\0';
    return text;
}

/* Which file says it, without the line: a comment more in a preset is no change of meaning. */
static void drop_lines(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from == '\n') {
            char *end = to;
            while (end > text && end[-1] >= '0' && end[-1] <= '9')
                end--;
            if (end < to && end > text && end[-1] == ':')
                to = end - 1;
        }
        *to++ = *from;
    }
    *to = '\0';
}

static void golden(const char *name, const char *path, const char *text)
{
    char place[512];
    struct eg_buf block;
    struct eg_policy *p = compile(path, text, EG_LAYER_REPO, &block);
    char *shown = show(p);
    drop_lines(shown);
    snprintf(place, sizeof place, "%s/tests/golden/%s.yaml", EG_SOURCE_DIR, name);
    if (getenv("EG_GOLDEN_WRITE")) {
        FILE *f = fopen(place, "w");
        cr_assert_not_null(f, "%s", place);
        fputs(shown, f);
        fclose(f);
    }
    char *kept = read_file(place);
    cr_assert_str_eq(shown, kept, "%s means something else than tests/golden/%s.yaml says; if that is right: scripts/golden", path, name);
    free(kept);
    free(shown);
    eg_policy_close(p);
    eg_buf_done(&block);
}

static unsigned golden_folder(const char *folder)
{
    char path[4096], shown[512], name[300];
    unsigned count = 0;
    snprintf(path, sizeof path, "%s/%s", EG_SOURCE_DIR, folder);
    DIR *d = opendir(path);
    cr_assert_not_null(d, "%s", path);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t n = strlen(e->d_name);
        if (n < 6 || strcmp(e->d_name + n - 5, ".yaml") != 0)
            continue;
        snprintf(shown, sizeof shown, "%s/%s", folder, e->d_name);
        snprintf(path, sizeof path, "%s/%s", EG_SOURCE_DIR, shown);
        snprintf(name, sizeof name, "%.*s", (int)(n - 5), e->d_name);
        char *text = read_file(path);
        golden(name, shown, text);
        free(text);
        count++;
    }
    closedir(d);
    return count;
}

Test(policy_show, shipped_files_mean_what_their_golden_dumps_say)
{
    cr_assert_geq(golden_folder("policy") + golden_folder("policy/examples"), 4);
}

/* Parameters without a default, by their type. */
static void put_parameters(const struct eg_preset_head *head, char *out, size_t cap)
{
    static const char *const values[EG_PARAM_TYPES] = { "host.example", "label", "8443", "/etc/egress/file", "me@host.example" };
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < head->count; i++)
        if (head->params[i].standard.n == 0)
            n += (size_t)snprintf(out + n, cap - n, "%s%.*s: %s", n ? ", " : ", with: {",
                                  (int)head->params[i].name.n, head->params[i].name.p,
                                  values[head->params[i].type]);
    if (n)
        snprintf(out + n, cap - n, "}");
}

Test(policy_show, presets_mean_what_their_golden_dumps_say)
{
    for (unsigned i = 0; eg_preset_each(i); i++) {
        const struct eg_preset *preset = eg_preset_each(i);
        struct eg_preset_head head;
        struct eg_arena arena;
        char text[2000], with[1000], name[200];
        cr_assert_geq(sodium_init(), 0);
        eg_arena_init(&arena, 8 << 20);
        cr_assert_eq(eg_preset_head(preset, &arena, &head), EG_OK);
        put_parameters(&head, with, sizeof with);
        if (preset->kind == EG_PRESET_SERVICE) {
            snprintf(text, sizeof text, "egress: 1\nservices:\n  %s: {preset: %s, route: %s%s}\n", preset->name, preset->name, preset->name, with);
        } else {
            snprintf(text, sizeof text, "egress: 1\nextends: [{preset: %s%s}]\n", preset->name, with);
        }
        snprintf(name, sizeof name, "preset-%s", preset->name);
        golden(name, "egress.yaml", text);
        eg_arena_done(&arena);
    }
}

/* The grant is compiled into another one, which asks for an issuer. */
Test(policy_show, a_service_account_of_google_is_shown_as_one)
{
    struct eg_buf block;
    struct eg_policy *p = compile("egress.yaml",
                                  "egress: 1\ncredentials:\n  g: {hosts: [a.example], oauth2: {grant: google_service_account, "
                                  "key: \"file:/k.json\", scope: s}}\n",
                                  EG_LAYER_ORG, &block);
    expect_same(p);
    eg_policy_close(p);
    eg_buf_done(&block);
}
