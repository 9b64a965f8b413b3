/* steps.c - the index over a long list of paths: a tree of the segments that their patterns begin with, so that the cost of a question does not grow with the
 * list. It finds what paths.c finds by trying every pattern.
 *
 * A question walks the tree segment by segment with the set of all nodes that fit so far. From a node, literal segments are found by hash and patterns that
 * begin literally by the hash of that beginning; the rest is tried one by one. The set has a ceiling, since policies are hostile too: above it the index gives up, and the list is
 * tried from its first to its last pattern, which costs no more than their product. */
#include "policy/reading.h"

#include <sodium.h>

enum { NODES_MAX = 64, KEY_MAX = 1024 };

struct set {
    uint32_t list[NODES_MAX];
    unsigned count;
    bool full;
};

struct key { /* the bytes of a segment in a reading */
    struct eg_slice text;
    size_t name; /* of them, those before its parameters */
    bool whole;  /* they are all here */
    char bytes[KEY_MAX];
};

uint64_t eg_block_step_hash(const unsigned char hash_key[16], uint32_t from,
                            enum eg_block_step kind, struct eg_slice text)
{
    union {
        unsigned char bytes[crypto_shorthash_BYTES];
        uint64_t number;
    } out;
    unsigned char in[128];
    size_t n = text.n < sizeof in - 5 ? text.n : sizeof in - 5;
    memcpy(in, &from, 4);
    in[4] = (unsigned char)kind;
    if (n)
        memcpy(in + 5, text.p, n);
    crypto_shorthash(out.bytes, in, n + 5, hash_key);
    return out.number;
}

/* With what ** stands for nothing leads to. */
static void add(const struct eg_policy *p, struct set *to, uint32_t node)
{
    for (; node; node = p->nodes[node].below) {
        for (unsigned i = 0; i < to->count; i++)
            if (to->list[i] == node)
                return;
        if (to->count == NODES_MAX) {
            to->full = true;
            return;
        }
        to->list[to->count++] = node;
    }
}

static void read_key(const struct eg_view *v, const struct eg_view_segment *s, struct key *k)
{
    size_t width = 1, n = 0, name = SIZE_MAX;
    k->whole = true;
    if (v->plain) {
        k->text = eg_slice(eg_view_bytes(v, s->start), s->end - s->start);
        k->name = k->text.n;
        return;
    }
    for (size_t i = s->start; i < s->end && k->whole; i += width) {
        if (i == s->name)
            name = n;
        if (n < KEY_MAX)
            k->bytes[n++] = (char)eg_view_unit(v, i, s->end, &width);
        else
            k->whole = false;
    }
    k->text = eg_slice(k->bytes, n);
    k->name = name == SIZE_MAX ? n : name;
}

struct walk {
    const struct eg_policy *p;
    const struct eg_view *v;
    const struct eg_view_segment *s;
    struct set *to;
};

/* Every edge with that key; those of patterns are tried. */
static void look_up(const struct walk *w, uint32_t from, enum eg_block_step kind,
                    struct eg_slice key)
{
    const struct eg_policy *p = w->p;
    uint32_t mask = p->count[EG_BLOCK_STEPS_HASH] - 1;
    uint64_t at = eg_block_step_hash(p->head->hash_key, from, kind, key);
    for (uint32_t i = (uint32_t)at & mask; p->steps[i].record; i = (i + 1) & mask) {
        const struct eg_block_edge *e = &p->edges[p->steps[i].record - 1];
        if (p->steps[i].tag == (uint32_t)(at >> 32) && e->from == from &&
            e->kind == (uint32_t)kind &&
            eg_slice_eq(eg_slice(p->pool + e->glob.offset, e->bytes), key) &&
            (kind == EG_STEP_LITERAL || eg_view_match_glob(w->v, w->s, eg_block_slice(p, e->glob))))
            add(p, w->to, e->to);
    }
}

