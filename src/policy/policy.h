/* policy.h - the compiled policy: one flat, offset-based, immutable block, and the pure questions that can be asked of it.
 *
 * The block is made by policy/compile.h in the supervisor, sealed in a memfd and mapped read-only by every worker; eg_policy_open checks every offset
 * once, so that questions need no checks. Questions allocate nothing and are safe on any number of views. */
#ifndef EG_POLICY_POLICY_H
#define EG_POLICY_POLICY_H

#include "base/uri.h"

struct eg_policy; /* a view; the block must outlive it */

enum eg_scheme { EG_SCHEME_NONE, EG_SCHEME_HTTPS, EG_SCHEME_HTTP, EG_SCHEME_TCP };
enum eg_layer { EG_LAYER_PRESET, EG_LAYER_ORG, EG_LAYER_USER, EG_LAYER_REPO, EG_LAYER_COMMAND };

struct eg_verdict {
    enum eg_status status;  /* EG_OK: allowed; else the reason of refusals.md */
    enum eg_scheme scheme;  /* when allowed */
    bool sni_optional;      /* https: a ClientHello without SNI passes (a rule on an address, or sni: optional) */
    bool opened;            /* a literal under an address: or cidr: rule: that address is allowed although it is special */
    struct eg_slice rule;   /* "file:line" of the deciding rule, lives with the block; empty when no rule spoke */
    struct eg_slice detail; /* why, and what would help: static or in the block; e.g. "closest rule: ...", may be empty */
    uint64_t max_request_body; /* 0: none given */
    /* mode: observe. Allowed, though it is this refusal of rule and detail in mode: enforce; EG_OK: allowed in both */
    enum eg_status would_deny;
};

/* Checks the block (magic, version, every offset and count) and makes a view of it. EG_INVALID. The view is small and malloc'd. */
enum eg_status eg_policy_open(const void *block, size_t n, struct eg_policy **ret, struct eg_err *err) EG_MUST_USE;
void eg_policy_close(struct eg_policy *p);
/* BLAKE2b-256 of the meaning: equal for equal policies. */
const unsigned char *eg_policy_id(const struct eg_policy *p);
struct eg_slice eg_policy_name(const struct eg_policy *p);

/* May a tunnel (CONNECT, SOCKS) go to this authority, and what may flow in it? Deny beats allow; metadata names and addresses are EG_METADATA_DENIED; names
 * without a rule EG_HOST_NOT_ALLOWED, known hosts with another port EG_PORT_NOT_ALLOWED, deny rules EG_HOST_DENIED. Literals match address and cidr rules only.
 * Under mode: observe all of these questions let through what no deny rule names, and say in would_deny what it would have been; metadata stays refused. */
void eg_policy_judge_tunnel(const struct eg_policy *p, const struct eg_authority *to, struct eg_verdict *ret);
/* May this plain-HTTP request go there (absolute-form, or HTTP inside a tunnel)? path is canonical. */
void eg_policy_judge_http(const struct eg_policy *p, const struct eg_authority *to, struct eg_slice method, struct eg_slice path,
                          struct eg_path_flags flags, struct eg_verdict *ret);
/* May this request use this service's route? path is canonical and without the route's prefix. */
void eg_policy_judge_route(const struct eg_policy *p, unsigned service, struct eg_slice method, struct eg_slice path,
                           struct eg_path_flags flags, struct eg_verdict *ret);
/* May this resolved or literal address be connected, for what `by_name` allowed? (policy.md point 6, security.md T3: special ranges, embedded forms,
 * own addresses, metadata; address deny rules.) EG_ADDRESS_DENIED, EG_METADATA_DENIED; detail names the range. */
void eg_policy_judge_address(const struct eg_policy *p, const struct eg_verdict *by_name, const struct eg_addr *addr, uint16_t port,
                             struct eg_verdict *ret);

/* The next step for a person, as one line with the host in it: `add "- api.example.com" to allow in egress.yaml`. v is a verdict on `to`; its detail
 * where there is nothing better. Writes at most cap bytes with the NUL; returns out. */
