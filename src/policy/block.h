/* block.h - the layout of a compiled policy. Internal to the room; policy.h says what may be asked of it.
 *
 * One head, then arrays of fixed-size records, then a pool of texts. Every reference is an index or an offset into the pool, so the
 * block is the same at every address. Numbers are in the machine's order: a block never leaves the machine. All
 * texts are followed by a NUL. Booleans are octets: what is not 0 is true. */
#ifndef EG_POLICY_BLOCK_H
#define EG_POLICY_BLOCK_H

#include "policy/model.h"

enum { EG_BLOCK_VERSION = 6, EG_BLOCK_ALIGN = 8, EG_BLOCK_PREFIX_KEY = 18 };
#define EG_BLOCK_MAGIC "EGPOLICY"

struct eg_block_text {
    uint32_t offset, length; /* in the pool */
};
struct eg_block_range {
    uint32_t first, count;
};
struct eg_block_paths { /* of PATHS, sorted by their text */
    uint32_t first, count;
    uint32_t root; /* of NODES; 0: too few for an index */
};
struct eg_block_addr {
    uint8_t family, b[16], tls, literal, padding;
    uint16_t port, padding2;
    struct eg_block_text host;
};

/* Of a hash table: what is not asked for is told by the tag, so that a search reads one record. */
struct eg_block_entry {
    uint32_t tag;    /* upper half of the hash; the lower one says where */
    uint32_t record; /* its index + 1; 0: none is here */
    uint32_t key, rule; /* of a target, its text and its first rule, so that all can be fetched at once: a large policy is far away */
};

/* What rules name: an exact name, the names below one, or a prefix of addresses. All rules on it are neighbours, deny first. */
struct eg_block_target {
    uint32_t kind;            /* enum eg_pattern_kind */
    struct eg_block_text key; /* host; or family, bits and the 16 octets of the address */
    struct eg_block_range rules;
    struct eg_block_text allowed; /* "https on 443, http on 80"; empty: no allow rule */
};

struct eg_block_rule {
    uint8_t action, scheme, sni_optional, padding[5];
    uint64_t max_request_body;
    struct eg_block_range ports; /* count 0: any */
    struct eg_block_paths paths; /* count 0: every request */
    struct eg_block_text rule, why;
};

/* "METHOD /pattern" */
struct eg_block_path {
    struct eg_block_text method;    /* empty: any */
    struct eg_block_range segments; /* at least one */
    struct eg_block_text rule, detail;
};
struct eg_block_segment {
    struct eg_block_range globs; /* of names; each of literal bytes and *; none: ** */
};

/* The index over a long list of paths: a node for every way in which patterns begin, edges for the next segment. */
enum eg_block_step {
    EG_STEP_LITERAL, /* by hash of the segment */
    EG_STEP_BEGIN,   /* by hash of what the glob begins with */
    EG_STEP_WILD,    /* tried one by one; neighbours of their node's others */
    EG_STEPS
};
struct eg_block_node {
    uint32_t below; /* behind **; 0: none */
    uint32_t least; /* of the paths that begin so, the first */
    uint64_t begins; /* bit n: some edge of the kind has n bytes */
    uint8_t loops, literals, padding[6]; /* is it behind **; are there edges of the kind */
    struct eg_block_range ends; /* of ENDS: the paths that end here, ascending */
    struct eg_block_range wild; /* of EDGES */
};
struct eg_block_edge {
    uint32_t from, to, kind;
    uint32_t bytes; /* of the glob, that are hashed */
    struct eg_block_text glob;
};

struct eg_block_slot {
    uint32_t kind, segment;
    struct eg_block_text name;
};
struct eg_block_write {
    uint32_t kind, credential;
    struct eg_block_text name, text;
};
struct eg_block_service {
    struct eg_block_text name, route, base_path, credential;
    struct eg_block_addr upstream;
    struct eg_block_range accept, write, strip, keys, trailers, pins;
    struct eg_block_paths rules, denies;
    struct eg_block_text env_base_url, env_base_path, env_git, shape_prefix, ca_pem,
        client_cert_pem, client_key_pem, server_name, rule;
    uint32_t shape_length, requests_per_minute, concurrent;
    uint8_t redact, websocket, internal, padding;
    uint64_t request_bytes, response_bytes;
};

