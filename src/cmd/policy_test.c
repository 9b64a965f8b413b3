/* policy_test.c - `egressctl policy test`: runs the `tests` of a policy through the functions that the proxy asks, and names the rule that decides where one
 * fails. It resolves nothing and connects to nobody; this machine's own addresses play no part, so that the answer is the same everywhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "cmd/ask.h"
#include "cmd/commands.h"
#include "cmd/files.h"
#include "cmd/report.h"
#include "policy/tests.h"

enum { ARENA_MAX = 64 << 20, OUT_MAX = 256 << 20 };

static const char NAME[] = "egressctl policy test";

enum format { PRETTY, JSON, GITHUB, JUNIT, AGENT };

static const struct eg_cmd_option list[] = {
    { 0, "alone", NULL, "without the organisation's and the user's file" },
    { 0, "format", "pretty|json|github|junit|agent", "how results are printed (default: pretty)" },
    { 0, "trust", NULL, "trust that file, as run --trust does" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_policy_test_options = {
    .command = NAME,
    .operands = "[FILE]",
    .about = "Runs the tests of a policy (default: ./egress.yaml) through the proxy's own engine.",
    .list = list,
};

struct one {
    struct one *next;
    struct eg_policy_test t;
    char *text; /* "connect api.example:443" */
    struct eg_test_result result;
};

struct run {
    struct eg_arena arena;
    struct one *first, **end;
    unsigned count, failed;
    bool broken; /* no memory */
};

/* ---- what is tested ---- */

static struct eg_slice keep(struct run *r, struct eg_slice s)
{
    char *copy = s.n ? eg_arena_dup(&r->arena, s) : NULL;
    r->broken = r->broken || (s.n && !copy);
    return copy ? eg_slice(copy, s.n) : EG_SLICE_NONE;
}

/* What the test asks, in the words of the file. */
static char *words_of(struct run *r, const struct eg_policy_test *t)
{
    const struct eg_slice parts[] = { t->connect.n ? EG_SLICE("connect ") : EG_SLICE_NONE,
                                      t->connect,
                                      t->request,
                                      t->service.n ? EG_SLICE(" of service ") : EG_SLICE_NONE,
                                      t->service,
                                      t->address.n ? EG_SLICE(" at ") : EG_SLICE_NONE,
                                      t->address };
    struct eg_buf text;
    enum eg_status st = EG_OK;
    eg_buf_init(&text, 1 << 20);
    for (size_t i = 0; st == EG_OK && i < sizeof parts / sizeof *parts; i++)
        if (parts[i].n)
            st = eg_report_clean(parts[i], &text);
    char *copy = st == EG_OK ? eg_arena_dup(&r->arena, eg_buf_slice(&text)) : NULL;
    eg_buf_done(&text);
    r->broken = r->broken || !copy;
    return copy;
}

static void take(void *ctx, const struct eg_policy_test *t)
{
    struct run *r = ctx;
    struct one *one = eg_arena_alloc(&r->arena, sizeof *one);
    r->broken = r->broken || !one;
    if (r->broken)
        return;
    one->t = *t;
    one->t.file = keep(r, eg_slice_str(t->file)).p;
    one->t.connect = keep(r, t->connect);
    one->t.request = keep(r, t->request);
    one->t.service = keep(r, t->service);
    one->t.address = keep(r, t->address);
    one->t.rule = keep(r, t->rule);
    one->t.reason = keep(r, t->reason);
    one->text = words_of(r, t);
    *r->end = one;
    r->end = &one->next;
    r->count++;
}

static enum eg_status ask(struct run *r, const struct eg_policy *policy)
{
    for (struct one *one = r->first; one; one = one->next) {
        enum eg_status st = eg_policy_test(policy, &one->t, &one->result);
        if (st != EG_OK)
            return st;
        r->failed += !one->result.passed;
    }
    return EG_OK;
}

/* ---- how it is told ---- */

static enum eg_status write_note(const struct one *one, enum format format, struct eg_buf *out)
{
    char text[EG_WAY_TEXT + sizeof one->result.text];
    snprintf(text, sizeof text, "%.*s: %s", EG_WAY_TEXT - 8, one->text, one->result.text);
    const struct eg_report_note note = { .level = "error",
                                         .file = one->t.file,
                                         .line = one->t.line,
                                         .column = one->t.column,
                                         .title = "test-failed",
                                         .text = text };
    return format == GITHUB ? eg_report_github(&note, out) : eg_report_agent(&note, out);
}

static enum eg_status write_lines(const struct run *r, enum format format, struct eg_buf *out)
{
    enum eg_status st = EG_OK;
    for (const struct one *one = r->first; st == EG_OK && one; one = one->next) {
        if (one->result.passed)
            continue;
        if (format != PRETTY) {
            st = write_note(one, format, out);
            continue;
        }
        st = eg_buf_printf(out, "%s:%u:%u: failed: %s\n  ", one->t.file, one->t.line, one->t.column,
                           one->text);
        if (st == EG_OK)
            st = eg_report_clean(eg_slice_str(one->result.text), out);
        if (st == EG_OK)
            st = eg_buf_put(out, EG_SLICE("\n"));
    }
    if (st == EG_OK && format == PRETTY)
        st = eg_buf_printf(out, "%u tests: %u passed, %u failed\n", r->count, r->count - r->failed,
                           r->failed);
    return st;
}