char *eg_policy_advise(const struct eg_policy *p, const struct eg_verdict *v, const struct eg_authority *to, char *out, size_t cap);

/* --- what the policy configures. Slices live with the block. --- */

struct eg_limits { /* milliseconds and bytes; all > 0 */
    uint32_t connections, headers;
    uint32_t head_bytes, target_bytes;
    uint64_t head_timeout, body_timeout, idle_timeout, total_timeout, dns_timeout, connect_timeout, tls_timeout, response_timeout, drain_timeout;
};
const struct eg_limits *eg_policy_limits(const struct eg_policy *p);

enum eg_slot_kind {
    EG_SLOT_BEARER,
    EG_SLOT_HEADER,
    EG_SLOT_BASIC_PASSWORD,
    EG_SLOT_QUERY,
    EG_SLOT_COOKIE,
    EG_SLOT_PATH,
    EG_SLOT_SIGV4, /* the request is signed with the phantom keys; only with a credential of EG_SOURCE_SIGV4, and then alone */
};
struct eg_slot { /* where a phantom may come in */
    enum eg_slot_kind kind;
    struct eg_slice name; /* field name, query key or cookie name */
    unsigned segment;     /* EG_SLOT_PATH: of the request's path, where the route is the first; >= 2 */
};
enum eg_write_kind { EG_WRITE_HEADER, EG_WRITE_BASIC, EG_WRITE_QUERY, EG_WRITE_PATH, EG_WRITE_COOKIE, EG_WRITE_SIGV4 };
struct eg_write { /* one thing to write upstream */
    enum eg_write_kind kind;
    struct eg_slice name; /* field name, query key or cookie name */
    /* template: {} is the credential, {field} one of its fields ([a-z0-9_]), all else is literal. BASIC: "user:password" before base64; PATH: "/bot{}/",
     * put between the base path and what is left of the request's path */
    struct eg_slice text;
    bool credential; /* text has a {} or {field} */
};
enum { EG_SERVICE_SLOTS = 16, EG_SERVICE_WRITES = 16, EG_SERVICE_TRAILERS = 8, EG_SERVICE_PINS = 4 };

struct eg_service_limits { /* 0: none. Of one session; all but concurrent in any minute */
    uint32_t requests_per_minute, concurrent;
    uint64_t request_bytes, response_bytes; /* of bodies */
};

struct eg_service {
    struct eg_slice name, route; /* route without slashes */
    struct eg_authority upstream;
    bool tls;                    /* https upstream */
    struct eg_slice base_path;   /* of the upstream URL, without a trailing slash; may be empty */
    struct eg_slice credential;  /* name; empty: a plain route, no phantom */
    struct eg_slot accept[EG_SERVICE_SLOTS];
    unsigned accept_count;
    struct eg_write write[EG_SERVICE_WRITES];
    unsigned write_count;
    struct eg_slot strip_slots[EG_SERVICE_SLOTS]; /* headers, query keys and cookies */
    unsigned strip_slot_count;
    struct eg_slice env_base_url, env_base_path, env_keys[4]; /* variable names; base_path as shown to the child */
    unsigned env_key_count;
    struct eg_slice env_git; /* host[:port] whose git remotes are led to the route; empty: none */
    struct eg_slice shape_prefix;
    uint32_t shape_length;       /* 0: as long as the real one */
    struct eg_slice ca_pem, client_cert_pem, client_key_pem; /* contents, read at compile time */
    struct eg_slice server_name; /* empty: the upstream's host */
    struct eg_slice pins[EG_SERVICE_PINS]; /* base64 of SHA-256 of a SubjectPublicKeyInfo: one of them must be the leaf's */
    unsigned pin_count;
    struct eg_service_limits limits;
    bool redact, websocket;
    struct eg_slice trailers[EG_SERVICE_TRAILERS]; /* names that pass, both ways */
    unsigned trailer_count;
    bool internal;               /* an oauth2 credential's token endpoint: only for requests of our own (eg_engine_client), invisible to children */
    struct eg_slice rule;        /* "file:line" */
};
unsigned eg_policy_service_count(const struct eg_policy *p);
/* i < count. Fills *ret from the block; no allocation. */
void eg_policy_service(const struct eg_policy *p, unsigned i, struct eg_service *ret);
/* Index of the service with that route; -1. */
int eg_policy_service_of_route(const struct eg_policy *p, struct eg_slice route);

