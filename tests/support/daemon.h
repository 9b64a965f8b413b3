/* daemon.h - what tests of a whole egressd ask again and again: egressctl's answers, what /proc says of a process, a policy for tunnels. */
#ifndef EG_TESTS_SUPPORT_DAEMON_H
#define EG_TESTS_SUPPORT_DAEMON_H

#include "support/proc.h"

#ifdef __SANITIZE_ADDRESS__
#define EG_TESTS_ASAN 1
#else
#define EG_TESTS_ASAN 0
#endif

/* egressctl with these words and --control of the world; the exit code. out (malloc'd, may be NULL): stdout and stderr together. */
int eg_ctl_run(const struct eg_world *w, char **out, ...) __attribute__((sentinel));
/* `egressctl status --json`, malloc'd. */
char *eg_daemon_status(const struct eg_world *w);
/* `egressctl env --format json` of the default session, malloc'd. */
char *eg_daemon_environment(const struct eg_world *w);
/* The integer behind "key": in a text; aborts the test when it is not there. after: searched from there on, or NULL. */
long eg_json_number(const char *text, const char *after, const char *key);
/* The text behind "key":" into out. */
void eg_json_text(const char *text, const char *key, char *out, size_t cap);
/* Waits (bounded) until worker `number` is ready with a pid other than `not`; returns that pid. */
pid_t eg_daemon_worker(const struct eg_world *w, unsigned number, pid_t not );
/* Waits (bounded) until all workers together have this sum of `key` in their statistics; returns the last sum. */
long eg_daemon_await_sum(const struct eg_world *w, const char *key, long want);
/* The whole audit, read through a file: for many events. malloc'd. */
char *eg_daemon_audit(const struct eg_world *w);
/* eg_world_egressd by way of `sh -c "PREFIX; exec egressd ..."`, for ulimit; args may be NULL. */
void eg_daemon_start(struct eg_world *w, const char *policy, const char *prefix,
                     const char *const *args, const char *const *environment);
/* egressd that is expected to end by itself: its exit code; out as for eg_proc_run. args: all but the program. */
int eg_daemon_fail(const struct eg_world *w, const char *const *args, char **out);

/* A file of /proc/PID as one text (NULs become newlines); NULL when it can't be read. malloc'd. */
char *eg_proc_text(pid_t pid, const char *name);
/* A number of /proc/PID/status, such as VmRSS or RssAnon (kB). */
long eg_proc_status(pid_t pid, const char *key);
/* User and system time in ms. */
long eg_proc_cpu_ms(pid_t pid);
bool eg_proc_gone(pid_t pid);

/* CONNECT to 127.0.0.1:port with that token; the status. The head is kept in head (cap bytes) when it is not NULL. */
int eg_daemon_tunnel(struct eg_client *c, const struct eg_world *w, const char *token,
                     unsigned port, char *head, size_t cap);
/* A TLS 1.2 ClientHello for that name (RFC 5246 7.4.1.2), in one record; out has room for its length and 64 bytes. Returns its size. */
size_t eg_daemon_client_hello(unsigned char *out, const char *name);
/* GET /headers through an open tunnel to the plain origin: 200? */
bool eg_daemon_echo(struct eg_client *c);

/* HOME is the world's folder, and no other place of settings or state is named. */
void eg_world_home(const struct eg_world *w);
/* `egressctl policy SUB` with up to four words, NULL behind the last; one with ".yaml" in it is a file of the world. Its exit status; out as for eg_proc_run. */
int eg_world_ask_policy(const struct eg_world *w, const char *sub, const char *const words[4], char **out);

#endif
