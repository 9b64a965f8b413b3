/* awschunk.h - the coding "aws-chunked", in which a client signs an upload piece by piece: read, and
 * written without its signatures. Pure. */
#ifndef EG_PROXY_AWSCHUNK_H
#define EG_PROXY_AWSCHUNK_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { EG_AWSCHUNK_LINE = 512, EG_AWSCHUNK_TRAILERS = 16 };

struct eg_awschunk {   /* all zero but for the two: at the beginning */
    uint64_t expected; /* x-amz-decoded-content-length: the sum of the chunks must be that */
    bool keep;         /* chunks and trailers are written again; else their data alone */
    enum {
        EG_AWSCHUNK_SIZE,
        EG_AWSCHUNK_DATA,
        EG_AWSCHUNK_END,
        EG_AWSCHUNK_LAST,
        EG_AWSCHUNK_DONE
    } at;
    uint64_t left, total;
    unsigned trailers;
    size_t n;
    char line[EG_AWSCHUNK_LINE + 2]; /* as it is read, and then as it is written */
};

/* Takes some of *in and gives what is sent in its place: a part of *in or of c, until the next call;
 * may be empty. EG_OK: again while there is more of *in. EG_BAD_REQUEST with a sentence. */
enum eg_status eg_awschunk_next(struct eg_awschunk *c, struct eg_slice *in, struct eg_slice *piece,
                                struct eg_err *err) EG_MUST_USE;

#endif