enum eg_source_kind {
    EG_SOURCE_ENV,
    EG_SOURCE_FILE,
    EG_SOURCE_KEYRING,
    EG_SOURCE_KERNEL,
    EG_SOURCE_SYSTEMD,
    EG_SOURCE_CMD,
    EG_SOURCE_OAUTH2, /* a token fetched with its parts */
    EG_SOURCE_SIGV4,  /* nothing but its parts, which workers sign with */
};
/* A credential of several values has fields: field F of NAME is kept as the secret "NAME#F" (no policy may give a name with '#'). References inside
 * oauth2 and aws_sigv4 are credentials of their own in this table, named so. */
struct eg_credential {
    struct eg_slice name;
    enum eg_source_kind kind;
    struct eg_slice place;   /* variable, path, keyring service, kernel key description, systemd name; cmd: empty */
    struct eg_slice account; /* keyring */
    unsigned arg_count;      /* cmd: argv, with the absolute path of the program; eg_policy_credential_arg */
    bool json;               /* cmd: its output is an object of texts: each member is a field, "value" is the credential itself */
    uint64_t timeout_ms;     /* cmd, oauth2: deadline */
    uint64_t ttl_ms;         /* read again when so old; 0: at a reload only (oauth2: as the answer says) */
    bool lazy;               /* read at first use */
    bool kept;               /* a part that workers never get: of an oauth2 */
    struct eg_slice rule;    /* "file:line" */
};
enum eg_grant { EG_GRANT_CLIENT_CREDENTIALS, EG_GRANT_REFRESH_TOKEN, EG_GRANT_JWT_BEARER, EG_GRANT_GITHUB_APP };
struct eg_oauth2 { /* RFC 6749, 7523. Parts: "NAME#client_secret", "NAME#refresh_token", "NAME#key" (PEM, or a Google service account's JSON), where the policy names them */
    enum eg_grant grant;
    struct eg_slice route;    /* of the internal service that leads to token_url */
    struct eg_slice path;     /* of token_url behind the route: origin-form, with the query if any */
    struct eg_slice client_id, scope, audience, issuer, subject; /* empty: not sent. issuer: jwt_bearer; GitHub: the app's id */
    bool basic;               /* client authentication by Authorization: Basic (RFC 6749 2.3.1, the default); else in the body */
};
/* SIGV4: where the policy names them; else those that the request was signed for. */
struct eg_sigv4_scope {
    struct eg_slice region, service;
};
unsigned eg_policy_credential_count(const struct eg_policy *p);
void eg_policy_credential(const struct eg_policy *p, unsigned i, struct eg_credential *ret);
/* Index of the credential with that name; -1. */
int eg_policy_credential_find(const struct eg_policy *p, struct eg_slice name);
/* k < arg_count. */
struct eg_slice eg_policy_credential_arg(const struct eg_policy *p, unsigned i, unsigned k);
/* Of one of that kind. */
void eg_policy_credential_oauth2(const struct eg_policy *p, unsigned i, struct eg_oauth2 *ret);
void eg_policy_credential_sigv4(const struct eg_policy *p, unsigned i, struct eg_sigv4_scope *ret);
/* Is the credential bound to that host (credentials.NAME.hosts; required for every credential)? */
bool eg_policy_credential_host(const struct eg_policy *p, struct eg_slice credential, struct eg_slice host);

