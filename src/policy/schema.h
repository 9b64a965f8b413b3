/* schema.h - every key of the policy language in one table. It drives the parser; the manual page is checked against it. */
#ifndef EG_POLICY_SCHEMA_H
#define EG_POLICY_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum eg_schema_shape { EG_SHAPE_SCALAR = 1, EG_SHAPE_LIST = 2, EG_SHAPE_MAP = 4 };

enum eg_schema_type { /* of a scalar */
                      EG_TYPE_NONE,
                      EG_TYPE_TEXT,
                      EG_TYPE_BOOL,
                      EG_TYPE_NUMBER,
                      EG_TYPE_SIZE,     /* bytes: 64KiB, 8MiB, 1GiB, or plain digits */
                      EG_TYPE_DURATION, /* milliseconds: 10ms, 10s, 5m, 24h */
                      EG_TYPE_WORD,     /* one of `words` */
};

enum eg_schema_flag {
    EG_KEY_REQUIRED = 1,
    EG_KEY_UNTRUSTED = 2, /* an untrusted file may contain it */
    EG_KEY_RESERVED = 4,  /* of the language, not of this version: not-available */
    EG_KEY_ANY_NAME = 8,  /* a map whose keys are names; its values are the row PATH.* */
    EG_KEY_SOURCE = 16,   /* as credentials.*.from, whose children it has */
};

struct eg_schema_key {
    const char *path; /* "services.*.tls.ca"; "allow[]" is an element of the list "allow" */
    unsigned shapes;  /* of enum eg_schema_shape */
    enum eg_schema_type type;
    unsigned flags;
    uint64_t min, max;    /* of a number, bytes or milliseconds */
    const char *words;    /* "a|b|c"; for text beside it: a word that is taken as it is */
    const char *standard; /* the default as it would be written; NULL: none */
};

/* The i-th row, NULL behind the last. Static storage. */
const struct eg_schema_key *eg_schema_each(unsigned i);
/* Row of the child `name` below the row `parent` (0: the file itself); row + 1, 0 when there is none. */
uint32_t eg_schema_child(uint32_t parent, struct eg_slice name);
/* Is `row` a key directly below the row `parent`? Both + 1; elements of lists and maps of names are none. */
bool eg_schema_is_child(uint32_t parent, uint32_t row);
/* Row of the elements of a list, or of the values of a map with any names; row + 1 or 0. */
uint32_t eg_schema_element(uint32_t parent);
/* The known sibling that is nearest to a misspelt name; NULL when none is near. */
const char *eg_schema_nearest(uint32_t parent, struct eg_slice name);
/* Optimal string alignment distance of two short texts; 32 for longer ones. */
unsigned eg_schema_distance(struct eg_slice a, const char *b);
/* Last part of the row's path. */
const char *eg_schema_name(uint32_t row);
/* Index of the word in "a|b|c", or -1. */
int eg_schema_word(const char *words, struct eg_slice text);

#endif
