/* redact.c - takes credentials out of texts and streams.
 *
 * From left to right: at each place where a needle may begin (redact_start.c) all of them are tried (redact_needle.c), the longest that stands there is
 * overwritten, and the search goes on behind it. Where the text ends while one may still stand there, all from that place on is held back; so how a
 * stream is cut never changes what is found. Values and phantoms lie in the vault, and are lent for the time of a call. */
#include "cred/redact.h"

#include <sodium.h>
#include <stdlib.h>

#include "cred/redact_set.h"

enum { PAIRS_MAX = 64, FORMS = 7 /* of a value, at most */ };

static const char layer[] = "redaction";

/* ---- sets ---- */

struct building {
    struct eg_redact_set *set;
    unsigned char *block; /* to be copied into the vault */
    size_t used;
    struct eg_slice phantom;
};

static void add_needle(struct eg_redact_set *s, const struct eg_needle *like, unsigned align,
                       unsigned modes)
{
    struct eg_needle *d = &s->needle[s->count++];
    *d = *like;
    d->align = (uint8_t)align;
    d->modes = (uint8_t)modes;
    eg_needle_measure(d);
    if (d->units * EG_NEEDLE_SPAN > s->span)
        s->span = d->units * EG_NEEDLE_SPAN;
}

/* What in a text is no escape but the value's own percent sign or backslash only its other needles find. */
static void add_needles(struct eg_redact_set *s, const struct eg_needle *like,
                        const unsigned char *p)
{
    const unsigned both = EG_NEEDLE_PERCENT | EG_NEEDLE_JSON;
    bool percent = memchr(p, '%', like->n), backslash = memchr(p, '\\', like->n);
    add_needle(s, like, EG_NEEDLE_PLAIN, both);
    if (percent)
        add_needle(s, like, EG_NEEDLE_PLAIN, EG_NEEDLE_JSON);
    if (backslash)
        add_needle(s, like, EG_NEEDLE_PLAIN, EG_NEEDLE_PERCENT);
    if (percent && backslash)
        add_needle(s, like, EG_NEEDLE_PLAIN, 0);
    for (unsigned align = 0; align < 3; align++)
        add_needle(s, like, align, both);
}

static enum eg_status add_value(void *ctx, const unsigned char *p, size_t n)
{
    struct building *b = ctx;
    struct eg_needle d = { .off = b->used, .n = n };
    if (n < EG_REDACT_MIN)
        return EG_OK;
    memcpy(b->block + b->used, p, n);
    b->used += n;
    if (b->phantom.n == n) {
        d.phantom_off = b->used;
        d.phantom_n = n;
        memcpy(b->block + b->used, b->phantom.p, n);
        b->used += n;
    }
    add_needles(b->set, &d, p);
    return EG_OK;
}

/* The bytes that values and phantoms take at most. */
static size_t room_for(const struct eg_redact_pair *pairs, unsigned count)
{
    size_t room = 1;
    for (unsigned i = 0; i < count; i++)
        room += 2 * eg_secret_len(pairs[i].secret);
    return room;
}

static enum eg_status fill(struct building *b, struct eg_vault *vault,
                           const struct eg_redact_pair *pairs, unsigned count, struct eg_err *err)
{
    struct eg_redact_set *s = b->set;
    for (unsigned i = 0; i < count; i++) {
        b->phantom = pairs[i].phantom;
        enum eg_status status = eg_secret_lend(pairs[i].secret, add_value, b);
        if (status != EG_OK)
            return status;
    }
    for (unsigned i = 0; i < s->count; i++)
        eg_redact_start_add(s, i, b->block);
    eg_redact_start_done(s);
    return s->count ? eg_secret_new(vault, b->block, b->used, &s->block, err) : EG_OK;
}

enum eg_status eg_redact_set_new(struct eg_vault *vault, const struct eg_redact_pair *pairs,
                                 unsigned count, struct eg_redact_set **ret, struct eg_err *err)
{
    if (count > PAIRS_MAX)
        return eg_err_set(err, EG_TOO_BIG, layer, 0, "a credential has too many values");
    size_t room = room_for(pairs, count);
    struct building b = { NULL, malloc(room), 0, EG_SLICE_NONE };
    b.set = calloc(1, sizeof *b.set + count * FORMS * sizeof *b.set->needle);
    enum eg_status status = EG_NOMEM;
    if (b.set && b.block) {
        b.set->refs = 1;
        status = fill(&b, vault, pairs, count, err);
        sodium_memzero(b.block, room);
    }
    free(b.block);
    if (status != EG_OK) {
        eg_redact_set_unref(b.set);
        return status;
    }
    *ret = b.set;
    return EG_OK;
}

struct eg_redact_set *eg_redact_set_ref(struct eg_redact_set *s)
{
    if (s)
        s->refs++;
    return s;
}

void eg_redact_set_unref(struct eg_redact_set *s)
{
    if (!s || (s->refs > 0 && --s->refs > 0))
        return;
    eg_secret_free(s->block);
    sodium_memzero(&s->start, sizeof s->start);
    free(s);
}

