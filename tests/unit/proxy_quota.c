/* proxy_quota.c - a service's limits: exact in every minute, and what a refused client is told to wait. */
#include <criterion/criterion.h>

#include "proxy/quota.h"

static struct eg_service limited(uint32_t rate, uint32_t concurrent, uint64_t up, uint64_t down)
{
    return (struct eg_service){ .name = EG_SLICE("svc"), .limits = { rate, concurrent, up, down } };
}

/* A request that is over at once. */
static enum eg_status ask(struct eg_quotas **q, const struct eg_service *s, uint64_t now_ms,
                          uint32_t *retry)
{
    struct eg_quota_use u = { 0 };
    enum eg_status status = eg_quota_begin(&u, q, s, false, 0, now_ms);
    if (retry)
        *retry = u.retry_s;
    eg_quota_end(&u);
    eg_quota_end(&u); /* twice is fine */
    return status;
}

Test(proxy, quota_holds_in_any_minute)
{
    struct eg_service s = limited(3, 0, 0, 0);
    struct eg_quotas *q = NULL;
    uint32_t retry = 0;
    uint64_t t = 5000900; /* the end of a second */
    cr_expect_eq(ask(&q, &s, t, NULL), EG_OK);
    cr_expect_eq(ask(&q, &s, t + 200, NULL), EG_OK);
    cr_expect_eq(ask(&q, &s, t + 30000, NULL), EG_OK);
    cr_expect_eq(ask(&q, &s, t + 30000, &retry), EG_RATE_LIMITED);
    cr_expect(retry == 31 || retry == 30, "%u", retry);
    cr_expect_eq(ask(&q, &s, t + 59999, &retry), EG_RATE_LIMITED);
    cr_expect_eq(retry, 1);
    cr_expect_eq(ask(&q, &s, t + 61000, NULL), EG_OK); /* the first is more than a minute ago */
    cr_expect_eq(ask(&q, &s, t + 61000, NULL), EG_RATE_LIMITED);
    cr_expect_eq(ask(&q, &s, t + 10000000, NULL), EG_OK);
    eg_quotas_unref(q);
}

/* Whatever the times, no 60 seconds hold more than the limit, and to come back when told is to be let in. */
Test(proxy, quota_is_never_exceeded_and_keeps_its_word)
{
    enum { LIMIT = 7, TRIES = 20000 };
    static uint64_t admitted[TRIES];
    struct eg_service s = limited(LIMIT, 0, 0, 0);
    struct eg_quotas *q = NULL;
    uint64_t now = 1;
    uint32_t seed = 12345, retry = 0;
    size_t n = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        seed = seed * 1664525u + 1013904223u;
        now += (seed >> 16) % 9000;
        if (ask(&q, &s, now, &retry) == EG_OK) {
            admitted[n++] = now;
            continue;
        }
        cr_assert(retry >= 1 && retry <= 61, "%u", retry);
        now += (uint64_t)retry * 1000;
        cr_assert_eq(ask(&q, &s, now, NULL), EG_OK, "told to wait %u s", retry);
        admitted[n++] = now;
    }
    cr_assert_gt(n, LIMIT * 2);
    for (size_t i = LIMIT; i < n; i++)
        cr_assert_gt(admitted[i] - admitted[i - LIMIT], 60000, "at %zu", i);
    eg_quotas_unref(q);
}

Test(proxy, quota_of_requests_at_once)
{
    struct eg_service s = limited(0, 2, 0, 0), other = s;
    struct eg_quotas *q = NULL;
    struct eg_quota_use a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
    other.name = EG_SLICE("other");
    cr_expect_eq(eg_quota_begin(&a, &q, &s, false, 0, 1000), EG_OK);
    cr_expect_eq(eg_quota_begin(&b, &q, &s, false, 0, 1000), EG_OK);
    cr_expect_eq(eg_quota_begin(&c, &q, &s, false, 0, 1000), EG_BUSY_SERVICE);
    cr_expect_eq(c.retry_s, 1);
    cr_expect_eq(eg_quota_begin(&d, &q, &other, false, 0, 1000), EG_OK, "another service's own");
    eg_quota_end(&c); /* it never began */
    eg_quota_end(&a);
    cr_expect_eq(eg_quota_begin(&c, &q, &s, false, 0, 1000), EG_OK);
    eg_quotas_unref(q); /* the session goes before its exchanges */
    eg_quota_end(&b);
    eg_quota_end(&c);
    eg_quota_end(&d);
}

Test(proxy, quota_of_bytes)
{
    struct eg_service s = limited(0, 0, 1000, 500);
    struct eg_quotas *q = NULL;
    struct eg_quota_use u = { 0 }, v = { 0 };
    cr_expect_eq(eg_quota_begin(&u, &q, &s, true, 1001, 1000), EG_BYTES_LIMITED);
    cr_expect_eq(u.retry_s, 61, "it never fits");
    cr_expect_eq(eg_quota_begin(&u, &q, &s, true, 1000, 1000), EG_OK);
    cr_expect_eq(eg_quota_up(&u, 400, 1000), EG_OK);
    cr_expect_eq(eg_quota_up(&u, 400, 1000), EG_OK, "a total, not a piece");
    cr_expect_eq(eg_quota_begin(&v, &q, &s, true, 601, 2000), EG_BYTES_LIMITED);
    cr_expect_eq(v.retry_s, 60);
    cr_expect_eq(eg_quota_begin(&v, &q, &s, true, 600, 2000), EG_OK);
    cr_expect_eq(eg_quota_up(&u, 1000, 2000), EG_OK);
    cr_expect_eq(eg_quota_up(&v, 1, 2000), EG_BYTES_LIMITED, "the other was faster");
    cr_expect_eq(v.retry_s, 60);
    cr_expect_eq(eg_quota_down_fits(&u, 501, 2000), EG_BYTES_LIMITED);
    cr_expect_eq(eg_quota_down_fits(&u, 500, 2000), EG_OK);
    cr_expect_eq(eg_quota_down(&u, 500, 2000), EG_OK);
    cr_expect_eq(eg_quota_down(&u, 501, 2000), EG_BYTES_LIMITED);
    eg_quota_end(&u);
    eg_quota_end(&v);
    struct eg_quota_use w = { 0 };
    cr_expect_eq(eg_quota_begin(&w, &q, &s, false, 0, 3000), EG_BYTES_LIMITED,
                 "no room for an answer");
    cr_expect_eq(eg_quota_begin(&w, &q, &s, true, 0, 63000), EG_OK);
    cr_expect_eq(eg_quota_down(&w, 500, 63000), EG_OK);
    eg_quota_end(&w);
    eg_quotas_unref(q);
}

Test(proxy, quota_of_none_counts_nothing)
{
    struct eg_service s = limited(0, 0, 0, 0);
    struct eg_quotas *q = NULL;
    struct eg_quota_use u = { 0 };
    cr_expect_eq(eg_quota_begin(&u, &q, &s, true, UINT64_MAX, 1), EG_OK);
    cr_expect_eq(eg_quota_up(&u, UINT64_MAX, 1), EG_OK);
    cr_expect_eq(eg_quota_down(&u, UINT64_MAX, 1), EG_OK);
    cr_expect_null(q);
    eg_quota_end(&u);
}
