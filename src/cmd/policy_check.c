/* policy_check.c - `egressctl policy check`: every problem of policy files in one run, for people or for a program. It compiles them as the proxy does and
 * starts nothing.
 *
 * Each FILE is checked as `run -p FILE` would take it, one after the other, with org.yaml and user.yaml below it; a problem of these is shown once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/files.h"
#include "cmd/findings.h"
#include "cmd/load.h"
#include "policy/diag.h"

enum { OUT_MAX = 256 << 20 };

static const char NAME[] = "egressctl policy check";

static const struct eg_cmd_option list[] = {
    { 0, "alone", NULL, "without the organisation's and the user's file" },
    { 0, "format", EG_FINDINGS_FORMATS, "how problems are printed (default: pretty)" },
    { 0, "strict", NULL, "warnings count: the exit status is 1" },
    { 0, "trust", NULL, "trust the files, as run --trust does" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_policy_check_options = {
    .command = NAME,
    .operands = "[FILE...]",
    .about = "Says what is wrong with policy files (default: ./egress.yaml), all of it in one run.",
    .list = list,
};

struct checked { /* one FILE */
    const char *name;
    struct eg_loaded *loaded; /* NULL: it could not be read */
    struct eg_diags *diags;   /* ours then */
};

struct check {
    struct checked *files;
    unsigned count;
    const struct eg_diag **list;
    unsigned found, errors, warnings;
    const char **names;
    unsigned name_count;
    bool alone, trust, strict;
    int code;
};

static const struct eg_diags *diags_of(const struct checked *c)
{
    return c->loaded ? c->loaded->diags : c->diags;
}

/* What keeps a file from being read is a problem like others, so that every format has it. */
static enum eg_status unreadable(struct checked *c, enum eg_status status, const struct eg_err *why)
{
    const struct eg_source source = { .path = c->name };
    char text[400];
    enum eg_status st = eg_diags_new(&c->diags);
    if (st == EG_OK)
        eg_diag_error(c->diags, why->status == EG_TOO_BIG ? "too-large" : "unreadable-file",
                      eg_place_at(&source, 0, 0), NULL, "%s",
                      why->status != EG_OK ? eg_err_format(why, text, sizeof text)
                                           : egress_status_sentence(status));
    return st;
}

static int worse(int a, int b)
{
    static const int order[] = { EG_EXIT_OK, EG_EXIT_REFUSED, EG_EXIT_POLICY, EG_EXIT_FAILED };
    for (size_t i = sizeof order / sizeof *order; i-- > 0;)
        if (a == order[i] || b == order[i])
            return order[i];
    return a;
}

static enum eg_status check_one(struct check *k, struct checked *c, const char *file)
{
    const struct eg_load_spec spec = { .file = file, .trust = k->trust, .alone = k->alone };
    struct eg_err err = { 0 };
    enum eg_status status = eg_load(&spec, &c->loaded, &err);
    c->name = file ? file : "egress.yaml";
    if (status == EG_OK) {
        k->code = worse(k->code, eg_loaded_exit(c->loaded));
        return EG_OK;
    }
    if (status != EG_INVALID && status != EG_NOT_FOUND)
        return status;
    k->code = worse(k->code, EG_EXIT_POLICY);
    return unreadable(c, status, &err);
}

/* ---- one list of all ---- */

static bool same(const struct eg_diag *a, const struct eg_diag *b)
{
    return a->line == b->line && a->column == b->column && strcmp(a->code, b->code) == 0 &&
           strcmp(a->file, b->file) == 0 && strcmp(a->text, b->text) == 0;
}

/* Of a file that is not the one that was asked for: may another FILE have shown it? */
static bool is_known(const struct check *k, unsigned before, const struct eg_diag *d)
{
    for (unsigned i = 0; i < before; i++)
        if (same(k->list[i], d))
            return true;
    return false;
}

