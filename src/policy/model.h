/* model.h - what all files of a policy say together, before it becomes a block. Internal to the room.
 *
 * Files are added in the order of their layers. Lists unite; for single values the more specific trusted layer wins; an untrusted
 * file may only lower a limit. Everything lives in one arena. */
#ifndef EG_POLICY_MODEL_H
#define EG_POLICY_MODEL_H

#include "policy/preset.h"
#include "policy/schema.h"
#include "policy/yaml.h"

struct eg_table;

enum {
    EG_MODEL_RULES_MAX = 200000,
    EG_MODEL_SERVICES_MAX = 1000,
    EG_MODEL_CREDENTIALS_MAX = 1000,
    EG_MODEL_HOSTS_MAX = 64, /* of a credential */
    EG_MODEL_PARTS_MAX = 4,  /* of a credential */
    EG_MODEL_PORTS_MAX = 64, /* of a rule */
    EG_MODEL_PATHS_MAX = 4096, /* of a rule or a service */
    EG_MODEL_LISTEN_MAX = 8,
    EG_MODEL_SESSIONS_MAX = 256, /* of a listener */
    EG_MODEL_BYPASS_MAX = 256,
    EG_MODEL_LABEL_MAX = 47, /* of a session, as the session table has room for */
    EG_MODEL_PEM_MAX = 1 << 20,
};

enum eg_action {
    EG_ACTION_DENY,
    EG_ACTION_ALLOW,
    EG_ACTION_NETWORK,
    EG_ACTION_OWN,
    EG_ACTION_SERVICE,
    EG_ACTION_COUNT
};
enum eg_pattern_kind { EG_PATTERN_EXACT, EG_PATTERN_BELOW, EG_PATTERN_PREFIX, EG_PATTERN_KINDS };

struct eg_pattern { /* what a rule names */
    enum eg_pattern_kind kind;
    struct eg_slice host; /* EXACT: the name; BELOW: the name without "*." */
    struct eg_addr addr;  /* PREFIX */
    uint8_t bits;
};

struct eg_model_segment {
    struct eg_slice *globs; /* of literal bytes and * */
    unsigned count;         /* 0: ** */
};
struct eg_model_path {
    struct eg_slice method; /* empty: any */
    struct eg_slice text;   /* "METHOD /pattern", canonical */
    struct eg_slice rule;   /* "file:line" */
    struct eg_model_segment *segments;
    unsigned segment_count;
};
struct eg_model_paths { /* sorted by text, no doubles */
    struct eg_model_path *list;
    unsigned count;
};

struct eg_model_rule {
    struct eg_model_rule *next;
    enum eg_action action;
    struct eg_pattern to;
    enum eg_scheme scheme;
    bool sni_optional;
    uint64_t max_request_body;
    uint16_t ports[EG_MODEL_PORTS_MAX]; /* sorted, no doubles */
    uint16_t port_count;                /* 0: any */
    struct eg_model_paths paths;        /* none: every request */
    struct eg_slice why;
    struct eg_place at;
    struct eg_slice rule; /* "file:line" */
};

struct eg_model_preset { /* what completes a service */
    const struct eg_preset *preset; /* NULL: nothing */
    const struct eg_source *source;
    const struct eg_yaml *credential; /* under the service's name; NULL: none, or the file names another one */
};

struct eg_model_service {
    struct eg_model_service *next;
    struct eg_service s;
    struct eg_model_paths rules, denies;
    const struct eg_source *source;
    struct eg_model_preset preset;
    bool plaintext;
    bool has_accept, has_write, has_key, has_env;
    struct eg_place at, upstream_at, credential_at, route_at, accept_at, write_at, env_at;
};

struct eg_model_credential {
    struct eg_model_credential *next;
    struct eg_credential c;
    struct eg_slice *args; /* c.arg_count */
    struct eg_model_credential *parts[EG_MODEL_PARTS_MAX]; /* of oauth2 and aws_sigv4 */
    unsigned part_count;
    struct eg_oauth2 oauth2;
    struct eg_model_service *endpoint; /* oauth2; NULL: its URL is bad, which is reported */
    struct eg_sigv4_scope sigv4;
    struct eg_pattern hosts[EG_MODEL_HOSTS_MAX];
    unsigned host_count;
    struct eg_place at;
    const struct eg_source *source;
};

