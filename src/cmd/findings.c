/* findings.c - problems as text for people, JSON, annotations of GitHub, JUnit and terse lines. SARIF is in findings_sarif.c. */
#include "cmd/findings.h"

#include <stdio.h>
#include <stdlib.h>

#include "cmd/report.h"

static const char *level_of(const struct eg_diag *d)
{
    return d->severity == EG_DIAG_ERROR ? "error" : "warning";
}

/* What is not in the list, since no file's list is longer than its ceiling. */
static unsigned more(const struct eg_findings *f)
{
    unsigned all = f->errors + f->warnings;
    return all > f->count ? all - f->count : 0;
}

static struct eg_report_note note_of(const struct eg_diag *d)
{
    return (struct eg_report_note){ .level = level_of(d),
                                    .file = d->file,
                                    .line = d->line,
                                    .column = d->column,
                                    .width = d->width,
                                    .title = d->code,
                                    .text = d->text,
                                    .fix = d->fix };
}

/* ---- for people ---- */

static enum eg_status put_names(const struct eg_findings *f, struct eg_buf *out)
{
    if (f->file_count != 1)
        return eg_buf_printf(out, "%u files", f->file_count);
    return eg_report_clean(eg_slice_str(f->files[0]), out);
}

static enum eg_status pretty(const struct eg_findings *f, bool color, struct eg_buf *out)
{
    enum eg_status st = EG_OK;
    for (unsigned i = 0; st == EG_OK && i < f->count; i++)
        st = eg_diag_render(f->list[i], color, out);
    if (st == EG_OK && more(f))
        st = eg_buf_printf(out, "and %u more\n", more(f));
    if (st == EG_OK)
        st = put_names(f, out);
    if (st == EG_OK)
        st = eg_buf_printf(out, ": %s", f->verdict);
    if (st == EG_OK && f->errors + f->warnings > 0)
        st = eg_buf_printf(out, ", %u error%s, %u warning%s; egressctl help CODE tells more",
                           f->errors, f->errors == 1 ? "" : "s", f->warnings,
                           f->warnings == 1 ? "" : "s");
    return st == EG_OK ? eg_buf_append(out, "\n", 1) : st;
}

/* ---- JSON ---- */

static void set_text(json_t *o, const char *key, const char *text)
{
    if (text)
        json_object_set_new(o, key, eg_report_string(eg_slice_str(text)));
}

static json_t *finding(const struct eg_diag *d)
{
    json_t *o = json_pack("{s:s,s:s}", "severity", level_of(d), "code", d->code);
    set_text(o, "file", d->file);
    if (d->line) {
        json_object_set_new(o, "line", json_integer(d->line));
        json_object_set_new(o, "column", json_integer(d->column));
        json_object_set_new(o, "width", json_integer(d->width));
    }
    set_text(o, "text", d->text);
    set_text(o, "fix", d->fix);
    if (d->line) {
        json_object_set_new(o, "source", eg_report_string(d->source));
        json_object_set_new(o, "source_column", json_integer(d->source_column));
    }
    return o;
}

static enum eg_status json(const struct eg_findings *f, struct eg_buf *out)
{
    json_t *list = json_array(), *files = json_array();
    for (unsigned i = 0; i < f->file_count; i++)
        json_array_append_new(files, eg_report_string(eg_slice_str(f->files[i])));
    for (unsigned i = 0; i < f->count; i++)
        json_array_append_new(list, finding(f->list[i]));
    bool whole = list && files && json_array_size(list) == f->count &&
                 json_array_size(files) == f->file_count;
    json_t *doc = json_pack("{s:i,s:s,s:I,s:I,s:I,s:o,s:o}", "v", 1, "verdict", f->verdict,
                            "errors", (json_int_t)f->errors, "warnings", (json_int_t)f->warnings,
                            "more", (json_int_t)more(f), "files", files, "findings", list);
    enum eg_status st = whole ? eg_report_json(doc, out) : EG_NOMEM;
    json_decref(doc);
    return st;
}

/* ---- lines ---- */

typedef enum eg_status line_fn(const struct eg_report_note *n, struct eg_buf *out);

static enum eg_status lines(const struct eg_findings *f, line_fn *put, struct eg_buf *out)
{
    enum eg_status st = EG_OK;
    for (unsigned i = 0; st == EG_OK && i < f->count; i++) {
        const struct eg_report_note n = note_of(f->list[i]);
        st = put(&n, out);
    }
    if (st == EG_OK && more(f)) {
        char text[64];
        snprintf(text, sizeof text, "and %u more problems", more(f));
        const struct eg_report_note rest = { .level = "notice", .title = "more", .text = text };
        st = put(&rest, out);
    }
    return st;
}

/* ---- JUnit: a suite for each file with problems, a case for each problem; a file without one is a case that passed ---- */

enum { NAME_MAX_ = 128 };

static enum eg_status suite(const struct eg_findings *f, const char *file,
                            struct eg_report_case *cases, char (*names)[NAME_MAX_],
                            struct eg_buf *out)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->count; i++) {
        const struct eg_diag *d = f->list[i];
        if (strcmp(d->file, file) != 0)
            continue;
        snprintf(names[n], NAME_MAX_, "%s %u:%u", d->code, d->line, d->column);
        bool counts = d->severity == EG_DIAG_ERROR || strcmp(f->verdict, "warnings") == 0;
        cases[n] = (struct eg_report_case){ names[n], counts ? d->code : NULL, d->text, d->fix };
        n++;
    }
    if (n == 0)
        cases[n++] = (struct eg_report_case){ .name = "valid" };
    return eg_report_junit_suite(file, cases, n, out);
}

/* Has an earlier problem, or the list of what was checked, this file? */
static bool seen(const struct eg_findings *f, unsigned before, const char *file)
{
    for (unsigned i = 0; i < f->file_count; i++)
        if (strcmp(f->files[i], file) == 0)
            return true;
    for (unsigned i = 0; i < before; i++)
        if (strcmp(f->list[i]->file, file) == 0)
            return true;
    return false;
}

static enum eg_status junit(const struct eg_findings *f, struct eg_buf *out)
{
    struct eg_report_case *cases = calloc(f->count + 1, sizeof *cases);
    char(*names)[NAME_MAX_] = calloc(f->count + 1, sizeof *names);
    enum eg_status st = cases && names ? eg_report_junit_begin(out) : EG_NOMEM;
    for (unsigned i = 0; st == EG_OK && i < f->file_count; i++)
        st = suite(f, f->files[i], cases, names, out);
    for (unsigned i = 0; st == EG_OK && i < f->count; i++)
        if (!seen(f, i, f->list[i]->file))
            st = suite(f, f->list[i]->file, cases, names, out);
    free(cases);
    free(names);
    return st == EG_OK ? eg_report_junit_end(out) : st;
}

enum eg_status eg_findings_write(const struct eg_findings *f, enum eg_findings_format format,
                                 bool color, struct eg_buf *out)
{
    switch (format) {
    case EG_FINDINGS_JSON:
        return json(f, out);
    case EG_FINDINGS_GITHUB:
        return lines(f, eg_report_github, out);
    case EG_FINDINGS_SARIF:
        return eg_findings_sarif(f, out);
    case EG_FINDINGS_JUNIT:
        return junit(f, out);
    case EG_FINDINGS_AGENT:
        return lines(f, eg_report_agent, out);
    case EG_FINDINGS_PRETTY:
        break;
    }
    return pretty(f, color, out);
}
