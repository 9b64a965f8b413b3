/* exchange.h - one request and its response, as the other files of the room see it. */
#ifndef EG_PROXY_EXCHANGE_H
#define EG_PROXY_EXCHANGE_H

#include "cred/redact.h"
#include "http/hygiene.h"
#include "proxy/flow.h"

struct eg_exchange {
    const struct eg_service *service; /* of the snapshot; where this is no route: one without anything */
    unsigned service_index;
    struct eg_buf path; /* canonical path and query as they are sent */
    struct eg_path_flags flags; /* of the path as it came */
    struct eg_quota_use quota;  /* of the service's limits */
    /* on a connection that served before: a clean death before any answer may be retried */
    bool pooled;
    bool retried;
    bool request_done; /* the whole request is queued for the origin */
    bool head_read;    /* the final response head was read */
    bool answered;     /* bytes of a response are queued for the client */
    bool response_done;
    bool rechunk;      /* the response body is chunked by us */
    bool until_close;  /* ... or delimited by closing the client's connection */
    bool origin_keep;  /* the origin's connection may serve another request */
    unsigned interim;  /* 1xx responses so far */
    uint64_t body_max; /* 0: no ceiling */
    struct eg_buf kept; /* the request's body, for replay.c; wiped */
    bool keeping;       /* ... it is whole so far */
    bool held;          /* a 401 was read and is not the client's yet */
    bool replayed;      /* ... and another one would be */
    uint64_t version;   /* of the credential that was sent */
    struct eg_redact_set *redact_set; /* what the answer is searched for; NULL: nothing */
    struct eg_redact redact;          /* ... its body */
    bool redacting;                   /* redact was begun */
    bool upgrade;                     /* the request asks for a WebSocket */
    bool upgraded;                    /* ... and got it: a relay is next */
    enum eg_framing framing;  /* of the request's body as it is sent */
    uint64_t length;          /* ... with EG_BODY_LENGTH */
    struct eg_resign *resign; /* of a signed request: sigv4.c; NULL: it is none */
};

static inline const struct eg_service *eg_exchange_service(const struct eg_flow *f)
{
    return f->exchange->service;
}
static inline unsigned eg_exchange_service_index(const struct eg_flow *f)
{
    return f->exchange->service_index;
}
static inline bool eg_exchange_answered(const struct eg_flow *f)
{
    return f->phase == EG_PHASE_EXCHANGE && f->exchange && f->exchange->answered;
}

/* ---- forward.c: parts that routes share ---- */
/* The token or a phantom of any session anywhere in the head of a request to there but where it belongs: EG_CANARY, and the ticket knows whose.
 * EG_NOMEM. Of a route, after its path was built. */
enum eg_status eg_exchange_canary(struct eg_flow *f, const struct eg_authority *to) EG_MUST_USE;
/* Appends the canonical path / "?query" to the exchange's path. */
enum eg_status eg_exchange_path(struct eg_flow *f, struct eg_slice path,
                                struct eg_path_flags *flags, struct eg_err *err) EG_MUST_USE;
enum eg_status eg_exchange_query(struct eg_flow *f, const struct eg_target *target) EG_MUST_USE;
/* The path that rules see, of an exchange whose path is built; empty without one. */
struct eg_slice eg_exchange_judged(const struct eg_flow *f, struct eg_path_flags *flags);
/* The ticket was allowed by name: goes on once there is all that it needs. */
enum eg_step eg_exchange_open(struct eg_flow *f);
/* ... on a pooled connection, or on a new one. */
enum eg_step eg_exchange_connect(struct eg_flow *f);
/* Request line, Host and, for an upstream proxy in absolute-form, its authorization. EG_OK or the
 * refusal, err tells. */
enum eg_status eg_exchange_start_head(struct eg_flow *f, uint16_t default_port,
                                      struct eg_err *err) EG_MUST_USE;
/* The client's end-to-end fields but those that drop() names. */
enum eg_status eg_exchange_fields(struct eg_flow *f,
                                  bool (*drop)(const struct eg_flow *f,
                                               const struct eg_field *field,
                                               enum eg_field_class class)) EG_MUST_USE;
enum eg_status eg_exchange_framing(struct eg_flow *f) EG_MUST_USE;

/* ---- fields.c: for those heads ---- */
/* The request may go no further (Max-Forwards: 0). */
bool eg_exchange_last_stop(const struct eg_head *head);
/* An end-to-end field of the client's that is not sent, or that we write ourselves. */
bool eg_exchange_drops(const struct eg_flow *f, const struct eg_field *field);
/* The fields of our own that a request needs: Expect, Accept-Encoding, Connection and what it names. */
enum eg_status eg_exchange_own_fields(struct eg_flow *f) EG_MUST_USE;

/* forward.c, route.c: the whole request head into f->origin.out. EG_OK or the refusal, err
 * tells. */
enum eg_status eg_forward_head(struct eg_flow *f, struct eg_err *err) EG_MUST_USE;
enum eg_status eg_route_head(struct eg_flow *f, struct eg_err *err) EG_MUST_USE;
/* route.c: the request is authenticated and its path built: judges it and goes on. */
enum eg_step eg_route_resume(struct eg_flow *f);

#endif
