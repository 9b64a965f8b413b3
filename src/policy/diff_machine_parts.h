/* diff_machine_parts.h - how the automaton of diff_machine.h is kept. For diff_machine.c, which makes it, and diff_step.c, which reads paths with it. */
#ifndef EG_POLICY_DIFF_MACHINE_PARTS_H
#define EG_POLICY_DIFF_MACHINE_PARTS_H

#include "policy/diff_machine.h"

enum { ASIS, RAW, DECODED, SLASHES, STREAMS };
enum { STAR = 0x200, END = 0x201, SLASH = 0x100 | '/', VIEWS = 7, PASSES = 4 };
enum cell_kind {
    CELL_GLOB,
    CELL_STAY,  /* a ** takes this segment */
    CELL_NAMED, /* the segment matches without its parameters */
    CELL_DONE   /* nothing is left of the pattern */
};

/* Flags of a state: what is pending of an escape (0, '%', or '%' and a digit), how a segment of dots begins, and for each stream of an
 * origin what is known of its segment. */
enum {
    PENDING = 0xff, /* the digit */
    IN_ESCAPE = 1 << 8,
    DOTS_SHIFT = 9, /* 0 none so far, 1 ".", 2 "..", 3 something else */
    DOTS = 3 << DOTS_SHIFT,
    AFTER_SLASH = 1 << 11,
    FLAGS_SHIFT = 12, /* 3 for each of RAW, DECODED, SLASHES */
    FILLED = 1,       /* the segment has a token */
    NAME_ENDED = 2,   /* parameters have begun */
    BARE = 4          /* with the first token */
};

struct cell {
    uint32_t track;
    uint16_t token; /* an octet, SLASH, STAR or END */
    uint8_t kind, segment;
};
struct segment {
    uint32_t cell;         /* of kind STAY or NAMED */
    uint32_t first, count; /* alternatives: their first cells */
    bool any, optional;    /* **; nothing may stand for it and all that follows */
};
struct track {
    uint32_t language, segments, done;
    uint8_t count, stream;
    bool whole;
};

struct list { /* of fixed-size items */
    void *items;
    size_t count, room, size;
};

struct eg_machine {
    const struct eg_language *languages;
    uint32_t language_count;
    struct list cells, segments, alternatives, tracks;
    uint32_t *mark, *scratch[2]; /* by cell */
    uint32_t generation, count;  /* cells in scratch[0] */
    uint32_t flags;
    bool raw_used[256]; /* octets that some pattern has as they stand */
    bool digits, origins, failed,
        dead; /* digits: the digits of an escape may matter to a pattern */
};

#define AT(list, type, i) (&((type *)(list).items)[i])
#define CELL(m, i)        AT((m)->cells, struct cell, i)
#define TRACK(m, i)       AT((m)->tracks, struct track, i)

static inline int hex_value(unsigned c)
{
    if (c >= '0' && c <= '9')
        return (int)c - '0';
    return c >= 'A' && c <= 'F' ? (int)c - 'A' + 10 : c >= 'a' && c <= 'f' ? (int)c - 'a' + 10 : -1;
}

static inline int digits_at(struct eg_slice s, size_t i)
{
    if (i + 2 > s.n)
        return -1;
    int high = hex_value((unsigned char)s.p[i]), low = hex_value((unsigned char)s.p[i + 1]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

#endif
