/* channel.c - channels of ssh gateways, asked for by flows and answered by whoever holds the
 * master (eg_engine_channel).
 *
 * It starts nothing and knows no ssh. A channel belongs to one flow; when that dies first the
 * question is taken back, and an answer that comes all the same is closed. Deadlines are the
 * flow's. */
#include "proxy/channel.h"

#include <stdlib.h>
#include <unistd.h>

struct eg_channel {
    struct eg_flow *flow;
    struct eg_channel *next; /* of the engine */
    uint64_t id;
    bool answered;
    int in, out; /* owned; -1: none, or taken */
    struct eg_err why;
};

static void close_both(int in, int out)
{
    if (in >= 0)
        close(in);
    if (out >= 0 && out != in)
        close(out);
}

enum eg_status eg_channel_open(struct eg_flow *f, const struct eg_hop *hop,
                               const struct eg_authority *to, struct eg_channel **ret,
                               struct eg_err *err)
{
    struct eg_engine *e = f->engine;
    if (!e->channel_open)
        return eg_err_set(err, EG_SSH_DOWN, "ssh", 0, "nobody opens ssh channels here");
    struct eg_channel *c = calloc(1, sizeof *c);
    if (!c)
        return eg_err_set(err, EG_NOMEM, "ssh", 0, "out of memory");
    c->flow = f;
    c->id = ++e->last_channel;
    c->in = c->out = -1;
    c->next = e->channels; /* before the question: the answer may come at once */
    e->channels = c;
    struct eg_channel_ask ask = { c->id, &hop->at, hop->user, to };
    enum eg_status status = e->channel_open(e->ctx, &ask);
    if (status != EG_OK) {
        c->answered = true;
        eg_channel_drop(c);
        return eg_err_set(err, status, "ssh", 0, "%s", "no channel could be asked for");
    }
    *ret = c;
    return EG_OK;
}

enum eg_status eg_channel_take(struct eg_channel *c, struct eg_stream **ret, struct eg_err *err)
{
    if (!c->answered)
        return EG_AGAIN;
    if (c->why.status != EG_OK) {
        *err = c->why;
        return c->why.status;
    }
    if (c->in < 0 || c->out < 0)
        return eg_err_set(err, EG_INTERNAL, "ssh", 0, "a channel without descriptors");
    enum eg_status status = eg_stream_pipes(c->in, c->out, ret);
    if (status == EG_OK)
        c->in = c->out = -1;
    return status;
}

void eg_channel_drop(struct eg_channel *c)
{
    if (!c)
        return;
    struct eg_engine *e = c->flow->engine;
    struct eg_channel **at = &e->channels;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (!c->answered && e->channel_cancel)
        e->channel_cancel(e->ctx, c->id);
    close_both(c->in, c->out);
    free(c);
}

void eg_engine_channel(struct eg_engine *e, uint64_t id, enum eg_status status, const char *detail,
                       int in, int out)
{
    struct eg_channel *c = e->channels;
    while (c && c->id != id)
        c = c->next;
    if (!c || c->answered) { /* cancelled while the answer was under way */
        close_both(in, out);
        return;
    }
    c->answered = true;
    c->in = in;
    c->out = out;
    if (status != EG_OK)
        (void)eg_err_set(&c->why, status, "ssh", 0, "%s", detail ? detail : "");
    eg_flow_wake(c->flow);
}
