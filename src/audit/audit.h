/* audit.h - the writer's side: one trail a process, ring plus an optional file sink. */
#ifndef EG_AUDIT_AUDIT_H
#define EG_AUDIT_AUDIT_H

#include "base/err.h"
#include "base/slice.h"
#include "egress/audit.h"

/* audit.destinations. full; host: no path (and no detail that repeats it or a query); none: events
 * of connections without anything that says where they went: no host, address, port, method, path,
 * service, credential, rule, and no detail but that of system events, which say what the proxy
 * itself did. */
enum eg_destinations { EG_DEST_FULL, EG_DEST_HOST, EG_DEST_NONE };

struct eg_trail {
    struct egress_ring *ring;
    int file; /* O_APPEND descriptor; -1: none */
    bool strict;
    uint32_t writer;
    enum eg_destinations destinations;
    uint64_t unwritten; /* lines that the file did not take (not strict) */
};

/* Writes e to the ring and, with a file, as one line in one write(2). EG_AUDIT_UNWRITABLE when
 * the file did not take it and the trail is strict: the caller refuses (an event that says so
 * is in the ring). A short write is ended with a newline at the next event, so that a torn line
 * spoils no other. */
enum eg_status eg_trail_write(struct eg_trail *t, struct egress_event *e) EG_MUST_USE;
/* Sets a text member from a slice: escapes nothing, cuts at the member's size and sets
 * e->truncated. Use with sizeof. */
void eg_event_text(struct egress_event *e, char *member, size_t size, struct eg_slice text);
/* Opens audit.file: O_APPEND|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600, regular files only. */
enum eg_status eg_trail_open_file(const char *path, int *fd, struct eg_err *err) EG_MUST_USE;

#endif
