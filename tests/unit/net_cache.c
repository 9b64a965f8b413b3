/* What was answered is kept for a while: bounds of time and number, one question for all who want a
 * name, and nothing kept of a failure. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/cache.h"
#include "net/dns.h"
#include "support/dnsd.h"

/* ---- the cache alone: time is a number ---- */

static struct eg_cache *cache(struct eg_cache_limits limits)
{
    struct eg_cache *c = NULL;
    cr_assert_eq(eg_cache_new(&limits, &c), EG_OK);
    return c;
}

static void put(struct eg_cache *c, const char *name, uint64_t now_ms, uint32_t ttl_s,
                enum eg_status status)
{
    static const struct eg_addr addrs[] = { { 4, { 192, 0, 2, 1 } }, { 4, { 192, 0, 2, 2 } } };
    eg_cache_put(c, eg_slice_str(name), 4, now_ms, ttl_s, status, addrs, 2);
}

static bool has(struct eg_cache *c, const char *name, uint64_t now_ms)
{
    struct eg_cache_answer a;
    return eg_cache_get(c, eg_slice_str(name), 4, now_ms, &a);
}

/* Asserts that the entry is there up to ms and not at it. */
#define LASTS(c, name, ms)                                                                         \
    do {                                                                                           \
        cr_expect(has(c, name, (ms)-1), "%s at %d ms", name, (int)(ms)-1);                         \
        cr_expect(!has(c, name, (ms)), "%s at %d ms", name, (int)(ms));                            \
    } while (0)

Test(net, cache_keeps_the_addresses_in_their_order)
{
    struct eg_cache *c = cache((struct eg_cache_limits){ 0 });
    struct eg_cache_answer a;
    put(c, "a.test", 0, 60, EG_OK);
    cr_assert(eg_cache_get(c, EG_SLICE("a.test"), 4, 1, &a));
    cr_assert_eq(a.status, EG_OK);
    cr_assert_eq(a.count, 2);
    cr_assert(a.addrs[0].b[3] == 1 && a.addrs[1].b[3] == 2);
    cr_assert(!eg_cache_get(c, EG_SLICE("a.test"), 6, 1, &a), "the other family");
    cr_assert(!has(c, "a.tes", 1) && !has(c, "b.test", 1) && !has(c, "", 1));
    eg_cache_free(c);
}

Test(net, cache_bounds_every_time_to_live)
{
    struct eg_cache *c = cache((struct eg_cache_limits){ 0 });
    put(c, "zero.test", 0, 0, EG_OK);
    put(c, "given.test", 0, 17, EG_OK);
    put(c, "most.test", 0, 86400, EG_OK);
    put(c, "none.test", 0, EG_CACHE_TTL_UNKNOWN, EG_DNS_NOT_FOUND);
    put(c, "told.test", 0, 30, EG_DNS_NOT_FOUND);
    put(c, "long.test", 0, 86400, EG_DNS_NOT_FOUND);
    put(c, "never.test", 0, 0, EG_DNS_NOT_FOUND);
    LASTS(c, "zero.test", 1000);
    LASTS(c, "given.test", 17000);
    LASTS(c, "most.test", 300000);
    LASTS(c, "none.test", 5000);
    LASTS(c, "told.test", 30000);
    LASTS(c, "long.test", 60000);
    cr_expect(!has(c, "never.test", 0));
    eg_cache_free(c);
}

Test(net, cache_takes_other_limits)
{
    struct eg_cache *c = cache((struct eg_cache_limits){ 2, 3, 4, 1, 2 });
    put(c, "a.test", 0, 1, EG_OK);
    LASTS(c, "a.test", 3000);
    put(c, "a.test", 0, 100, EG_OK);
    LASTS(c, "a.test", 4000);
    put(c, "a.test", 0, EG_CACHE_TTL_UNKNOWN, EG_DNS_NOT_FOUND);
    LASTS(c, "a.test", 1000);
    put(c, "a.test", 0, 100, EG_DNS_NOT_FOUND);
    LASTS(c, "a.test", 2000);
    eg_cache_free(c);
}

Test(net, cache_keeps_nothing_of_a_failure)
{
    static const enum eg_status kinds[] = { EG_DNS_FAILED, EG_DNS_TIMEOUT, EG_CLOSED, EG_AGAIN };
    struct eg_cache *c = cache((struct eg_cache_limits){ 0 });
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        put(c, "a.test", 0, 60, kinds[i]);
    eg_cache_put(c, EG_SLICE("a.test"), 4, 0, 60, EG_OK, NULL, 0);
    cr_assert_eq(eg_cache_count(c), 0);
    eg_cache_free(c);
}

