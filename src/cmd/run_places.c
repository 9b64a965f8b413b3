/* run_places.c - the places of one `egressctl run`: policy files in their layers, the state
 * folder with its kept events, the control socket. It reads the environment and so runs before
 * that is wiped. A policy layer that is there but can't be read is not passed over: the
 * supervisor then refuses to start. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/run.h"

static bool fits(int n, size_t cap)
{
    return n >= 0 && (size_t)n < cap;
}

static void add(struct eg_run_places *p, const char *path, enum eg_layer layer, bool trusted)
{
    p->policies[p->policy_count++] =
        (struct eg_policy_source){ .path = path, .layer = layer, .trusted = trusted };
}

/* Anything but a plain absence counts as present. */
static bool present(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* $XDG_CONFIG_HOME/egress. Made if it is missing, since a child that could make it would write
 * its own trusted policy there. */
static enum eg_status find_config(struct eg_run_places *p)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int n = config && *config == '/' ? snprintf(p->config, sizeof p->config, "%s/egress", config)
            : home && *home == '/'
                ? snprintf(p->config, sizeof p->config, "%s/.config/egress", home)
                : 0;
    if (!fits(n, sizeof p->config))
        return EG_TOO_BIG;
    for (char *slash = n > 0 ? strchr(p->config + 1, '/') : NULL; slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(p->config, 0700); /* where this fails for us, it fails for the child */
        *slash = '/';
    }
    if (n > 0)
        mkdir(p->config, 0700);
    return n > 0 && !fits(snprintf(p->user, sizeof p->user, "%s/user.yaml", p->config),
                          sizeof p->user)
               ? EG_TOO_BIG
               : EG_OK;
}

static enum eg_status find_policies(struct eg_run_places *p, const char *file, bool trust,
                                    struct eg_err *err)
{
    enum eg_status status = find_config(p);
    if (status != EG_OK)
        return status;
    snprintf(p->org, sizeof p->org, "/etc/egress/org.yaml");
    if (present(p->org))
        add(p, p->org, EG_LAYER_ORG, true);
    if (p->user[0] && present(p->user))
        add(p, p->user, EG_LAYER_USER, true);
    if (!fits(snprintf(p->repo, sizeof p->repo, "%s", file ? file : "egress.yaml"), sizeof p->repo))
        return EG_TOO_BIG;
    if (!file && !present(p->repo)) {
        p->repo[0] = '\0';
        if (p->policy_count == 0)
            return eg_err_set(err, EG_NOT_FOUND, "policy", 0,
                              "there is no ./egress.yaml; `egressctl policy init` writes one, or name a file");
        return EG_OK;
    }
    add(p, p->repo, EG_LAYER_REPO,
        trust); /* trust by hash is the supervisor's to find, over the very text that it uses */
    return EG_OK;
}

static int kept(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return strncmp(d->d_name, "run-", 4) == 0 && n > 10 && strcmp(d->d_name + n - 6, ".jsonl") == 0;
}

/* Room for this run's own: names sort by time. */
static void drop_old(const char *state)
{
    struct dirent **list;
    char path[PATH_MAX];
    int n = scandir(state, &list, kept, alphasort);
    for (int i = 0; i < n; i++) {
        if (i < n - (EG_RUN_KEEP - 1) &&
            fits(snprintf(path, sizeof path, "%s/%s", state, list[i]->d_name), sizeof path))
            unlink(path);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

/* Without a state folder (no HOME, not ours) nothing is kept; that is worth a warning and no
 * more. */
static enum eg_status find_state(struct eg_run_places *p)
{
    struct eg_err err = { 0 };
    char text[300], when[32];
    struct tm tm;
    const time_t now = (time_t)(eg_clock_wall_us() / 1000000);
    enum eg_status status = eg_cmd_state_dir(p->state, sizeof p->state);
    if (status == EG_OK)
        status = eg_cmd_state_make(p->state, &err);
    if (status != EG_OK) {
        fprintf(stderr, "egressctl run: warning: no events will be kept: %s\n",
                err.status != EG_OK ? eg_err_format(&err, text, sizeof text)
                                    : "there is no home folder");
        p->state[0] = '\0';
        return EG_OK;
    }
    drop_old(p->state);
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y%m%dT%H%M%S", &tm);
    return fits(snprintf(p->events, sizeof p->events, "%s/run-%s-%d.jsonl", p->state, when,
                         (int)getpid()),
                sizeof p->events)
               ? EG_OK
               : EG_TOO_BIG;
}

enum eg_status eg_run_policies_find(struct eg_run_places *p, const char *file, bool trust,
                                    struct eg_err *err)
{
    memset(p, 0, sizeof *p);
    return find_policies(p, file, trust, err);
}

enum eg_status eg_run_places_find(struct eg_run_places *p, const char *file, bool trust,
                                  struct eg_err *err)
{
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "run-%d", (int)getpid());
    enum eg_status status = find_policies(p, file, trust, err);
    if (status == EG_OK)
        status = find_state(p);
    if (status == EG_OK)
        status = eg_cmd_control_path(p->control, sizeof p->control);
    char *last = status == EG_OK ? strrchr(p->control, '/') : NULL;
    if (last && !fits(snprintf(last + 1, sizeof p->control - (size_t)(last + 1 - p->control),
                               "%s.sock", p->name),
                      sizeof p->control - (size_t)(last + 1 - p->control)))
        status = EG_TOO_BIG;
    if (status != EG_OK)
        eg_err_set(err, status, "run", 0, "a path is too long");
    else
        eg_run_drop_stale(p->control, 0);
    return status;
}