struct eg_model_pair { /* listen[].sessions */
    struct eg_slice san, label;
};
struct eg_model_listen {
    struct eg_listen_spec s;
    struct eg_model_pair *sessions; /* s.session_count */
    struct eg_place at;
};

struct eg_model_hop {
    struct eg_hop h;
    struct eg_place at, credential_at; /* without a source: chosen outside of the policy */
};

enum eg_bypass_kind {
    EG_BYPASS_ALL,
    EG_BYPASS_NAME,
    EG_BYPASS_BELOW,  /* the names below it */
    EG_BYPASS_DOMAIN, /* both, as a plain name in NO_PROXY is read everywhere */
    EG_BYPASS_PREFIX,
    EG_BYPASS_KINDS
};
struct eg_model_bypass {
    enum eg_bypass_kind kind;
    struct eg_slice host;
    struct eg_addr addr; /* never an IPv4-mapped one */
    uint8_t bits;
    uint16_t port; /* 0: any */
};

struct eg_model_origin {
    struct eg_slice key;
    struct eg_place at;
};

struct eg_model_upstream {
    enum eg_upstream_from from;
    bool resolve_local;
    struct eg_model_hop hops[2][EG_HOPS_MAX]; /* by enum eg_chain */
    unsigned hop_count[2];
    struct eg_model_bypass bypass[EG_MODEL_BYPASS_MAX];
    unsigned bypass_count;
};

struct eg_model_test {
    struct eg_model_test *next;
    struct eg_policy_test t;
    struct eg_place service_at;
};

struct eg_model {
    struct eg_arena *arena;
    struct eg_diags *diags;
    const struct eg_policy_reader *reader;
    enum eg_status status; /* EG_NOMEM, EG_TOO_BIG: give up */
    struct eg_slice name;
    struct eg_model_rule *rules, **rules_end;
    unsigned rule_count;
    struct eg_model_service *services;
    unsigned service_count;
    struct eg_table *service_names;
    struct eg_model_credential *credentials;
    unsigned credential_count;
    struct eg_table *credential_names;
    struct eg_model_pending *pending; /* credentials without hosts: a preset has to give them */
    struct eg_limits limits;
    struct eg_limits ceiling; /* what the trusted files say: no untrusted one goes above */
    struct eg_settings settings;
    struct eg_model_upstream upstream;
    bool allow_metadata;
    struct eg_place mode_at; /* of the mode that counts */
    struct eg_model_listen listen[EG_MODEL_LISTEN_MAX];
    unsigned listen_count;
    struct eg_slice file; /* the file to which a rule should be added */
    struct eg_model_test *tests, **tests_end;
    struct eg_table *origins; /* of single values: their key's path to a struct eg_place; NULL: none */
};

enum eg_status eg_model_init(struct eg_model *m, struct eg_arena *arena, struct eg_diags *diags,
                             const struct eg_policy_reader *reader) EG_MUST_USE;
void eg_model_done(struct eg_model *m);
/* One checked tree. Problems become diagnostics; EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_model_add(struct eg_model *m, const struct eg_source *source,
                            const struct eg_yaml *root) EG_MUST_USE;
/* Limits of the untrusted files, after all trusted ones. */
void eg_model_lower(struct eg_model *m, const struct eg_source *source, const struct eg_yaml *root);
/* Once all files are in: what one file's keys mean for another's (credentials of services, doubles, defaults). */
enum eg_status eg_model_finish(struct eg_model *m) EG_MUST_USE;

/* Remembers where a value and what is below it stands, for `policy show`; a later place takes over. parent: the path above it ("services"), or "". node may
 * be NULL. */
void eg_model_note(struct eg_model *m, const char *parent, const struct eg_yaml *node);

/* --- the parts, one file each --- */
void eg_model_add_rules(struct eg_model *m, const struct eg_source *source,
                        const struct eg_yaml *root);
