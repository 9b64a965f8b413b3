/* random_policy.h - random policies as a plain structure and as the files that say the same, and random requests near them; all of it follows from a seed.
 *
 * Alphabets are small, so that rules collide, cover each other and miss by a hair. Nothing here decides anything: support/naive.h does that from the
 * structure, the compiler from the files. It knows nothing of Criterion. */
#ifndef EG_TESTS_SUPPORT_RANDOM_POLICY_H
#define EG_TESTS_SUPPORT_RANDOM_POLICY_H

#include "policy/explain.h"

enum {
    EG_RANDOM_RULES = 20,
    EG_RANDOM_PORTS = 3,
    EG_RANDOM_PATHS = 40, /* mostly at most 4 */
    EG_RANDOM_PATTERN = 48,
    EG_RANDOM_SERVICES = 4,
    EG_RANDOM_NETWORKS = 4,
    EG_RANDOM_HOST = 64,
    EG_RANDOM_PATH = 128,
};

struct eg_random {
    uint64_t state;
};
void eg_random_seed(struct eg_random *r, uint64_t seed);
uint64_t eg_random_next(struct eg_random *r);
/* 0 .. n - 1. */
unsigned eg_random_below(struct eg_random *r, unsigned n);
static inline bool eg_random_one_in(struct eg_random *r, unsigned n)
{
    return eg_random_below(r, n) == 0;
}

enum eg_random_kind {
    EG_RANDOM_EXACT,    /* a name */
    EG_RANDOM_BELOW_IT, /* what is below the name */
    EG_RANDOM_RANGE,    /* an address, and how many bits of it count */
};

struct eg_random_pattern { /* "METHOD /pattern" */
    char method[16];       /* "*": any */
    char path[EG_RANDOM_PATTERN];
};

struct eg_random_rule {
    bool deny, org; /* org: of the first file */
    enum eg_random_kind kind;
    char host[EG_RANDOM_HOST]; /* a name without "*.", or an address as inet_ntop writes it */
    unsigned bits;
    uint16_t ports[EG_RANDOM_PORTS];
    unsigned port_count; /* 0: any */
    struct eg_random_pattern rules[EG_RANDOM_PATHS];
    unsigned rule_count; /* 0: every request */
    /* of allow rules */
    enum eg_scheme scheme;
    bool sni_optional;
    uint64_t max_request_body; /* 0: none given */
};

struct eg_random_service {
    bool org;
    char name[16];             /* and route */
    char host[EG_RANDOM_HOST]; /* of the upstream: a name or an address */
    bool literal, tls;
    uint16_t port;
    char base[16]; /* of its path; may be empty */
    struct eg_random_pattern rules[EG_RANDOM_PATHS], denies[EG_RANDOM_PATHS];
    unsigned rule_count, deny_count;
};

struct eg_random_network {
    bool org;
    char host[EG_RANDOM_HOST];
    unsigned bits;
};

enum eg_random_mode { EG_RANDOM_MODE_NONE, EG_RANDOM_MODE_ENFORCE, EG_RANDOM_MODE_OBSERVE };

/* Two files: the org layer's and the repository's. */
struct eg_random_policy {
    bool trusted; /* the repository's file */
    enum eg_random_mode org_mode, mode;
    bool allow_metadata;
    struct eg_random_network networks[EG_RANDOM_NETWORKS];
    unsigned network_count;
    struct eg_random_rule rules[EG_RANDOM_RULES];
    unsigned rule_count;
    struct eg_random_service services
        [EG_RANDOM_SERVICES]; /* of one name twice: the second one, of a trusted file, replaces the first */
    unsigned service_count;
};

struct eg_random_request {
    enum eg_ask_kind kind;
    char host
        [EG_RANDOM_HOST]; /* TUNNEL, HTTP: a name in some spelling, or an address without brackets */
    uint16_t port;
    char service[16];                      /* ROUTE */
    char method[16], path[EG_RANDOM_PATH]; /* HTTP, ROUTE: raw */
    char addr[EG_RANDOM_HOST]; /* where the name leads to, to be judged too; empty: not known */
};

/* The address that is this machine's for every policy here. */
extern const char eg_random_own_address[];

void eg_random_policy(struct eg_random *r, struct eg_random_policy *ret);
/* One small change of meaning, or of words alone: a rule less, another port, deny for allow, a wider pattern ... */
void eg_random_mutate(struct eg_random *r, struct eg_random_policy *p);
/* Appends a file's text. EG_TOO_BIG, EG_NOMEM. */
enum eg_status eg_random_text(const struct eg_random_policy *p, bool org,
                              struct eg_buf *out) EG_MUST_USE;
/* Compiles it. NULL after a message on stderr, with the text: every random policy is a valid one. block is initialised here, and the caller's to be done
 * with after the view is closed. */
struct eg_policy *eg_random_compile(const struct eg_random_policy *p, struct eg_buf *block);
/* The same with a third file, of the command line's layer. */
struct eg_policy *eg_random_compile_with(const struct eg_random_policy *p, const char *more,
                                         struct eg_buf *block);

/* Both files, on stderr. */
void eg_random_print(const struct eg_random_policy *p);

/* Near the rules of p, and of q where there is one. */
void eg_random_request(struct eg_random *r, const struct eg_random_policy *p,
                       const struct eg_random_policy *q, struct eg_random_request *ret);
/* The question of it, as policy/explain.h has it. room: what the question borrows. False: there is no such service, or the request is none. */
struct eg_random_room {
    struct eg_buf path; /* eg_buf_done */
    struct eg_addr addr;
};
bool eg_random_question(const struct eg_policy *policy, const struct eg_random_request *request,
                        struct eg_random_room *room, struct eg_ask *ret);
/* Asks the compiled policy: by name, then by address where there is one. False: there is no such service. */
bool eg_random_ask(const struct eg_policy *policy, const struct eg_random_request *request,
                   struct eg_verdict *ret);
/* One line for messages. Returns out. */
char *eg_random_show(const struct eg_random_request *request, char *out, size_t cap);

#endif
