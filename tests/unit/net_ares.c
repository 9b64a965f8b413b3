/* c-ares as the resolver uses it: when channels are opened, and what is left when c-ares can't be
 * set up. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/clock.h"
#include "net/ares.h"
#include "net/dns.h"
#include "support/dnsd.h"

struct setup {
    struct eg_loop *loop;
    struct dnsd *server;
    struct eg_ares *ares;
};

static void set_up(struct setup *s)
{
    memset(s, 0, sizeof *s);
    cr_assert_eq(eg_loop_new(&s->loop, NULL), EG_OK);
    s->server = dnsd_new(s->loop);
    cr_assert(s->server && dnsd_rule(s->server, "a.test=ttl77,192.0.2.1"));
    struct eg_sockaddr at = dnsd_at(s->server);
    cr_assert_eq(eg_ares_new(s->loop, &at, 1, 4, 5000, &s->ares, NULL), EG_OK);
}

static void tear_down(struct setup *s)
{
    eg_ares_free(s->ares);
    dnsd_free(s->server);
    eg_loop_free(s->loop);
}

struct question {
    struct eg_ares_question q; /* first */
    enum eg_status status;
    unsigned times, added;
};

static void on_add(struct eg_ares_question *q, const struct eg_addr *addr)
{
    (void)addr;
    ((struct question *)q)->added++;
}

static void on_answered(struct eg_ares_question *q, enum eg_status status)
{
    struct question *mine = (struct question *)q;
    mine->status = status;
    mine->times++;
}

static void ask(struct setup *s, struct question *q)
{
    *q = (struct question){ .q = { .family = 4, .answered = on_answered, .add = on_add } };
    q->q.channel = eg_ares_pick(s->ares);
    eg_ares_ask(s->ares, &q->q, "a.test.");
}

static void await(struct setup *s, struct question *q)
{
    uint64_t end = eg_clock_ms() + 20000;
    while (!q->times && eg_clock_ms() < end)
        cr_assert_eq(eg_loop_tick(s->loop, 100, NULL), EG_OK);
    cr_assert_eq(q->times, 1);
}

Test(net, ares_opens_its_first_channel_soon_after_the_start)
{
    struct setup s;
    struct question q;
    set_up(&s);
    uint64_t from = eg_clock_ms();
    cr_assert_eq(eg_ares_open(s.ares), 0, "the start does not wait for it");
    while (eg_ares_open(s.ares) == 0 && eg_clock_ms() - from < 20000)
        cr_assert_eq(eg_loop_tick(s.loop, 100, NULL), EG_OK);
    cr_assert_eq(eg_ares_open(s.ares), 1);
    cr_assert_geq(eg_clock_ms() - from, 19);
    cr_assert_eq(dnsd_questions(s.server), 0, "nothing is asked for it");
    ask(&s, &q);
    cr_assert_eq(q.q.channel, 0, "the first question takes it");
    await(&s, &q);
    cr_assert(q.status == EG_OK && q.added == 1 && q.q.ttl_s == 77);
    cr_assert_eq(eg_ares_open(s.ares), 1);
    tear_down(&s);
}

Test(net, ares_question_before_the_warm_up_opens_the_channel_itself)
{
    struct setup s;
    struct question q[6];
    set_up(&s);
    ask(&s, &q[0]);
    cr_assert_eq(eg_ares_open(s.ares), 1);
    await(&s, &q[0]);
    cr_assert_eq(q[0].status, EG_OK);
    uint64_t from = eg_clock_ms(); /* past the timer: it opens no second one */
    while (eg_clock_ms() - from < 60)
        cr_assert_eq(eg_loop_tick(s.loop, 10, NULL), EG_OK);
    cr_assert_eq(eg_ares_open(s.ares), 1);
    for (int i = 1; i < 6; i++)
        ask(&s, &q[i]);
    cr_assert_eq(eg_ares_open(s.ares), 4, "no more than were wanted");
    for (int i = 1; i < 6; i++)
        await(&s, &q[i]);
    tear_down(&s);
}

Test(net, ares_freed_before_the_warm_up)
{
    struct setup s;
    set_up(&s);
    eg_ares_free(s.ares);
    s.ares = NULL;
    uint64_t from = eg_clock_ms();
    while (eg_clock_ms() - from < 40) /* the timer must not come */
        cr_assert_eq(eg_loop_tick(s.loop, 10, NULL), EG_OK);
    tear_down(&s);
}

/* A server that c-ares can't take: no channel can be opened, ever. */
static const struct eg_sockaddr NOWHERE = { .addr = { .family = 0 }, .port = 53 };

Test(net, ares_that_cannot_be_set_up_fails_every_question)
{
    struct setup s = { 0 };
    struct question q;
    cr_assert_eq(eg_loop_new(&s.loop, NULL), EG_OK);
    cr_assert_eq(eg_ares_new(s.loop, &NOWHERE, 1, 4, 5000, &s.ares, NULL), EG_OK);
    uint64_t from = eg_clock_ms();
    while (eg_clock_ms() - from < 40)
        cr_assert_eq(eg_loop_tick(s.loop, 10, NULL), EG_OK);
    cr_assert_eq(eg_ares_open(s.ares), 0);
    for (int i = 0; i < 6; i++) {
        ask(&s, &q);
        cr_assert(q.times == 1 && q.status == EG_DNS_FAILED && q.added == 0);
    }
    cr_assert_eq(eg_ares_open(s.ares), 0);
    tear_down(&s);
}

static void on_answer(void *ctx, const struct eg_dns_answer *answer)
{
    struct question *q = ctx;
    q->times++;
    q->status = answer->status;
}

Test(net, dns_without_a_usable_server_fails_at_once_and_in_a_task)
{
    struct setup s = { 0 };
    struct question q[3] = { 0 };
    struct eg_dns *dns = NULL;
    struct eg_dns_query *query;
    struct eg_dns_config config = { .servers = &NOWHERE,
                                    .server_count = 1,
                                    .timeout_ms = 60000,
                                    .channels = 4,
                                    .second_family_ms = 50 };
    cr_assert_eq(eg_loop_new(&s.loop, NULL), EG_OK);
    cr_assert_eq(eg_dns_new(s.loop, &config, &dns, NULL), EG_OK);
    uint64_t from = eg_clock_ms();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(eg_dns_ask(dns, EG_SLICE("a.test"), on_answer, &q[i], &query, NULL), EG_OK);
    cr_assert_eq(q[0].times, 0);
    for (int i = 0; i < 3; i++) {
        await(&s, &q[i]);
        cr_assert_eq(q[i].status, EG_DNS_FAILED);
    }
    cr_assert_lt(eg_clock_ms() - from, 20000);
    eg_dns_free(dns);
    tear_down(&s);
}
