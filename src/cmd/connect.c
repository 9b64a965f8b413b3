/* connect.c - finds and asks a running proxy on behalf of a subcommand, and says in words what
 * to do when there is none. */
#include "cmd/connect.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/options.h"

enum { ANSWER_MS = 10000, SOCKETS = 64 };

struct found {
    char path[PATH_MAX];
    struct timespec when;
};

static int newer(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->when.tv_sec != y->when.tv_sec)
        return x->when.tv_sec < y->when.tv_sec ? 1 : -1;
    return x->when.tv_nsec < y->when.tv_nsec ? 1 : x->when.tv_nsec > y->when.tv_nsec ? -1 : 0;
}

/* The sockets beside the default one, newest first. */
static unsigned others(const char *path, struct found *out)
{
    char folder[PATH_MAX];
    unsigned n = 0;
    const char *slash = strrchr(path, '/');
    if (!slash)
        return 0;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    DIR *d = opendir(folder);
    const struct dirent *e;
    while (d && n < SOCKETS && (e = readdir(d))) {
        struct stat st;
        const char *end = strrchr(e->d_name, '.');
        if (!end || strcmp(end, ".sock") != 0 ||
            snprintf(out[n].path, sizeof out[n].path, "%s/%s", folder, e->d_name) >= PATH_MAX ||
            lstat(out[n].path, &st) < 0 || !S_ISSOCK(st.st_mode))
            continue;
        out[n++].when = st.st_mtim;
    }
    if (d)
        closedir(d);
    qsort(out, n, sizeof *out, newer);
    return n;
}

static enum eg_status open_default(const char *path, struct eg_ctl_client **ret, struct eg_err *err)
{
    enum eg_status status = eg_ctl_client_open(path, ret, err);
    struct found *list = status == EG_NOT_FOUND ? calloc(SOCKETS, sizeof *list) : NULL;
    unsigned n = list ? others(path, list) : 0;
    for (unsigned i = 0; i < n && status == EG_NOT_FOUND; i++)
        status = eg_ctl_client_open(list[i].path, ret, NULL);
    free(list);
    return status;
}

int eg_cmd_connect(const char *command, const char *path, bool quiet, struct eg_ctl_client **ret)
{
    char standard[PATH_MAX];
    struct eg_err err = { 0 };
    enum eg_status status = EG_OK;
    if (path) {
        status = eg_ctl_client_open(path, ret, &err);
    } else {
        path = standard;
        status = eg_cmd_control_path(standard, sizeof standard);
        if (status == EG_OK)
            status = open_default(standard, ret, &err);
        else
            standard[0] = 0;
    }
    if (status == EG_OK)
        return -1;
    if (!quiet) {
        char text[256];
        fprintf(stderr, "%s: no proxy is reachable at %s: %s\n", command, path,
                eg_err_format(err.status != EG_OK ? &err : &(struct eg_err){ .status = status },
                              text, sizeof text));
        fprintf(stderr, "start one with `egressd --policy FILE` or `egressctl run -- CMD`, or name "
                        "its socket with --control PATH\n");
    }
    return EG_EXIT_NO_PROXY;
}

int eg_cmd_next(const char *command, struct eg_ctl_client *c, int timeout_ms, json_t **reply)
{
    struct eg_err err = { 0 };
    char text[256];
    enum eg_status status = eg_ctl_client_receive(c, timeout_ms, reply, &err);
    if (status != EG_OK) {
        fprintf(stderr, "%s: %s\n", command,
                status == EG_AGAIN ? "egressd does not answer"
                : status == EG_EOF ? "egressd closed the connection"
                                   : eg_err_format(&err, text, sizeof text));
        return EG_EXIT_NO_PROXY;
    }
    const json_t *error = json_object_get(*reply, "error");
    if (!error)
        return -1;
    const char *message = eg_ctl_text(error, "message");
    fprintf(stderr, "%s: %s\n", command, message ? message : "egressd refused");
    json_decref(*reply);
    *reply = NULL;
    return EG_EXIT_FAILED;
}

int eg_cmd_ask(const char *command, struct eg_ctl_client *c, json_t *request, json_t **reply)
{
    struct eg_err err = { 0 };
    char text[256];
    enum eg_status status = request ? eg_ctl_client_send(c, request, &err) : EG_NOMEM;
    json_decref(request);
    if (status == EG_OK)
        return eg_cmd_next(command, c, ANSWER_MS, reply);
    fprintf(stderr, "%s: %s\n", command,
            eg_err_format(err.status != EG_OK ? &err : &(struct eg_err){ .status = status }, text,
                          sizeof text));
    return status == EG_CLOSED ? EG_EXIT_NO_PROXY : EG_EXIT_FAILED;
}
