/* http_feed.h - gives one message to the parser in pieces and tells what came of it, for tables
 * and tests. */
#ifndef EG_TESTS_SUPPORT_HTTP_FEED_H
#define EG_TESTS_SUPPORT_HTTP_FEED_H

#include "http/message.h"

enum { EG_FED_TEXT = 8192 };

struct eg_fed {             /* strings are NUL-terminated; slices count where bytes may be NUL */
    char outcome[64];       /* "ok", "again", "closed" or "STATUS reason" */
    char head[EG_FED_TEXT]; /* as the tables show it */
    char body[EG_FED_TEXT]; /* decoded bytes, then "!STATUS reason" where it failed */
    size_t head_n, fields_n, body_n, rest_n;
    char fields[EG_FED_TEXT];
    char rest[EG_FED_TEXT]; /* bytes that the message left */
};

/* Expands {N*c}. Returns how many bytes were written to out (at most cap; 0: no room). */
size_t eg_fed_expand(struct eg_slice text, char *out, size_t cap);
/* Resets m and feeds it bytes cut after each multiple of step, and once more at `cut` (0: not);
 * then ends the stream. Each piece is a block of its own, so that reading over its end is seen. */
void eg_fed_run(struct eg_msg *m, struct eg_slice asked, struct eg_slice bytes, size_t step,
                size_t cut, struct eg_fed *ret);
/* Are the two results the same in every part? */
bool eg_fed_same(const struct eg_fed *a, const struct eg_fed *b);

#endif
