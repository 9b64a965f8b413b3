/* emit_steps.c - the index over a long list of paths, which steps.c walks: from the model to the block.
 *
 * Patterns that begin with the same segments share the nodes behind them. A segment with braces is one edge for each alternative, all to the same node. In a deny list, whose
 * patterns are also read decoded, only what stands before an escape is looked up by hash. */
#include "policy/emit.h"

#include <stdlib.h>

enum { FEW = 8, FEW_EDGES = 4, BEGIN_MAX = 63, DEPTH_MAX = 65 };

struct item { /* a path of the list */
    struct eg_slice path;
    const struct eg_model_path *from;
    uint32_t index;
};

struct draft {
    const struct eg_model_segment *segment; /* that leads here */
    uint32_t child, last, next;             /* local; 0: none */
    struct eg_block_node node;
};

struct plan {
    struct eg_emit *e;
    struct draft *drafts;
    uint32_t count, base; /* base: of the block's nodes */
    bool deny;
};

/* As text, but with a slash before all else: patterns with the same first segments are neighbours. */
static int compare(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    size_t n = a->path.n < b->path.n ? a->path.n : b->path.n;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)a->path.p[i], d = (unsigned char)b->path.p[i];
        if (c != d)
            return c == '/' ? -1 : d == '/' ? 1 : c < d ? -1 : 1;
    }
    if (a->path.n != b->path.n)
        return a->path.n < b->path.n ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* How many whole segments two paths begin with alike. */
static unsigned alike(struct eg_slice a, struct eg_slice b)
{
    unsigned segments = 0;
    size_t i = 0;
    for (; i < a.n && i < b.n && a.p[i] == b.p[i]; i++)
        segments += i > 0 && a.p[i] == '/';
    bool ends = (i == a.n || a.p[i] == '/') && (i == b.n || b.p[i] == '/');
    return segments + (ends && i > 0);
}

static uint32_t add_draft(struct plan *plan, uint32_t parent,
                          const struct eg_model_segment *segment, uint32_t least)
{
    uint32_t n = plan->count++;
    struct draft *d = &plan->drafts[n], *up = &plan->drafts[parent];
    *d = (struct draft){ .segment = segment, .node = { .least = least } };
    if (n == 0)
        return n;
    if (segment->count == 0) {
        d->node.loops = true;
        up->node.below = plan->base + n;
        return n;
    }
    if (up->last)
        plan->drafts[up->last].next = n;
    else
        up->child = n;
    up->last = n;
    return n;
}

static void add_path(struct plan *plan, uint32_t *nodes, unsigned shared, const struct item *item)
{
    const struct eg_model_path *path = item->from;
    for (unsigned i = shared; i < path->segment_count; i++)
        nodes[i + 1] = add_draft(plan, nodes[i], &path->segments[i], item->index);
    for (unsigned i = 0; i <= path->segment_count; i++)
        if (plan->drafts[nodes[i]].node.least > item->index)
            plan->drafts[nodes[i]].node.least = item->index;
    struct eg_block_range *ends = &plan->drafts[nodes[path->segment_count]].node.ends;
    if (ends->count++ == 0)
        ends->first = eg_emit_count(plan->e, EG_BLOCK_ENDS);
    eg_emit_put(plan->e, EG_BLOCK_ENDS, &item->index);
}

/* How the glob is found, and by how many of its bytes. */
static enum eg_block_step kind_of(const struct plan *plan, struct eg_slice glob, uint32_t *bytes)
{
    long star = eg_slice_index(glob, '*');
    long escape = plan->deny ? eg_slice_index(glob, '%') : -1;
    *bytes = (uint32_t)glob.n;
    if (star < 0 && escape < 0)
        return EG_STEP_LITERAL;
    if (star < 0 || (escape >= 0 && escape < star))
        star = escape;
    *bytes = star < BEGIN_MAX ? (uint32_t)star : BEGIN_MAX;
    return star > 0 ? EG_STEP_BEGIN : EG_STEP_WILD;
}

static unsigned count_edges(const struct plan *plan, const struct draft *d)
{
    unsigned n = 0;
    for (uint32_t c = d->child; c; c = plan->drafts[c].next)
        n += plan->drafts[c].segment->count;
    return n;
}

/* The edges of a node that are wild, or all others. */
static void put_edges(struct plan *plan, uint32_t from, bool wild)
{
    struct draft *d = &plan->drafts[from];
    bool few = count_edges(plan, d) <= FEW_EDGES;
    for (uint32_t c = d->child; c; c = plan->drafts[c].next) {
        const struct eg_model_segment *s = plan->drafts[c].segment;
        for (unsigned i = 0; i < s->count; i++) {
            struct eg_block_edge edge = { .from = plan->base + from, .to = plan->base + c };
            edge.kind = kind_of(plan, s->globs[i], &edge.bytes);
            if (few)
                edge.kind = EG_STEP_WILD;
            if ((edge.kind == EG_STEP_WILD) != wild)
                continue;
            if (edge.kind == EG_STEP_BEGIN)
                d->node.begins |= 1ull << edge.bytes;
            d->node.literals |= edge.kind == EG_STEP_LITERAL;
            d->node.wild.count += wild;
            edge.glob = eg_emit_text(plan->e, s->globs[i]);
            eg_emit_put(plan->e, EG_BLOCK_EDGES, &edge);
        }
    }
}

static void put_nodes(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        plan->drafts[i].node.wild.first = eg_emit_count(plan->e, EG_BLOCK_EDGES);
        put_edges(plan, i, true);
        put_edges(plan, i, false);
        eg_emit_put(plan->e, EG_BLOCK_NODES, &plan->drafts[i].node);
    }
}

uint32_t eg_emit_steps(struct eg_emit *e, const struct eg_model_paths *paths, uint32_t first,
                       bool deny)
{
    static const struct eg_block_node none;
    struct plan plan = { .e = e, .deny = deny };
    uint32_t nodes[DEPTH_MAX] = { 0 };
    size_t most = 1;
    if (paths->count <= FEW)
        return 0;
    for (unsigned i = 0; i < paths->count; i++)
        most += paths->list[i].segment_count;
    struct item *items = eg_model_alloc(e->m, paths->count * sizeof *items);
    plan.drafts = eg_model_alloc(e->m, most * sizeof *plan.drafts);
    if (!items || !plan.drafts)
        return 0; /* the model knows */
    for (unsigned i = 0; i < paths->count; i++) {
        struct eg_slice text = paths->list[i].text;
        items[i].path = eg_slice_from(text, (size_t)eg_slice_index(text, ' ') + 1);
        items[i].from = &paths->list[i];
        items[i].index = first + i;
    }
    qsort(items, paths->count, sizeof *items, compare);
    if (eg_emit_count(e, EG_BLOCK_NODES) == 0)
        eg_emit_put(e, EG_BLOCK_NODES, &none);
    plan.base = eg_emit_count(e, EG_BLOCK_NODES);
    add_draft(&plan, 0, NULL, items[0].index);
    for (unsigned i = 0; i < paths->count; i++)
        add_path(&plan, nodes, i ? alike(items[i - 1].path, items[i].path) : 0, &items[i]);
    put_nodes(&plan);
    return plan.base;
}
