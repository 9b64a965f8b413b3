/* tested.c - from the words of a table to those of a policy's tests. */
#include "vectors/tested.h"

#include <stdio.h>

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

enum eg_status eg_tested_yaml(const struct eg_tested *tested, struct eg_buf *out)
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