Test(net, cache_replaces_what_it_had)
{
    struct eg_cache *c = cache((struct eg_cache_limits){ 0 });
    struct eg_cache_answer a;
    put(c, "a.test", 0, 60, EG_OK);
    put(c, "a.test", 10, EG_CACHE_TTL_UNKNOWN, EG_DNS_NOT_FOUND);
    cr_assert(eg_cache_get(c, EG_SLICE("a.test"), 4, 11, &a));
    cr_assert_eq(a.status, EG_DNS_NOT_FOUND);
    cr_assert_eq(a.count, 0);
    cr_assert_eq(eg_cache_count(c), 1);
    eg_cache_free(c);
}

Test(net, cache_drops_the_oldest_when_it_is_full)
{
    struct eg_cache *c = cache((struct eg_cache_limits){ 0 });
    char name[32];
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "n%d.test", i);
        put(c, name, 0, 60, EG_OK);
        cr_assert_leq(eg_cache_count(c), EG_CACHE_ENTRIES);
    }
    cr_assert_eq(eg_cache_count(c), 1024);
    cr_assert(!has(c, "n0.test", 1) && !has(c, "n975.test", 1));
    cr_assert(has(c, "n976.test", 1) && has(c, "n1999.test", 1));
    eg_cache_free(c);
}

Test(net, cache_lets_go_of_what_is_over)
{
    struct eg_cache *c = cache((struct eg_cache_limits){ 0 });
    char name[32];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "n%d.test", i);
        put(c, name, 0, 1, EG_OK);
    }
    put(c, "new.test", 1000, 1, EG_OK);
    cr_assert_eq(eg_cache_count(c), 1);
    eg_cache_free(c);
}

Test(net, cache_takes_the_longest_name_and_no_longer_one)
{
    struct eg_cache *c = cache((struct eg_cache_limits){ 0 });
    struct eg_cache_answer a;
    char name[EG_HOST_MAX + 1];
    memset(name, 'a', sizeof name);
    eg_cache_put(c, eg_slice(name, EG_HOST_MAX), 4, 0, 9, EG_DNS_NOT_FOUND, NULL, 0);
    eg_cache_put(c, eg_slice(name, EG_HOST_MAX + 1), 4, 0, 9, EG_DNS_NOT_FOUND, NULL, 0);
    cr_assert_eq(eg_cache_count(c), 1);
    cr_assert(eg_cache_get(c, eg_slice(name, EG_HOST_MAX), 4, 1, &a));
    cr_assert(!eg_cache_get(c, eg_slice(name, EG_HOST_MAX + 1), 4, 1, &a));
    eg_cache_free(c);
}

/* ---- in the resolver ---- */

struct setup {
    struct eg_loop *loop;
    struct dnsd *server;
    struct eg_dns *dns;
    unsigned answers;
    struct eg_dns_answer last;
};

static void set_up(struct setup *s, struct eg_dns_config config, const char *const *rules)
{
    memset(s, 0, sizeof *s);
    cr_assert_eq(eg_loop_new(&s->loop, NULL), EG_OK);
    s->server = dnsd_new(s->loop);
    cr_assert(s->server);
    for (; *rules; rules++)
        cr_assert(dnsd_rule(s->server, *rules), "%s", *rules);
    struct eg_sockaddr at = dnsd_at(s->server);
    config.servers = &at;
    config.server_count = 1;
    config.channels = 2;
    config.second_family_ms = 50;
    config.timeout_ms = config.timeout_ms ? config.timeout_ms : 5000;
    cr_assert_eq(eg_dns_new(s->loop, &config, &s->dns, NULL), EG_OK);
}

static void tear_down(struct setup *s)
{
    eg_dns_free(s->dns);
    dnsd_free(s->server);
    eg_loop_free(s->loop);
}

static void on_done(void *ctx, const struct eg_dns_answer *answer)
{
    struct setup *s = ctx;
    s->last = *answer;
    s->answers++;
}

static struct eg_dns_query *ask(struct setup *s, const char *name)
{
    struct eg_dns_query *q = NULL;
    unsigned before = s->answers;
    cr_assert_eq(eg_dns_ask(s->dns, eg_slice_str(name), on_done, s, &q, NULL), EG_OK);
    cr_assert_eq(s->answers, before, "never from inside ask");
    return q;
}

