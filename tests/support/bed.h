/* bed.h - an engine in the test's own process: a loop, a policy from text, listeners, sessions, and the audit's ring.
 * Clients are sockets of the test that never block; time passes only in eg_bed_turn. Aborts the test on failure, as all of these do. */
#ifndef EG_TESTS_SUPPORT_BED_H
#define EG_TESTS_SUPPORT_BED_H

#include "proxy/engine.h"

#define EG_BED_TOKEN "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct eg_bed {
    struct eg_loop *loop;
    struct egress_ring *ring;
    struct eg_vault *vault;
    struct eg_engine *engine;
    uint64_t seen; /* number of the last event that was read */
};

/* hosts: text as of /etc/hosts. A session "main" (label "main-label", EG_BED_TOKEN) is there. */
void eg_bed_new(struct eg_bed *b, const char *policy, const char *hosts);
void eg_bed_free(struct eg_bed *b);
/* Another policy comes into force. */
void eg_bed_policy(struct eg_bed *b, const char *policy, const char *hosts);
void eg_bed_session(struct eg_bed *b, const char *id, const char *label, const char *token,
                    uint64_t expires_wall_us);
/* A listener on 127.0.0.1, whose port is returned; config->self is set. */
uint16_t eg_bed_listen(struct eg_bed *b, struct eg_listen_config *config);
/* A listener on a Unix socket of the abstract name "egress-test-PID-number". */
void eg_bed_listen_unix(struct eg_bed *b, unsigned number, struct eg_listen_config *config);

/* A connected client. */
int eg_bed_connect(uint16_t port);
int eg_bed_connect_unix(unsigned number);
/* One tick that waits at most ms. */
void eg_bed_turn(struct eg_bed *b, int ms);
/* Turns and reads until n bytes are there, or the end is: how many are there; *eof tells of the end. Gives up after a while. */
size_t eg_bed_read(struct eg_bed *b, int fd, char *out, size_t n, bool *eof);
/* Turns until no flow is open; gives up after a while. */
bool eg_bed_quiet(struct eg_bed *b);
/* The next event that was not read yet; false when there is none. */
bool eg_bed_event(struct eg_bed *b, struct egress_event *ret);
/* The reason of the last event that was not read yet; "" when there is none. */
const char *eg_bed_reason(struct eg_bed *b);

#endif