static void gather_one(struct check *k, const struct checked *c)
{
    const struct eg_diags *d = diags_of(c);
    unsigned before = k->found, total = eg_diags_total(d);
    k->errors += eg_diags_count(d, EG_DIAG_ERROR);
    k->warnings += eg_diags_count(d, EG_DIAG_WARNING);
    for (unsigned i = 0; i < total; i++) {
        const struct eg_diag *one = eg_diags_at(d, i);
        if (strcmp(one->file, c->name) == 0 || !is_known(k, before, one))
            k->list[k->found++] = one;
        else if (one->severity == EG_DIAG_ERROR)
            k->errors--;
        else
            k->warnings--;
    }
}

static void add_name(struct check *k, const char *name)
{
    for (unsigned i = 0; i < k->name_count; i++)
        if (strcmp(k->names[i], name) == 0)
            return;
    k->names[k->name_count++] = name;
}

static enum eg_status gather(struct check *k)
{
    size_t problems = 1, names = k->count;
    for (unsigned i = 0; i < k->count; i++) {
        problems += eg_diags_total(diags_of(&k->files[i]));
        names += k->files[i].loaded ? k->files[i].loaded->count : 0;
    }
    k->list = calloc(problems, sizeof *k->list);
    k->names = calloc(names, sizeof *k->names);
    if (!k->list || !k->names)
        return EG_NOMEM;
    for (unsigned i = 0; i < k->count; i++) {
        const struct eg_loaded *l = k->files[i].loaded;
        gather_one(k, &k->files[i]);
        for (unsigned n = 0; l && n < l->count; n++)
            add_name(k, l->files[n].path);
        if (!l)
            add_name(k, k->files[i].name);
    }
    return EG_OK;
}

static const char *verdict(const struct check *k)
{
    return k->code == EG_EXIT_REFUSED ? "refused"
           : k->code != EG_EXIT_OK    ? "invalid"
           : k->strict && k->warnings ? "warnings"
                                      : "valid";
}

static enum eg_status print(const struct check *k, enum eg_findings_format format)
{
    const struct eg_findings f = { .list = k->list,
                                   .count = k->found,
                                   .errors = k->errors,
                                   .warnings = k->warnings,
                                   .files = k->names,
                                   .file_count = k->name_count,
                                   .verdict = verdict(k) };
    struct eg_buf out;
    eg_buf_init(&out, OUT_MAX);
    enum eg_status st = eg_findings_write(&f, format, isatty(1) && !getenv("NO_COLOR"), &out);
    if (st == EG_OK && out.len > 0)
        st = eg_file_write(1, eg_buf_slice(&out), NULL);
    eg_buf_done(&out);
    return st;
}

static enum eg_status run(struct check *k, char **files, enum eg_findings_format format)
{
    enum eg_status st = EG_OK;
    k->files = calloc(k->count, sizeof *k->files);
    if (!k->files)
        return EG_NOMEM;
    for (unsigned i = 0; st == EG_OK && i < k->count; i++)
        st = check_one(k, &k->files[i], files ? files[i] : NULL);
    if (st == EG_OK)
        st = gather(k);
    return st == EG_OK ? print(k, format) : st;
}

static void done(struct check *k)
{
    for (unsigned i = 0; k->files && i < k->count; i++) {
        eg_loaded_free(k->files[i].loaded);
        eg_diags_free(k->files[i].diags);
    }
    free(k->files);
    free(k->list);
    free(k->names);
}

int eg_cmd_policy_check(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_policy_check_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    struct check k = { .code = EG_EXIT_OK };
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    int format = eg_cmd_word(o, g, n, "format");
    if (format < 0)
        return EG_EXIT_USAGE;
    k.alone = eg_cmd_value(o, g, n, "alone") != NULL;
    k.strict = eg_cmd_value(o, g, n, "strict") != NULL;
    k.trust = eg_cmd_value(o, g, n, "trust") != NULL;
    k.count = argc > at ? (unsigned)(argc - at) : 1;
    enum eg_status st = run(&k, argc > at ? argv + at : NULL, (enum eg_findings_format)format);
    code = k.code != EG_EXIT_OK ? k.code : k.strict && k.warnings ? EG_EXIT_FAILED : EG_EXIT_OK;
    done(&k);
    if (st == EG_OK)
        return code;
    fprintf(stderr, "%s: %s\n", NAME, egress_status_sentence(st));
    return EG_EXIT_FAILED;
}