static void await(struct setup *s, unsigned answers)
{
    uint64_t end = eg_clock_ms() + 20000;
    while (s->answers < answers && eg_clock_ms() < end)
        cr_assert_eq(eg_loop_tick(s->loop, 100, NULL), EG_OK);
    cr_assert_eq(s->answers, answers);
}

static enum eg_status look_up(struct setup *s, const char *name)
{
    unsigned before = s->answers;
    ask(s, name);
    await(s, before + 1);
    return s->last.status;
}

static const struct eg_dns_config plain;

Test(net, dns_asks_once_while_an_answer_lasts)
{
    struct setup s;
    const char *const rules[] = { "a.test=192.0.2.1,2001:db8::1,then,192.0.2.2",
                                  "four.test=192.0.2.4", "six.test=2001:db8::6", "no.test=nxdomain",
                                  NULL };
    set_up(&s, plain, rules);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(look_up(&s, "a.test"), EG_OK);
        cr_assert(s.last.count == 2 && s.last.addrs[0].family == 6 && s.last.addrs[1].b[3] == 1);
        cr_assert_eq(look_up(&s, "four.test"), EG_OK);
        cr_assert(s.last.count == 1 && s.last.addrs[0].family == 4);
        cr_assert_eq(look_up(&s, "six.test"), EG_OK);
        cr_assert(s.last.count == 1 && s.last.addrs[0].family == 6);
        cr_assert_eq(look_up(&s, "no.test"), EG_DNS_NOT_FOUND);
    }
    cr_assert_eq(dnsd_questions(s.server), 8);
    tear_down(&s);
}

static bool moved(const struct eg_dns_answer *a)
{
    return a->count == 1 && a->addrs[0].family == 4 && a->addrs[0].b[3] == 2;
}

Test(net, dns_asks_again_when_the_time_to_live_is_over)
{
    struct setup s;
    const char *const rules[] = { "moving.test=ttl1,192.0.2.1,2001:db8::1,then,192.0.2.2", NULL };
    set_up(&s, plain, rules);
    uint64_t from = eg_clock_ms();
    cr_assert_eq(look_up(&s, "moving.test"), EG_OK);
    /* each family's own time: one may still be kept while the other is asked for, which has 50 ms then */
    while (!moved(&s.last) && eg_clock_ms() - from < 20000)
        cr_assert_eq(look_up(&s, "moving.test"), EG_OK);
    cr_assert(moved(&s.last));
    cr_assert_geq(eg_clock_ms() - from, 1000);
    cr_assert_geq(dnsd_questions(s.server), 4);
    tear_down(&s);
}

Test(net, dns_keeps_an_alias_no_longer_than_its_own_time_to_live)
{
    struct setup s;
    const char *const rules[] = { "alias.test=alias1,ttl200,192.0.2.1,2001:db8::1,then,192.0.2.2",
                                  NULL };
    set_up(&s, plain, rules);
    uint64_t from = eg_clock_ms();
    cr_assert_eq(look_up(&s, "alias.test"), EG_OK);
    cr_assert_eq(s.last.count, 2);
    while (s.last.count == 2 && eg_clock_ms() - from < 20000)
        cr_assert_eq(look_up(&s, "alias.test"), EG_OK);
    cr_assert_eq(s.last.count, 1);
    tear_down(&s);
}

Test(net, dns_asks_every_time_when_the_cache_is_off)
{
    struct setup s;
    const char *const rules[] = { "a.test=192.0.2.1,then,192.0.2.2", NULL };
    set_up(&s, (struct eg_dns_config){ .cache_off = true }, rules);
    cr_assert_eq(look_up(&s, "a.test"), EG_OK);
    cr_assert_eq(look_up(&s, "a.test"), EG_OK);
    cr_assert_eq(s.last.addrs[0].b[3], 2);
    cr_assert_eq(dnsd_questions(s.server), 4);
    tear_down(&s);
}

Test(net, dns_keeps_no_failure)
{
    struct setup s;
    const char *const rules[] = { "broken.test=servfail,then,192.0.2.1",
                                  "bad.test=garbage,then,192.0.2.1",
                                  "silent.test=hang,then,192.0.2.1", NULL };
    set_up(&s, (struct eg_dns_config){ .timeout_ms = 80 },
           rules); /* c-ares gives up later: 100 ms a try */
    cr_assert_eq(look_up(&s, "silent.test"), EG_DNS_TIMEOUT);
    for (int i = 0; i < 10 && look_up(&s, "silent.test") != EG_OK; i++)
        ;
    cr_assert_eq(s.last.status, EG_OK);
    tear_down(&s);
    set_up(&s, (struct eg_dns_config){ .timeout_ms = 2000 }, rules);
    for (int i = 0; i < 2; i++) { /* what c-ares repeats by itself may be right already */
        (void)look_up(&s, "broken.test");
        (void)look_up(&s, "bad.test");
    }
    cr_assert_eq(look_up(&s, "broken.test"), EG_OK);
    cr_assert_eq(look_up(&s, "bad.test"), EG_OK);
    tear_down(&s);
}

