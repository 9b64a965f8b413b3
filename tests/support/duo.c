/* duo.c - see duo.h. */
#include "support/duo.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 1000000, STUCK = 4000, CHUNK = 20000 };

struct duo_result duo_connect(struct eg_stream *a, struct eg_stream *b)
{
    struct duo_result r = { .a = EG_AGAIN, .b = EG_AGAIN };
    int after = STUCK; /* calls that one end is still given when the other is done */
    for (int i = 0; i < ROUNDS && after > 0 && (r.a == EG_AGAIN || r.b == EG_AGAIN); i++) {
        if (r.a == EG_AGAIN)
            r.a = eg_stream_connect(a, &r.a_err);
        if (r.b == EG_AGAIN)
            r.b = eg_stream_connect(b, &r.b_err);
        if (r.a != EG_AGAIN || r.b != EG_AGAIN)
            after--;
    }
    return r;
}

static char pattern(uint32_t seed, size_t at)
{
    uint32_t x = (uint32_t)at * 2654435761u ^ seed;
    return (char)(x >> 13 ^ x);
}

struct flow {
    struct eg_stream *from, *to;
    uint32_t seed;
    size_t n, sent, got;
    size_t size; /* of the next send; the same after EG_AGAIN */
};

static enum eg_status flow_step(struct flow *f, bool *moved)
{
    char chunk[CHUNK];
    struct eg_err err = { 0 };
    size_t done = 0;
    enum eg_status r = EG_AGAIN;
    if (f->sent < f->n) {
        if (f->size == 0)
            f->size = 1 + (f->sent * 7919 + f->seed) % CHUNK;
        if (f->size > f->n - f->sent)
            f->size = f->n - f->sent;
        for (size_t i = 0; i < f->size; i++)
            chunk[i] = pattern(f->seed, f->sent + i);
        r = eg_stream_send(f->from, chunk, f->size, &done, &err);
        if (r == EG_OK) {
            f->sent += done;
            f->size = 0;
            *moved = true;
        } else if (r != EG_AGAIN) {
            return r;
        }
    }
    r = eg_stream_recv(f->to, chunk, sizeof chunk, &done, &err);
    if (r == EG_AGAIN)
        return EG_OK;
    if (r != EG_OK)
        return r;
    *moved = true;
    for (size_t i = 0; i < done; i++)
        if (f->got + i >= f->n || chunk[i] != pattern(f->seed, f->got + i))
            return EG_INVALID;
    f->got += done;
    return EG_OK;
}

static enum eg_status run(struct flow *flows, unsigned count)
{
    int stuck = 0;
    for (int i = 0; i < ROUNDS && stuck < STUCK; i++) {
        bool moved = false;
        unsigned ready = 0;
        for (unsigned k = 0; k < count; k++) {
            if (flows[k].got == flows[k].n) {
                ready++;
                continue;
            }
            enum eg_status r = flow_step(&flows[k], &moved);
            if (r != EG_OK)
                return r;
        }
        if (ready == count)
            return EG_OK;
        stuck = moved ? 0 : stuck + 1;
    }
    return EG_AGAIN;
}

enum eg_status duo_copy(struct eg_stream *from, struct eg_stream *to, size_t n, uint32_t seed)
{
    struct flow f = { .from = from, .to = to, .n = n, .seed = seed };
    return run(&f, 1);
}

enum eg_status duo_copy_both(struct eg_stream *a, struct eg_stream *b, size_t n, uint32_t seed)
{
    struct flow f[2] = { { .from = a, .to = b, .n = n, .seed = seed },
                         { .from = b, .to = a, .n = n, .seed = ~seed } };
    return run(f, 2);
}

enum eg_status duo_recv(struct eg_stream *s, char *p, size_t n, size_t *done, struct eg_err *err)
{
    enum eg_status r = EG_AGAIN;
    for (int i = 0; i < STUCK && r == EG_AGAIN; i++)
        r = eg_stream_recv(s, p, n, done, err);
    return r;
}

enum eg_status duo_put(struct eg_stream *s, const char *p, size_t n)
{
    enum eg_status r = EG_OK;
    for (int i = 0; i < STUCK && n > 0; i++) {
        size_t done = 0;
        r = eg_stream_send(s, p, n, &done, NULL);
        if (r != EG_OK && r != EG_AGAIN)
            return r;
        p += done;
        n -= done;
    }
    return n ? EG_AGAIN : EG_OK;
}

enum eg_status duo_shut(struct eg_stream *from, struct eg_stream *to)
{
    enum eg_status sent = EG_AGAIN;
    enum eg_status got = EG_AGAIN;
    for (int i = 0; i < STUCK && (sent == EG_AGAIN || got == EG_AGAIN); i++) {
        char byte;
        size_t done;
        if (sent == EG_AGAIN)
            sent = eg_stream_shut(from, NULL);
        if (sent != EG_OK && sent != EG_AGAIN)
            return sent;
        if (got == EG_AGAIN)
            got = eg_stream_recv(to, &byte, 1, &done, NULL);
    }
    return got;
}
