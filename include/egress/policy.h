/* egress/policy.h - the policy engine: policy files become one immutable policy, which answers what may be reached, and why.
 *
 * It is the engine that egressd, `egressctl explain`, `policy test` and `policy diff` ask; the language is described in egress.yaml(5). Compiling
 * reads nothing but the texts and what the caller's callback gives. A question reads nothing but the policy: no file, no clock, no DNS, no
 * allocation, no lock.
 *
 * Ownership: what a function returns lives as long as the policy or the list of problems that was asked, unless its comment says that the
 * caller frees it. Texts are NUL-terminated and never NULL: empty where there is nothing to say. Texts that the caller gives are borrowed for the call.
 * Threads: a policy never changes once it is compiled, so any number of threads may ask it at once; egress_policy_free must be the last call on it.
 * So it is with a list of problems. Several threads may compile at once.
 *
 * Link with the flags of `pkg-config --static --cflags --libs egress`. */
#ifndef EGRESS_POLICY_H
#define EGRESS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "egress/status.h"

/* ---- from files to a policy ---- */

/* Lists of all layers unite; deny beats allow across them; of single values the later layer's counts. */
enum egress_layer {
    EGRESS_LAYER_ORG, /* may say what no other can undo: final, networks.allow_metadata */
    EGRESS_LAYER_USER,
    EGRESS_LAYER_REPO,
    EGRESS_LAYER_COMMAND,
};

struct egress_policy_file {
    const char *name; /* as messages and rules show it: "egress.yaml"; the folder of what it names is this one's */
    const char *text; /* UTF-8, strict YAML 1.2 or JSON; need not end in a NUL */
    size_t length;    /* octets */
    enum egress_layer layer;
    bool trusted; /* false: it may say only what egress.yaml(5) lets an unreviewed file say. Layers org and user should be true */
};

enum egress_family { EGRESS_IPV4 = 4, EGRESS_IPV6 = 6 };
struct egress_address {
    uint8_t family;     /* enum egress_family */
    uint8_t octets[16]; /* network order; IPv4: the first 4 */
};

/* What a callback reads goes here. EG_TOO_BIG above the reader's ceiling, EG_NOMEM. */
struct egress_text;
enum eg_status egress_text_append(struct egress_text *into, const void *octets, size_t n) EG_MUST_USE;

struct egress_compile_options {
    /* Reads a file that a policy names (certificates, keys) with egress_text_append. EG_OK, EG_NOT_FOUND, EG_PERMISSION, EG_IO or what
     * egress_text_append gave; NULL: naming a file is an error. */
    enum eg_status (*read)(void *context, const char *path, struct egress_text *into);
    /* Reads a policy file that another one extends, in the same way; NULL: extending a file is an error (presets are built in). below: NULL, or the end of path that must be reached
     * without a symbolic link, else EG_PERMISSION: who wrote the naming file is not trusted. */
    enum eg_status (*extend)(void *context, const char *path, const char *below,
                             struct egress_text *into);
    void *context;
    const struct egress_address *own; /* of this machine's interfaces: refused unless networks.allow names them */
    size_t own_count;                 /* at most 1,024 */
    bool observe;                     /* mode: observe, whatever the files say */
};

struct egress_policy;
struct egress_problems;

/* Compiles the files (1 to 64) into *policy, and lists every problem of every file in *problems; problems may be NULL. options may be NULL. The caller frees
 * both. EG_OK: there is a policy, perhaps with warnings. EG_INVALID: there are errors, or none is listed and it is the arguments that are
 * wrong; *policy is NULL. EG_NOMEM, EG_TOO_BIG: both are NULL. */
enum eg_status egress_policy_compile(const struct egress_policy_file *files, size_t count,
                                     const struct egress_compile_options *options,
                                     struct egress_policy **policy,
                                     struct egress_problems **problems) EG_MUST_USE;
void egress_policy_free(struct egress_policy *policy); /* NULL is fine */

enum egress_severity { EGRESS_ERROR, EGRESS_WARNING };
struct egress_problem {
    enum egress_severity severity;
    const char *code;      /* stable: "unknown-key"; `egressctl help CODE` has a page on each */
    const char *file;      /* the file's name; empty: no one file's */
    unsigned line, column; /* from 1, in characters; 0: the file as a whole */
    unsigned width;        /* characters that it is about */
    const char *text;      /* a sentence. It never repeats what looks like a secret */
    const char *fix;       /* what to write instead, where that is known */
};
size_t egress_problems_count(const struct egress_problems *problems); /* sorted by file, line and column */
/* at < count. */
void egress_problems_get(const struct egress_problems *problems, size_t at, struct egress_problem *ret);
/* All of them for people: "file:line:column: error[code]: text", the line, a caret, the fix. color: with ANSI sequences. The caller frees it with
 * free(3). NULL: no memory. */
