/* Names to addresses against a server of our own: what is asked, in which order answers come back, and that a server that
 * lies, hangs or is not there harms nobody else. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/dns.h"
#include "support/dnsd.h"

struct asked {
    struct eg_dns_answer answer;
    unsigned times;
    struct eg_dns_query *query;
};

struct setup {
    struct eg_loop *loop;
    struct dnsd *server;
    struct eg_dns *dns;
    char log[4096];
};

static void on_question(void *ctx, const char *name, unsigned type, bool tcp)
{
    struct setup *s = ctx;
    size_t n = strlen(s->log);
    snprintf(s->log + n, sizeof s->log - n, "%s/%u%s ", name, type, tcp ? "/tcp" : "");
}

static void set_up(struct setup *s, uint32_t timeout_ms, const char *hosts)
{
    memset(s, 0, sizeof *s);
    cr_assert_eq(eg_loop_new(&s->loop, NULL), EG_OK);
    s->server = dnsd_new(s->loop);
    cr_assert(s->server);
    dnsd_on_question(s->server, on_question, s);
    struct eg_sockaddr at = dnsd_at(s->server);
    struct eg_dns_config config = { .servers = &at,
                                    .server_count = 1,
                                    .hosts_text = eg_slice_str(hosts),
                                    .timeout_ms = timeout_ms,
                                    .channels = 4,
                                    .second_family_ms = 50 };
    struct eg_err err = { 0 };
    cr_assert_eq(eg_dns_new(s->loop, &config, &s->dns, &err), EG_OK, "%s", err.text);
}

static void tear_down(struct setup *s)
{
    eg_dns_free(s->dns);
    dnsd_free(s->server);
    eg_loop_free(s->loop);
}

static void on_done(void *ctx, const struct eg_dns_answer *answer)
{
    struct asked *a = ctx;
    a->answer = *answer;
    a->times++;
}

static void ask(struct setup *s, const char *name, struct asked *a)
{
    memset(a, 0, sizeof *a);
    cr_assert_eq(eg_dns_ask(s->dns, eg_slice_str(name), on_done, a, &a->query, NULL), EG_OK);
    cr_assert_eq(a->times, 0, "never from inside ask");
}

/* Until it is answered, at most for so long. */
static void wait_for(struct setup *s, struct asked *a, uint64_t most_ms)
{
    uint64_t end = eg_clock_ms() + most_ms;
    while (!a->times && eg_clock_ms() < end)
        cr_assert_eq(eg_loop_tick(s->loop, 100, NULL), EG_OK);
}

static enum eg_status look_up(struct setup *s, const char *name, struct asked *a)
{
    ask(s, name, a);
    wait_for(s, a, 20000);
    cr_assert_eq(a->times, 1, "%s", name);
    return a->answer.status;
}

static const char *text(const struct asked *a)
{
    static char out[1024];
    out[0] = '\0';
    for (unsigned i = 0; i < a->answer.count; i++) {
        char one[EG_ADDR_TEXT];
        size_t n = strlen(out);
        snprintf(out + n, sizeof out - n, "%s%s", i ? " " : "",
                 eg_addr_format(&a->answer.addrs[i], one, sizeof one));
    }
    return out;
}

Test(net, dns_alternates_families_with_ipv6_first)
{
    struct setup s;
    struct asked a;
    set_up(&s, 5000, "");
    cr_assert(dnsd_rule(s.server, "both.test=192.0.2.1,192.0.2.2,192.0.2.3,2001:db8::1"));
    cr_assert_eq(look_up(&s, "both.test", &a), EG_OK);
    cr_assert_str_eq(text(&a), "2001:db8::1 192.0.2.1 192.0.2.2 192.0.2.3");
    cr_assert(strstr(s.log, "both.test/1 ") && strstr(s.log, "both.test/28 "), "%s", s.log);
    cr_assert_eq(dnsd_questions(s.server), 2, "one question a family and no search list: %s",
                 s.log);
    tear_down(&s);
}

Test(net, dns_asks_for_a_single_label_without_a_search_list)
{
    struct setup s;
    struct asked a;
    set_up(&s, 5000, "");
    cr_assert(dnsd_rule(s.server, "intranet=192.0.2.9"));
    cr_assert_eq(look_up(&s, "intranet", &a), EG_OK);
    cr_assert_eq(look_up(&s, "absent", &a), EG_DNS_NOT_FOUND);
    cr_assert_eq(dnsd_questions(s.server), 4, "%s", s.log);
    tear_down(&s);
}