/* A list of "METHOD /pattern", or one; NULL: none. some: an empty list is an error. False: something was reported. */
bool eg_model_read_paths(struct eg_model *m, const struct eg_yaml *list, bool some,
                         struct eg_model_paths *ret);
void eg_model_add_services(struct eg_model *m, const struct eg_source *source,
                           const struct eg_yaml *services);
void eg_model_read_slots(struct eg_model *m, struct eg_model_service *s,
                         const struct eg_yaml *service);
void eg_model_read_env(struct eg_model *m, struct eg_model_service *s,
                       const struct eg_yaml *service);
/* One element of write; "bearer" is also what is written where nothing says what. */
void eg_model_take_write(struct eg_model *m, struct eg_model_service *s,
                         const struct eg_yaml *node);
void eg_model_write_bearer(struct eg_model_service *s);
struct eg_write eg_model_sigv4_write(void);
/* limits, redact, websocket and trailers. */
void eg_model_read_members(struct eg_model *m, struct eg_model_service *s,
                           const struct eg_yaml *service);
/* tls.pin: one or a list; NULL: none. */
void eg_model_read_pins(struct eg_model *m, const struct eg_yaml *pin,
                        struct eg_slice pins[EG_SERVICE_PINS], unsigned *count);
/* What a credential's kind says of slots and templates; c NULL: there is none. */
void eg_model_finish_slots(struct eg_model *m, struct eg_model_service *s,
                           const struct eg_model_credential *c);
void eg_model_finish_service(struct eg_model *m, struct eg_model_service *s,
                             struct eg_table *names);
/* The service, completed by the preset that it asks for: by `preset:`, or by its own name where it has no upstream. The same node where it asks
 * for none; NULL: reported. */
const struct eg_yaml *eg_model_with_preset(struct eg_model *m, const struct eg_source *source,
                                           const struct eg_yaml *service,
                                           struct eg_model_preset *from);
/* Keeps a credential that names no hosts; takes the most specific one of that name away, NULL when there is none. */
void eg_model_pend(struct eg_model *m, const struct eg_source *source, const struct eg_yaml *node);
const struct eg_yaml *eg_model_unpend(struct eg_model *m, struct eg_slice name,
                                      const struct eg_source **source);
/* Once all files are in: the credentials that presets bring, or complete. */
void eg_model_finish_presets(struct eg_model *m);
void eg_model_read_credential(struct eg_model *m, const struct eg_source *source,
                              const struct eg_yaml *node);
void eg_model_add_credentials(struct eg_model *m, const struct eg_source *source,
                              const struct eg_yaml *credentials);
enum eg_source_use {
    EG_USE_VALUE,   /* one value, or JSON with fields */
    EG_USE_WRITTEN, /* a new value is written back */
    EG_USE_SIGV4,   /* a program that prints all keys */
};
/* A reference: text, or a map with cmd. False: reported. */
bool eg_model_read_source(struct eg_model *m, const struct eg_source *source,
                          const struct eg_yaml *from, enum eg_source_use use,
                          struct eg_model_credential *c);
void eg_model_read_oauth2(struct eg_model *m, struct eg_model_credential *c,
                          const struct eg_yaml *map);
void eg_model_read_sigv4(struct eg_model *m, struct eg_model_credential *c,
                         const struct eg_yaml *map);
/* Once all files are in: parts become credentials, token endpoints become services. */
void eg_model_finish_derived(struct eg_model *m);
/* Scheme, host and port of a token endpoint into s; *path is the rest in origin-form. False: reported. */
bool eg_model_token_url(struct eg_model *m, struct eg_place at, struct eg_slice url,
                        struct eg_service *s, struct eg_slice *path);
void eg_model_add_tests(struct eg_model *m, const struct eg_source *source,
                        const struct eg_yaml *list);
/* Once all files are in: do they name services that are there? */
void eg_model_finish_tests(struct eg_model *m);
void eg_model_add_settings(struct eg_model *m, const struct eg_source *source,
                           const struct eg_yaml *root);
void eg_model_add_listeners(struct eg_model *m, const struct eg_source *source,
                            const struct eg_yaml *list);
