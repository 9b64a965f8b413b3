/* policy_learn.c - `egressctl policy learn`: the least rules for what was refused, as a patch on the policy. Events are data that a child had a hand in: hosts and paths
 * are read by the same parsers that the proxy reads them by, and what is proposed is compiled and asked before it is shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/ask.h"
#include "cmd/commands.h"
#include "cmd/files.h"
#include "cmd/kept.h"
#include "cmd/unified.h"
#include "egress/audit.h"
#include "policy/learn.h"

enum { TEXT_MAX = 64 << 20, FILES = 8 };

static const char NAME[] = "egressctl policy learn";

static const struct eg_cmd_option list[] = {
    { 0, "control", "PATH", "the control socket of the proxy whose events are taken" },
    { 0, "from", "EVENTS", "a kept file of events; default: a proxy that runs, else the newest run that is over" },
    { 'p', "policy", "FILE", "the policy (default: ./egress.yaml)" },
    { 0, "session", "LABEL", "events of that session only" },
    { 0, "trust", NULL, "trust that file, as run --trust does" },
    { 0, "write", NULL, "change the file instead of printing a patch" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_policy_learn_options = {
    .command = NAME,
    .operands = "",
    .about = "Proposes the least rules for what was refused, as a patch to be reviewed.",
    .list = list,
};

struct learning {
    struct eg_learn *learn;
    const char *session;
    struct egress_event *events; /* one of each kind, for the check afterwards */
    unsigned count, room;
    unsigned long decisions, broken;
};

/* ---- events ---- */

static bool is_policy(const struct egress_event *e)
{
    switch ((enum eg_status)e->reason) {
    case EG_HOST_DENIED:
    case EG_HOST_NOT_ALLOWED:
    case EG_PORT_NOT_ALLOWED:
    case EG_RULE_DENIED:
    case EG_ADDRESS_DENIED:
    case EG_METADATA_DENIED:
    case EG_SNI_MISMATCH:
    case EG_NOT_TLS:
        return true;
    default:
        return false;
    }
}

/* False: it is about no place that could be asked for. */
static bool see(const struct egress_event *e, struct eg_learn_seen *seen)
{
    struct eg_addr literal;
    *seen = (struct eg_learn_seen){ .service = eg_slice_str(e->service),
                                    .method = eg_slice_str(e->method),
                                    .path = eg_slice_str(e->path),
                                    .reason = (enum eg_status)e->reason,
                                    .cut = e->truncated };
    bool v6 = eg_addr_parse(eg_slice_str(e->host), &literal) && literal.family == 6;
    char host[300];
    snprintf(host, sizeof host, v6 ? "[%s]" : "%s", e->host);
    if (eg_authority_parse(eg_slice_str(host), e->port, &seen->to, NULL) != EG_OK || seen->to.port != e->port ||
        e->port == 0)
        return false;
    for (const char *p = e->method; *p; p++)
        if ((*p < 'A' || *p > 'Z') && *p != '-')
            return false;
    if (e->address[0] && !eg_addr_parse(eg_slice_str(e->address), &seen->addr))
        return false;
    for (const char *p = e->path; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f) /* no canonical path has these */
            return false;
    return e->path[0] == '\0' || e->path[0] == '/';
}

static enum eg_status keep(struct learning *x, const struct egress_event *e)
{
    if (x->count == x->room) {
        unsigned room = x->room ? 2 * x->room : 64;
        struct egress_event *events = realloc(x->events, room * sizeof *events);
        if (!events)
            return EG_NOMEM;
        x->events = events;
        x->room = room;
    }
    x->events[x->count++] = *e;
    return EG_OK;
}

static enum eg_status take(void *ctx, const char *text, size_t n)
{
    struct learning *x = ctx;
    struct egress_event e;
    struct eg_learn_seen seen;
    if (egress_event_parse(text, n, &e) != EG_OK) {
        x->broken++;
        return EG_OK;
    }
    bool refused = e.kind == EGRESS_EVENT_DECISION && (!e.allowed || egress_event_would_deny(&e));
    if (!refused || !is_policy(&e) || (x->session && strcmp(x->session, e.session) != 0))
        return EG_OK;
    if (!see(&e, &seen))
        return EG_OK;
    x->decisions++;
    size_t kinds = eg_learn_kinds(x->learn);
    enum eg_status st = eg_learn_add(x->learn, &seen);
    if (st == EG_TOO_BIG) /* more kinds than anybody reads */
        return EG_OK;
    return st == EG_OK && eg_learn_kinds(x->learn) > kinds ? keep(x, &e) : st;
}