char *egress_problems_show(const struct egress_problems *problems, bool color);
void egress_problems_free(struct egress_problems *problems); /* NULL is fine */

/* ---- what may be reached ---- */

enum egress_ask {
    EGRESS_ASK_TUNNEL,  /* an opaque connection: CONNECT, SOCKS */
    EGRESS_ASK_REQUEST, /* a plain HTTP request, which is parsed */
    EGRESS_ASK_ROUTE,   /* a request by a service's route */
};
struct egress_question {
    enum egress_ask kind;
    const char *host;    /* TUNNEL, REQUEST: name or address as a client spells it, IPv6 with or without brackets; never resolved */
    uint16_t port;       /* TUNNEL, REQUEST: 1 to 65535 */
    const char *service; /* ROUTE: name of the service's route */
    const char *method;  /* REQUEST, ROUTE */
    const char *path;    /* REQUEST, ROUTE: raw, with '/' first and without the query; a route's without the route. At most EGRESS_PATH_MAX octets */
    /* Where the host leads, all that the resolver gave. Each one is judged, and one that is refused refuses; connect to these and no other. NULL: a name is judged alone,
     * and must be asked for again with its addresses before anything is connected. A literal needs none. */
    const struct egress_address *addresses;
    size_t address_count;
};
enum { EGRESS_PATH_MAX = 16384 };

enum egress_scheme {
    EGRESS_SCHEME_NONE,
    EGRESS_SCHEME_HTTPS, /* TLS whose server name is the host, opaque */
    EGRESS_SCHEME_HTTP,  /* plain HTTP, each request to be asked for */
    EGRESS_SCHEME_TCP,   /* anything, opaque */
};
struct egress_verdict {
    enum eg_status status;     /* EG_OK: allowed; else why not: EG_HOST_NOT_ALLOWED, EG_BAD_HOST ...; egress_status_name() is its code */
    enum eg_status would_deny; /* mode: observe lets it through, though it is this refusal otherwise; EG_OK: allowed in both modes */
    enum egress_scheme scheme; /* allowed: what may flow */
    bool sni_optional;         /* HTTPS: a ClientHello without a server name passes */
    uint64_t max_request_body; /* octets; 0: no limit of the rule's */
    const char *rule;          /* "file:line" of the rule that decided; empty: none did */
    const char *detail;        /* why, for people */
};
/* Fills *ret; it allocates nothing. A host or path that is malformed, as a client of the proxy would be told: EG_BAD_HOST, EG_BAD_TARGET, EG_TARGET_TOO_LONG.
 * No such service: EG_ROUTE_UNKNOWN. Needs about 40 KiB of stack where a path is asked for. */
void egress_policy_ask(const struct egress_policy *policy, const struct egress_question *question,
                       struct egress_verdict *ret);

/* ---- why ---- */

struct egress_considered {
    const char *action; /* "allow", "deny", "service", "networks" */
    const char *rule;   /* "file:line"; empty: an address of this machine */
    const char *to;     /* the host, pattern or range of the rule */
    bool decides;
    const char *why; /* a sentence: why it speaks, or misses. This and `to` live until the callback returns */
};
struct egress_remedy {
    char key[32];    /* where the line belongs: "allow", "rules" ...; empty: no line can allow it */
    char line[1400]; /* the element of that list, as YAML: of all that would allow it, what lets the least through */
    char text[1800]; /* a sentence for people */
};
/* Calls take (may be NULL) for every rule on the host or address and for those that are nearly on it, and says in *remedy (may be NULL; empty where it is allowed) what would
 * allow it. *verdict is the answer; the first address that is refused, else the first, stands for all. Walks all rules: it is for people, not for the data path. False: the question is malformed,
 * and verdict says how. */
bool egress_policy_explain(const struct egress_policy *policy, const struct egress_question *question,
                           struct egress_verdict *verdict,
                           void (*take)(void *context, const struct egress_considered *considered),
                           void *context, struct egress_remedy *remedy);

/* ---- what it is ---- */

enum { EGRESS_POLICY_ID = 32 };
/* A hash of the meaning (BLAKE2b-256), EGRESS_POLICY_ID octets: equal for policies that mean the same, however they are written. */
const unsigned char *egress_policy_id(const struct egress_policy *policy);
const char *egress_policy_name(const struct egress_policy *policy);
/* Routes of the services, for EGRESS_ASK_ROUTE; at < count. Order is that of the files. */
size_t egress_policy_routes(const struct egress_policy *policy);
const char *egress_policy_route(const struct egress_policy *policy, size_t at);

#endif