Test(net, dns_takes_a_name_with_one_family_only)
{
    struct setup s;
    struct asked a;
    set_up(&s, 60000, "");
    cr_assert(dnsd_rule(s.server, "six.test=2001:db8::6"));
    cr_assert(dnsd_rule(s.server, "four.test=192.0.2.4"));
    cr_assert(dnsd_rule(s.server, "sixth.test=2001:db8::6,hang4"));
    cr_assert_eq(look_up(&s, "six.test", &a), EG_OK);
    cr_assert_str_eq(text(&a), "2001:db8::6");
    cr_assert_eq(look_up(&s, "four.test", &a), EG_OK);
    cr_assert_str_eq(text(&a), "192.0.2.4");
    uint64_t from = eg_clock_ms();
    cr_assert_eq(look_up(&s, "sixth.test", &a), EG_OK);
    cr_assert_str_eq(text(&a), "2001:db8::6");
    cr_assert_lt(eg_clock_ms() - from, 20000, "not the time of a question");
    tear_down(&s);
}

Test(net, dns_names_each_failure)
{
    struct setup s;
    struct asked a;
    set_up(&s, 20000, "");
    cr_assert(dnsd_rule(s.server, "no.test=nxdomain"));
    cr_assert(dnsd_rule(s.server, "empty.test="));
    cr_assert(dnsd_rule(s.server, "broken.test=servfail"));
    cr_assert(dnsd_rule(s.server, "garbage.test=garbage"));
    cr_assert_eq(look_up(&s, "no.test", &a), EG_DNS_NOT_FOUND);
    cr_assert_eq(look_up(&s, "empty.test", &a), EG_DNS_NOT_FOUND);
    cr_assert_eq(look_up(&s, "broken.test", &a), EG_DNS_FAILED);
    cr_assert_eq(look_up(&s, "garbage.test", &a), EG_DNS_FAILED);
    tear_down(&s);
    set_up(&s, 700, "");
    cr_assert(dnsd_rule(s.server, "silent.test=hang"));
    uint64_t from = eg_clock_ms();
    cr_assert_eq(look_up(&s, "silent.test", &a), EG_DNS_TIMEOUT);
    uint64_t took = eg_clock_ms() - from;
    cr_assert(took >= 600 && took < 20000, "%d ms", (int)took);
    tear_down(&s);
}

Test(net, dns_repeats_a_cut_answer_over_tcp)
{
    struct setup s;
    struct asked a;
    set_up(&s, 5000, "");
    cr_assert(dnsd_rule(s.server, "long.test=tc,192.0.2.77"));
    cr_assert_eq(look_up(&s, "long.test", &a), EG_OK);
    cr_assert_str_eq(text(&a), "192.0.2.77");
    cr_assert(strstr(s.log, "long.test/1/tcp"), "%s", s.log);
    tear_down(&s);
}

Test(net, dns_ignores_an_answer_with_another_id)
{
    struct setup s;
    struct asked a;
    set_up(&s, 5000, "");
    cr_assert(dnsd_rule(s.server, "forged.test=badid,192.0.2.5"));
    cr_assert_eq(look_up(&s, "forged.test", &a), EG_OK);
    cr_assert_str_eq(text(&a), "192.0.2.5");
    tear_down(&s);
}

Test(net, dns_waits_little_for_the_second_family)
{
    struct setup s;
    struct asked a;
    set_up(&s, 60000, "");
    cr_assert(dnsd_rule(s.server, "half.test=192.0.2.4,hang6"));
    uint64_t from = eg_clock_ms();
    cr_assert_eq(look_up(&s, "half.test", &a), EG_OK);
    uint64_t took = eg_clock_ms() - from;
    cr_assert(took >= 45 && took < 20000, "%d ms", (int)took);
    cr_assert_str_eq(text(&a), "192.0.2.4");
    tear_down(&s);
}

Test(net, dns_serves_one_beside_twenty_that_hang)
{
    struct setup s;
    struct asked hanging[20];
    struct asked a;
    set_up(&s, 60000, "");
    for (int i = 0; i < 20; i++) {
        char name[64];
        snprintf(name, sizeof name, "h%d.test=hang", i);
        cr_assert(dnsd_rule(s.server, name));
        *strchr(name, '=') = '\0';
        ask(&s, name, &hanging[i]);
    }
    cr_assert(dnsd_rule(s.server, "quick.test=192.0.2.6,2001:db8::6"));
    uint64_t from = eg_clock_ms();
    cr_assert_eq(look_up(&s, "quick.test", &a), EG_OK);
    cr_assert_lt(eg_clock_ms() - from, 20000);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(hanging[i].times, 0);
    cr_assert_gt(dnsd_ports(s.server), 3, "channels have ports of their own");
    tear_down(&s); /* with 20 questions under way: none calls back, none leaks */
    for (int i = 0; i < 20; i++)
        cr_assert_eq(hanging[i].times, 0);
}

