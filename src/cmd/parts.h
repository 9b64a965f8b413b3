/* parts.h - reads the files that policy files extend, for the compiler (eg_policy_reader.extend), and keeps their texts. */
#ifndef EG_CMD_PARTS_H
#define EG_CMD_PARTS_H

#include "policy/compile.h"

struct eg_parts {         /* zeroed before use */
    const char *revision; /* NULL, or "REV:": what begins with it is read from git */
    struct eg_part {
        char *path;
        struct eg_buf text;
    } * list;
    unsigned count;
};

/* As eg_policy_reader.extend; ctx: struct eg_parts. */
enum eg_status eg_parts_read(void *ctx, const char *path, const char *below, struct eg_slice *text,
                             struct eg_err *err) EG_MUST_USE;
void eg_parts_done(struct eg_parts *p);

#endif
