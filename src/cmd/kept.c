/* kept.c - reads events from a running proxy, or from a file that `run` kept.
 *
 * What it reads may be damaged or made up (a torn last line, somebody else's file): it looks at nothing but lengths, the taker at all else. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/connect.h"
#include "cmd/kept.h"
#include "cmd/options.h"
#include "egress/audit.h"

/* ---- from a proxy ---- */

static int from_proxy(struct eg_kept *k, struct eg_ctl_client *c)
{
    json_t *reply = NULL;
    int code = eg_cmd_ask(k->command, c, json_pack("{s:s,s:b}", "op", "audit", "follow", (int)k->follow),
                          &reply);
    while (code < 0) {
        const json_t *event = json_object_get(reply, "event");
        enum eg_status status = EG_OK;
        if (event) {
            char *text = json_dumps(event, JSON_COMPACT | JSON_ENSURE_ASCII);
            status = text ? k->take(k->ctx, text, strlen(text)) : EG_NOMEM;
            free(text);
        } else if (json_object_get(reply, "lost")) {
            k->lost += (uint64_t)json_integer_value(json_object_get(reply, "lost"));
        }
        bool done = json_object_get(reply, "done") != NULL;
        json_decref(reply);
        reply = NULL;
        if (done || status == EG_CLOSED)
            return EG_EXIT_OK;
        if (status != EG_OK)
            return EG_EXIT_FAILED;
        code = eg_cmd_next(k->command, c, k->follow ? -1 : 10000, &reply);
    }
    return code;
}

/* ---- from a file ---- */

static int from_file(struct eg_kept *k, const char *path)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    struct stat st;
    FILE *f = fopen(path, "re");
    if (!f || fstat(fileno(f), &st) < 0 || !S_ISREG(st.st_mode)) {
        fprintf(stderr, "%s: %s: %s\n", k->command, path, f ? "not a regular file" : strerror(errno));
        if (f)
            fclose(f);
        return EG_EXIT_FAILED;
    }
    enum eg_status status = EG_OK;
    while (status == EG_OK && (n = getline(&line, &cap, f)) > 0) {
        n -= line[n - 1] == '\n';
        if (n > EGRESS_EVENT_JSON_MAX)
            k->broken++;
        else if (n > 0)
            status = k->take(k->ctx, line, (size_t)n);
    }
    free(line);
    fclose(f);
    return status == EG_OK || status == EG_CLOSED ? EG_EXIT_OK : EG_EXIT_FAILED;
}

/* The newest file that `run` kept. */
static bool newest_kept(char out[PATH_MAX])
{
    char folder[PATH_MAX], path[PATH_MAX];
    struct timespec best = { 0 };
    bool found = false;
    if (eg_cmd_state_dir(folder, sizeof folder) != EG_OK)
        return false;
    DIR *d = opendir(folder);
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        struct stat st;
        const char *end = strrchr(e->d_name, '.');
        if (!end || strcmp(end, ".jsonl") != 0 ||
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= PATH_MAX ||
            lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
            continue;
        if (found && (st.st_mtim.tv_sec < best.tv_sec ||
                      (st.st_mtim.tv_sec == best.tv_sec && st.st_mtim.tv_nsec <= best.tv_nsec)))
            continue;
        found = true;
        best = st.st_mtim;
        memcpy(out, path, sizeof path);
    }
    if (d)
        closedir(d);
    return found;
}

int eg_kept_read(struct eg_kept *k, const char *control, const char *file)
{
    struct eg_ctl_client *c = NULL;
    char kept[PATH_MAX];
    if (file)
        return from_file(k, file);
    bool quiet = !control && !k->follow && newest_kept(kept);
    int code = eg_cmd_connect(k->command, control, quiet, &c);
    if (code >= 0 && quiet) {
        fprintf(stderr, "%s: no proxy is running; these are the events of %s\n", k->command, kept);
        return from_file(k, kept);
    }
    if (code < 0)
        code = from_proxy(k, c);
    eg_ctl_client_free(c);
    return code;
}
