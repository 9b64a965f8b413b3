/* audit.c - `egressctl audit`: the events of a running proxy, or of a file that `run` kept, as JSON
 * Lines or as a table.
 *
 * What it reads may be damaged or made up (a torn last line, somebody else's file): a line that
 * is no event is counted and passed over. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/kept.h"
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
    struct eg_kept kept;
    struct eg_buf row;
};

static enum eg_status print(void *ctx, struct eg_slice text)
{
    (void)ctx;
    return fwrite(text.p, 1, text.n, stdout) == text.n ? EG_OK : EG_CLOSED;
}

/* One event as its JSON text. */
static enum eg_status take(void *ctx, const char *text, size_t n)
{
    struct audit *a = ctx;
    struct egress_event e;
    if (egress_event_parse(text, n, &e) != EG_OK) {
        a->kept.broken++;
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

static int finish(struct audit *a, int code)
{
    if (code == EG_EXIT_OK && a->view &&
        eg_view_write(a->view, &a->filter, print, NULL) == EG_NOMEM)
        code = EG_EXIT_FAILED;
    if (fflush(stdout) != 0 && errno != EPIPE)
        code = EG_EXIT_FAILED;
    if (a->kept.lost)
        fprintf(stderr, "%s: %llu older events were overwritten\n", NAME,
                (unsigned long long)a->kept.lost);
    if (a->kept.broken)
        fprintf(stderr, "%s: %llu lines are no events\n", NAME, (unsigned long long)a->kept.broken);
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
    a.kept = (struct eg_kept){ .command = NAME, .follow = a.follow, .take = take, .ctx = &a };
    return finish(&a, eg_kept_read(&a.kept, control, file));
}