void eg_model_add_upstream(struct eg_model *m, const struct eg_source *source,
                           const struct eg_yaml *upstream);
/* Once all files are in: what the caller chose, where it has the word. */
void eg_model_choose_upstream(struct eg_model *m);
void eg_model_check_upstream(struct eg_model *m);

/* --- helpers of the parts --- */
struct eg_model_tls {
    struct eg_slice ca_pem, cert_pem, key_pem, server_name;
};
/* tls: {ca, client_cert, client_key, server_name} of a service or a proxy. */
void eg_model_client_tls(struct eg_model *m, const struct eg_source *source,
                         const struct eg_yaml *tls, struct eg_model_tls *ret);
/* Is there such a credential, and is it bound to that host? If not, it is reported. */
void eg_model_check_binding(struct eg_model *m, struct eg_place at, struct eg_slice name,
                            struct eg_slice host);
/* A list, or one text that stands for a list of one: take is called for each good element. More than max are reported. */
typedef void eg_model_take(struct eg_model *m, struct eg_model_service *s,
                           const struct eg_yaml *node);
void eg_model_each(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *list,
                   unsigned max, eg_model_take *take);
/* May this field, query key or cookie be named by a slot? False: reported. */
bool eg_model_field_name(struct eg_model *m, const struct eg_yaml *node, struct eg_slice name);
bool eg_model_query_key(struct eg_model *m, const struct eg_yaml *node, struct eg_slice key);
bool eg_model_cookie_name(struct eg_model *m, const struct eg_yaml *node, struct eg_slice name);
/* Reports; always false. */
bool eg_model_bad_slot(struct eg_model *m, const struct eg_yaml *node, const char *code,
                       const char *fix, const char *text);
bool eg_model_printable(struct eg_slice s);
/* The next literal part of a template and, where true, what stands between the braces behind it (from the { on where nothing closes it); false
 * at its end. */
bool eg_model_template_next(struct eg_slice *rest, struct eg_slice *literal,
                            struct eg_slice *field);
bool eg_model_is_local(const struct eg_authority *a);
void *eg_model_alloc(struct eg_model *m, size_t n); /* NULL sets m->status */
struct eg_slice eg_model_copy(struct eg_model *m, struct eg_slice s);
struct eg_slice eg_model_printf(struct eg_model *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "file:line" of a place. */
struct eg_slice eg_model_rule_text(struct eg_model *m, struct eg_place at);
/* An untouched child, NULL when absent or bad. */
const struct eg_yaml *eg_model_child(const struct eg_yaml *map, const char *name);
struct eg_slice eg_model_text(const struct eg_yaml *map, const char *name);
/* A new rule at the end of the list; NULL when there are too many or no memory. */
struct eg_model_rule *eg_model_new_rule(struct eg_model *m, enum eg_action action,
                                        struct eg_place at);
/* Is it a name that a service, credential or route may have? False: reported; `what` is in the sentence. */
bool eg_model_check_name(struct eg_model *m, struct eg_slice name, struct eg_place at,
                         const char *what, bool upper);
/* PATH, or the folder of the naming file and PATH. */
struct eg_slice eg_model_path(struct eg_model *m, const struct eg_source *source,
                              struct eg_slice path);
/* Contents of a file that a key names; what is not PEM of that kind ("CERTIFICATE", "PRIVATE KEY") is an error. */
struct eg_slice eg_model_pem(struct eg_model *m, const struct eg_source *source,
                             const struct eg_yaml *node, const char *label);
/* NULL when the text holds a whole PEM block of that kind, else what is wrong with it; static. */
const char *eg_pem_fault(struct eg_model *m, struct eg_slice text, const char *label);
/* Host patterns ("name", "*.name"); literals only where `literals`. False: reported. */
bool eg_model_pattern(struct eg_model *m, const struct eg_yaml *node, bool literals,
                      struct eg_pattern *ret);
bool eg_model_matches(const struct eg_pattern *pattern, struct eg_slice host);
bool eg_addr_loopback(const struct eg_addr *a);

#endif