/* ---- ways in ---- */
enum { EG_PROTOCOL_HTTP = 1, EG_PROTOCOL_SOCKS = 2 };
enum eg_auth { EG_AUTH_TOKEN, EG_AUTH_NONE, EG_AUTH_CLIENT_CERT };
struct eg_listen_spec {
    struct eg_sockaddr at;       /* family 0 with unix_path */
    struct eg_slice unix_path;   /* empty: TCP */
    unsigned protocols;          /* EG_PROTOCOL_* together; both where the policy names none */
    enum eg_auth auth;
    struct eg_slice cert_pem, key_pem; /* TLS listener when cert is not empty */
    struct eg_slice client_ca_pem;     /* empty: no client certificate is asked for */
    bool require_client;
    unsigned session_count;      /* client certificates that stand for a session */
    struct eg_slice rule;
};
unsigned eg_policy_listen_count(const struct eg_policy *p); /* 0: the default listener */
void eg_policy_listen(const struct eg_policy *p, unsigned i, struct eg_listen_spec *ret);
/* k < session_count of listener i: a certificate with this SAN (a DNS name, an address or a URI, as text) is the session of that label. */
void eg_policy_listen_session(const struct eg_policy *p, unsigned i, unsigned k, struct eg_slice *san, struct eg_slice *label);

/* ---- ways out: a chain of proxies, the first of which is dialled; each is asked for the next one, the last one for the origin ---- */
enum eg_hop_kind { EG_HOP_HTTP, EG_HOP_SOCKS5, EG_HOP_SSH };
enum { EG_HOPS_MAX = 4 };
struct eg_hop {
    enum eg_hop_kind kind;
    bool tls;                    /* https, socks5+tls: TLS to the proxy itself */
    struct eg_authority at;
    struct eg_slice user;        /* beside the credential; ssh: the login name. May be empty: then the credential is "user:password" */
    struct eg_slice credential;  /* name; empty: none */
    bool bearer;                 /* Proxy-Authorization: Bearer, not Basic */
    struct eg_slice ca_pem, cert_pem, key_pem, server_name; /* tls; contents, read at compile time; empty: the system's CAs, none, the host */
    struct eg_slice text;        /* "socks5://host:1080" for messages: never user or password */
    struct eg_slice rule;        /* "file:line", or what else chose it: "HTTPS_PROXY", "--upstream-proxy" */
};
/* HTTPS_PROXY and HTTP_PROXY may differ. SECURE: tunnels, SOCKS, routes; PLAIN: requests in absolute-form or inside a tunnel of scheme http. */
enum eg_chain { EG_CHAIN_SECURE, EG_CHAIN_PLAIN };
enum eg_upstream_from { EG_UPSTREAM_NONE, EG_UPSTREAM_POLICY, EG_UPSTREAM_ENV, EG_UPSTREAM_OPTION };
/* Fills out, borrowed from the block; how many there are (0: direct). */
unsigned eg_policy_hops(const struct eg_policy *p, enum eg_chain chain, struct eg_hop out[EG_HOPS_MAX]);
/* Does `bypass` (or NO_PROXY, where the environment chose the proxy) name it? Then it is reached directly. */
bool eg_policy_bypassed(const struct eg_policy *p, const struct eg_authority *to);
/* Its items, as a person writes them: "a.example", ".a.example" (only what is below), "10.0.0.0/8", "*", each with ":port" where it has one. i < count. Returns
 * out; cap >= EG_AUTHORITY_TEXT. */
unsigned eg_policy_bypass_count(const struct eg_policy *p);
char *eg_policy_bypass_format(const struct eg_policy *p, unsigned i, char *out, size_t cap);

struct eg_settings {
    struct eg_sockaddr dns_servers[4];
    unsigned dns_count;               /* 0: the system's */
    struct eg_slice ca_pem;           /* tls.ca contents */
    bool ca_system;                   /* tls.system */
    bool via;
    uint32_t audit_capacity;
    struct eg_slice audit_file;       /* path; empty: none */
    bool audit_strict;
    uint8_t audit_destinations;       /* 0 full, 1 host, 2 none */
    enum eg_upstream_from upstream_from; /* who chose the chains; POLICY without a hop: `upstream: none` */
    bool proxy_resolve_local;         /* resolve: local */
    bool observe;                     /* mode: observe */
};
const struct eg_settings *eg_policy_settings(const struct eg_policy *p);

#endif
