/* report.c - the escapes of JSON, XML and GitHub's workflow commands over one cleaned text. It knows nothing of policies. */
#include "cmd/report.h"

#include <stdlib.h>

#include "policy/yaml.h"

enum { TEXT_MAX = 1 << 20 };

/* U+FFFE, U+FFFF and their like are UTF-8, and no characters of XML. */
static bool is_character(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    if (n == 3)
        return !(u[0] == 0xef && u[1] == 0xbf && u[2] >= 0xbe);
    return n != 4 || !((u[1] & 0x0f) == 0x0f && u[2] == 0xbf && u[3] >= 0xbe);
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

enum eg_status eg_report_clean(struct eg_slice text, struct eg_buf *out)
{
    enum eg_status st = EG_OK;
    for (size_t i = 0, n; st == EG_OK && i < text.n; i += n) {
        n = eg_yaml_visible(text.p + i, text.n - i);
        if (n > 0 && is_character(text.p + i, n)) {
            st = eg_buf_append(out, text.p + i, n);
            continue;
        }
        char c = text.p[i];
        st = eg_buf_append(out, c == '\t' || c == '\n' || c == '\r' ? " " : "?", 1);
        for (n = 1; i + n < text.n && is_continuation(text.p[i + n]); n++)
            ;
    }
    return st;
}

json_t *eg_report_string(struct eg_slice text)
{
    struct eg_buf b;
    eg_buf_init(&b, TEXT_MAX);
    json_t *s = eg_report_clean(text, &b) == EG_OK
                    ? json_stringn(b.len ? eg_buf_slice(&b).p : "", b.len)
                    : NULL;
    eg_buf_done(&b);
    return s;
}

enum eg_status eg_report_json(const json_t *doc, struct eg_buf *out)
{
    char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    enum eg_status st = text ? eg_buf_put(out, eg_slice_str(text)) : EG_NOMEM;
    free(text);
    return st == EG_OK ? eg_buf_append(out, "\n", 1) : st;
}

/* What stands for c within the text: NULL for itself. */
typedef const char *escape_fn(char c);

static const char *xml_escape(char c)
{
    return c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : NULL;
}

static const char *github_data(char c)
{
    return c == '%' ? "%25" : c == '\r' ? "%0D" : c == '\n' ? "%0A" : NULL;
}

static const char *github_property(char c)
{
    return c == ':' ? "%3A" : c == ',' ? "%2C" : github_data(c);
}

static enum eg_status put_escaped(struct eg_slice text, escape_fn *escape, struct eg_buf *out)
{
    struct eg_buf b;
    eg_buf_init(&b, TEXT_MAX);
    enum eg_status st = eg_report_clean(text, &b);
    struct eg_slice s = eg_buf_slice(&b);
    for (size_t i = 0; st == EG_OK && i < s.n; i++) {
        const char *e = escape(s.p[i]);
        st = e ? eg_buf_put(out, eg_slice_str(e)) : eg_buf_append(out, s.p + i, 1);
    }
    eg_buf_done(&b);
    return st;
}

enum eg_status eg_report_xml(struct eg_slice text, struct eg_buf *out)
{
    return put_escaped(text, xml_escape, out);
}

/* ---- one line a note ---- */

enum eg_status eg_report_github(const struct eg_report_note *n, struct eg_buf *out)
{
    enum eg_status st = eg_buf_printf(out, "::%s title=", n->level);
    if (st == EG_OK)
        st = put_escaped(eg_slice_str(n->title), github_property, out);
    if (st == EG_OK && n->file) {
        st = eg_buf_printf(out, ",file=");
        if (st == EG_OK)
            st = put_escaped(eg_slice_str(n->file), github_property, out);
    }
    if (st == EG_OK && n->file && n->line)
        st = eg_buf_printf(out, ",line=%u,endLine=%u,col=%u,endColumn=%u", n->line, n->line,
                           n->column, n->column + n->width);
    if (st == EG_OK)
        st = eg_buf_put(out, EG_SLICE("::"));
    if (st == EG_OK)
        st = put_escaped(eg_slice_str(n->text), github_data, out);
    if (st == EG_OK && n->fix) {
        st = eg_buf_put(out, EG_SLICE("%0Afix: "));
        if (st == EG_OK)
            st = put_escaped(eg_slice_str(n->fix), github_data, out);
    }
    return st == EG_OK ? eg_buf_append(out, "\n", 1) : st;
}

enum eg_status eg_report_agent(const struct eg_report_note *n, struct eg_buf *out)
{
    enum eg_status st = n->file ? eg_report_clean(eg_slice_str(n->file), out) : EG_OK;
    if (st == EG_OK && n->file && n->line)
        st = eg_buf_printf(out, ":%u:%u", n->line, n->column);
    if (st == EG_OK)
        st = eg_buf_printf(out, "%s%s %s ", n->file ? " " : "", n->level, n->title);
    if (st == EG_OK)
        st = eg_report_clean(eg_slice_str(n->text), out);
    if (st == EG_OK && n->fix) {
        st = eg_buf_put(out, EG_SLICE("; fix: "));
        if (st == EG_OK)
            st = eg_report_clean(eg_slice_str(n->fix), out);
    }
    return st == EG_OK ? eg_buf_append(out, "\n", 1) : st;
}

/* ---- JUnit ---- */

enum eg_status eg_report_junit_begin(struct eg_buf *out)
{
    return eg_buf_put(out, EG_SLICE("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"));
}

enum eg_status eg_report_junit_end(struct eg_buf *out)
{
    return eg_buf_put(out, EG_SLICE("</testsuites>\n"));
}

/* name="value" behind a blank. */
static enum eg_status put_attribute(const char *name, const char *value, struct eg_buf *out)
{
    enum eg_status st = eg_buf_printf(out, " %s=\"", name);
    if (st == EG_OK)
        st = eg_report_xml(eg_slice_str(value), out);
    return st == EG_OK ? eg_buf_append(out, "\"", 1) : st;
}

static enum eg_status put_case(const char *suite, const struct eg_report_case *c,
                               struct eg_buf *out)
{
    const char *tag = c->kind ? "failure" : "system-out";
    enum eg_status st = eg_buf_printf(out, "    <testcase");
    if (st == EG_OK)
        st = put_attribute("classname", suite, out);
    if (st == EG_OK)
        st = put_attribute("name", c->name, out);
    if (st != EG_OK || (!c->kind && !c->message))
        return st == EG_OK ? eg_buf_put(out, EG_SLICE("/>\n")) : st;
    st = eg_buf_printf(out, ">\n      <%s", tag);
    if (st == EG_OK && c->kind)
        st = put_attribute("type", c->kind, out);
    if (st == EG_OK && c->kind)
        st = put_attribute("message", c->message ? c->message : "", out);
    if (st == EG_OK)
        st = eg_buf_append(out, ">", 1);
    const char *text = c->detail ? c->detail : c->message ? c->message : "";
    if (st == EG_OK)
        st = eg_report_xml(eg_slice_str(text), out);
    return st == EG_OK ? eg_buf_printf(out, "</%s>\n    </testcase>\n", tag) : st;
}

enum eg_status eg_report_junit_suite(const char *name, const struct eg_report_case *cases,
                                     unsigned count, struct eg_buf *out)
{
    unsigned failures = 0;
    for (unsigned i = 0; i < count; i++)
        failures += cases[i].kind != NULL;
    enum eg_status st = eg_buf_printf(out, "  <testsuite");
    if (st == EG_OK)
        st = put_attribute("name", name, out);
    if (st == EG_OK)
        st = eg_buf_printf(out, " tests=\"%u\" failures=\"%u\" errors=\"0\">\n", count, failures);
    for (unsigned i = 0; st == EG_OK && i < count; i++)
        st = put_case(name, &cases[i], out);
    return st == EG_OK ? eg_buf_put(out, EG_SLICE("  </testsuite>\n")) : st;
}
