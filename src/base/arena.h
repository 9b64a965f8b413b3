/* arena.h - bump allocation for one exchange or one compilation; everything is freed at once. */
#ifndef EG_BASE_ARENA_H
#define EG_BASE_ARENA_H

#include "base/slice.h"

struct eg_arena_chunk;
struct eg_arena {
    struct eg_arena_chunk *head;
    size_t used; /* bytes handed out */
    size_t max;  /* ceiling for used */
};

void eg_arena_init(struct eg_arena *a, size_t max);
/* Frees everything but one chunk, which is kept for the next use. */
void eg_arena_reset(struct eg_arena *a);
void eg_arena_done(struct eg_arena *a);
/* Zeroed memory aligned for any type; NULL when out of memory or above the ceiling. Valid until
 * reset/done. */
void *eg_arena_alloc(struct eg_arena *a, size_t n);
/* A NUL-terminated copy; NULL as above. */
char *eg_arena_dup(struct eg_arena *a, struct eg_slice s);

#endif
