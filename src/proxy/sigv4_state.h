/* sigv4_state.h - what sigv4.c (received) and sigv4_head.c (sent) know of one signed request. */
#ifndef EG_PROXY_SIGV4_STATE_H
#define EG_PROXY_SIGV4_STATE_H

#include "cred/sigv4.h"
#include "proxy/awschunk.h"
#include "proxy/sigv4.h"

#define EG_RESIGN_MISMATCH "the signature is not that of this request and this session's keys"

struct eg_resign {
    struct eg_sigv4_auth auth; /* as it came; borrows from the request's head */
    struct eg_slice payload; /* what is signed as the body's hash: of the head, `hash`, or static */
    bool named;              /* the child sent X-Amz-Content-Sha256 */
    bool held;               /* the body is in `body`, or will be */
    bool chunked;            /* a stream of signed chunks ... */
    bool trailer;            /* ... with a trailer */
    struct eg_awschunk chunks;
    struct eg_target target; /* while it is held */
    struct eg_buf body;
    char hash[EG_SIGV4_HEX + 1];
};

/* Has the query a pair of that name? */
bool eg_resign_in_query(struct eg_slice query, struct eg_slice name);

#endif
