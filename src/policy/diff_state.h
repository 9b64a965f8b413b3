/* diff_state.h - what the files of the comparison share. Internal to the room. */
#ifndef EG_POLICY_DIFF_STATE_H
#define EG_POLICY_DIFF_STATE_H

#include "base/arena.h"
#include "policy/decide.h"
#include "policy/diff.h"

enum {
    EG_DIFF_FINDINGS = 256,
    EG_DIFF_PORTS_TEXT = 96,
    EG_DIFF_VALUE = 256,
    EG_DIFF_SEARCHED = 64
};

struct eg_finding { /* one change of the subject at hand, on the ports that it holds for */
    enum eg_change_kind kind;
    enum eg_change_label label;
    struct eg_ask ask[2];
    struct eg_verdict verdict[2];
    bool asked[2];
    uint32_t named_ports;
    bool other_ports;
    int last_port;
    char ports[EG_DIFF_PORTS_TEXT];
};

struct eg_ports { /* classes of ports that rules on the subject tell apart */
    unsigned char seen[65536 / 8];
    uint16_t list[65536];
    uint32_t count; /* named ones first, then one that none names */
    uint32_t named;
};

struct eg_diff {
    const struct eg_policy *p[2]; /* before, after */
    eg_take_change *take;
    void *ctx;
    bool observe, literal;          /* one of them observes; the subject is an address */
    enum eg_status status;          /* EG_NOMEM: give up */
    uint64_t budget;                /* of searches through paths */
    struct eg_arena lists, scratch; /* for the whole comparison, for the subject at hand */
    struct eg_ports ports;
    struct eg_finding findings[EG_DIFF_FINDINGS];
    unsigned finding_count;
    unsigned char searched[EG_DIFF_SEARCHED][16]; /* sets of rules, for the subject at hand */
    unsigned searched_count;
    bool may;     /* of the subject at hand: not all was looked at */
    bool widened; /* a difference that lets more through was kept; for those who set it back */
};

void *eg_diff_alloc(struct eg_diff *d, struct eg_arena *arena, size_t n);
struct eg_slice eg_diff_copy(struct eg_diff *d, struct eg_slice text);
/* The texts in one, whole: what is compared is never what was cut for people. */
struct eg_slice eg_diff_join(struct eg_diff *d, const struct eg_slice *parts, unsigned count);
#define EG_DIFF_JOIN(d, ...)                                                                       \
    eg_diff_join(d, (const struct eg_slice[]){ __VA_ARGS__ },                                      \
                 sizeof((const struct eg_slice[]){ __VA_ARGS__ }) / sizeof(struct eg_slice))

/* --- ports --- */
void eg_diff_ports_reset(struct eg_diff *d);
/* All that the rules of the hits name. */
void eg_diff_ports_of(struct eg_diff *d, const struct eg_policy *p, const struct eg_decide_hits *h);
/* Adds the one that no rule names; to be called last. */
void eg_diff_ports_finish(struct eg_diff *d);

/* --- findings on a subject --- */
/* Asks both; a difference is kept: then true. service: below 0 in an ask of a route means that the policy has none. port: index into d->ports, or -1. */
bool eg_diff_try(struct eg_diff *d, enum eg_change_kind kind, const struct eg_ask ask[2],
                 const int service[2], int port);
/* A difference between f's verdicts is kept: then true; the other members but label and ports are the caller's. */
bool eg_diff_keep(struct eg_diff *d, struct eg_finding *f, int port);
/* Hands out what was found on the subject, and forgets it. */
void eg_diff_report(struct eg_diff *d, const char *subject, enum eg_change_kind kind);
/* A setting. Empty texts: none. */
void eg_diff_setting(struct eg_diff *d, enum eg_change_label label, const char *subject,
                     const char *before, const char *after, struct eg_slice rule_before,
                     struct eg_slice rule_after);

/* --- the parts --- */
void eg_diff_names(struct eg_diff *d);
/* A host that neither policy names. */
void eg_diff_unnamed(struct eg_diff *d);
void eg_diff_addresses(struct eg_diff *d);
void eg_diff_services(struct eg_diff *d);
void eg_diff_credentials(struct eg_diff *d);
void eg_diff_settings(struct eg_diff *d);
/* Do both say the same of what is no part of a policy's id: its name, and whether the proxies are left to the environment? */
bool eg_diff_same_rest(const struct eg_policy *a, const struct eg_policy *b);
/* All flows to one authority on d->ports: tunnels and requests. */
void eg_diff_flows(struct eg_diff *d, const struct eg_authority *to);
/* Requests by plain HTTP, or by a route; ask[].to is the authority that is asked for in the end. */
void eg_diff_requests(struct eg_diff *d, enum eg_change_kind kind, const struct eg_ask ask[2],
                      const int service[2], int port);
/* Do both have the same rules on the subject? */
bool eg_diff_same_hits(const struct eg_policy *a, const struct eg_decide_hits *h,
                       const struct eg_policy *b, const struct eg_decide_hits *k);

#endif
