/* origin.h - an HTTP/1.1 origin for tests, on a loop: TLS or plain, many connections, keep-alive, and answers of every kind
 * by path (origin_paths.c lists them). It stands in for an API in integration tests, the quickstart and the benchmarks. */
#ifndef EG_TESTS_ORIGIN_H
#define EG_TESTS_ORIGIN_H

#include "base/buf.h"
#include "http/message.h"
#include "net/listen.h"
#include "stream/stream.h"
#include "tls/context.h"

struct origin_config {
    const char *dir;        /* where sse-go and want are looked for */
    uint16_t port;          /* on 127.0.0.1; 0: the kernel's choice */
    struct eg_tls_ctx *tls; /* borrowed; NULL: plain */
    int record;             /* every request's raw bytes go there, one write each; -1: none */
};

struct origin;
/* NULL when it can't be set up. */
struct origin *origin_new(struct eg_loop *loop, const struct origin_config *config);
void origin_free(struct origin *o);
uint16_t origin_port(const struct origin *o);

/* ---- between origin.c and origin_paths.c ---- */

enum origin_after { ORIGIN_NEXT, ORIGIN_CLOSE, ORIGIN_CUT, ORIGIN_RESET, ORIGIN_HOLD, ORIGIN_SSE, ORIGIN_TRICKLE, ORIGIN_ECHO };

struct origin_stats {
    unsigned connections, requests, resumed, open;
};

struct origin_request {
    const struct eg_head *head;
    struct eg_slice path; /* without the query */
    struct eg_slice body; /* decoded */
    const char *dir;      /* the origin's */
};

struct origin_answer {
    struct eg_buf out;       /* what is sent as it is */
    uint64_t generate;       /* then so many bytes of a pattern */
    bool generate_chunked;   /* in chunks */
    enum origin_after after; /* and then */
};

/* Writes the answer to q. release is set when held event streams are to go on. */
enum eg_status origin_answer(const struct origin_request *q, const struct origin_stats *stats, struct origin_answer *ret,
                             bool *release) EG_MUST_USE;
/* origin_oauth.c: true when the path is one of its own. */
bool origin_oauth(const struct origin_request *q, struct origin_answer *a, enum eg_status *r);
/* origin_leaks.c: is it one of its paths? Then *r is what became of it. */
bool origin_leaks(const struct origin_request *q, struct origin_answer *a, enum eg_status *r);
/* The same of paths that are answered before the body is read. */
bool origin_early(const struct origin_request *q, struct origin_answer *a, enum eg_status *r);
/* The rest of an event stream; the last piece of a trickle. */
enum eg_status origin_sse_rest(struct eg_buf *out) EG_MUST_USE;

#endif
