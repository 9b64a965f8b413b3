/* policy_diff.c - `egressctl policy diff`: what a change of a policy lets out, takes back or does with a credential. Both policies are compiled as
 * the proxy would, each alone and without what this machine is; nothing is started, resolved or read but the files.
 *
 * It prints what eg_policy_diff hands out, in its order; it decides nothing but the exit status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/ask.h"
#include "cmd/commands.h"
#include "cmd/files.h"
#include "cmd/load.h"
#include "cmd/report.h"
#include "policy/diff.h"

enum { OUT_MAX = 256 << 20 };
enum { PRETTY, JSON, GITHUB, AGENT }; /* in the order of the words of --format */

static const char NAME[] = "egressctl policy diff";

static const struct eg_cmd_option list[] = {
    { 0, "fail-on", "LABELS", "exit 1 for these alone: widens,narrows,credential,neutral" },
    { 0, "format", "pretty|json|github|agent", "how changes are printed (default: pretty)" },
    { 0, "git", "REV", "compare the file of that revision with the one that is there" },
    { 0, "trust", NULL, "trust both files, as run --trust does" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_policy_diff_options = {
    .command = NAME,
    .operands = "A B | --git REV [FILE]",
    .about = "Says what another version of a policy changes, by what it means. A and B are files, "
             "or REV:PATH of a git repository.",
    .list = list,
};

struct diff {
    int format;
    bool color;
    unsigned fail_on; /* bits of labels */
    unsigned counts[EG_CHANGE_LABELS], may;
    json_t *changes;
    struct eg_buf out;
    enum eg_status status;
};

/* ---- one change ---- */

static void put(struct diff *d, enum eg_status st)
{
    if (d->status == EG_OK)
        d->status = st;
}

static const char *paint(const struct diff *d, enum eg_change_label label)
{
    static const char *const colors[EG_CHANGE_LABELS] = { "", "\033[32m", "\033[31m", "\033[35m" };
    return d->color ? colors[label] : "";
}

static void put_side(struct diff *d, const char *name, const char *text, struct eg_slice rule)
{
    put(d, eg_buf_printf(&d->out, "  %-7s %s", name, text));
    if (rule.n > 0) {
        put(d, eg_buf_put(&d->out, EG_SLICE("  (")));
        put(d, eg_report_clean(rule, &d->out));
        put(d, eg_buf_put(&d->out, EG_SLICE(")")));
    }
    put(d, eg_buf_put(&d->out, EG_SLICE("\n")));
}

static void put_pretty(struct diff *d, const struct eg_change *c)
{
    const char *color = paint(d, c->label);
    put(d, eg_buf_printf(&d->out, "%s%s%s%s  %s", color, c->may ? "may be " : "",
                         eg_change_label_name(c->label), *color ? "\033[0m" : "", c->subject));
    if (*c->ports)
        put(d, eg_buf_printf(&d->out, " on %s", c->ports));
    put(d, eg_buf_put(&d->out, EG_SLICE("\n")));
    if (*c->example)
        put(d, eg_buf_printf(&d->out, "  example %s\n", c->example));
    if (*c->before)
        put_side(d, "before", c->before, c->rule[0]);
    put_side(d, "after", c->after, c->rule[1]);
}

static void pack(struct diff *d, const struct eg_change *c)
{
    json_t *o =
        json_pack("{s:s,s:b,s:s,s:s,s:s,s:s,s:s,s:s}", "label", eg_change_label_name(c->label),
                  "may", (int)c->may, "kind", eg_change_kind_name(c->kind), "subject", c->subject,
                  "ports", c->ports, "example", c->example, "before", c->before, "after", c->after);
    if (!o) {
        put(d, EG_NOMEM);
        return;
    }
    json_object_set_new(o, "rule_before", eg_report_string(c->rule[0]));
    json_object_set_new(o, "rule_after", eg_report_string(c->rule[1]));
    json_array_append_new(d->changes, o);
}

/* "services.openai on 443: refused -> allowed; GET /x" */
static char *sentence(const struct eg_change *c)
{
    char *text = NULL;
    if (asprintf(&text, "%s%s%s%s: %s -> %s%s%s", c->may ? "maybe: " : "", c->subject,
                 *c->ports ? " on " : "", c->ports, *c->before ? c->before : "?", c->after,
                 *c->example ? "; for example " : "", c->example) < 0)
        return NULL;
    return text;
}

/* "file:line" of the rule that a reviewer wants to see: the new one, else the old one. */
static void place(const struct eg_change *c, char file[4096], struct eg_report_note *n)
{
    struct eg_slice rule = c->rule[1].n ? c->rule[1] : c->rule[0];
    unsigned long long line = 0;
    size_t colon = rule.n;
    while (colon > 0 && rule.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || !eg_slice_u64(eg_slice_from(rule, colon), &line))
        return;
    snprintf(file, 4096, "%.*s", (int)colon - 1, rule.p);
    n->file = file;
    n->line = (uint32_t)line;
    n->column = 1;
}

static void put_line(struct diff *d, const struct eg_change *c)
{
    char file[4096], title[64];
    char *text = sentence(c);
    bool bad = d->fail_on >> c->label & 1;
    snprintf(title, sizeof title, "policy-%s", eg_change_label_name(c->label));
    struct eg_report_note n = { .level = bad ? "warning" : "notice",
                                .title = title,
                                .text = text ? text : "" };
    place(c, file, &n);
    put(d, !text                 ? EG_NOMEM
           : d->format == GITHUB ? eg_report_github(&n, &d->out)
                                 : eg_report_agent(&n, &d->out));
    free(text);
}

static void take(void *ctx, const struct eg_change *c)
{
    struct diff *d = ctx;
    d->counts[c->label]++;
    d->may += c->may;
    if (d->format == PRETTY)
        put_pretty(d, c);
    else if (d->format == JSON)
        pack(d, c);
    else
        put_line(d, c);
}

/* ---- the whole ---- */

static void put_end(struct diff *d)
{
    const unsigned *n = d->counts;
    unsigned all = n[EG_CHANGE_WIDENS] + n[EG_CHANGE_NARROWS] + n[EG_CHANGE_CREDENTIAL];
    if (d->format == JSON) {
        json_t *doc = json_pack(
            "{s:i,s:s,s:{s:i,s:i,s:i,s:i},s:i,s:O}", "v", 1, "verdict", all ? "differs" : "neutral",
            "counts", "widens", (int)n[EG_CHANGE_WIDENS], "narrows", (int)n[EG_CHANGE_NARROWS],
            "credential", (int)n[EG_CHANGE_CREDENTIAL], "neutral", (int)n[EG_CHANGE_NEUTRAL], "may",
            (int)d->may, "changes", d->changes);
        put(d, doc ? eg_report_json(doc, &d->out) : EG_NOMEM);
        json_decref(doc);
    } else if (d->format == PRETTY && all + n[EG_CHANGE_NEUTRAL] == 0) {
        put(d, eg_buf_printf(&d->out, "both mean the same\n"));
    } else if (d->format == PRETTY) {
        put(d, eg_buf_printf(&d->out, "%u widens, %u narrows, %u credential, %u neutral\n",
                             n[EG_CHANGE_WIDENS], n[EG_CHANGE_NARROWS], n[EG_CHANGE_CREDENTIAL],
                             n[EG_CHANGE_NEUTRAL]));
    }
}

static int compare(struct diff *d, const struct eg_policy *a, const struct eg_policy *b)
{
    eg_buf_init(&d->out, OUT_MAX);
    d->changes = json_array();
    d->color = d->format == PRETTY && isatty(1) && !getenv("NO_COLOR");
    put(d, d->changes ? eg_policy_diff(a, b, take, d) : EG_NOMEM);
    put_end(d);
    if (d->status == EG_OK && d->out.len > 0)
        d->status = eg_file_write(1, eg_buf_slice(&d->out), NULL);
    eg_buf_done(&d->out);
    json_decref(d->changes);
    if (d->status != EG_OK) {
        fprintf(stderr, "%s: %s\n", NAME, egress_status_sentence(d->status));
        return EG_EXIT_FAILED;
    }
    for (unsigned i = 0; i < EG_CHANGE_LABELS; i++)
        if ((d->fail_on >> i & 1) && d->counts[i] > 0)
            return EG_EXIT_FAILED;
    return EG_EXIT_OK;
}

/* ---- what is compared ---- */

/* False: reported, and *code says how. */
static bool load(const char *name, bool revision, bool trust, struct eg_loaded **ret, int *code)
{
    const struct eg_load_spec spec = {
        .file = name, .trust = trust, .alone = true, .revision = revision, .portable = true
    };
    struct eg_err err = { 0 };
    char text[400];
    enum eg_status status = eg_load(&spec, ret, &err);
    if (status != EG_OK) {
        fprintf(stderr, "%s: %s: %s\n", NAME, name,
                err.status != EG_OK ? eg_err_format(&err, text, sizeof text)
                                    : egress_status_sentence(status));
        *code = status == EG_NOT_FOUND || status == EG_INVALID ? EG_EXIT_POLICY : EG_EXIT_FAILED;
        return false;
    }
    if ((*ret)->policy)
        return true;
    eg_cmd_diags((*ret)->diags);
    *code = eg_loaded_exit(*ret);
    return false;
}

/* "widens,credential", added to *ret. */
static bool read_labels(const char *text, unsigned *ret)
{
    struct eg_slice rest = eg_slice_str(text), word;
    while (eg_slice_list_next(&rest, &word)) {
        unsigned i = 0;
        while (i < EG_CHANGE_LABELS &&
               !eg_slice_eq(word, eg_slice_str(eg_change_label_name((enum eg_change_label)i))))
            i++;
        if (i == EG_CHANGE_LABELS)
            return false;
        *ret |= 1u << i;
    }
    return *ret != 0;
}

/* Each --fail-on counts: one that a caller adds takes no label away. Without any, all that is no neutral change counts. */
static bool read_fail_on(const struct eg_cmd_given *g, unsigned count, unsigned *ret)
{
    unsigned labels = 0, given = 0;
    for (unsigned i = 0; i < count; i++)
        if (strcmp(list[g[i].index].name, "fail-on") == 0) {
            given++;
            if (!read_labels(g[i].value, &labels))
                return false;
        }
    if (given > 0)
        *ret = labels;
    return true;
}

int eg_cmd_policy_diff(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_policy_diff_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    struct eg_loaded *side[2] = { NULL, NULL };
    struct diff d = { .fail_on = ~(1u << EG_CHANGE_NEUTRAL) };
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    const char *rev = eg_cmd_value(o, g, n, "git");
    bool trust = eg_cmd_value(o, g, n, "trust") != NULL;
    d.format = eg_cmd_word(o, g, n, "format");
    if (d.format < 0)
        return EG_EXIT_USAGE;
    if (!read_fail_on(g, n, &d.fail_on))
        return eg_cmd_usage(o, "--fail-on takes labels: widens,narrows,credential,neutral");
    if (rev ? argc - at > 1 : argc - at != 2)
        return eg_cmd_usage(o, rev ? "--git takes one file" : "which two policies?");
    const char *names[2] = { argv[at], argv[at + (rev ? 0 : 1)] };
    char *old = NULL;
    if (rev) {
        names[1] = argc > at ? argv[at] : "egress.yaml";
        if (asprintf(&old, "%s:%s%s", rev, names[1][0] == '/' ? "" : "./", names[1]) < 0)
            return EG_EXIT_FAILED;
        names[0] = old;
    }
    code = EG_EXIT_FAILED;
    if (load(names[0], rev || eg_load_is_revision(names[0]), trust, &side[0], &code) &&
        load(names[1], !rev && eg_load_is_revision(names[1]), trust, &side[1], &code))
        code = compare(&d, side[0]->policy, side[1]->policy);
    eg_loaded_free(side[0]);
    eg_loaded_free(side[1]);
    free(old);
    return code;
}
