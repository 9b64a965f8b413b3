/* cred_read.c - the helper process of one credential: reads its source, answers, ends.
 *
 * It may block as long as it is let; the supervisor ends it. Its memory is the supervisor's at the
 * time of the fork, without vault and environment, and ends with it. */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/confine.h"
#include "cmd/creds.h"

enum { FILE_MS = 10000, KEYRING_MS = 60000, CMD_MS = 30000, OAUTH_MS = 30000, GRACE_MS = 1000 };

uint64_t eg_cred_limit_ms(const struct eg_sup_credential *e)
{
    if (e->argv)
        return e->timeout_ms ? e->timeout_ms : CMD_MS;
    if (e->kind == EG_SOURCE_OAUTH2)
        return e->timeout_ms ? e->timeout_ms : OAUTH_MS;
    return e->kind == EG_SOURCE_KEYRING ? KEYRING_MS : FILE_MS;
}

uint64_t eg_cred_patience_ms(const struct eg_sup_credential *e)
{
    uint64_t limit = eg_cred_limit_ms(e);
    if (e->kind == EG_SOURCE_OAUTH2)
        return limit + EG_SUP_OAUTH_STORE_MS + GRACE_MS;
    return e->argv || e->kind == EG_SOURCE_KEYRING ? limit + GRACE_MS : limit;
}

/* A PEM key, or a JSON that holds one. */
static bool is_text(const struct eg_sup_credential *e)
{
    size_t n = strlen(e->name);
    return n > 4 && strcmp(e->name + n - 4, "#key") == 0;
}

static enum eg_status run_command(const struct eg_cred_job *job, struct eg_buf *out,
                                  struct eg_err *err)
{
    const struct eg_sup_credential *e = job->credential;
    bool fields = e->json || e->kind == EG_SOURCE_SIGV4;
    if (*job->path)
        e->argv[0] = (char *)(uintptr_t)job->path;
    struct eg_source_command c = { .argv = (const char *const *)e->argv,
                                   .env = (const char *const *)job->env,
                                   .limit = fields ? EG_CRED_JSON_MAX : EG_CRED_OUTPUT_MAX,
                                   .deadline_ms = eg_clock_ms() + eg_cred_limit_ms(e) };
    return eg_source_cmd(&c, out, err);
}

static enum eg_status read_plain(const struct eg_cred_job *job, struct eg_buf *value,
                                 struct eg_err *err)
{
    const struct eg_sup_credential *e = job->credential;
    struct eg_err why = { 0 };
    uint64_t deadline = eg_clock_ms() + eg_cred_limit_ms(e);
    enum eg_status s;
    switch (e->kind) {
    case EG_SOURCE_FILE:
        return eg_source_file(e->place, is_text(e), value, err);
    case EG_SOURCE_KEYRING:
        return eg_source_keyring(e->place, e->account, deadline, is_text(e), value, err);
    case EG_SOURCE_KERNEL:
        return eg_source_kernel(e->place, is_text(e), value, err);
    case EG_SOURCE_SYSTEMD:
        return eg_source_systemd(job->folder, e->place, is_text(e), value, err);
    case EG_SOURCE_CMD:
        s = run_command(job, value, err);
        if (s == EG_OK)
            s = eg_source_check(value, is_text(e), &why);
        if (s != EG_OK && why.status != EG_OK)
            (void)eg_err_set(err, s, "credential", 0, "cmd: %s", why.text);
        return s;
    default:
        return eg_err_set(err, EG_INTERNAL, "credential", 0, "no such source");
    }
}

/* Fields are added behind the head, whose sentence and status come last: so in a buffer of their
 * own. */
static enum eg_status read_all(const struct eg_cred_job *job, struct eg_buf *items,
                               uint64_t *expires_ms, struct eg_err *err)
{
    const struct eg_sup_credential *e = job->credential;
    struct eg_buf value;
    eg_buf_init(&value, EG_CRED_ANSWER_MAX);
    enum eg_status s;
    if (e->kind == EG_SOURCE_OAUTH2)
        s = eg_sup_oauth_run(e->creds, e, job->oauth, eg_cred_limit_ms(e), &value, err);
    else if (e->argv && (e->json || e->kind == EG_SOURCE_SIGV4))
        s = run_command(job, &value, err);
    else
        s = read_plain(job, &value, err);
    if (s == EG_OK && e->kind == EG_SOURCE_SIGV4)
        s = eg_cred_fields_aws(eg_buf_slice(&value), items, expires_ms, err);
    else if (s == EG_OK && e->argv && e->json)
        s = eg_cred_fields_json(eg_buf_slice(&value), e->account, items, err);
    else if (s == EG_OK)
        s = eg_cred_answer_add(items, EG_SLICE_NONE, eg_buf_slice(&value));
    eg_buf_wipe(&value);
    return s;
}

static void write_all(int fd, struct eg_slice bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR)
            return;
        bytes = eg_slice_from(bytes, n < 0 ? 0 : (size_t)n);
    }
}

_Noreturn void eg_cred_read_run(struct eg_cred_job *job)
{
    struct eg_err err = { 0 };
    struct eg_buf head, items;
    char why[200] = "";
    uint64_t expires_ms = 0;
    int kept[2] = { job->fd, job->oauth ? job->oauth->client : job->fd };
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGCHLD, SIG_DFL);
    /* a program's helper ends it before itself; one that uses up a refresh token keeps the next */
    if (!eg_sup_oauth_rotates(job->credential->creds, job->credential))
        (void)prctl(PR_SET_PDEATHSIG, job->credential->argv ? SIGTERM : SIGKILL, 0, 0, 0);
    eg_buf_init(&head, 1024);
    eg_buf_init(&items, EG_CRED_ANSWER_MAX);
    enum eg_status s = eg_confine_descriptors(kept, job->oauth ? 2 : 1, &err);
    if (s == EG_OK)
        s = read_all(job, &items, &expires_ms, &err);
    if (s == EG_CLOSED)
        _exit(0); /* SIGTERM: nobody waits for the answer */
    if (s != EG_OK)
        eg_err_format(err.status != EG_OK ? &err : &(struct eg_err){ .status = s }, why,
                      sizeof why);
    if (eg_cred_answer_begin(&head, s, why, expires_ms) == EG_OK) {
        write_all(job->fd, eg_buf_slice(&head));
        if (s == EG_OK)
            write_all(job->fd, eg_buf_slice(&items));
    }
    eg_buf_wipe(&items);
    _exit(0);
}
