/* escape.h - attempts to get out of the sandbox: one row each, in five tables. The program `escape` (support/bin/escape.c) makes them, inside the sandbox and
 * outside of it; tests/interop/lib/escapes.py makes the targets and compares. An attempt that can't be made to succeed outside tests nothing and is counted apart.
 *
 * What an attempt needs to know of its targets (ports, paths, process ids) it asks for by name. Proof of reaching one is its word, ESCAPE_PROOF. */
#ifndef SUPPORT_ESCAPE_H
#define SUPPORT_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

#define ESCAPE_PROOF "escape-proof"

/* What an attempt returns: 0, it got out; 1..4095, the errno that kept it in; or that there was no such target to try. */
enum { ESCAPE_OUT = 0, ESCAPE_NO_TARGET = 5000, ESCAPE_NO_PROOF = 5001 };
enum { ESCAPE_WAIT_MS = 3000 };

struct escape_attempt {
    const char *name; /* group.what, unique */
    const char *what; /* for people */
    int (*make)(const char *arg);
    const char *arg;
};

/* Each ends with a row without a name. */
extern const struct escape_attempt escape_addresses[]; /* escape_net.c: hosts and ports */
extern const struct escape_attempt
    escape_packets[]; /* escape_packet.c: below and beside TCP and UDP, and the way in */
extern const struct escape_attempt
    escape_sockets[]; /* escape_socket.c: families, Unix sockets, descriptors */
extern const struct escape_attempt escape_processes[]; /* escape_process.c: other processes */
extern const struct escape_attempt
    escape_signals[]; /* escape_signal.c: signals, what processes share, terminals */
extern const struct escape_attempt escape_mounts[]; /* escape_mount.c: namespaces and mounts */
extern const struct escape_attempt
    escape_kernel[]; /* escape_kernel.c: what else the kernel offers */
extern const struct escape_attempt
    escape_files[]; /* escape_file.c: what would be trusted or run later */

/* The target's text, NULL without it; its number, -1 without it. Texts live until the process ends. */
const char *escape_target(const char *name);
long escape_number(const char *name);
/* "name=value"; later ones win. */
void escape_tell(const char *line);

/* "ADDRESS PORT": the address a literal (with %zone) or a target's name, the port a target's name or a number. False: there is no such target. */
union escape_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};
bool escape_where(const char *text, union escape_address *to, socklen_t *n);
#define ESCAPE_WHERE(text, to, n)                                                                  \
    if (!escape_where(text, &(to), &(n)))                                                          \
    return ESCAPE_NO_TARGET
/* Says something to a connected socket and expects the proof. */
int escape_ask(int fd);

/* errno, or ESCAPE_OUT for what is not negative. */
int escape_result(long rc);
/* As escape_result, and the descriptor is closed. */
int escape_opened(int fd);
/* Reads until the proof is there, with a deadline. */
int escape_expect_proof(int fd);
/* The proof in n bytes. */
int escape_is_proof(const char *p, size_t n);
/* Reads the file and looks for the proof in it (at most 1 MiB). */
int escape_read_proof(const char *path);
/* The rights of root over namespaces of one's own, where this process is not root; its errno. */
int escape_gain(int namespaces);
/* Child processes that others of the suite are aimed at; they never return. */
/* things: memory, semaphores and queues for others to meet are made too, and removed at SIGTERM. */
_Noreturn void escape_victim(int secret_fd, bool things);
_Noreturn void escape_guest(void);

#endif
