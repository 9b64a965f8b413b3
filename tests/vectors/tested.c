/* tested.c - from the words of a table to those of a policy's tests. */
#include "vectors/tested.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "support/proc.h"

/* The service whose route has that name. */
static bool find_service(const struct eg_policy *p, const char *route, struct eg_tested *ret)
{
    struct eg_service s;
    int index = eg_policy_service_of_route(p, eg_slice_str(route));
    if (index < 0)
        return false;
    eg_policy_service(p, (unsigned)index, &s);
    snprintf(ret->service, sizeof ret->service, "%.*s", (int)s.name.n, s.name.p);
    ret->t.service = eg_slice_str(ret->service);
    return true;
}

static void read_answer(const char *answer, struct eg_tested *ret)
{
    char scheme[16] = "", reason[40] = "";
    const char *would = strstr(answer, " would ");
    ret->t.expect = EG_EXPECT_DENY;
    if (sscanf(answer, "ok %15s", scheme) == 1) {
        ret->t.expect = would ? EG_EXPECT_WOULD_DENY : EG_EXPECT_ALLOW;
        ret->t.scheme = strcmp(scheme, "https") == 0  ? EG_SCHEME_HTTPS
                        : strcmp(scheme, "http") == 0 ? EG_SCHEME_HTTP
                                                      : EG_SCHEME_TCP;
    }
    if (would || ret->t.scheme == EG_SCHEME_NONE)
        sscanf(would ? would + 7 : answer, "%39s", reason);
    snprintf(ret->reason, sizeof ret->reason, "%s", reason);
    ret->t.reason = eg_slice_str(ret->reason);
}

bool eg_tested_read(const struct eg_policy *p, const char *question, const char *answer,
                    const char *file, const char *line, struct eg_tested *ret)
{
    char verb[16], second[300] = "", third[300] = "/";
    *ret = (struct eg_tested){ .t = { .file = file } };
    int words = sscanf(question, "%15s %299s %299s %299s", verb, ret->first, second, third);
    bool route = strcmp(verb, "route") == 0, used = strcmp(verb, "used") == 0,
         http = strcmp(verb, "http") == 0;
    const char *path = words == 4 || http || used || !route ? third : second;
    const char *method = words == 4 ? second : "GET";
    if (((route || used) && !find_service(p, ret->first, ret)) ||
        !eg_inquiry_is_method(eg_slice_str(method)))
        return false;
    snprintf(ret->request, sizeof ret->request, "%s %s%s%s", method, http ? "http://" : "",
             http ? ret->first : "", path);
    if (route || used || http)
        ret->t.request = eg_slice_str(ret->request);
    else
        ret->t.connect = eg_slice_str(ret->first);
    if (used || strcmp(verb, "resolved") == 0)
        snprintf(ret->address, sizeof ret->address, "%.63s", second);
    ret->t.address = eg_slice_str(ret->address);
    read_answer(answer, ret);
    if (*line)
        snprintf(ret->rule, sizeof ret->rule, "%s:%s", file, line);
    ret->t.rule = eg_slice_str(ret->rule);
    return true;
}

const char *eg_tested_fault(const struct eg_policy *p, const struct eg_tested *tested)
{
    static struct eg_test_result result;
    struct eg_policy_test other = tested->t;
    if (eg_policy_test(p, &tested->t, &result) != EG_OK)
        return "it can't be asked";
    if (!result.passed)
        return result.text;
    for (unsigned e = 0; e < 3; e++) {
        other.expect = (enum eg_test_expect)e;
        if (other.expect == tested->t.expect)
            continue;
        if (eg_policy_test(p, &other, &result) != EG_OK || result.passed)
            return "it passes whatever is expected";
    }
    return NULL;
}

static void put(struct eg_buf *out, enum eg_status *st, const char *key, struct eg_slice text)
{
    if (*st == EG_OK && text.n > 0)
        *st = eg_buf_printf(out, "%s: \"%.*s\", ", key, (int)text.n, text.p);
}

