/* diff_gather.h - the path rules and all else that decides a question about requests. For diff_gather.c, which finds them, and diff_requests.c, which compares. */
#ifndef EG_POLICY_DIFF_GATHER_H
#define EG_POLICY_DIFF_GATHER_H

#include "policy/diff_machine.h"
#include "policy/diff_state.h"

enum { EG_REQUEST_KEY = 16, EG_REQUEST_METHODS = 600 };

struct eg_request_entry { /* a path rule in its place */
    unsigned char language[EG_REQUEST_KEY],
        role[EG_REQUEST_KEY]; /* what it matches; and what that means */
    struct eg_language l;
    unsigned side;
};

/* What decides beside path rules; compared member by member. */
struct eg_request_frame {
    bool refused, named, plain;
    bool round;     /* a service's deny rules keep observing from opening it */
    bool closed[2]; /* an address: not to be connected by a rule on it; not by observing */
    uint64_t plain_body;
};

struct eg_requests {
    struct eg_diff *d;
    enum eg_change_kind kind;
    struct eg_ask ask[2];
    int service[2], port;
    struct eg_request_entry *entries;
    uint32_t count, room;
    struct eg_request_frame frame[2];
    struct eg_slice methods[EG_REQUEST_METHODS];
    unsigned method_count;
    struct eg_slice method; /* at hand */
    bool told;              /* a path tells the two apart */
};

/* Fills frame and, as far as there is room, entries; count is how many there are. */
void eg_requests_gather(struct eg_requests *r);

#endif
