/* learn_parts.h - what learn.c gathers and learn_lines.c makes lines of. Only they include it. */
#ifndef EG_POLICY_LEARN_PARTS_H
#define EG_POLICY_LEARN_PARTS_H

#include "base/arena.h"
#include "policy/learn.h"

struct eg_table;

enum { EG_LEARN_PATTERN = 2048 };

struct eg_learn_entry { /* one thing that was asked for */
    struct eg_slice key; /* what it is sorted by */
    enum eg_learnt_kind kind;
    struct eg_authority to;
    struct eg_slice service, pattern; /* "METHOD /path" of requests */
    struct eg_slice why;
    unsigned long count;
    bool used;
};

struct eg_learn {
    const struct eg_policy *p, *odd;
    struct eg_arena arena;
    struct eg_table *table;
    struct eg_learn_entry **list;
    unsigned count;
    struct eg_learnt *learnt;
    unsigned learnt_count;
    bool failed;
};

/* A copy in the arena; no memory sets failed. */
struct eg_slice eg_learn_text(struct eg_learn *l, const char *text);

#endif
