/* duo.h - runs the two ends of a connection against each other in one process, without waiting: each in turn until both are
 * done or neither gets further. Loops are bounded. */
#ifndef EG_TESTS_DUO_H
#define EG_TESTS_DUO_H

#include "stream/stream.h"

struct duo_result {
    enum eg_status a, b;
    struct eg_err a_err, b_err;
};

/* Connects both; EG_AGAIN in the result: that end got stuck. */
struct duo_result duo_connect(struct eg_stream *a, struct eg_stream *b);
/* Sends n bytes of a pattern that seed decides from one end to the other and compares. EG_OK, or what failed;
 * EG_INVALID: other bytes came; EG_AGAIN: stuck. */
enum eg_status duo_copy(struct eg_stream *from, struct eg_stream *to, size_t n, uint32_t seed);
/* Both directions at once. */
enum eg_status duo_copy_both(struct eg_stream *a, struct eg_stream *b, size_t n, uint32_t seed);
/* Shuts from until that is out, and reads the end at to. EG_EOF when it is seen; anything else as recv says. */
enum eg_status duo_shut(struct eg_stream *from, struct eg_stream *to);
/* Reads until something else than EG_AGAIN comes (bounded). */
enum eg_status duo_recv(struct eg_stream *s, char *p, size_t n, size_t *done, struct eg_err *err);
/* Writes or reads exactly n bytes, whatever the other end does meanwhile: for small messages that fit into the pipe. */
enum eg_status duo_put(struct eg_stream *s, const char *p, size_t n);

#endif
