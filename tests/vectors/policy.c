/* policy.c - feeds tests/vectors/policy.md, decisions.md and policy_rules.md to the engine: small policies in fenced blocks, tables of questions and answers.
 *
 * Every block is compiled once for each row that names it: rows stand alone, and a block is small. explain is asked the same: it must give the same
 * answer, show the rule that decides, and what it proposes for a refusal must, compiled beside the policy, allow it. And every row is asked as an entry
 * of `tests`: here, and of `egressctl policy test`, one process for each set of blocks. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/compile.h"
#include "policy/explain.h"
#include "vectors/tested.h"

#define TABLE(name) EG_SOURCE_DIR "/tests/vectors/" name ".md"
enum { COLUMNS = 4 };

struct table {
    struct eg_blocks blocks;
    struct eg_tested_groups groups;
    unsigned failed;
};

static struct eg_authority authority(const char *text)
{
    struct eg_authority to;
    struct eg_err err = { 0 };
    cr_assert_eq(eg_authority_parse(eg_slice_str(text), 0, &to, &err), EG_OK, "%s: %s", text,
                 err.text);
    return to;
}

static struct eg_addr address(const char *text)
{
    struct eg_addr a;
    cr_assert(eg_addr_parse(eg_slice_str(text), &a), "%s", text);
    return a;
}

static int service_of(const struct eg_policy *p, const char *route)
{
    return eg_policy_service_of_route(p, eg_slice_str(route));
}

static void judge_route(const struct eg_policy *p, int service, const char *method,
                        const char *path, struct eg_verdict *v)
{
    struct eg_buf out;
    struct eg_path_flags flags = { 0 };
    eg_buf_init(&out, 4096);
    cr_assert_eq(eg_path_canon(eg_slice_str(path), &out, &flags, NULL), EG_OK);
    eg_policy_judge_route(p, (unsigned)service, eg_slice_str(method), eg_buf_slice(&out), flags, v);
    eg_buf_done(&out);
}

static void judge_http(const struct eg_policy *p, const struct eg_authority *to, const char *method,
                       const char *path, struct eg_verdict *v)
{
    struct eg_buf out;
    struct eg_path_flags flags = { 0 };
    eg_buf_init(&out, 4096);
    cr_assert_eq(eg_path_canon(eg_slice_str(path), &out, &flags, NULL), EG_OK);
    eg_policy_judge_http(p, to, eg_slice_str(method), eg_buf_slice(&out), flags, v);
    eg_buf_done(&out);
}

/* Asks what the row asks. False: there is no such route. */
static bool ask(const struct eg_policy *p, const char *question, struct eg_verdict *v)
{
    char verb[16], first[300], second[300] = "", third[300] = "/";
    int words = sscanf(question, "%15s %299s %299s %299s", verb, first, second, third);
    cr_assert_geq(words, 2, "%s", question);
    struct eg_verdict by_name;
    if (strcmp(verb, "route") == 0 || strcmp(verb, "used") == 0) {
        struct eg_service s;
        int service = service_of(p, first);
        if (service < 0)
            return false;
        judge_route(p, service, words == 4 ? second : "GET",
                    strcmp(verb, "used") == 0 ? "/"
                    : words == 4              ? third
                                              : second,
                    v);
        if (strcmp(verb, "route") == 0)
            return true;
        struct eg_addr a = address(second);
        by_name = *v;
        eg_policy_service(p, (unsigned)service, &s);
        cr_assert_eq(by_name.status, EG_OK, "%s", question);
        eg_policy_judge_address(p, &by_name, &a, s.upstream.port, v);
        return true;
    }
    struct eg_authority to = authority(first);
    if (strcmp(verb, "http") == 0) {
        judge_http(p, &to, words == 4 ? second : "GET", third, v);
        return true;
    }
    eg_policy_judge_tunnel(p, &to, v);
    if (strcmp(verb, "connect") == 0)
        return true;
    cr_assert_str_eq(verb, "resolved");
    struct eg_addr a = address(second);
    by_name = *v;
    cr_assert_eq(by_name.status, EG_OK, "%s", question);
    eg_policy_judge_address(p, &by_name, &a, to.port, v);
    return true;
}

static void describe(const struct eg_verdict *v, char *out, size_t cap)
{
    static const char *const schemes[] = { "", "https", "http", "tcp" };
    if (v->status != EG_OK) {
        snprintf(out, cap, "%s", egress_status_name(v->status));
        return;
    }
    int n = snprintf(out, cap, "ok %s%s", schemes[v->scheme], v->sni_optional ? " nosni" : "");
    if (v->max_request_body)
        n += snprintf(out + n, cap - (size_t)n, " body=%llu",
                      (unsigned long long)v->max_request_body);
    if (v->would_deny != EG_OK)
        snprintf(out + n, cap - (size_t)n, " would %s", egress_status_name(v->would_deny));
}

/* ---- explain ---- */