Test(net, dns_cancelled_questions_never_call_back)
{
    struct setup s;
    struct asked gone;
    struct asked a;
    set_up(&s, 1000, "192.0.2.30 listed.test\n");
    cr_assert(dnsd_rule(s.server, "slow.test=192.0.2.8"));
    ask(&s, "slow.test", &gone);
    eg_dns_cancel(gone.query);
    struct asked local;
    ask(&s, "listed.test", &local);
    eg_dns_cancel(local.query);
    cr_assert_eq(look_up(&s, "slow.test", &a), EG_OK);
    cr_assert_eq(gone.times + local.times, 0);
    tear_down(&s);
}

static void free_resolver(void *ctx, const struct eg_dns_answer *answer)
{
    struct setup *s = ctx;
    (void)answer;
    eg_dns_free(s->dns);
    s->dns = NULL;
}

Test(net, dns_may_be_freed_from_done)
{
    struct setup s;
    struct asked other;
    struct eg_dns_query *q;
    set_up(&s, 1000, "");
    cr_assert(dnsd_rule(s.server, "h.test=hang"));
    ask(&s, "h.test", &other);
    cr_assert_eq(eg_dns_ask(s.dns, EG_SLICE("localhost"), free_resolver, &s, &q, NULL), EG_OK);
    for (int i = 0; i < 5 && s.dns; i++)
        cr_assert_eq(eg_loop_tick(s.loop, 0, NULL), EG_OK);
    cr_assert_null(s.dns);
    tear_down(&s);
}

Test(net, dns_answers_localhost_itself)
{
    struct setup s;
    struct asked a;
    set_up(&s, 1000, "203.0.113.5 localhost\n");
    cr_assert_eq(look_up(&s, "localhost", &a), EG_OK);
    cr_assert_str_eq(text(&a), "::1 127.0.0.1", "RFC 6761 6.3: whatever the hosts file says");
    cr_assert_eq(look_up(&s, "db.localhost", &a), EG_OK);
    cr_assert_str_eq(text(&a), "::1 127.0.0.1");
    cr_assert_eq(look_up(&s, "notlocalhost", &a), EG_DNS_NOT_FOUND);
    cr_assert_eq(dnsd_questions(s.server), 2, "only the last one was asked: %s", s.log);
    tear_down(&s);
}

Test(net, dns_reads_the_hosts_text_first)
{
    struct setup s;
    struct asked a;
    set_up(&s, 1000,
           "# comment\n127.0.0.1\tlocalhost\n10.0.0.7 Db.Internal db # tail\n2001:db8::7 "
           "db\r\nnonsense line\n"
           "999.1.1.1 bad\n10.0.0.8 db\n10.0.0.9 -bad-");
    cr_assert_eq(look_up(&s, "db", &a), EG_OK);
    cr_assert_str_eq(text(&a), "2001:db8::7 10.0.0.7 10.0.0.8");
    cr_assert_eq(look_up(&s, "db.internal", &a), EG_OK);
    cr_assert_str_eq(text(&a), "10.0.0.7");
    cr_assert_eq(dnsd_questions(s.server), 0);
    cr_assert_eq(look_up(&s, "bad", &a), EG_DNS_NOT_FOUND);
    tear_down(&s);
}

Test(net, dns_without_a_server_fails_every_question)
{
    struct eg_loop *loop = NULL;
    struct eg_dns *dns = NULL;
    struct asked a = { 0 };
    struct eg_dns_config config = { .timeout_ms = 100, .channels = 1 };
    cr_assert_eq(eg_loop_new(&loop, NULL), EG_OK);
    cr_assert_eq(eg_dns_new(loop, &config, &dns, NULL), EG_OK);
    cr_assert_eq(eg_dns_ask(dns, EG_SLICE("a.test"), on_done, &a, &a.query, NULL), EG_OK);
    cr_assert_eq(eg_loop_tick(loop, 0, NULL), EG_OK);
    cr_assert_eq(a.times, 1);
    cr_assert_eq(a.answer.status, EG_DNS_FAILED);
    eg_dns_free(dns);
    eg_loop_free(loop);
}

Test(net, dns_server_that_is_not_there_is_a_failure)
{
    struct setup s;
    struct asked a;
    set_up(&s, 1500, "");
    dnsd_free(s.server);
    s.server = NULL;
    enum eg_status r = look_up(&s, "a.test", &a);
    cr_assert(r == EG_DNS_FAILED || r == EG_DNS_TIMEOUT);
    tear_down(&s);
}

Test(net, dns_answer_has_a_ceiling)
{
    struct setup s;
    struct asked a;
    char hosts[4000] = "";
    for (int i = 1; i <= 100; i++) {
        size_t n = strlen(hosts);
        snprintf(hosts + n, sizeof hosts - n, "192.0.2.%d many.test\n", i);
    }
    set_up(&s, 1000, hosts);
    cr_assert_eq(look_up(&s, "many.test", &a), EG_OK);
    cr_assert_eq(a.answer.count, EG_DNS_MAX_ADDRS);
    tear_down(&s);
}
