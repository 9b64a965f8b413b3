/* fd.h - what tcp and dial share: byte calls on one connected socket, and its place in a pollset. Not for other rooms. */
#ifndef EG_STREAM_FD_H
#define EG_STREAM_FD_H

#include "stream/stream.h"

/* A number for struct eg_watch.tag that a later descriptor of the same number does not get again. */
uint32_t eg_stream_fd_tag(void);
/* EG_OK with *done >= 1, EG_AGAIN, EG_EOF, EG_CLOSED (reset, or the network gave up), EG_IO. */
enum eg_status eg_stream_fd_recv(int fd, char *p, size_t n, size_t *done,
                                 struct eg_err *err) EG_MUST_USE;
enum eg_status eg_stream_fd_send(int fd, const char *p, size_t n, size_t *done,
                                 struct eg_err *err) EG_MUST_USE;
/* Closes our direction. A peer that is gone already is no failure. */
enum eg_status eg_stream_fd_shut(int fd, struct eg_err *err) EG_MUST_USE;
/* Adds or widens an entry. A full set sets `now`: waiting for too little could wait for ever. */
void eg_stream_poll_add(struct eg_pollset *set, int fd, uint32_t tag, unsigned events);

#endif
