/* diff_search.c - goes through the states of a machine breadth first, so that the first path to a state is a shortest one.
 *
 * Bounded: by the caller's budget, by the number of states and by the memory of their cells. Where a bound is met, or a set of languages was
 * seen on paths alone that turned out to be unsafe, the search says that it was cut. */
#include "policy/diff_machine.h"

#include <stdlib.h>

enum {
    NODES_MAX = 1 << 16,
    CELLS_MAX = 1 << 22,
    SETS_MAX = 1 << 12,
    DEPTH_MAX = 1500,
    SIGNS_COST = 100
};

struct node {
    uint64_t hash;
    uint32_t parent, first, count, flags;
    struct eg_machine_sign sign;
};
struct set { /* of languages that match */
    uint64_t hash;
    uint32_t first, count;
    bool taken;
};

struct walk {
    struct eg_search *s;
    struct eg_machine *m;
    struct node *nodes;
    uint32_t node_count, node_room;
    uint32_t *table, table_size; /* a power of two: 0, or index of a node + 1 */
    uint32_t *cells, cell_count, cell_room;
    struct set *sets;
    uint32_t set_count, set_room;
    uint32_t *members, member_count, member_room;
    uint32_t *work[2]; /* one state, one set of languages */
    bool failed;
};

static uint64_t hash_of(uint32_t flags, const uint32_t *list, uint32_t count)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ flags;
    for (uint32_t i = 0; i < count; i++) {
        h = (h ^ list[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

/* The list with room for `more` items behind the first `count`; it stays as it is, and failed is set, without memory. */
static void *grow(struct walk *w, void *list, uint32_t count, uint32_t *room, uint32_t more,
                  size_t size)
{
    if (count + more <= *room)
        return list;
    uint32_t wide = (count + more) * 2;
    void *bigger = realloc(list, wide * size);
    if (!bigger) {
        w->failed = true;
        return list;
    }
    *room = wide;
    return bigger;
}

/* At most half of the table is ever in use. */
static void grow_table(struct walk *w)
{
    uint32_t size = w->table_size ? 4 * w->table_size : 256;
    if (2 * w->node_count < w->table_size)
        return;
    uint32_t *table = calloc(size, sizeof *table);
    if (!table) {
        w->failed = true;
        return;
    }
    for (uint32_t i = 0; i < w->node_count; i++) {
        uint32_t slot = (uint32_t)w->nodes[i].hash & (size - 1);
        while (table[slot])
            slot = (slot + 1) & (size - 1);
        table[slot] = i + 1;
    }
    free(w->table);
    w->table = table;
    w->table_size = size;
}

static bool same_node(const struct walk *w, uint32_t i, uint64_t hash,
                      const struct eg_machine_state *at)
{
    const struct node *n = &w->nodes[i];
    return n->hash == hash && n->flags == at->flags && n->count == at->count &&
           (at->count == 0 ||
            memcmp(w->cells + n->first, at->cells, at->count * sizeof *at->cells) == 0);
}

static void add_node(struct walk *w, const struct eg_machine_state *at, uint32_t parent,
                     struct eg_machine_sign sign)
{
    uint64_t hash = hash_of(at->flags, at->cells, at->count);
    grow_table(w);
    if (w->failed)
        return;
    uint32_t mask = w->table_size - 1, slot = (uint32_t)hash & mask;
    for (; w->table[slot]; slot = (slot + 1) & mask)
        if (same_node(w, w->table[slot] - 1, hash, at))
            return;
    if (w->node_count == NODES_MAX || w->cell_count + at->count > CELLS_MAX) {
        w->s->cut = true;
        return;
    }
    w->nodes = grow(w, w->nodes, w->node_count, &w->node_room, 1, sizeof *w->nodes);
    w->cells = grow(w, w->cells, w->cell_count, &w->cell_room, at->count, sizeof *w->cells);
    if (w->failed)
        return;
    if (at->count > 0)
        memcpy(w->cells + w->cell_count, at->cells, at->count * sizeof *at->cells);
    w->nodes[w->node_count] =
        (struct node){ hash, parent, w->cell_count, at->count, at->flags, sign };
    w->cell_count += at->count;
    w->table[slot] = ++w->node_count;
}

static struct eg_machine_state state_of(const struct walk *w, uint32_t i)
{
    const struct node *n = &w->nodes[i];
    return (struct eg_machine_state){ n->flags, n->count ? w->cells + n->first : NULL, n->count };
}

/* The path to a node. False: it does not fit. */
static bool path_to(const struct walk *w, uint32_t i, char out[3 * DEPTH_MAX + 1], size_t *n)
{
    static const char hex[] = "0123456789ABCDEF";
    struct eg_machine_sign signs[DEPTH_MAX];
    unsigned depth = 0;
    for (; i > 0; i = w->nodes[i].parent) {
        if (depth == DEPTH_MAX)
            return false;
        signs[depth++] = w->nodes[i].sign;
    }
    size_t at = 0;
    out[at++] = '/';
    while (depth-- > 0) {
        if (signs[depth].escaped) {
            out[at++] = '%';
            out[at++] = hex[signs[depth].octet >> 4];
            out[at++] = hex[signs[depth].octet & 15];
        } else {
            out[at++] = (char)signs[depth].octet;
        }
    }
    *n = at;
    return true;
}

/* The set's entry, a new one where there was none; NULL: no room. */
static struct set *find_set(struct walk *w, const uint32_t *list, uint32_t count)
{
    uint64_t hash = hash_of(0, list, count);
    for (uint32_t i = 0; i < w->set_count; i++)
        if (w->sets[i].hash == hash && w->sets[i].count == count &&
            (count == 0 || memcmp(w->members + w->sets[i].first, list, count * sizeof *list) == 0))
            return &w->sets[i];
    if (w->set_count == SETS_MAX) {
        w->s->cut = true;
        return NULL;
    }
    w->sets = grow(w, w->sets, w->set_count, &w->set_room, 1, sizeof *w->sets);
    w->members = grow(w, w->members, w->member_count, &w->member_room, count, sizeof *w->members);
    if (w->failed)
        return NULL;
    if (count > 0)
        memcpy(w->members + w->member_count, list, count * sizeof *list);
    struct set *set = &w->sets[w->set_count++];
    *set = (struct set){ hash, w->member_count, count, false };
    w->member_count += count;
    return set;
}

static void look_at(struct walk *w, uint32_t i)
{
    char path[3 * DEPTH_MAX + 1];
    size_t n;
    uint32_t count;
    struct eg_machine_state at = state_of(w, i);
    if (!eg_machine_end(w->m, &at, w->work[1], &count))
        return;
    struct set *set = find_set(w, w->work[1], count);
    if (!set || set->taken)
        return;
    if (path_to(w, i, path, &n))
        set->taken = w->s->take(w->s->ctx, eg_slice(path, n));
}

static void expand(struct walk *w, uint32_t i)
{
    struct eg_machine_sign signs[EG_MACHINE_SIGNS];
    struct eg_machine_state to = { 0, w->work[0], 0 }, from = state_of(w, i);
    unsigned count = eg_machine_signs(w->m, &from, w->s->plain, signs);
    *w->s->budget -= *w->s->budget < SIGNS_COST ? *w->s->budget : SIGNS_COST;
    for (unsigned k = 0; k < count && !w->failed; k++) {
        from = state_of(w, i); /* the list may have moved */
        uint64_t cost = 1 + (uint64_t)from.count * (signs[k].escaped ? 4 : 1);
        if (*w->s->budget < cost) {
            *w->s->budget = 0;
            w->s->cut = true;
            return;
        }
        *w->s->budget -= cost;
        if (!eg_machine_step(w->m, &from, signs[k], &to))
            continue;
        if (!w->s->wanted || eg_machine_wanted(w->m, &to))
            add_node(w, &to, i, signs[k]);
    }
}

static void walk_all(struct walk *w)
{
    struct eg_machine_state start = { 0, w->work[0], 0 };
    eg_machine_start(w->m, &start);
    add_node(w, &start, 0, (struct eg_machine_sign){ '/', false });
    for (uint32_t i = 0; i < w->node_count && !w->failed && *w->s->budget > 0; i++) {
        look_at(w, i);
        if (w->nodes[i].count > 0) /* else nothing can match any more */
            expand(w, i);
    }
    for (uint32_t i = 0; i < w->set_count; i++)
        w->s->cut = w->s->cut || !w->sets[i].taken;
}

enum eg_status eg_search_run(struct eg_search *s)
{
    struct walk w = { .s = s };
    s->cut = false;
    enum eg_status status = eg_machine_new(s->list, s->count, &w.m);
    if (status != EG_OK)
        return status;
    size_t room = eg_machine_cells(w.m) + 1u;
    w.work[0] = calloc(room, sizeof *w.work[0]);
    w.work[1] = calloc(room, sizeof *w.work[1]);
    w.failed = !w.work[0] || !w.work[1];
    if (!w.failed)
        walk_all(&w);
    free(w.nodes);
    free(w.table);
    free(w.sets);
    free(w.work[0]);
    free(w.work[1]);
    free(w.cells);
    free(w.members);
    eg_machine_free(w.m);
    return w.failed ? EG_NOMEM : EG_OK;
}
