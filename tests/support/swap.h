/* swap.h - routes in the test's own process: an engine (bed.h) and the TLS test origin (origin.h) on one loop, a session "main" with a phantom, and
 * a supervisor that the test plays. Aborts the test on failure, as all of these do. */
#ifndef EG_TESTS_SUPPORT_SWAP_H
#define EG_TESTS_SUPPORT_SWAP_H

#include "support/bed.h"
#include "support/origin.h"
#include "support/pki.h"

/* 44 characters, some of which are written in another way in JSON, percent-encoding and base64. */
#define EG_SWAP_REAL    "real/0123456789+abcdef=ghijkl\"mnop\\qrst/uvwx"
#define EG_SWAP_NEXT    "next/0123456789+abcdef=ghijkl\"mnop\\qrst/uvwx"
#define EG_SWAP_PHANTOM "fake-PHANTOMphantomPHANTOMphantomPHANTOMphan"

/* A policy with the service "api" and its credential "key"; more: members of the service, each after a comma. */
#define EG_SWAP_SERVICE(more)                                                                      \
    "egress: 1\n"                                                                                  \
    "services:\n"                                                                                  \
    "  api: {upstream: \"https://api.example.test:@ORIGIN@\", credential: key, accept: "           \
    "[bearer],\n"                                                                                  \
    "        write: [\"header:Authorization: Bearer {}\"]" more "}\n"                              \
    "credentials:\n"                                                                               \
    "  key: {from: env:KEY, hosts: [api.example.test]}\n"                                          \
    "networks: {allow: [127.0.0.1/32]}\n"                                                          \
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"

struct eg_swap {
    struct eg_bed bed;
    struct origin *origin;
    struct eg_tls_ctx *tls;
    struct pki_ca *ca;
    char dir[64];
    int record;
    uint16_t port, proxy;
    unsigned asked,
        refused; /* how often a credential was asked for, and how often because of a 401 */
    enum eg_status ask_answer; /* what asking gives; EG_OK at first */
};

/* In the policy @ORIGIN@ is the origin's port and @DIR@ a private folder with its ca.pem; its name is api.example.test. The phantom of "main" for the
 * service "api" is EG_SWAP_PHANTOM. */
void eg_swap_new(struct eg_swap *s, const char *policy);
void eg_swap_free(struct eg_swap *s);
/* The credential "key" has that value now, and whoever waits is woken; NULL: its source failed. */
void eg_swap_answer(struct eg_swap *s, const char *value);
void eg_swap_lazy(struct eg_swap *s);
/* What /secret takes. */
void eg_swap_want(struct eg_swap *s, const char *value);
/* A client that has sent "METHOD PATH" with the phantom, these fields (each with its CRLF), and the body as it is. */
int eg_swap_send(struct eg_swap *s, const char *method, const char *path, const char *fields,
                 const void *body, size_t n);
/* Reads until `until` is there; what came, with a NUL. */
size_t eg_swap_await(struct eg_swap *s, int fd, char *out, size_t cap, const char *until);
/* All that comes until the end, with a NUL (malloc'd); *size may be NULL. Closes fd. */
char *eg_swap_rest(struct eg_swap *s, int fd, size_t *size);
/* Both, with Connection: close and no body. */
char *eg_swap_ask(struct eg_swap *s, const char *method, const char *path, const char *fields);
/* Turns until `what` asks or exchanges there are; gives up after a while. */
bool eg_swap_await_asked(struct eg_swap *s, unsigned count);
/* All that the origin was sent, with a NUL (malloc'd). */
char *eg_swap_record(struct eg_swap *s);
unsigned eg_swap_count(const char *text, size_t n, const char *needle);

#endif