/* ---- the result is asked ---- */

/* What is proposed without a doubt must be allowed then. Counts what is still refused although it was proposed. */
static unsigned still_refused(const struct learning *x, const struct eg_policy *after)
{
    struct eg_learn *again = NULL;
    unsigned left = 0;
    if (eg_learn_new(after, NULL, &again) != EG_OK)
        return 1;
    for (unsigned i = 0; i < x->count; i++) {
        struct eg_learn_seen seen;
        if (see(&x->events[i], &seen) && eg_learn_add(again, &seen) != EG_OK)
            left++;
    }
    if (eg_learn_finish(again) != EG_OK)
        left++;
    for (unsigned i = 0; i < eg_learn_count(again); i++) {
        const struct eg_learnt *r = eg_learn_at(again, i);
        bool doubted = r->kind == EG_LEARNT_NEVER;
        for (unsigned k = 0; k < eg_learn_count(x->learn) && !doubted; k++) {
            const struct eg_learnt *o = eg_learn_at(x->learn, k);
            doubted = (o->why.n > 0 || !o->placed) && o->kind == r->kind;
        }
        left += !doubted;
    }
    eg_learn_free(again);
    return left;
}

static int check(const struct learning *x, const struct eg_loaded *before, const char *path, struct eg_slice text)
{
    struct eg_policy_file files[FILES];
    struct eg_loaded *after = NULL;
    struct eg_err err = { 0 };
    unsigned n = 0;
    for (; n < before->count && n < FILES; n++) {
        files[n] = before->files[n];
        if (strcmp(files[n].path, path) == 0)
            files[n].text = text;
    }
    const struct eg_load_spec spec = { .texts = files, .text_count = n, .portable = true };
    enum eg_status st = eg_load(&spec, &after, &err);
    int code = st == EG_OK ? eg_loaded_exit(after) : EG_EXIT_FAILED;
    if (st == EG_OK && !after->policy)
        eg_cmd_diags(after->diags);
    if (code == EG_EXIT_OK && still_refused(x, after->policy) > 0) {
        fprintf(stderr, "%s: what is proposed does not allow all that it was made of; nothing is written\n", NAME);
        code = EG_EXIT_FAILED;
    } else if (code != EG_EXIT_OK) {
        fprintf(stderr, "%s: what is proposed is no valid policy; nothing is written\n", NAME);
    }
    if (st == EG_OK)
        eg_loaded_free(after);
    return code;
}

/* ---- for people ---- */

static void tell(const struct learning *x, bool some)
{
    unsigned proposed = 0, doubts = 0;
    for (unsigned i = 0; i < eg_learn_count(x->learn); i++) {
        const struct eg_learnt *r = eg_learn_at(x->learn, i);
        proposed += r->why.n == 0 && r->placed;
        doubts += r->kind != EG_LEARNT_NEVER && r->why.n > 0;
    }
    fprintf(stderr, "%s: %lu %s: %u %s proposed, %u as comments for you to judge\n", NAME, x->decisions,
            x->decisions == 1 ? "refusal" : "refusals", proposed, proposed == 1 ? "rule" : "rules", doubts);
    for (unsigned i = 0; i < eg_learn_count(x->learn); i++) {
        const struct eg_learnt *r = eg_learn_at(x->learn, i);
        if (r->kind == EG_LEARNT_NEVER)
            fprintf(stderr, "  not proposed: %.*s (%lu): %.*s\n", (int)r->what.n, r->what.p, r->count, (int)r->why.n, r->why.p);
        else if (!r->placed)
            fprintf(stderr, "  add it by hand: %.*s (%lu): - %.*s to services.%.*s.rules, which come from a preset or another file\n",
                    (int)r->what.n, r->what.p, r->count, (int)r->line.n, r->line.p, (int)r->service.n,
                    r->service.n ? r->service.p : "");
    }
    if (some)
        fprintf(stderr, "  review each line: what is in the patch is what somebody asked for, not what is right\n");
}

static enum eg_status print_patch(const char *path, struct eg_slice before, struct eg_slice after, struct eg_err *err)
{
    struct eg_buf out;
    eg_buf_init(&out, TEXT_MAX);
    enum eg_status st = eg_unified(path, before, after, &out);
    if (st == EG_OK)
        st = eg_file_write(1, eg_buf_slice(&out), err);
    eg_buf_done(&out);
    return st;
}

