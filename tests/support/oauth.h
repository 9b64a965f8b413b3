/* oauth.h - a world whose credential `tok` is a token: egressd, its name server, and the origin that is both token endpoint and API
 * (origin_oauth.c). For the tests of whole programs. */
#ifndef EG_TESTS_SUPPORT_OAUTH_H
#define EG_TESTS_SUPPORT_OAUTH_H

#include "support/daemon.h"

/* The policy before the credential's own keys; the endpoint's key of them. */
#define OAUTH_HEAD                                                                                 \
    "egress: 1\n"                                                                                  \
    "services:\n"                                                                                  \
    "  api:\n"                                                                                     \
    "    upstream: https://api.example.test:@ORIGIN@/oauth\n"                                      \
    "    credential: tok\n"                                                                        \
    "    write: [\"header:Authorization: Bearer {}\"]\n"                                           \
    "    env: {base_url: API_BASE_URL, key: [API_KEY]}\n"                                          \
    "  as: {upstream: \"https://api.example.test:@ORIGIN@/oauth\"}\n"                              \
    "networks: {allow: [127.0.0.0/8]}\n"                                                           \
    "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"                                                      \
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"                                                 \
    "credentials:\n"                                                                               \
    "  tok:\n"                                                                                     \
    "    hosts: [api.example.test]\n"
#define OAUTH_TOKEN_URL "token_url: \"https://api.example.test:@ORIGIN@/oauth/token\""

/* A new world with its origin and its name server; egressd is not started. */
void oauth_origins(struct eg_world *w);

/* DIR/name with mode 0600. */
void oauth_put_secret(const struct eg_world *w, const char *name, const char *text);

/* GET path with the bearer token (NULL: without one). The status; the body in *body (malloc'd) unless it is NULL. */
int oauth_ask(const struct eg_world *w, const char *path, const char *key, char **body);

/* Tells the endpoint how to behave: one of origin_oauth.c's words, such as "mode=500". */
void oauth_tell(const struct eg_world *w, const char *word);

/* A count of the endpoint's: "issued", "denied", "unauthorized". */
long oauth_counted(const struct eg_world *w, const char *key);

/* What the child of the default session gets as API_KEY. */
void oauth_phantom(const struct eg_world *w, char *out, size_t cap);

/* How often the origin was sent the text. */
unsigned oauth_at_origin(const struct eg_world *w, const char *text);

/* SIGHUP; returns when the count-th reload of this world is done. */
void oauth_reload(const struct eg_world *w, unsigned count);

#endif
