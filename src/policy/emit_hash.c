/* emit_hash.c - the tables by which targets and steps are found, once all texts are in.
 *
 * Linear probing at half load at most; keyed by the texts themselves, so that nobody can write rules that collide. */
#include "policy/emit.h"

#include <sodium.h>

/* Room for that many records at half load: the whole of that section. NULL: e->status tells. */
static struct eg_block_entry *make_table(struct eg_emit *e, enum eg_block_section s, uint32_t count,
                                         uint32_t *size)
{
    char *room = NULL;
    for (*size = 8; *size < 2 * count;)
        *size *= 2;
    size_t n = *size * sizeof(struct eg_block_entry);
    if (e->status == EG_OK)
        e->status = eg_buf_reserve(&e->part[s], n, &room);
    if (e->status != EG_OK)
        return NULL;
    memset(room, 0, n);
    eg_buf_commit(&e->part[s], n);
    return (struct eg_block_entry *)(void *)room; /* the section is all its own */
}

static struct eg_block_entry *enter(struct eg_block_entry *table, uint32_t size, uint64_t hash,
                                    uint32_t record)
{
    uint32_t at = (uint32_t)hash & (size - 1);
    while (table[at].record)
        at = (at + 1) & (size - 1);
    table[at] = (struct eg_block_entry){ .tag = (uint32_t)(hash >> 32), .record = record + 1 };
    return &table[at];
}

static void put_targets(struct eg_emit *e)
{
    const struct eg_block_target *targets = (const void *)(e->part[EG_BLOCK_TARGETS].data);
    uint32_t count = eg_emit_count(e, EG_BLOCK_TARGETS), size;
    struct eg_block_entry *table = make_table(e, EG_BLOCK_SLOTS_HASH, count, &size);
    const char *pool = e->part[EG_BLOCK_POOL].data;
    if (!table)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct eg_slice key = eg_slice(pool + targets[i].key.offset, targets[i].key.length);
        struct eg_block_entry *entry =
            enter(table, size, eg_block_hash(e->head.hash_key, targets[i].kind, key), i);
        entry->key = targets[i].key.offset;
        entry->rule = targets[i].rules.first;
    }
}

static void put_steps(struct eg_emit *e)
{
    const struct eg_block_edge *edges = (const void *)e->part[EG_BLOCK_EDGES].data;
    const char *pool = e->part[EG_BLOCK_POOL].data;
    uint32_t count = eg_emit_count(e, EG_BLOCK_EDGES), size;
    struct eg_block_entry *table = make_table(e, EG_BLOCK_STEPS_HASH, count, &size);
    if (!table)
        return;
    for (uint32_t i = 0; i < count; i++)
        if (edges[i].kind != EG_STEP_WILD)
            enter(table, size,
                  eg_block_step_hash(e->head.hash_key, edges[i].from,
                                     (enum eg_block_step)edges[i].kind,
                                     eg_slice(pool + edges[i].glob.offset, edges[i].bytes)),
                  i);
}

void eg_emit_hashes(struct eg_emit *e)
{
    const char *pool = e->part[EG_BLOCK_POOL].data;
    size_t pool_size = e->part[EG_BLOCK_POOL].len;
    crypto_generichash(e->head.hash_key, sizeof e->head.hash_key,
                       (const unsigned char *)(pool_size ? pool : ""), pool_size, NULL, 0);
    put_targets(e);
    put_steps(e);
}
