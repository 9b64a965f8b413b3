/* origins.c - which line of which file each single value has come from: noted while the model grows, kept in the block for `policy show`. No decision reads it. */
#include "policy/emit.h"

#include <stdlib.h>

#include "base/table.h"
#include "policy/show.h"

enum { ORIGINS_MAX = 200000, DEPTH_MAX = 3 };

static void note_one(struct eg_model *m, struct eg_slice key, struct eg_place at)
{
    struct eg_place *place;
    enum eg_status st = EG_OK;
    if (!m->origins)
        st = eg_table_new(&m->origins, ORIGINS_MAX);
    place = m->origins ? eg_table_get(m->origins, key) : NULL;
    if (st == EG_OK && !place) {
        place = eg_model_alloc(m, sizeof *place);
        st = place && key.p ? eg_table_add(m->origins, key, place) : EG_NOMEM;
    }
    if (st == EG_OK)
        *place = at;
    else if (st == EG_NOMEM)
        m->status = st;
}

/* A value that is defined anew takes nothing from what it was. */
static void forget(struct eg_model *m, struct eg_slice key)
{
    size_t cursor = 0;
    struct eg_slice other;
    void *value;
    if (!m->origins || !eg_table_get(m->origins, key))
        return;
    while (eg_table_next(m->origins, &cursor, &other, &value))
        if (eg_slice_starts(other, key) && other.n > key.n && other.p[key.n] == '.')
            ((struct eg_place *)value)->source = NULL;
}

static void note(struct eg_model *m, struct eg_slice key, const struct eg_yaml *node, unsigned depth)
{
    if (!key.p || node->bad)
        return;
    note_one(m, key, node->name.p ? node->name_at : node->at);
    for (const struct eg_yaml *n = node->kind == EG_YAML_MAP && depth < DEPTH_MAX ? node->first : NULL; n;
         n = n->next)
        note(m, eg_model_printf(m, "%.*s.%.*s", (int)key.n, key.p, (int)n->name.n, n->name.p), n,
             depth + 1);
}

void eg_model_note(struct eg_model *m, const char *parent, const struct eg_yaml *node)
{
    if (!node)
        return;
    struct eg_slice key = eg_model_printf(m, "%s%s%.*s", parent, *parent ? "." : "",
                                          (int)node->name.n, node->name.p);
    if (key.p && *parent)
        forget(m, key);
    note(m, key, node, 0);
}

static int by_key(const void *a, const void *b)
{
    const struct eg_model_origin *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = n ? memcmp(x->key.p, y->key.p, n) : 0;
    return c ? c : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

void eg_emit_origins(struct eg_emit *e)
{
    size_t count = e->m->origins ? eg_table_count(e->m->origins) : 0, n = 0, cursor = 0;
    struct eg_model_origin *list = eg_model_alloc(e->m, (count + 1) * sizeof *list);
    void *value;
    struct eg_slice key;
    if (!list)
        return;
    while (e->m->origins && eg_table_next(e->m->origins, &cursor, &key, &value))
        if (((struct eg_place *)value)->source)
            list[n++] = (struct eg_model_origin){ key, *(struct eg_place *)value };
    qsort(list, n, sizeof *list, by_key);
    for (size_t i = 0; i < n; i++) {
        struct eg_block_origin o = { eg_emit_text(e, list[i].key),
                                     eg_emit_text(e, eg_model_rule_text(e->m, list[i].at)) };
        eg_emit_put(e, EG_BLOCK_ORIGINS, &o);
    }
}

struct eg_slice eg_policy_origin(const struct eg_policy *p, struct eg_slice key)
{
    const struct eg_model_origin wanted = { .key = key };
    for (uint32_t from = 0, to = p->count[EG_BLOCK_ORIGINS]; from < to;) {
        uint32_t middle = from + (to - from) / 2;
        const struct eg_model_origin here = { .key = eg_block_slice(p, p->origins[middle].key) };
        int c = by_key(&wanted, &here);
        if (c == 0)
            return eg_block_slice(p, p->origins[middle].rule);
        *(c < 0 ? &to : &from) = c < 0 ? middle : middle + 1;
    }
    return EG_SLICE_NONE;
}
