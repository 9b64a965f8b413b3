/* findings_sarif.c - problems as SARIF 2.1.0 (OASIS Standard), for code scanning: one run, the table of codes as its rules, a result for each problem.
 *
 * Columns count code points, which columnKind says. A place is a URI reference (3.4.3): what is no character of a path there is percent-encoded, so that
 * no file's name is taken for another's. */
#include <stdio.h>
#include <string.h>

#include "cmd/findings.h"
#include "cmd/report.h"
#include "policy/codes.h"

#ifndef EG_VERSION
#define EG_VERSION "0"
#endif

static json_t *message(const char *text)
{
    json_t *o = json_object();
    json_object_set_new(o, "text", eg_report_string(eg_slice_str(text)));
    return o;
}

/* RFC 3986 3.3: unreserved characters, / and what a segment may hold but for ':', which would make a scheme of what is before it. */
static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~/!$&'()*+,;=@", c));
}

/* "file:///a/b" of an absolute path, else relative to the folder that the tool was started in. */
static json_t *uri_of(const char *path)
{
    struct eg_buf b;
    eg_buf_init(&b, 1 << 16);
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    enum eg_status st = eg_buf_printf(&b, "%s", *path == '/' ? "file://" : "");
    for (; st == EG_OK && *path; path++)
        st = is_plain(*path) ? eg_buf_append(&b, path, 1)
                             : eg_buf_printf(&b, "%%%02X", (unsigned char)*path);
    json_t *s = st == EG_OK ? json_stringn(b.len ? eg_buf_slice(&b).p : "", b.len) : NULL;
    eg_buf_done(&b);
    return s;
}

static json_t *region_of(const struct eg_diag *d)
{
    return json_pack("{s:I,s:I,s:I,s:I}", "startLine", (json_int_t)d->line, "startColumn",
                     (json_int_t)d->column, "endLine", (json_int_t)d->line, "endColumn",
                     (json_int_t)(d->column + d->width));
}

static json_t *location_of(const struct eg_diag *d)
{
    json_t *place = json_pack("{s:{s:o}}", "artifactLocation", "uri", uri_of(d->file));
    if (d->line)
        json_object_set_new(place, "region", region_of(d));
    return json_pack("{s:o}", "physicalLocation", place);
}

/* The index of the code among the rules, which are the whole table; -1: not in it. */
static int rule_index(const char *code)
{
    const struct eg_code *c;
    for (unsigned i = 0; (c = eg_code_each(i)) != NULL; i++)
        if (strcmp(c->name, code) == 0)
            return (int)i;
    return -1;
}

static json_t *result(const struct eg_diag *d)
{
    char text[1024];
    snprintf(text, sizeof text, "%s%s%s", d->text, d->fix ? ". Fix: " : "", d->fix ? d->fix : "");
    int rule = rule_index(d->code);
    json_t *o = json_pack("{s:s,s:s,s:o,s:[o]}", "ruleId", d->code, "level",
                          d->severity == EG_DIAG_ERROR ? "error" : "warning", "message",
                          message(text), "locations", location_of(d));
    if (rule >= 0)
        json_object_set_new(o, "ruleIndex", json_integer(rule));
    return o;
}

static json_t *rule(const struct eg_code *c)
{
    return json_pack("{s:s,s:o,s:o,s:o,s:{s:s}}", "id", c->name, "shortDescription",
                     message(c->about), "fullDescription", message(c->page), "help",
                     message(c->page), "defaultConfiguration", "level",
                     c->severity == EG_DIAG_ERROR ? "error" : "warning");
}

static json_t *driver(void)
{
    const struct eg_code *c;
    json_t *rules = json_array();
    for (unsigned i = 0; (c = eg_code_each(i)) != NULL; i++)
        json_array_append_new(rules, rule(c));
    return json_pack("{s:s,s:s,s:s,s:o}", "name", "egressctl policy check", "organization",
                     "egress", "version", EG_VERSION, "rules", rules);
}

/* What was not stored is said where SARIF has the tool's own words. */
static json_t *invocation(const struct eg_findings *f)
{
    json_t *o = json_pack("{s:b}", "executionSuccessful", 1);
    unsigned all = f->errors + f->warnings;
    if (all > f->count) {
        char text[64];
        snprintf(text, sizeof text, "and %u more problems", all - f->count);
        json_object_set_new(o, "toolExecutionNotifications",
                            json_pack("[{s:s,s:o}]", "level", "note", "message", message(text)));
    }
    return o;
}

static json_t *artifacts(const struct eg_findings *f)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < f->file_count; i++)
        json_array_append_new(list, json_pack("{s:{s:o}}", "location", "uri", uri_of(f->files[i])));
    return list;
}

enum eg_status eg_findings_sarif(const struct eg_findings *f, struct eg_buf *out)
{
    json_t *results = json_array();
    for (unsigned i = 0; i < f->count; i++)
        json_array_append_new(results, result(f->list[i]));
    bool whole = results && json_array_size(results) == f->count;
    json_t *doc =
        json_pack("{s:s,s:s,s:[{s:{s:o},s:[o],s:o,s:s,s:o}]}", "$schema",
                  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json", "version", "2.1.0", "runs",
                  "tool", "driver", driver(), "invocations", invocation(f), "artifacts",
                  artifacts(f), "columnKind", "unicodeCodePoints", "results", results);
    enum eg_status st = whole ? eg_report_json(doc, out) : EG_NOMEM;
    json_decref(doc);
    return st;
}