Test(net, dns_asks_once_for_all_who_want_a_name)
{
    struct setup s;
    const char *const rules[] = { "a.test=192.0.2.1,2001:db8::1", NULL };
    set_up(&s, (struct eg_dns_config){ .cache_off = true }, rules);
    for (int i = 0; i < 50; i++)
        ask(&s, "a.test");
    eg_dns_cancel(ask(&s, "a.test"));
    await(&s, 50);
    cr_assert_eq(s.last.count, 2);
    cr_assert_eq(dnsd_questions(s.server), 2);
    cr_assert_eq(look_up(&s, "a.test"), EG_OK);
    cr_assert_eq(dnsd_questions(s.server), 4, "what is over is joined by nobody");
    tear_down(&s);
}

Test(net, dns_keeps_the_answer_that_nobody_waited_for)
{
    struct setup s;
    const char *const rules[] = { "a.test=192.0.2.1,2001:db8::1", "b.test=192.0.2.2", NULL };
    set_up(&s, plain, rules);
    eg_dns_cancel(ask(&s, "a.test"));
    cr_assert_eq(look_up(&s, "b.test"), EG_OK);
    cr_assert_eq(look_up(&s, "a.test"), EG_OK);
    cr_assert_eq(dnsd_questions(s.server), 4);
    tear_down(&s);
}

static void ask_again(void *ctx, const struct eg_dns_answer *answer)
{
    struct setup *s = ctx;
    on_done(ctx, answer);
    if (s->answers < 5)
        ask(s, "a.test");
}

Test(net, dns_may_be_asked_from_done)
{
    struct setup s;
    struct eg_dns_query *q;
    const char *const rules[] = { "a.test=192.0.2.1", NULL };
    set_up(&s, plain, rules);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(eg_dns_ask(s.dns, EG_SLICE("a.test"), ask_again, &s, &q, NULL), EG_OK);
    await(&s, 6);
    cr_assert_eq(dnsd_questions(s.server), 2);
    tear_down(&s);
}

static void free_resolver(void *ctx, const struct eg_dns_answer *answer)
{
    struct setup *s = ctx;
    on_done(ctx, answer);
    eg_dns_free(s->dns);
    s->dns = NULL;
}

Test(net, dns_may_be_freed_from_done_while_others_wait_for_the_same)
{
    struct setup s;
    struct eg_dns_query *q;
    const char *const rules[] = { "a.test=192.0.2.1", NULL };
    set_up(&s, plain, rules);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(eg_dns_ask(s.dns, EG_SLICE("a.test"), free_resolver, &s, &q, NULL), EG_OK);
    await(&s, 1);
    cr_assert_eq(eg_loop_tick(s.loop, 0, NULL), EG_OK);
    cr_assert_eq(s.answers, 1, "the others went with it");
    tear_down(&s);
}

Test(net, dns_waits_for_a_slow_family_once)
{
    struct setup s;
    const char *const rules[] = { "half.test=192.0.2.4,hang6", NULL };
    set_up(&s, (struct eg_dns_config){ .second_family_ms = 1000 }, rules);
    cr_assert_eq(look_up(&s, "half.test"), EG_OK);
    uint64_t from = eg_clock_ms();
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(look_up(&s, "half.test"), EG_OK);
        cr_assert_eq(s.last.count, 1);
    }
    cr_assert_lt(eg_clock_ms() - from, 20000, "a second each it would be 200");
    tear_down(&s);
}

Test(net, dns_newcomers_do_not_inherit_an_old_deadline)
{
    struct setup s;
    const char *const rules[] = { "h.test=hang", NULL };
    set_up(&s, (struct eg_dns_config){ .timeout_ms = 600 }, rules);
    uint64_t from = eg_clock_ms();
    ask(&s, "h.test");
    while (eg_clock_ms() - from < 400)
        cr_assert_eq(eg_loop_tick(s.loop, 20, NULL), EG_OK);
    ask(&s, "h.test");
    await(&s, 2);
    cr_assert_geq(eg_clock_ms() - from, 950);
    cr_assert_eq(s.last.status, EG_DNS_TIMEOUT);
    tear_down(&s);
}