struct asked {
    struct eg_ask ask;
    struct eg_buf path;
    struct eg_addr addr;
    char method[300];
    struct eg_least least;
};

static bool asked_of(const struct eg_policy *p, const char *question, struct asked *a)
{
    char verb[16], first[300], second[300] = "", third[300] = "/";
    int words = sscanf(question, "%15s %299s %299s %299s", verb, first, second, third);
    bool route = strcmp(verb, "route") == 0, used = strcmp(verb, "used") == 0;
    bool http = strcmp(verb, "http") == 0, resolved = strcmp(verb, "resolved") == 0;
    int service = route || used ? service_of(p, first) : 0;
    const char *path = words == 4 || http || used || !route ? third : second;
    if (service < 0)
        return false;
    a->ask = (struct eg_ask){ .kind = http            ? EG_ASK_HTTP
                                      : route || used ? EG_ASK_ROUTE
                                                      : EG_ASK_TUNNEL,
                              .service = (unsigned)service };
    if (!route && !used)
        a->ask.to = authority(first);
    snprintf(a->method, sizeof a->method, "%s", words == 4 ? second : "GET");
    cr_assert_eq(eg_path_canon(eg_slice_str(path), &a->path, &a->ask.flags, NULL), EG_OK);
    a->ask.method = eg_slice_str(a->method);
    a->ask.path = eg_buf_slice(&a->path);
    if (used || resolved) {
        a->addr = address(second);
        a->ask.addr = &a->addr;
    }
    return true;
}

struct seen {
    struct eg_slice rule;
    bool decides;
    unsigned count;
};

static void see(void *ctx, const struct eg_considered *c)
{
    struct seen *s = ctx;
    s->count++;
    s->decides = s->decides || c->decides;
    cr_assert(c->why[0] && c->to[0], "%s %.*s", c->action, (int)c->rule.n, c->rule.p);
}

/* As a file beside the policy. A service's rules can't be there: false. */
static bool beside(const struct eg_ask *ask, const struct eg_least *least, char *out, size_t cap)
{
    const struct eg_authority *to = &ask->to;
    if (strcmp(least->key, "networks.allow") == 0)
        snprintf(out, cap, "egress: 1\nnetworks: {allow: [%s]}\n", least->line);
    else if (strcmp(least->key, "allow") == 0)
        snprintf(out, cap, "egress: 1\nallow:\n  - %s\n", least->line);
    else if (ask->kind == EG_ASK_HTTP)
        snprintf(out, cap,
                 "egress: 1\nallow:\n  - {%s: \"%s\", scheme: http, ports: [%u], rules: [%s]}\n",
                 to->literal ? "address" : "host", to->host, to->port, least->line);
    else
        return false;
    return true;
}

/* What least proposes, beside the policy: is it allowed then? */
static bool helps(const struct table *b, const struct eg_vector_row *row, const struct eg_ask *ask,
                  const struct eg_verdict *before, const struct eg_least *least)
{
    char more[2048];
    struct eg_policy *p;
    struct eg_buf block;
    struct eg_verdict v;
    if (!beside(ask, least, more, sizeof more))
        return true;
    eg_buf_init(&block, 16 << 20);
    eg_blocks_compile(&b->blocks, row->cell[0], more, &block);
    cr_assert_eq(eg_policy_open(block.data, block.len, &p, NULL), EG_OK);
    eg_policy_ask(p, ask, &v);
    eg_policy_close(p);
    eg_buf_done(&block);
    return v.status == EG_OK && (before->status != EG_OK || v.would_deny == EG_OK);
}

static const char *explain_fault(const struct table *b, const struct eg_vector_row *row,
                                 const struct eg_policy *p, struct asked *a,
                                 const struct eg_verdict *want)
{
    struct eg_verdict v;
    struct eg_least *least = &a->least;
    struct seen seen = { .rule = want->rule };
    bool literal = a->ask.kind != EG_ASK_ROUTE && a->ask.to.literal;
    bool foreign = literal && a->ask.addr && !eg_addr_eq(a->ask.addr, &a->ask.to.addr);
    eg_policy_ask(p, &a->ask, &v);
    if (literal && !a->ask.addr && want->status == EG_OK && v.status != EG_OK)
        return NULL; /* explain judges the literal's address as well */
    if (v.status != want->status || v.would_deny != want->would_deny ||
        !eg_slice_eq(v.rule, want->rule))
        return "explain has another answer";
    eg_policy_consider(p, &a->ask, &v, see, &seen);
    if (v.rule.n > 0 && !seen.decides)
        return "explain does not show the rule that decides";
    eg_policy_least(p, &a->ask, &v, least);
    if ((v.status != EG_OK || v.would_deny != EG_OK) != (least->text[0] != '\0'))
        return "what would allow it is said of refusals, and of them all";
    if (least->key[0] && !foreign && !helps(b, row, &a->ask, &v, least))
        return least->text;
    return NULL;
}

