/* dnsd.h - an authoritative DNS server for tests, on a loop: 127.0.0.1, UDP and TCP on one port of
 * the kernel's choice. */
#ifndef EG_TESTS_DNSD_H
#define EG_TESTS_DNSD_H

#include "base/uri.h"
#include "net/loop.h"

struct dnsd;

/* NULL when it can't be set up. */
struct dnsd *dnsd_new(struct eg_loop *loop);
void dnsd_free(struct dnsd *d);
/* "NAME=WORD[,WORD]...": addresses, or hang, hang4, hang6 (no answer, or none to that family),
 * nxdomain, servfail, garbage (a malformed answer), badid (answers with another id first), tc (cut
 * over UDP, whole over TCP), ttlN (of its addresses; else 60), aliasN (a CNAME with that TTL comes
 * before the addresses), then (what follows is the answer to the next question of the same type,
 * and so on; the last one stays). A name without a rule does not exist. false: not understood. */
bool dnsd_rule(struct dnsd *d, const char *rule);
/* Where it listens. */
struct eg_sockaddr dnsd_at(const struct dnsd *d);
/* Called for each question; may be NULL. type: 1 A, 28 AAAA. */
void dnsd_on_question(struct dnsd *d,
                      void (*asked)(void *ctx, const char *name, unsigned type, bool tcp),
                      void *ctx);
/* How many questions came, and how many distinct UDP source ports were seen (of the first 64
 * questions). */
unsigned dnsd_questions(const struct dnsd *d);
unsigned dnsd_ports(const struct dnsd *d);

#endif
