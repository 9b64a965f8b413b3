/* sock.h - sockets: always CLOEXEC and non-blocking. */
#ifndef EG_NET_SOCK_H
#define EG_NET_SOCK_H

#include <sys/types.h>

#include "base/uri.h"

/* Maps an errno of connect(2) or SO_ERROR to a status: EG_CONNECT_REFUSED, EG_NET_UNREACHABLE, EG_HOST_UNREACHABLE, EG_CONNECT_TIMEOUT, EG_IO. */
enum eg_status eg_sock_status(int error);
/* A stream socket that is connecting to `to` (EG_OK with *fd; connected or in progress). TCP_NODELAY is set. */
enum eg_status eg_sock_connect(const struct eg_sockaddr *to, int *fd, struct eg_err *err) EG_MUST_USE;
/* SO_ERROR of a socket that became writable: EG_OK when connected, EG_AGAIN when still under way. */
enum eg_status eg_sock_connected(int fd, struct eg_err *err) EG_MUST_USE;
/* Local or peer address. */
bool eg_sock_local(int fd, struct eg_sockaddr *ret);
bool eg_sock_peer(int fd, struct eg_sockaddr *ret);

/* The user at the other end of a Unix socket, as the kernel knows it (of a listening one: who listens).
 * false for any other socket. */
bool eg_sock_peer_user(int fd, uid_t *ret);

/* A listener on that address; port 0 is chosen by the kernel and told in *bound. SO_REUSEADDR, backlog 1024. */
enum eg_status eg_sock_listen(const struct eg_sockaddr *at, int *fd, struct eg_sockaddr *bound, struct eg_err *err) EG_MUST_USE;
/* TCP_NODELAY; a listener's accepted sockets inherit it. Without effect on other sockets. */
void eg_sock_no_delay(int fd);
/* accept4; *peer has family 0 for a Unix socket. EG_AGAIN when none waits; EG_CLOSED for one that vanished (call again); EG_IO with EMFILE/ENFILE in err->sys: pause accepting. */
enum eg_status eg_sock_accept(int listener, int *fd, struct eg_sockaddr *peer, struct eg_err *err) EG_MUST_USE;

/* A SOCK_SEQPACKET pair (supervisor and worker). */
enum eg_status eg_sock_pair(int fds[2], struct eg_err *err) EG_MUST_USE;
/* One message with up to 8 descriptors. send: EG_AGAIN when full, EG_CLOSED. The caller keeps its descriptors. recv: EG_EOF at the end; EG_TOO_BIG when it was cut; *fd_count holds what came (the caller owns them). */
enum eg_status eg_sock_send_fds(int fd, const void *p, size_t n, const int *fds, unsigned fd_count, struct eg_err *err) EG_MUST_USE;
enum eg_status eg_sock_recv_fds(int fd, void *p, size_t cap, size_t *n, int *fds, unsigned fd_cap, unsigned *fd_count, struct eg_err *err) EG_MUST_USE;

#endif
