/* ssh_mux.h - OpenSSH's control socket as bytes (PROTOCOL.mux, version 4): the one request that we
 * make, the answers to it, and what the master writes on stderr about a channel that failed. Pure:
 * no sockets. */
#ifndef EG_CMD_SSH_MUX_H
#define EG_CMD_SSH_MUX_H

#include "base/buf.h"
#include "base/uri.h"

enum { EG_SSH_MUX_MAX = 4096 }; /* longest answer, with its length */

enum eg_ssh_mux_kind {
    EG_SSH_MUX_HELLO,
    EG_SSH_MUX_OPENED,  /* the far side is connected */
    EG_SSH_MUX_FAILURE, /* it is not: why is on the master's stderr, said before */
    EG_SSH_MUX_DENIED,  /* the master lets us not */
    EG_SSH_MUX_OTHER,   /* of no concern: the end of a session, a later extension */
};

/* Appends HELLO and NEW_STDIO_FWD to that target. Its two descriptors (what ssh reads, what it
 * writes) go behind it, each beside one byte in a message of its own. */
enum eg_status eg_ssh_mux_request(const struct eg_authority *to, struct eg_buf *out) EG_MUST_USE;
/* Takes the first answer off in. EG_AGAIN: not whole yet. EG_INVALID: no answer to that request, or
 * longer than EG_SSH_MUX_MAX; HELLO of another version too. */
enum eg_status eg_ssh_mux_answer(struct eg_buf *in, enum eg_ssh_mux_kind *ret) EG_MUST_USE;

/* ---- the master's stderr ---- */

enum { EG_SSH_LINE_MAX = 160, EG_SSH_FAILURES_MAX = 512 };

/* What it said: zeroed = nothing. The master writes why a channel failed before it answers the one
 * who asked, so failures are claimed in that order; which of several is meant, it does not say. */
struct eg_ssh_said {
    char line[EG_SSH_LINE_MAX + 1]; /* the one that is coming */
    size_t n;
    bool cut;                       /* the rest of this line is dropped */
    char last[EG_SSH_LINE_MAX + 1]; /* the last whole one that is about no channel; printable */
    enum eg_status failures[EG_SSH_FAILURES_MAX]; /* not claimed yet */
    unsigned failure_count;
};
void eg_ssh_said_add(struct eg_ssh_said *s, const char *p, size_t n);
/* Why a channel failed: EG_SSH_PROHIBITED, EG_SSH_REFUSED, EG_DNS_NOT_FOUND ...; EG_SSH_REFUSED
 * when nothing was said or different things about several. */
enum eg_status eg_ssh_said_claim(struct eg_ssh_said *s);
/* "channel 3: open failed: connect failed: Connection refused" to its status; EG_OK: another line. */
enum eg_status eg_ssh_failure(struct eg_slice line);

#endif
