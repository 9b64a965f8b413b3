/* policy_bypass.c - feeds tests/vectors/policy_bypass.md to `bypass` of a policy and to NO_PROXY of an environment. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

#include "policy/compile.h"
#include "support/vectors.h"

#define TABLE EG_SOURCE_DIR "/tests/vectors/policy_bypass.md"
enum { ROWS_LEAST = 100, COLUMNS = 4, ITEMS_MAX = 16 };

/* "yes", "no", or "error" where the list does not compile or, in the environment, is warned of. */
static const char *ask(const char *text, const struct eg_upstream_choice *choice,
                       const struct eg_authority *to)
{
    const struct eg_policy_file file = { "egress.yaml", eg_slice_str(text), EG_LAYER_REPO, true };
    const struct eg_policy_reader reader = { .upstream = choice };
    struct eg_diags *d = NULL;
    struct eg_policy *p = NULL;
    struct eg_buf block;
    const char *answer = "error";
    eg_buf_init(&block, 1 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    enum eg_status st = eg_policy_compile(&file, 1, &reader, d, &block, NULL);
    bool warned = choice && eg_diags_count(d, EG_DIAG_WARNING) > 0;
    if (st == EG_OK && !warned) {
        cr_assert_eq(eg_policy_open(block.data, block.len, &p, NULL), EG_OK);
        answer = eg_policy_bypassed(p, to) ? "yes" : "no";
        eg_policy_close(p);
    }
    eg_diags_free(d);
    eg_buf_done(&block);
    return answer;
}

static const char *ask_policy(struct eg_slice items, const struct eg_authority *to)
{
    char text[1024];
    int n = snprintf(text, sizeof text,
                     "egress: 1\nupstream:\n  proxies: [{proxy: \"http://p.example:1\"}]\n"
                     "  resolve: local\n  bypass: [");
    for (struct eg_slice rest = items, item; eg_slice_list_next(&rest, &item);)
        n += snprintf(text + n, sizeof text - (size_t)n, "\"%.*s\", ", (int)item.n, item.p);
    snprintf(text + n, sizeof text - (size_t)n, "]\n");
    return ask(text, NULL, to);
}

static const char *ask_environment(struct eg_slice items, const struct eg_authority *to)
{
    struct eg_hop hop;
    struct eg_slice user, password, list[ITEMS_MAX];
    char room[64];
    unsigned count = 0;
    cr_assert_eq(
        eg_proxy_url_parse(EG_SLICE("http://p.example:1"), room, &hop, &user, &password, NULL),
        EG_OK);
    hop.rule = EG_SLICE("HTTPS_PROXY");
    for (struct eg_slice rest = items; count < ITEMS_MAX && eg_slice_list_next(&rest, &list[count]);
         count++)
        ;
    const struct eg_upstream_choice choice = { .from = EG_UPSTREAM_ENV,
                                               .secure = &hop,
                                               .secure_count = 1,
                                               .bypass = list,
                                               .bypass_count = count };
    return ask("egress: 1\n", &choice, to);
}

static void check_row(const struct eg_vector_row *row, void *ctx)
{
    unsigned *failed = ctx;
    struct eg_authority to;
    struct eg_err err = { 0 };
    cr_assert_eq(eg_authority_parse(row->cell[1], 0, &to, &err), EG_OK, "%s:%d: %s", row->file,
                 row->line, err.text);
    const char *policy = ask_policy(row->cell[0], &to);
    const char *environment = ask_environment(row->cell[0], &to);
    if (eg_vector_is(row->cell[2], policy) && eg_vector_is(row->cell[3], environment))
        return;
    fprintf(stderr, "%s:%d: %s for %s: policy %s, environment %s\n", row->file, row->line,
            row->cell[0].p, row->cell[1].p, policy, environment);
    ++*failed;
}

Test(policy, what_bypasses_the_proxies)
{
    unsigned failed = 0;
    cr_assert_geq(sodium_init(), 0);
    long rows = eg_vectors_each(TABLE, COLUMNS, check_row, &failed);
    cr_assert_geq(rows, ROWS_LEAST, "%ld rows", rows);
    cr_assert_eq(failed, 0, "%u rows differ", failed);
}