static void check_explain(struct table *b, const struct eg_vector_row *row,
                          const struct eg_policy *p, const struct eg_verdict *want)
{
    struct asked a = { .ask = { .kind = EG_ASK_TUNNEL } };
    eg_buf_init(&a.path, 4096);
    const char *fault = asked_of(p, row->cell[1].p, &a) ? explain_fault(b, row, p, &a, want) : NULL;
    if (fault) {
        fprintf(stderr, "%s:%d: %s: %s: %s\n", row->file, row->line, row->cell[0].p, row->cell[1].p,
                fault);
        b->failed++;
    }
    eg_buf_done(&a.path);
}

/* ---- policy test ---- */

/* explain and test judge a literal's own address as well, which the row's question leaves out. */
static bool is_judged_further(const struct eg_policy *p, const struct eg_vector_row *row,
                              const struct eg_verdict *want)
{
    struct asked a = { .ask = { .kind = EG_ASK_TUNNEL } };
    struct eg_verdict v = *want;
    eg_buf_init(&a.path, 4096);
    if (asked_of(p, row->cell[1].p, &a))
        eg_policy_ask(p, &a.ask, &v);
    eg_buf_done(&a.path);
    return want->status == EG_OK && v.status != EG_OK;
}

static void check_tested(struct table *b, const struct eg_vector_row *row,
                         const struct eg_policy *p, const struct eg_verdict *want)
{
    struct eg_tested tested;
    char file[64] = "";
    const char *colon = want->rule.n ? memrchr(want->rule.p, ':', want->rule.n) : NULL;
    if (colon)
        snprintf(file, sizeof file, "%.*s", (int)(colon - want->rule.p), want->rule.p);
    if (is_judged_further(p, row, want) ||
        !eg_tested_read(p, row->cell[1].p, row->cell[2].p, file,
                        row->cell[3].n ? row->cell[3].p : "", &tested))
        return;
    const char *fault = eg_tested_fault(p, &tested);
    eg_tested_note(&b->groups, row->cell[0], &tested);
    if (fault) {
        fprintf(stderr, "%s:%d: %s: %s: as a test: %s\n", row->file, row->line, row->cell[0].p,
                row->cell[1].p, fault);
        b->failed++;
    }
}

static void check_row(const struct eg_vector_row *row, void *ctx)
{
    struct table *b = ctx;
    struct eg_policy *p;
    struct eg_buf block;
    struct eg_verdict v;
    struct eg_err err = { 0 };
    char got[96] = "none", line[32] = "";
    eg_buf_init(&block, 16 << 20);
    eg_blocks_compile(&b->blocks, row->cell[0], NULL, &block);
    cr_assert_eq(eg_policy_open(block.data, block.len, &p, &err), EG_OK, "%s", err.text);
    if (ask(p, row->cell[1].p, &v)) {
        check_explain(b, row, p, &v);
        check_tested(b, row, p, &v);
        describe(&v, got, sizeof got);
        const char *colon = v.rule.n ? memrchr(v.rule.p, ':', v.rule.n) : NULL;
        if (colon)
            snprintf(line, sizeof line, "%.*s", (int)(v.rule.n - (size_t)(colon + 1 - v.rule.p)),
                     colon + 1);
        if ((v.status != EG_OK || v.would_deny != EG_OK) && v.detail.n == 0)
            snprintf(got, sizeof got, "a refusal without a detail");
    }
    if (!eg_vector_is(row->cell[2], got) || !eg_vector_is(row->cell[3], line)) {
        fprintf(stderr, "%s:%d: %s: %s: got %s at '%s', want %s at '%s'\n", row->file, row->line,
                row->cell[0].p, row->cell[1].p, got, line, row->cell[2].p, row->cell[3].p);
        b->failed++;
    }
    eg_policy_close(p);
    eg_buf_done(&block);
}

/* least: rows; tested: of them asked as a test too. */
static void run(const char *path, long least, unsigned tested)
{
    struct table *b = calloc(1, sizeof *b);
    cr_assert_not_null(b);
    cr_assert_geq(sodium_init(), 0);
    eg_blocks_read(&b->blocks, path);
    long rows = eg_vectors_each(path, COLUMNS, check_row, b);
    b->failed += eg_tested_run(&b->groups, &b->blocks);
    cr_assert_geq(rows, least, "%ld rows", rows);
    cr_assert_geq(b->groups.rows, tested, "%u of %ld rows are asked as a test", b->groups.rows,
                  rows);
    cr_assert_eq(b->failed, 0, "%u rows differ", b->failed);
    free(b->blocks.file);
    free(b);
}

Test(policy, decisions)
{
    run(TABLE("policy"), 320, 280);
}

Test(policy, decisions_of_layers_and_addresses)
{
    run(TABLE("decisions"), 400, 400);
}

Test(policy, decisions_on_requests)
{
    run(TABLE("policy_rules"), 250, 230);
}
