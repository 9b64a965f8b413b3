/* audit.c - `egressctl audit`: the events of a running proxy, or of a file that `run` kept, as JSON
 * Lines or as a table.
 *
 * What it reads may be damaged or made up (a torn last line, somebody else's file): a line that
 * is no event is counted and passed over. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/connect.h"
#include "cmd/files.h"
#include "cmd/view.h"

static const char NAME[] = "egressctl audit";

static const struct eg_cmd_option list[] = {
    { 0, "control", "PATH", "the control socket" },
    { 0, "json", NULL, "print events as JSON Lines" },
    { 'f', "follow", NULL, "go on with events as they happen" },
    { 0, "denied", NULL, "refusals only" },
    { 0, "session", "LABEL", "events of that session only" },
    { 0, "file", "EVENTS", "read a kept file and ask no proxy" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_audit_options = {
    .command = NAME,
    .operands = "",
    .about = "Shows what was decided, by a running proxy or in the newest run that is over.",
    .list = list,
};

struct audit {
    bool json, follow, color;
    struct eg_view_filter filter;
    struct eg_view *view; /* NULL: rows are printed as they come */
    uint64_t lost, broken;
    struct eg_buf row;
};

static enum eg_status print(void *ctx, struct eg_slice text)
{
    (void)ctx;
    return fwrite(text.p, 1, text.n, stdout) == text.n ? EG_OK : EG_CLOSED;
}

/* One event as its JSON text. */
static enum eg_status take(struct audit *a, const char *text, size_t n)
{
    struct egress_event e;
    if (egress_event_parse(text, n, &e) != EG_OK) {
        a->broken++;
        return EG_OK;
    }
    if (a->view)
        return eg_view_add(a->view, &e);
    if (!eg_view_wanted(&a->filter, &e))
        return EG_OK;
    eg_buf_reset(&a->row);
    enum eg_status status;
    if (a->json) { /* written anew: what a file holds beside the event goes no further */
        char *room;
        status = eg_buf_reserve(&a->row, EGRESS_EVENT_JSON_MAX + 1, &room);
        if (status != EG_OK)
            return status;
        size_t length = egress_event_json(&e, room, EGRESS_EVENT_JSON_MAX);
        room[length] = '\n';
        eg_buf_commit(&a->row, length + 1);
    } else {
        status = eg_view_row(&e, NULL, a->color, &a->row);
    }
    status = status == EG_OK ? print(NULL, eg_buf_slice(&a->row)) : status;
    if (a->follow && fflush(stdout) != 0)
        return EG_CLOSED;
    return status;
}

/* ---- from a proxy ---- */

static int from_proxy(struct audit *a, struct eg_ctl_client *c)
{
    json_t *reply = NULL;
    int code = eg_cmd_ask(NAME, c, json_pack("{s:s,s:b}", "op", "audit", "follow", (int)a->follow),
                          &reply);
    while (code < 0) {
        const json_t *event = json_object_get(reply, "event");
        enum eg_status status = EG_OK;
        if (event) {
            char *text = json_dumps(event, JSON_COMPACT | JSON_ENSURE_ASCII);
            status = text ? take(a, text, strlen(text)) : EG_NOMEM;
            free(text);
        } else if (json_object_get(reply, "lost")) {
            a->lost += (uint64_t)json_integer_value(json_object_get(reply, "lost"));
        }
        bool done = json_object_get(reply, "done") != NULL;
        json_decref(reply);
        reply = NULL;
        if (done || status == EG_CLOSED)
            return EG_EXIT_OK;
        if (status != EG_OK)
            return EG_EXIT_FAILED;
        code = eg_cmd_next(NAME, c, a->follow ? -1 : 10000, &reply);
    }
    return code;
}

/* ---- from a file ---- */

static int from_file(struct audit *a, const char *path)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    struct stat st;
    FILE *f = fopen(path, "re");
    if (!f || fstat(fileno(f), &st) < 0 || !S_ISREG(st.st_mode)) {
        fprintf(stderr, "%s: %s: %s\n", NAME, path, f ? "not a regular file" : strerror(errno));
        if (f)
            fclose(f);
        return EG_EXIT_FAILED;
    }
    enum eg_status status = EG_OK;
    while (status == EG_OK && (n = getline(&line, &cap, f)) > 0) {
        n -= line[n - 1] == '\n';
        if (n > EGRESS_EVENT_JSON_MAX)
            a->broken++;
        else if (n > 0)
            status = take(a, line, (size_t)n);
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

static int collect(struct audit *a, const char *control, const char *file)
{
    struct eg_ctl_client *c = NULL;
    char kept[PATH_MAX];
    if (file)
        return from_file(a, file);
    bool quiet = !control && !a->follow && newest_kept(kept);
    int code = eg_cmd_connect(NAME, control, quiet, &c);
    if (code >= 0 && quiet) {
        fprintf(stderr, "%s: no proxy is running; these are the events of %s\n", NAME, kept);
        return from_file(a, kept);
    }
    if (code < 0)
        code = from_proxy(a, c);
    eg_ctl_client_free(c);
    return code;
}

static int finish(struct audit *a, int code)
{
    if (code == EG_EXIT_OK && a->view &&
        eg_view_write(a->view, &a->filter, print, NULL) == EG_NOMEM)
        code = EG_EXIT_FAILED;
    if (fflush(stdout) != 0 && errno != EPIPE)
        code = EG_EXIT_FAILED;
    if (a->lost)
        fprintf(stderr, "%s: %llu older events were overwritten\n", NAME,
                (unsigned long long)a->lost);
    if (a->broken)
        fprintf(stderr, "%s: %llu lines are no events\n", NAME, (unsigned long long)a->broken);
    eg_view_free(a->view);
    eg_buf_done(&a->row);
    return code;
}

int eg_cmd_audit(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_audit_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    struct audit a = { 0 };
    unsigned n;
    int at;
    int code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    const char *control = eg_cmd_value(o, g, n, "control"), *file = eg_cmd_value(o, g, n, "file");
    a.json = eg_cmd_value(o, g, n, "json") != NULL;
    a.follow = eg_cmd_value(o, g, n, "follow") != NULL;
    a.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    a.filter.denied = eg_cmd_value(o, g, n, "denied") != NULL;
    a.filter.session = eg_cmd_value(o, g, n, "session");
    if (at < argc)
        return eg_cmd_usage(o, "there are no operands");
    if (file && (control || a.follow))
        return eg_cmd_usage(o, "--file goes with neither --control nor --follow");
    eg_buf_init(&a.row, 4 * EGRESS_EVENT_JSON_MAX);
    if (!a.json && !a.follow && eg_view_new(a.color, &a.view) != EG_OK)
        return EG_EXIT_FAILED;
    if (!a.json && a.follow)
        (void)!print(NULL, eg_view_head());
    return finish(&a, collect(&a, control, file));
}
