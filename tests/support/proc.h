/* proc.h - the programs of an integration test: egressd, origins, name servers. Each is started by id, is waited for with a deadline and is ended by id. Nothing sleeps. */
#ifndef EG_TESTS_SUPPORT_PROC_H
#define EG_TESTS_SUPPORT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { EG_PROC_DEADLINE_MS = 20000 };

struct eg_proc {
    pid_t pid;
    int out;          /* its stdout; stderr goes to DIR/NAME.err */
    char ready[2048]; /* its first line */
};

struct eg_world { /* one test's scratch folder and the programs in it */
    char dir[256];
    struct eg_proc egressd, origin, plain, dns;
    uint16_t proxy_port, origin_port, plain_port, dns_port;
    char token[65];
    char control[300];
};

/* A new private folder below $TMPDIR; readable by other users only where a worker must not need it. Aborts the test on failure, as all of these do. */
void eg_world_new(struct eg_world *w);
/* Ends every program (SIGTERM, then SIGKILL at the deadline), asserts that egressd ended with 0 unless it was ended before, removes the folder. */
void eg_world_done(struct eg_world *w);
/* DIR/name, in a static ring of buffers. */
const char *eg_world_path(const struct eg_world *w, const char *name);
void eg_world_write(const struct eg_world *w, const char *name, const char *text);
/* The whole file with a NUL (malloc'd); *n may be NULL. An absent file is "". */
char *eg_world_read(const struct eg_world *w, const char *name, size_t *n);
/* Neither origin has received a byte. */
void eg_world_saw_nothing(const struct eg_world *w);

/* tlsorigin with these extra arguments (NULL-terminated), recording to DIR/origin.rec. */
void eg_world_origin(struct eg_world *w, const char *const *args);
/* The same without TLS, recording to DIR/plain.rec; its policy word is @PLAIN@. */
void eg_world_plain(struct eg_world *w);
/* dnsstub with these NAME=ADDR arguments, logging to DIR/dns.log. */
void eg_world_dns(struct eg_world *w, const char *const *names);
/* egressd --policy DIR/egress.yaml with these extra arguments; format as printf, the policy's text. In it, @ORIGIN@, @DNS@ and @DIR@ are replaced. environment: extra NAME=VALUE (NULL-terminated) or NULL. */
void eg_world_egressd(struct eg_world *w, const char *policy, const char *const *args,
                      const char *const *environment);
/* The same text handling for a reload: writes DIR/egress.yaml. */
void eg_world_policy(const struct eg_world *w, const char *policy);

/* Starts a program; its first stdout line is in p->ready. env may be NULL. */
void eg_proc_start(struct eg_proc *p, const struct eg_world *w, const char *name,
                   const char *const *argv, const char *const *environment);
/* The same with listening sockets as systemd passes them: from descriptor 3 on, LISTEN_PID and LISTEN_FDS. The test keeps its own. */
void eg_proc_start_passed(struct eg_proc *p, const struct eg_world *w, const char *name, const char *const *argv,
                          const char *const *environment, const int *fds, unsigned fd_count);
/* Ends it by signal and waits; returns the wait status. */
int eg_proc_end(struct eg_proc *p, int signal);
/* Runs to its end within the deadline; output (malloc'd, stdout and stderr together) in *out; returns the exit code or 128 + signal. */
int eg_proc_run(const struct eg_world *w, const char *const *argv, const char *const *environment,
                char **out);
/* The same with sockets passed as by eg_proc_start_passed. */
int eg_proc_run_passed(const struct eg_world *w, const char *const *argv, const char *const *environment,
                       const int *fds, unsigned fd_count, char **out);
/* The integer behind "key": in the ready line. */
long eg_proc_number(const struct eg_proc *p, const char *key);
unsigned eg_proc_fds(pid_t pid);
/* Waits, 8 s at most, until the process has no more than that many descriptors; that it has. */
void eg_proc_settled(pid_t pid, unsigned fds);
/* Children of pid, at most cap. */
unsigned eg_proc_children(pid_t pid, pid_t *ret, unsigned cap);

/* ---- a client ---- */
struct eg_client { /* a blocking socket with deadlines */
    int fd;
    char *buf; /* all that was received and not taken */
    size_t len, cap;
    bool eof, reset;
};
void eg_client_open(struct eg_client *c, uint16_t port);
void eg_client_close(struct eg_client *c);
void eg_client_send(struct eg_client *c, const void *p, size_t n);
void eg_client_text(struct eg_client *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Receives until `until` is there, or n bytes are, or the end: true unless the deadline passed. until NULL: only n counts; n 0: until the end. */
bool eg_client_wait(struct eg_client *c, const char *until, size_t n);
/* Takes a whole response off: the status (0: none came), its head in head (cap bytes, NUL), its body (malloc'd, decoded from chunks or length) in *body (may be NULL). */
int eg_client_response(struct eg_client *c, char *head, size_t cap, char **body, size_t *n);
/* Sends CONNECT with the world's token and returns the status. */
int eg_client_connect(struct eg_client *c, const struct eg_world *w, const char *authority);
/* Is the field in the head, with that value (NULL: any)? */
bool eg_head_has(const char *head, const char *name, const char *value);

/* ---- events ---- */
/* `egressctl audit --json` of the world's egressd: JSON Lines (malloc'd). */
char *eg_world_events(const struct eg_world *w);
/* How many of these lines hold all of the given texts (NULL-terminated list)? */
unsigned eg_events_with(const char *lines, ...) __attribute__((sentinel));
/* Waits (bounded) until `count` lines hold all of the texts. */
bool eg_world_await_event(const struct eg_world *w, unsigned count, const char *a, const char *b);

#endif
