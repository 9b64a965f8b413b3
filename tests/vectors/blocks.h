/* blocks.h - the small policies in fenced blocks of a decision table: ```yaml NAME [org|user|untrusted]. Its rows name one of them, or up to three that are in force
 * together: "a+b+c". */
#ifndef EG_TESTS_VECTORS_BLOCKS_H
#define EG_TESTS_VECTORS_BLOCKS_H

#include "policy/compile.h"

enum { EG_BLOCKS_MAX = 64, EG_BLOCKS_FILES = 3 };

struct eg_vector_block {
    char name[32]; /* and its file's, in messages */
    bool org, user, untrusted; /* none: the repository's, trusted */
    struct eg_slice text;
};

struct eg_blocks {
    char *file; /* the whole text; free it */
    struct eg_vector_block list[EG_BLOCKS_MAX];
    unsigned count;
};

/* All of these assert that what they ask for is there and valid. */
void eg_blocks_read(struct eg_blocks *b, const char *path);
/* The blocks that the cell names; returns how many. */
unsigned eg_blocks_of(const struct eg_blocks *b, struct eg_slice names,
                      const struct eg_vector_block *list[EG_BLOCKS_FILES]);
/* Compiles them into block, and more, if it is not NULL, as the command line's layer. */
void eg_blocks_compile(const struct eg_blocks *b, struct eg_slice names, const char *more, struct eg_buf *block);

#endif