static void step_from(const struct walk *w, uint32_t from, const struct key *k)
{
    const struct eg_block_node *n = &w->p->nodes[from];
    if (n->loops)
        add(w->p, w->to, from);
    if (n->literals && k->whole) {
        look_up(w, from, EG_STEP_LITERAL, k->text);
        if (k->name < k->text.n)
            look_up(w, from, EG_STEP_LITERAL, eg_slice(k->text.p, k->name));
    }
    for (uint64_t left = n->begins; left; left &= left - 1) {
        size_t length = (size_t)__builtin_ctzll(left);
        if (length > k->text.n)
            break;
        look_up(w, from, EG_STEP_BEGIN, eg_slice(k->text.p, length));
    }
    for (uint32_t i = 0; i < n->wild.count; i++) {
        const struct eg_block_edge *e = &w->p->edges[n->wild.first + i];
        if (eg_view_match_glob(w->v, w->s, eg_block_slice(w->p, e->glob)))
            add(w->p, w->to, e->to);
    }
}

static void step(const struct eg_policy *p, const struct eg_view *v,
                 const struct eg_view_segment *s, const struct set *from, struct set *to)
{
    struct key k;
    const struct walk w = { p, v, s, to };
    read_key(v, s, &k);
    to->count = 0;
    to->full = from->full;
    for (unsigned i = 0; i < from->count && !to->full; i++)
        step_from(&w, from->list[i], &k);
}

/* In the readings of an origin nothing may stand for a part that the empty segment matches, as behind a slash at the end. */
static void step_over_nothing(const struct eg_policy *p, const struct eg_view *v, struct set *at)
{
    const struct eg_view_segment nothing = { 0, 0, 0, 0 };
    const struct walk w = { p, v, &nothing, at };
    struct key k; /* not all of it zeroed: it is large */
    k.text = EG_SLICE("");
    k.name = 0;
    k.whole = true;
    for (unsigned i = 0; i < at->count && !at->full; i++) /* grows on the way */
        step_from(&w, at->list[i], &k);
}

/* All nodes that the whole path leads to. near: also how far it led before it led nowhere. */
static void walk(const struct eg_policy *p, uint32_t root, const struct eg_view *v, struct set *at,
                 struct set *near)
{
    struct eg_view_segment s;
    struct set sets[2];
    unsigned now = 0;
    sets[0].count = 0;
    sets[0].full = false;
    add(p, &sets[0], root);
    for (size_t i = 1; sets[now].count > 0 && !sets[now].full && eg_view_segment_at(v, i, &s);
         i = s.next) {
        step(p, v, &s, &sets[now], &sets[!now]);
        if (near && sets[!now].count == 0)
            *near = sets[now];
        now = !now;
    }
    at->count = sets[now].count;
    at->full = sets[now].full;
    memcpy(at->list, sets[now].list, at->count * sizeof *at->list);
    if (at->count > 0 && v->how != EG_READ_AS_IT_IS)
        step_over_nothing(p, v, at);
    if (near && at->count > 0)
        *near = *at;
}

bool eg_block_steps_find(const struct eg_policy *p, struct eg_block_paths list,
                         const struct eg_view *v, struct eg_slice method, bool deny,
                         const struct eg_block_path **ret)
{
    struct set at;
    walk(p, list.root, v, &at, NULL);
    *ret = NULL;
    for (unsigned i = 0; i < at.count; i++) {
        struct eg_block_range ends = p->nodes[at.list[i]].ends;
        for (uint32_t k = 0; k < ends.count; k++) {
            const struct eg_block_path *path = &p->paths[p->ends[ends.first + k]];
            if (*ret && path >= *ret)
                break;
            if (eg_block_path_method(p, path, method, deny)) {
                *ret = path;
                break;
            }
        }
    }
    return !at.full;
}

unsigned eg_block_steps_near(const struct eg_policy *p, struct eg_block_paths list,
                             const struct eg_view *v, uint32_t out[EG_NEAR_MAX])
{
    struct set at, near = { .count = 0 };
    unsigned count = 0;
    walk(p, list.root, v, &at, &near);
    for (unsigned i = 0; i < near.count; i++) {
        const struct eg_block_node *n = &p->nodes[near.list[i]];
        for (uint32_t k = 0; k < n->ends.count && count < EG_NEAR_MAX; k++)
            out[count++] = p->ends[n->ends.first + k];
        if (count < EG_NEAR_MAX)
            out[count++] = n->least;
    }
    if (count == 0)
        out[count++] = list.first;
    return count;
}