struct eg_block_host { /* of a credential */
    uint8_t kind, family, bits, padding, b[16];
    struct eg_block_text host;
};
struct eg_block_credential {
    uint32_t kind;
    uint8_t json, lazy, kept, padding;
    uint64_t ttl_ms, timeout_ms;
    struct eg_block_text name, place, account, rule;
    struct eg_block_range hosts, args;
    uint8_t grant, basic, padding2[6]; /* from here: oauth2 */
    struct eg_block_text route, path, client_id, scope, audience, issuer, subject;
    struct eg_block_text region, service; /* aws_sigv4 */
};

struct eg_block_listen {
    struct eg_block_addr at;
    uint8_t auth, protocols, require_client, padding[5];
    struct eg_block_text unix_path, cert_pem, key_pem, client_ca_pem, rule;
    struct eg_block_range sessions;
};
struct eg_block_pair { /* a certificate's SAN and the session it stands for */
    struct eg_block_text san, label;
};

struct eg_block_hop {
    struct eg_block_addr at; /* tls: to the proxy itself */
    uint8_t kind, bearer, padding[6];
    struct eg_block_text user, credential, ca_pem, cert_pem, key_pem, server_name, text, rule;
};
struct eg_block_bypass {
    uint8_t kind, family, bits, padding, b[16];
    uint16_t port, padding2;
    struct eg_block_text host;
};

struct eg_block_origin { /* of a single value: "limits.connections", "egress.yaml:12" */
    struct eg_block_text key, rule;
};

struct eg_block_settings {
    struct eg_block_addr dns[4];
    uint32_t dns_count, audit_capacity;
    uint8_t ca_system, via, audit_strict, audit_destinations, upstream_from, proxy_resolve_local,
        allow_metadata, observe;
    struct eg_block_text name, file, ca_pem, audit_file;
    struct eg_block_range chains[2]; /* of hops, by enum eg_chain */
};

enum eg_block_section {
    EG_BLOCK_SLOTS_HASH, /* eg_block_entry of targets; a power of two, never full */
    EG_BLOCK_TARGETS,
    EG_BLOCK_RULES,
    EG_BLOCK_PORTS, /* uint16_t */
    EG_BLOCK_PATHS,
    EG_BLOCK_SEGMENTS,
    EG_BLOCK_STEPS_HASH, /* eg_block_entry of edges; as SLOTS_HASH */
    EG_BLOCK_NODES,      /* the first is none */
    EG_BLOCK_EDGES,
    EG_BLOCK_ENDS, /* uint32_t: of PATHS */
    EG_BLOCK_SERVICES,
    EG_BLOCK_SLOTS, /* accepted and stripped */
    EG_BLOCK_WRITES,
    EG_BLOCK_NAMES, /* eg_block_text: env keys, trailers, pins, arguments, globs */
    EG_BLOCK_CREDENTIALS,
    EG_BLOCK_HOSTS,
    EG_BLOCK_LISTEN,
    EG_BLOCK_PAIRS,
    EG_BLOCK_HOPS,
    EG_BLOCK_BYPASS,
    EG_BLOCK_ORIGINS, /* sorted by key */
    EG_BLOCK_POOL,
    EG_BLOCK_SECTIONS
};

struct eg_block_head {
    char magic[8];
    uint32_t version, size;
    unsigned char id[32];
    unsigned char hash_key[16];
    struct {
        uint32_t offset, count;
    } sections[EG_BLOCK_SECTIONS];
    uint8_t below_labels[16]; /* bit n: some "*." pattern has n labels */
    uint8_t prefixes4[8];     /* bit n: some prefix of n bits */
    uint8_t prefixes6[24];
    struct eg_limits limits;
    struct eg_block_settings settings;
};

/* Size of one record of each section. */
extern const uint32_t eg_block_record[EG_BLOCK_SECTIONS];

struct eg_policy {
    const struct eg_block_head *head;
    const struct eg_block_entry *hash, *steps;
    const struct eg_block_target *targets;
    const struct eg_block_rule *rules;
    const uint16_t *ports;
    const struct eg_block_path *paths;
    const struct eg_block_segment *segments;
    const uint32_t *ends;
    const struct eg_block_node *nodes;
    const struct eg_block_edge *edges;
    const struct eg_block_service *services;
    const struct eg_block_slot *slots;
    const struct eg_block_write *writes;
    const struct eg_block_text *names;
    const struct eg_block_credential *credentials;
    const struct eg_block_host *hosts;
    const struct eg_block_listen *listen;
    const struct eg_block_pair *pairs;
    const struct eg_block_hop *hops;
    const struct eg_block_bypass *bypass;
    const struct eg_block_origin *origins;
    const char *pool;
    uint32_t count[EG_BLOCK_SECTIONS];
    struct eg_settings settings;
};