bool eg_redact_set_empty(const struct eg_redact_set *s)
{
    return !s || s->count == 0;
}

/* ---- the search ---- */

struct search {
    const struct eg_redact_set *set;
    struct eg_redact_view view;
    size_t end; /* what is before is settled */
    unsigned found;
};

/* The longest needle at `at`. EG_NEEDLE_OPEN where more of the text may make one, or a longer one. */
static enum eg_needle_result match_at(const struct search *j, const unsigned char *block, size_t at,
                                      const struct eg_needle **ret, size_t *len)
{
    const struct eg_redact_set *s = j->set;
    enum eg_needle_result best = EG_NEEDLE_NO;
    const uint8_t groups = eg_redact_start_groups(s, &j->view, at);
    size_t n;
    for (unsigned i = 0; i < s->count; i++) {
        if (!eg_redact_start_may(i, groups))
            continue;
        enum eg_needle_result result = eg_needle_match(&s->needle[i], block, &j->view, at, &n);
        if (result == EG_NEEDLE_OPEN && !j->view.last)
            return EG_NEEDLE_OPEN;
        if (result == EG_NEEDLE_YES && (best == EG_NEEDLE_NO || n > *len)) {
            best = EG_NEEDLE_YES;
            *ret = &s->needle[i];
            *len = n;
        }
    }
    return best;
}

static enum eg_status search(void *ctx, const unsigned char *block, size_t n)
{
    struct search *j = ctx;
    const struct eg_needle *d = NULL;
    size_t len = 0;
    (void)n;
    for (size_t at = 0;; at++) {
        at = eg_redact_start_next(j->set, &j->view, at);
        j->end = at;
        if (at >= eg_view_len(&j->view))
            return EG_OK;
        enum eg_needle_result result = match_at(j, block, at, &d, &len);
        if (result == EG_NEEDLE_OPEN)
            return EG_OK;
        if (result == EG_NEEDLE_NO)
            continue;
        eg_needle_replace(d, block, &j->view, at);
        j->found++;
        at += len - 1;
    }
}

static void run(struct search *j)
{
    j->end = eg_view_len(&j->view);
    enum eg_status status = EG_OK;
    if (!eg_redact_set_empty(j->set))
        status = eg_secret_lend(j->set->block, search, j);
    (void)status; /* searching can't fail */
}

unsigned eg_redact_text(const struct eg_redact_set *s, char *p, size_t n)
{
    struct search j = { .set = s, .view = { { NULL, p }, { 0, n }, true } };
    run(&j);
    return j.found;
}

/* ---- streams ---- */

enum eg_status eg_redact_begin(struct eg_redact *r, struct eg_redact_set *set)
{
    if (!eg_redact_set_empty(set)) { /* two of them: what is settled, and what is held anew */
        r->block = calloc(2, set->span);
        if (!r->block)
            return EG_NOMEM;
        r->held = r->block;
    }
    r->set = eg_redact_set_ref(set);
    return EG_OK;
}

void eg_redact_done(struct eg_redact *r)
{
    if (r->block)
        sodium_memzero(r->block, 2 * r->set->span);
    free(r->block);
    eg_redact_set_unref(r->set);
    *r = (struct eg_redact){ .set = NULL };
}

/* Holds back what is not settled: the end of what was held and all of the piece, or an end of the
 * piece. That is less than the longest needle, since it may begin one. */
static void hold(struct eg_redact *r, const struct search *j)
{
    const struct eg_redact_view *v = &j->view;
    size_t n = 0;
    char *other = r->held == r->block ? r->block + r->set->span : r->block;
    if (j->end < v->n[0]) {
        n = v->n[0] - j->end;
        memcpy(other, v->p[0] + j->end, n);
    }
    size_t from = j->end > v->n[0] ? j->end - v->n[0] : 0;
    memcpy(other + n, v->p[1] + from, v->n[1] - from);
    r->held = other;
    r->held_n = n + v->n[1] - from;
}

void eg_redact_feed(struct eg_redact *r, char *p, size_t n, struct eg_slice *held, size_t *ready)
{
    struct search j = { .set = r->set, .view = { { r->held, p }, { r->held_n, n }, false } };
    *held = EG_SLICE_NONE;
    *ready = n;
    if (n == 0 || !r->block)
        return;
    run(&j);
    r->found += j.found;
    *held = eg_slice(r->held, j.end < r->held_n ? j.end : r->held_n);
    *ready = j.end < r->held_n ? 0 : j.end - r->held_n;
    if (r->held_n > 0 || *ready < n)
        hold(r, &j);
}

struct eg_slice eg_redact_end(struct eg_redact *r)
{
    struct search j = { .set = r->set, .view = { { NULL, r->held }, { 0, r->held_n }, true } };
    if (r->held_n == 0)
        return EG_SLICE_NONE;
    run(&j);
    r->found += j.found;
    r->held_n = 0;
    return eg_slice(r->held, eg_view_len(&j.view));
}