/* "  - {connect: ...}\n" */
static enum eg_status put_yaml(const struct eg_tested *tested, struct eg_buf *out)
{
    static const char *const expect[] = { "allow", "deny", "would_deny" };
    static const char *const schemes[] = { "", "https", "http", "tcp" };
    const struct eg_policy_test *t = &tested->t;
    enum eg_status st = eg_buf_put(out, EG_SLICE("  - {"));
    put(out, &st, "connect", t->connect);
    put(out, &st, "service", t->service);
    put(out, &st, "request", t->request);
    put(out, &st, "address", t->address);
    put(out, &st, "rule", t->rule);
    put(out, &st, "reason", t->reason);
    if (st == EG_OK && t->scheme != EG_SCHEME_NONE)
        st = eg_buf_printf(out, "scheme: %s, ", schemes[t->scheme]);
    return st == EG_OK ? eg_buf_printf(out, "expect: %s}\n", expect[t->expect]) : st;
}

/* ---- egressctl policy test ---- */

void eg_tested_note(struct eg_tested_groups *groups, struct eg_slice names,
                    const struct eg_tested *tested)
{
    struct eg_tested_group *g = groups->list;
    while (g < groups->list + groups->count && !eg_slice_eq(eg_slice_str(g->names), names))
        g++;
    if (g == groups->list + groups->count) {
        cr_assert_lt(groups->count++, EG_TESTED_GROUPS);
        snprintf(g->names, sizeof g->names, "%.*s", (int)names.n, names.p);
        eg_buf_init(&g->yaml, 1 << 20);
    }
    cr_assert_eq(put_yaml(tested, &g->yaml), EG_OK);
    g->count++;
    groups->rows++;
}

/* A block and what is behind it. */
static void write_file(const struct eg_world *w, const char *name, struct eg_slice text,
                       const char *more, struct eg_slice rest)
{
    char *whole = calloc(1, 2 << 20);
    cr_assert_not_null(whole);
    snprintf(whole, 2 << 20, "%.*s%s%.*s", (int)text.n, text.p, more, (int)rest.n,
             rest.n ? rest.p : "");
    eg_world_write(w, name, whole);
    free(whole);
}

static bool run_group(const struct eg_tested_group *g, const struct eg_vector_block *user,
                      const struct eg_vector_block *last, const struct eg_world *w)
{
    char want[80], config[300], *output = NULL;
    const char *const environment[] = { config, NULL };
    const char *argv[] = {
        EG_BUILD_DIR "/egressctl", "policy", "test", eg_world_path(w, last->name), NULL, NULL, NULL
    };
    unsigned n = 4;
    snprintf(config, sizeof config, "XDG_CONFIG_HOME=%s", w->dir);
    write_file(w, last->name, last->text, "tests:\n", eg_buf_slice(&g->yaml));
    if (user)
        write_file(w, "egress/user.yaml", user->text, "", EG_SLICE_NONE);
    else
        argv[n++] = "--alone";
    if (!last->untrusted)
        argv[n++] = "--trust";
    int code = eg_proc_run(w, argv, environment, &output);
    snprintf(want, sizeof want, "%u tests: %u passed, 0 failed\n", g->count, g->count);
    bool fine = code == 0 && strstr(output, want);
    if (!fine)
        fprintf(stderr, "egressctl policy test of %s: exit %d\n%s", g->names, code, output);
    free(output);
    return fine;
}

unsigned eg_tested_run(struct eg_tested_groups *groups, const struct eg_blocks *blocks)
{
    struct eg_world w;
    char path[300];
    unsigned failed = 0;
    eg_world_new(&w);
    snprintf(path, sizeof path, "%s/egress", w.dir);
    cr_assert_eq(mkdir(path, 0700), 0);
    for (unsigned i = 0; i < groups->count; i++) {
        const struct eg_vector_block *list[EG_BLOCKS_FILES];
        struct eg_tested_group *g = &groups->list[i];
        unsigned count = eg_blocks_of(blocks, eg_slice_str(g->names), list);
        bool user = count == 2 && list[0]->user;
        if ((count == 1 && !list[0]->org) || user)
            failed += !run_group(g, user ? list[0] : NULL, list[count - 1], &w);
        eg_buf_done(&g->yaml);
    }
    eg_world_done(&w);
    return failed;
}
