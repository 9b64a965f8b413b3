/* flaky.c - see flaky.h. It also checks its owner: after EG_AGAIN of a send, the next one must bring the same bytes. */
#include "support/flaky.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REMEMBER = 64 };

struct flaky {
    struct eg_stream stream;
    uint64_t state;
    unsigned again_percent;
    size_t most;
    size_t passed;        /* what the layer below was given when it said EG_AGAIN: it must get as much again */
    char tried[REMEMBER]; /* how the send began that was told EG_AGAIN */
    size_t tried_len;
};

/* splitmix64 */
static uint64_t draw(struct flaky *f)
{
    uint64_t z = f->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool balks(struct flaky *f)
{
    return draw(f) % 100 < f->again_percent;
}

static size_t shorten(struct flaky *f, size_t n)
{
    size_t limit = 1 + (size_t)(draw(f) % f->most);
    return n < limit ? n : limit;
}

static enum eg_status flaky_connect(struct eg_stream *s, struct eg_err *err)
{
    (void)err;
    return balks((struct flaky *)s) ? EG_AGAIN : EG_OK;
}

static enum eg_status flaky_recv(struct eg_stream *s, char *p, size_t n, size_t *done,
                                 struct eg_err *err)
{
    struct flaky *f = (struct flaky *)s;
    if (balks(f))
        return EG_AGAIN;
    return eg_stream_recv(s->below, p, shorten(f, n), done, err);
}

static enum eg_status flaky_send(struct eg_stream *s, const char *p, size_t n, size_t *done,
                                 struct eg_err *err)
{
    struct flaky *f = (struct flaky *)s;
    if (f->tried_len && (n < f->tried_len || memcmp(p, f->tried, f->tried_len) != 0)) {
        fprintf(stderr, "flaky: other bytes after EG_AGAIN\n");
        abort();
    }
    enum eg_status r = EG_AGAIN;
    if (!balks(f)) {
        f->passed = f->passed ? f->passed : shorten(f, n);
        r = eg_stream_send(s->below, p, f->passed, done, err);
        if (r != EG_AGAIN)
            f->passed = 0;
    }
    f->tried_len = 0;
    if (r == EG_AGAIN) {
        f->tried_len = n < REMEMBER ? n : REMEMBER;
        memcpy(f->tried, p, f->tried_len);
    }
    return r;
}

static enum eg_status flaky_shut(struct eg_stream *s, struct eg_err *err)
{
    (void)err;
    return balks((struct flaky *)s) ? EG_AGAIN : EG_OK;
}

static void flaky_want(const struct eg_stream *s, unsigned intent, struct eg_pollset *set)
{
    if (!s->connected)
        set->now = true;
    if (intent)
        eg_stream_want(s->below, intent, set);
}

static const struct eg_stream_ops flaky_ops = {
    .name = "flaky",
    .connect = flaky_connect,
    .recv = flaky_recv,
    .send = flaky_send,
    .shut = flaky_shut,
    .want = flaky_want,
};

enum eg_status flaky_stream(struct eg_stream *below, uint64_t seed, unsigned again_percent,
                            size_t most, struct eg_stream **ret)
{
    struct flaky *f = calloc(1, sizeof *f);
    if (!f)
        return EG_NOMEM;
    f->stream.ops = &flaky_ops;
    f->stream.below = below;
    f->state = seed;
    f->again_percent = again_percent;
    f->most = most ? most : 1;
    *ret = &f->stream;
    return EG_OK;
}