/* Index into the hash for a key of a kind; the caller masks. */
uint64_t eg_block_hash(const unsigned char key[16], enum eg_pattern_kind kind,
                       struct eg_slice text);
/* The same for an edge of a node. */
uint64_t eg_block_step_hash(const unsigned char key[16], uint32_t from, enum eg_block_step kind,
                            struct eg_slice text);
/* 18 bytes for a prefix; host bits are cleared. */
void eg_block_prefix_key(const struct eg_addr *a, uint8_t bits,
                         unsigned char out[EG_BLOCK_PREFIX_KEY]);
static inline struct eg_slice eg_block_slice(const struct eg_policy *p, struct eg_block_text t)
{
    return eg_slice(p->pool + t.offset, t.length);
}
static inline bool eg_block_bit(const uint8_t *bits, unsigned n)
{
    return bits[n / 8] >> (n % 8) & 1;
}

/* Is the range inside of a section of that many records; is the text inside of the pool; is the address one (or none)? */
bool eg_block_is_range(struct eg_block_range r, uint32_t count);
bool eg_block_are_paths(const struct eg_policy *p, struct eg_block_paths list);
bool eg_block_is_text(const struct eg_policy *p, struct eg_block_text t);
/* All of them inside of the pool? */
bool eg_block_are_texts(const struct eg_policy *p, const struct eg_block_text *t, size_t n);
#define EG_BLOCK_TEXTS(p, ...)                                                                     \
    eg_block_are_texts(p, (const struct eg_block_text[]){ __VA_ARGS__ },                           \
                       sizeof((const struct eg_block_text[]){ __VA_ARGS__ }) /                     \
                           sizeof(struct eg_block_text))
bool eg_block_is_family(uint8_t family, bool none);
bool eg_block_is_addr(const struct eg_policy *p, const struct eg_block_addr *a, bool none);
struct eg_block_request {
    struct eg_slice method, base, path; /* base: what is sent before the path; both canonical */
};
/* The first rule of the list that matches; NULL. deny: also what an origin might make of the path. */
const struct eg_block_path *eg_block_path_find(const struct eg_policy *p,
                                               struct eg_block_paths list,
                                               const struct eg_block_request *r, bool deny);
/* The rule that matches most of it; NULL of an empty list. For messages. */
const struct eg_block_path *eg_block_path_closest(const struct eg_policy *p,
                                                  struct eg_block_paths list,
                                                  const struct eg_block_request *r);

/* The file that a rule should be added to. */
struct eg_slice eg_block_file(const struct eg_policy *p);

/* The tables of services and credentials, for eg_policy_open. */
bool eg_block_check_services(const struct eg_policy *p);
bool eg_block_check_credentials(const struct eg_policy *p);
/* The tables of listeners, hops and bypasses, for eg_policy_open. */
bool eg_block_check_ways(const struct eg_policy *p);
/* Is it the credential of a hop on that host that the caller of the compiler chose, and provides? */
bool eg_block_lent(const struct eg_policy *p, struct eg_slice credential, struct eg_slice host);
void eg_block_authority(const struct eg_policy *p, const struct eg_block_addr *from,
                        struct eg_authority *ret);
struct eg_sockaddr eg_block_sockaddr(const struct eg_block_addr *from);

/* Appends the block of the model to out. EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_block_emit(struct eg_model *m, struct eg_buf *out,
                             struct eg_err *err) EG_MUST_USE;
/* The hash of the meaning: no places, no order, no reasons, no names of files. */
enum eg_status eg_block_meaning(struct eg_model *m, unsigned char id[32]) EG_MUST_USE;
/* Warnings that need the whole policy: rules that a deny shadows, tunnels beside services. */
void eg_policy_lint(struct eg_model *m, const struct eg_policy *p);
/* Is there a deny rule that covers every flow the pattern and these ports could have? Its "file:line", or empty. opaque: the flows are tunnels, which
 * a deny rule on some requests refuses whole. */
struct eg_slice eg_policy_covered(const struct eg_policy *p, const struct eg_pattern *to,
                                  const uint16_t *ports, unsigned count, bool opaque);

#endif
