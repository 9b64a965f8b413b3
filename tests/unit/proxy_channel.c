/* proxy_channel.c - channels of ssh gateways: asked for once, answered once, given up by either
 * side in any order; no descriptor is left. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/channel.h"

struct master { /* the test's: who holds the gateway's session */
    struct eg_engine engine;
    struct eg_flow flow;
    unsigned asked, cancelled, woken;
    uint64_t id;
    enum eg_status answer;
    bool at_once; /* it answers within the question */
    int fds[2];
};

static enum eg_status opens(void *ctx, const struct eg_channel_ask *ask)
{
    struct master *m = ctx;
    cr_assert(eg_slice_eq(ask->user, EG_SLICE("me")) && ask->to->port == 443 &&
              strcmp(ask->gateway->host, "gate.test") == 0);
    m->asked++;
    m->id = ask->id;
    if (m->at_once)
        eg_engine_channel(&m->engine, ask->id, EG_OK, NULL, m->fds[0], m->fds[0]);
    return m->answer;
}

static void cancels(void *ctx, uint64_t id)
{
    struct master *m = ctx;
    cr_assert(id == m->id);
    m->cancelled++;
}

static void runs(struct eg_task *t)
{
    struct master *m = t->ctx;
    m->woken++;
}

static void begin(struct master *m)
{
    memset(m, 0, sizeof *m);
    cr_assert(eg_loop_new(&m->engine.loop, NULL) == EG_OK);
    m->engine.channel_open = opens;
    m->engine.channel_cancel = cancels;
    m->engine.ctx = m;
    m->flow.engine = &m->engine;
    m->flow.task.run = runs;
    m->flow.task.ctx = m;
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->fds) == 0);
}

static void end(struct master *m)
{
    cr_assert(m->engine.channels == NULL);
    eg_loop_unmark(m->engine.loop, &m->flow.task);
    eg_loop_free(m->engine.loop);
    close(m->fds[1]);
}

static enum eg_status ask(struct master *m, struct eg_channel **ret, struct eg_err *err)
{
    struct eg_hop hop = { .kind = EG_HOP_SSH, .user = EG_SLICE("me") };
    struct eg_authority to;
    cr_assert(eg_authority_parse(EG_SLICE("gate.test:22"), 0, &hop.at, NULL) == EG_OK &&
              eg_authority_parse(EG_SLICE("origin.test:443"), 0, &to, NULL) == EG_OK);
    return eg_channel_open(&m->flow, &hop, &to, ret, err);
}

static bool is_closed(int fd)
{
    return fcntl(fd, F_GETFD) < 0;
}

Test(proxy, channel_is_taken_once_it_is_answered)
{
    struct master m;
    struct eg_channel *c = NULL;
    struct eg_stream *s = NULL;
    struct eg_err err = { 0 };
    begin(&m);
    cr_assert(ask(&m, &c, &err) == EG_OK && m.asked == 1);
    cr_assert(eg_channel_take(c, &s, &err) == EG_AGAIN);
    eg_engine_channel(&m.engine, m.id, EG_OK, NULL, m.fds[0], m.fds[0]);
    cr_assert(eg_loop_tick(m.engine.loop, 0, NULL) == EG_OK && m.woken == 1);
    cr_assert(eg_channel_take(c, &s, &err) == EG_OK && s != NULL);
    eg_channel_drop(c);
    cr_assert(m.cancelled == 0 && !is_closed(m.fds[0]));
    eg_stream_free(s);
    cr_assert(is_closed(m.fds[0]));
    end(&m);
}

Test(proxy, channel_may_be_answered_within_the_question)
{
    struct master m;
    struct eg_channel *c = NULL;
    struct eg_stream *s = NULL;
    begin(&m);
    m.at_once = true;
    cr_assert(ask(&m, &c, NULL) == EG_OK);
    cr_assert(eg_channel_take(c, &s, NULL) == EG_OK);
    eg_stream_free(s);
    eg_channel_drop(c);
    end(&m);
}

Test(proxy, channel_that_fails_says_why)
{
    static const enum eg_status why[] = { EG_SSH_DOWN, EG_SSH_PROHIBITED, EG_SSH_REFUSED,
                                          EG_DNS_NOT_FOUND };
    struct master m;
    begin(&m);
    for (size_t i = 0; i < sizeof why / sizeof *why; i++) {
        struct eg_channel *c = NULL;
        struct eg_stream *s = NULL;
        struct eg_err err = { 0 };
        cr_assert(ask(&m, &c, NULL) == EG_OK);
        eg_engine_channel(&m.engine, m.id, why[i], "the gateway said so", -1, -1);
        cr_assert(eg_channel_take(c, &s, &err) == why[i] && err.status == why[i]);
        cr_assert_str_eq(err.text, "the gateway said so");
        eg_channel_drop(c);
    }
    cr_assert(m.cancelled == 0);
    close(m.fds[0]);
    end(&m);
}

Test(proxy, channel_that_is_given_up_is_cancelled_and_a_late_answer_closed)
{
    struct master m;
    struct eg_channel *c = NULL;
    begin(&m);
    cr_assert(ask(&m, &c, NULL) == EG_OK);
    eg_channel_drop(c);
    cr_assert(m.cancelled == 1);
    eg_engine_channel(&m.engine, m.id, EG_OK, NULL, m.fds[0], m.fds[0]);
    cr_assert(is_closed(m.fds[0]));
    end(&m);
}

Test(proxy, channel_that_is_answered_and_not_taken_is_closed)
{
    struct master m;
    struct eg_channel *c = NULL;
    begin(&m);
    cr_assert(ask(&m, &c, NULL) == EG_OK);
    int copy = fcntl(m.fds[0], F_DUPFD_CLOEXEC, 0);
    eg_engine_channel(&m.engine, m.id, EG_OK, NULL, m.fds[0], copy);
    eg_channel_drop(c);
    cr_assert(m.cancelled == 0 && is_closed(m.fds[0]) && is_closed(copy));
    end(&m);
}

Test(proxy, channel_that_can_not_be_asked_for_is_none)
{
    struct master m;
    struct eg_channel *c = NULL;
    struct eg_err err = { 0 };
    begin(&m);
    m.answer = EG_SSH_DOWN;
    cr_assert(ask(&m, &c, &err) == EG_SSH_DOWN && c == NULL && m.cancelled == 0);
    m.engine.channel_open = NULL;
    cr_assert(ask(&m, &c, NULL) == EG_SSH_DOWN && c == NULL);
    eg_channel_drop(NULL);
    close(m.fds[0]);
    end(&m);
}
