/* setup.c - what the supervisor does to itself before it opens anything, and its own copy of the
 * options.
 *
 * Invariant: after eg_sup_harden no core of this process is written and no other process of the
 * same user reads its memory. */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmd/state.h"

enum eg_status eg_sup_harden(struct eg_err *err)
{
    struct rlimit none = { 0, 0 }, files;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
        return eg_err_set(err, EG_PERMISSION, "supervisor", errno, "a core could be left");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a full audit file is an error of write, not our end */
    return sodium_init() < 0 ? eg_err_set(err, EG_INTERNAL, "supervisor", 0, "libsodium") : EG_OK;
}

static char *copy(const char *text, bool *ok)
{
    char *c = text ? strdup(text) : NULL;
    *ok = *ok && (c || !text);
    return c;
}

enum eg_status eg_sup_options_copy(struct eg_supervisor_options *to,
                                   const struct eg_supervisor_options *from)
{
    bool ok = true;
    struct eg_policy_source *sources = calloc(from->policy_count + 1, sizeof *sources);
    *to = *from;
    to->policies = sources;
    for (unsigned i = 0; sources && i < from->policy_count; i++) {
        sources[i] = from->policies[i];
        sources[i].path = copy(from->policies[i].path, &ok);
    }
    struct eg_sockaddr *at = from->listen ? malloc(sizeof *at) : NULL;
    if (at)
        *at = *from->listen;
    ok = ok && sources && (at || !from->listen);
    to->listen = at;
    to->control_path = copy(from->control_path, &ok);
    to->token_file = copy(from->token_file, &ok);
    to->events_file = copy(from->events_file, &ok);
    to->enforcement = copy(from->enforcement, &ok);
    to->weaker = copy(from->weaker, &ok);
    return ok ? EG_OK : EG_NOMEM;
}

void eg_sup_options_free(struct eg_supervisor_options *o)
{
    for (unsigned i = 0; o->policies && i < o->policy_count; i++)
        free((char *)(uintptr_t)o->policies[i].path);
    free((void *)(uintptr_t)o->policies);
    free((void *)(uintptr_t)o->listen);
    free((char *)(uintptr_t)o->control_path);
    free((char *)(uintptr_t)o->token_file);
    free((char *)(uintptr_t)o->events_file);
    free((char *)(uintptr_t)o->enforcement);
    free((char *)(uintptr_t)o->weaker);
    for (unsigned i = 0; i < o->entry_count; i++)
        if (o->entries[i].fd >= 0)
            close(o->entries[i].fd);
    for (unsigned i = 0; i < o->passed_count; i++)
        if (o->passed[i] >= 0)
            close(o->passed[i]);
}
