/* fmt_parts.h - a file's tree with the comments and empty lines around each value. Only the fmt files include it. */
#ifndef EG_POLICY_FMT_PARTS_H
#define EG_POLICY_FMT_PARTS_H

#include "policy/schema.h"
#include "policy/yaml.h"

struct eg_fmt_note { /* one comment; borrowed from the source */
    struct eg_fmt_note *next;
    struct eg_slice text; /* from its # on, without blanks at the end */
    bool gap;             /* an empty line is above it */
};
struct eg_fmt_notes {
    struct eg_fmt_note *first, *last;
};

struct eg_fmt_part { /* lives in the arena that it was made in */
    const struct eg_yaml *node;
    struct eg_fmt_part *parent;
    struct eg_fmt_part **children; /* in the order of the layout */
    struct eg_fmt_notes above, foot; /* foot: behind its last child */
    struct eg_fmt_note *beside;
    uint32_t start, end;   /* offsets; of a member, start is its key's */
    uint32_t row;          /* of the schema, + 1; 0: unknown */
    uint32_t index;        /* among its siblings, as in the file */
    bool flow;             /* stands in brackets in the file */
    bool gap;              /* an empty line is above it, or between its comments and it */
    bool spread;           /* can't stand on one line: there is a comment in it, or an empty value */
};

struct eg_fmt_tree {
    struct eg_fmt_part *root;
    unsigned notes; /* how many comments there are */
};

/* root: of eg_yaml_read, without a diagnostic. EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_fmt_parts(const struct eg_source *source, const struct eg_yaml *root,
                            struct eg_arena *arena, struct eg_fmt_tree *ret) EG_MUST_USE;

/* Appends text as a scalar: without quotes where no reader could take it for something else. */
enum eg_status eg_fmt_scalar(struct eg_buf *out, const struct eg_yaml *node, bool flow) EG_MUST_USE;
/* A key, in the same way. */
enum eg_status eg_fmt_key(struct eg_buf *out, struct eg_slice name, bool flow) EG_MUST_USE;
/* Would a reader that guesses types take it for a number, a boolean or nothing? Then its quotes stay as they are. */
bool eg_fmt_typed(struct eg_slice text);

#endif
