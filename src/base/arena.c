/* arena.c - bump allocation; everything is freed at once.
 *
 * Chunks hang in a list, newest first; memory is handed out from the newest only. What is handed
 * out is zeroed, also after a reset. Not for secrets: nothing is wiped when it is freed. */
#include "base/arena.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Chunks double from the first to the last size, so that a compilation does not need thousands of
 * them. */
enum { CHUNK_FIRST = 4096, CHUNK_LAST = 65536 };

struct eg_arena_chunk {
    struct eg_arena_chunk *older;
    size_t cap;
    size_t used;
    _Alignas(max_align_t) char bytes[];
};

void eg_arena_init(struct eg_arena *a, size_t max)
{
    *a = (struct eg_arena){ .max = max };
}

void eg_arena_reset(struct eg_arena *a)
{
    /* The oldest is kept: it has the ordinary size, whereas a later one may be huge. */
    while (a->head && a->head->older) {
        struct eg_arena_chunk *chunk = a->head;
        a->head = chunk->older;
        free(chunk);
    }
    if (a->head)
        a->head->used = 0;
    a->used = 0;
}

void eg_arena_done(struct eg_arena *a)
{
    if (!a)
        return;
    eg_arena_reset(a);
    free(a->head);
    a->head = NULL;
}

static struct eg_arena_chunk *add_chunk(struct eg_arena *a, size_t n)
{
    size_t header = sizeof(struct eg_arena_chunk);
    size_t cap = CHUNK_FIRST - header;
    if (a->head)
        cap = a->head->cap < CHUNK_LAST / 2 ? a->head->cap * 2 : CHUNK_LAST - header;
    if (cap < n)
        cap = n;
    if (cap > SIZE_MAX - header)
        return NULL;
    struct eg_arena_chunk *chunk = malloc(header + cap);
    if (!chunk)
        return NULL;
    chunk->older = a->head;
    chunk->cap = cap;
    chunk->used = 0;
    a->head = chunk;
    return chunk;
}

void *eg_arena_alloc(struct eg_arena *a, size_t n)
{
    const size_t align = _Alignof(max_align_t);
    if (n > SIZE_MAX - align)
        return NULL;
    /* Zero bytes get an address of their own, as callers expect NULL to mean failure. */
    size_t room = n == 0 ? align : (n + align - 1) / align * align;
    if (room > a->max - a->used)
        return NULL;
    struct eg_arena_chunk *chunk = a->head;
    if (!chunk || chunk->cap - chunk->used < room)
        chunk = add_chunk(a, room);
    if (!chunk)
        return NULL;
    char *p = chunk->bytes + chunk->used;
    chunk->used += room;
    a->used += room;
    return memset(p, 0, room);
}

char *eg_arena_dup(struct eg_arena *a, struct eg_slice s)
{
    if (s.n == SIZE_MAX)
        return NULL;
    char *p = eg_arena_alloc(a, s.n + 1);
    if (p && s.n)
        memcpy(p, s.p, s.n);
    return p;
}