static int propose(struct learning *x, const struct eg_loaded *loaded, const struct eg_policy_file *file, bool write)
{
    struct eg_diags *diags = NULL;
    struct eg_err err = { 0 };
    struct eg_buf text;
    eg_buf_init(&text, TEXT_MAX);
    enum eg_status st = eg_diags_new(&diags);
    if (st == EG_OK)
        st = eg_learn_patch(x->learn, file, diags, &text, &err);
    int code = st == EG_OK ? EG_EXIT_OK : EG_EXIT_FAILED;
    bool some = st == EG_OK && !eg_slice_eq(eg_buf_slice(&text), file->text);
    if (some)
        code = check(x, loaded, file->path, eg_buf_slice(&text));
    if (some && code == EG_EXIT_OK && write)
        st = eg_file_rewrite(file->path, eg_buf_slice(&text), &err);
    else if (some && code == EG_EXIT_OK)
        st = print_patch(file->path, file->text, eg_buf_slice(&text), &err);
    if (st != EG_OK) {
        char why[400];
        fprintf(stderr, "%s: %s\n", NAME,
                err.status != EG_OK ? eg_err_format(&err, why, sizeof why) : egress_status_sentence(st));
        code = EG_EXIT_FAILED;
    }
    if (code == EG_EXIT_OK)
        tell(x, some);
    if (code == EG_EXIT_OK && some && !write)
        fprintf(stderr, "  apply it by the same command with --write, or with: | patch -p1%s\n",
                file->path[0] == '/' ? " -d /" : "");
    if (code == EG_EXIT_OK && some && write)
        fprintf(stderr, "  changed %s%s%s\n", file->path,
                file->trusted ? ", which was trusted as it was; after review: egressctl trust " : "",
                file->trusted ? file->path : "");
    eg_diags_free(diags);
    eg_buf_done(&text);
    return code;
}

/* Deny rules of the preset for agents: hosts that nobody should allow without a thought. NULL is fine. */
static struct eg_loaded *load_odd(void)
{
    static const char text[] = "egress: 1\nextends: [preset:agent-baseline]\n";
    const struct eg_policy_file file = { "agent-baseline", eg_slice(text, sizeof text - 1), EG_LAYER_USER, true };
    const struct eg_load_spec spec = { .texts = &file, .text_count = 1, .portable = true };
    struct eg_loaded *ret = NULL;
    return eg_load(&spec, &ret, NULL) == EG_OK ? ret : NULL;
}

static int learn(struct learning *x, const struct eg_loaded *loaded, const struct eg_cmd_given *g, unsigned n)
{
    const struct eg_cmd_options *o = &eg_policy_learn_options;
    const struct eg_policy_file *file = &loaded->files[loaded->count - 1];
    struct eg_loaded *odd = load_odd();
    int code = EG_EXIT_FAILED;
    struct eg_kept kept = { .command = NAME, .take = take, .ctx = x };
    if (file->layer != EG_LAYER_REPO) {
        fprintf(stderr, "%s: there is no ./egress.yaml; `egressctl policy init` writes one, -p FILE names one\n", NAME);
        code = EG_EXIT_POLICY;
    } else if (eg_learn_new(loaded->policy, odd ? odd->policy : NULL, &x->learn) == EG_OK) {
        code = eg_kept_read(&kept, eg_cmd_value(o, g, n, "control"), eg_cmd_value(o, g, n, "from"));
        if (code == EG_EXIT_OK && eg_learn_finish(x->learn) != EG_OK)
            code = EG_EXIT_FAILED;
        if (code == EG_EXIT_OK)
            code = propose(x, loaded, file, eg_cmd_value(o, g, n, "write") != NULL);
        eg_learn_free(x->learn);
    }
    if (kept.lost || kept.broken || x->broken)
        fprintf(stderr, "%s: %llu events were overwritten, %llu lines are no events\n", NAME,
                (unsigned long long)kept.lost, (unsigned long long)kept.broken + x->broken);
    free(x->events);
    if (odd)
        eg_loaded_free(odd);
    return code;
}

int eg_cmd_policy_learn(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_policy_learn_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    struct eg_loaded *loaded = NULL;
    struct learning x = { .count = 0 };
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    if (at < argc)
        return eg_cmd_usage(o, "there are no operands; -p names the policy, --from the events");
    if (eg_cmd_value(o, g, n, "from") && eg_cmd_value(o, g, n, "control"))
        return eg_cmd_usage(o, "--from goes with no --control");
    x.session = eg_cmd_value(o, g, n, "session");
    code = eg_cmd_policy(NAME, eg_cmd_value(o, g, n, "policy"), eg_cmd_value(o, g, n, "trust") != NULL, &loaded);
    if (code < 0) {
        code = learn(&x, loaded, g, n);
        eg_loaded_free(loaded);
    }
    return code;
}