static json_t *pack(const struct one *one)
{
    static const char *const words[] = { [EG_EXPECT_ALLOW] = "allow",
                                         [EG_EXPECT_DENY] = "deny",
                                         [EG_EXPECT_WOULD_DENY] = "would_deny" };
    const struct eg_test_result *v = &one->result;
    const char *got = v->status != EG_OK ? "deny" : v->would_deny != EG_OK ? "would_deny" : "allow";
    return json_pack("{s:o,s:i,s:i,s:o,s:s,s:s,s:b,s:s,s:o,s:o,s:o}", "file",
                     eg_report_string(eg_slice_str(one->t.file)), "line", (int)one->t.line,
                     "column", (int)one->t.column, "test",
                     eg_report_string(eg_slice_str(one->text)), "expect", words[one->t.expect],
                     "got", got, "passed", (int)v->passed, "reason",
                     egress_status_name(v->status != EG_OK ? v->status : v->would_deny), "rule",
                     eg_report_string(v->rule), "way", eg_report_string(eg_slice_str(v->way)),
                     "text", eg_report_string(eg_slice_str(v->text)));
}

static enum eg_status write_json(const struct run *r, struct eg_buf *out)
{
    json_t *results = json_array();
    for (const struct one *one = r->first; one; one = one->next)
        json_array_append_new(results, pack(one));
    json_t *doc =
        json_pack("{s:i,s:i,s:i,s:i,s:o}", "v", 1, "tests", (int)r->count, "passed",
                  (int)(r->count - r->failed), "failed", (int)r->failed, "results", results);
    enum eg_status st = eg_report_json(doc, out);
    json_decref(doc);
    return st;
}

static enum eg_status write_junit(const struct run *r, const char *suite, struct eg_buf *out)
{
    struct eg_report_case *cases = calloc(r->count + 1, sizeof *cases);
    unsigned n = 0;
    if (!cases)
        return EG_NOMEM;
    for (const struct one *one = r->first; one; one = one->next)
        cases[n++] =
            (struct eg_report_case){ .name = one->text,
                                     .kind = one->result.passed ? NULL : "test-failed",
                                     .message = one->result.passed ? NULL : one->result.text };
    enum eg_status st = eg_report_junit_begin(out);
    if (st == EG_OK)
        st = eg_report_junit_suite(suite, cases, n, out);
    if (st == EG_OK)
        st = eg_report_junit_end(out);
    free(cases);
    return st;
}

static enum eg_status print(const struct run *r, const char *suite, enum format format)
{
    struct eg_buf out;
    eg_buf_init(&out, OUT_MAX);
    enum eg_status st = format == JSON    ? write_json(r, &out)
                        : format == JUNIT ? write_junit(r, suite, &out)
                                          : write_lines(r, format, &out);
    if (st == EG_OK && out.len > 0)
        st = eg_file_write(1, eg_buf_slice(&out), NULL);
    eg_buf_done(&out);
    return st;
}

/* ---- the command ---- */

static int failed(enum eg_status st, const struct eg_err *err)
{
    char text[400];
    fprintf(stderr, "%s: %s\n", NAME,
            err->status != EG_OK ? eg_err_format(err, text, sizeof text)
                                 : egress_status_sentence(st));
    return st == EG_INVALID || st == EG_NOT_FOUND ? EG_EXIT_POLICY : EG_EXIT_FAILED;
}

static int run(struct run *r, const struct eg_load_spec *spec, enum format format)
{
    struct eg_loaded *loaded = NULL;
    struct eg_err err = { 0 };
    enum eg_status st = eg_load(spec, &loaded, &err);
    if (st != EG_OK)
        return failed(st, &err);
    eg_cmd_diags(loaded->diags);
    int code = eg_loaded_exit(loaded);
    if (code == EG_EXIT_OK) {
        st = r->broken ? EG_NOMEM : ask(r, loaded->policy);
        if (st == EG_OK)
            st = print(r, spec->file ? spec->file : "egress.yaml", format);
        code = st != EG_OK ? failed(st, &err) : r->failed ? EG_EXIT_FAILED : EG_EXIT_OK;
    }
    eg_loaded_free(loaded);
    return code;
}

int eg_cmd_policy_test(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_policy_test_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    struct run r = { .end = &r.first };
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    int format = eg_cmd_word(o, g, n, "format");
    if (format < 0)
        return EG_EXIT_USAGE;
    if (argc - at > 1)
        return eg_cmd_usage(o, "one FILE at most");
    eg_arena_init(&r.arena, ARENA_MAX);
    const struct eg_load_spec spec = { .file = at < argc ? argv[at] : NULL,
                                       .trust = eg_cmd_value(o, g, n, "trust") != NULL,
                                       .alone = eg_cmd_value(o, g, n, "alone") != NULL,
                                       .portable = true,
                                       .test = take,
                                       .test_ctx = &r };
    code = run(&r, &spec, (enum format)format);
    eg_arena_done(&r.arena);
    return code;
}
