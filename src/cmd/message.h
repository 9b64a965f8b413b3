/* message.h - what supervisor and worker say to each other, as bytes. One message is one packet;
 * descriptors travel beside it. */
#ifndef EG_CMD_MESSAGE_H
#define EG_CMD_MESSAGE_H

#include "proxy/engine.h"

enum eg_link_kind {
    /* to a worker                 generation and these members */
    EG_LINK_POLICY = 1, /* descriptors: block, facts. Answer: ACCEPTED or REFUSED */
    /* the prepared policy becomes current, with the credentials since */
    EG_LINK_SWITCH,
    EG_LINK_ABANDON,
    /* at (family 0: a Unix socket), ingress, protocols, auth, flag: a client certificate is required,
     * a: certificate, b: key, c: CA of client certificates, pairs: SAN and session; descriptor */
    EG_LINK_LISTENER,
    EG_LINK_SESSION_PUT,       /* a: id, b: label, c: token, when_us: expiry, pairs */
    EG_LINK_SESSION_REVOKE,    /* a: id */
    /* these three are kept until SWITCH or, with flag, until CREDENTIAL_SETTLED */
    EG_LINK_CREDENTIAL,        /* a: name, b: bytes */
    EG_LINK_CREDENTIAL_FAILED, /* a: name, status, b: why; status AGAIN: it was not read yet */
    EG_LINK_CREDENTIAL_DROP,   /* a: name */
    EG_LINK_GO,                /* all was sent. Answer: READY */
    EG_LINK_DRAIN,
    EG_LINK_STOP,
    EG_LINK_STATS_ASK,
    EG_LINK_AUDIT, /* first of all: descriptors: ring, file if any; flag: strict; when_us: enum
                    * eg_destinations */
    /* id: the answer to CHANNEL_ASK, once; status OK: descriptors to read from and to write to;
     * else a: why */
    EG_LINK_CHANNEL,
    EG_LINK_CLIENT, /* descriptor: a connected client of our own, for internal services */
    /* a: name: those with a flag come into force, and who waits for it goes on */
    EG_LINK_CREDENTIAL_SETTLED,
    /* from a worker */
    EG_LINK_READY = 64,
    EG_LINK_ACCEPTED, /* generation */
    EG_LINK_REFUSED,  /* generation, status, a: why */
    EG_LINK_FAILED,   /* status, a: why: it can't work at all */
    EG_LINK_STATS,    /* stats */
    EG_LINK_WARN,     /* a: text for the operator */
    /* id: no other of this worker that is not answered has it, a: gateway, b: user, c: target */
    EG_LINK_CHANNEL_ASK,
    EG_LINK_CHANNEL_CANCEL, /* id; its answer may be under way */
    /* a: name; flag: the origin refused the one that is there. Answer: CREDENTIAL_SETTLED */
    EG_LINK_CREDENTIAL_ASK,
};

enum { EG_LINK_PAIRS = 256, EG_LINK_TO_WORKER_MAX = 192 * 1024, EG_LINK_FROM_WORKER_MAX = 1024 };

/* texts and pairs borrow from the packet; texts are NUL-terminated there and hold no other NUL,
 * but for b */
struct eg_link_message {
    enum eg_link_kind kind;
    uint32_t generation;
    enum eg_status status;
    bool flag;
    struct eg_sockaddr at;
    uint64_t when_us, id;
    enum eg_ingress_kind ingress;
    unsigned protocols; /* EG_PROTOCOL_* */
    enum eg_auth auth;
    struct eg_slice a, b, c;
    struct eg_engine_stats stats;
    unsigned pair_count;
    struct eg_session_phantom pairs[EG_LINK_PAIRS]; /* or two other texts that belong together */
};

/* Appends the packet. EG_TOO_BIG above the buffer's ceiling. */
enum eg_status eg_link_encode(const struct eg_link_message *m, struct eg_buf *out) EG_MUST_USE;
/* EG_INVALID for anything that eg_link_encode does not make. */
enum eg_status eg_link_decode(struct eg_slice packet, struct eg_link_message *m) EG_MUST_USE;

#endif
