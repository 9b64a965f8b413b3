/* fmt_scalar.c - when a text needs quotes. It errs towards them: what stands without must be the same text for every reader of YAML, whatever is
 * around it. Texts have no line breaks and no control bytes: the reader refused those. */
#include "policy/fmt_parts.h"

#include "base/buf.h"

static bool is_flow_mark(char c)
{
    return c == ',' || c == '[' || c == ']' || c == '{' || c == '}';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool may_begin(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '/' ||
           c == '.' || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_plain(struct eg_slice s, bool flow)
{
    if (s.n == 0 || !may_begin(s.p[0]) || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == ':' ||
        eg_slice_starts(s, EG_SLICE("...")))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], next = i + 1 < s.n ? s.p[i + 1] : ' ';
        if (flow && is_flow_mark(c))
            return false;
        if (c == ':' && (next == ' ' || (flow && is_flow_mark(next))))
            return false;
        if (c == '#' && i > 0 && s.p[i - 1] == ' ')
            return false;
    }
    return true;
}

bool eg_fmt_typed(struct eg_slice text)
{
    static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off", "y",
                                         "n",    "~" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (eg_slice_caseeq(text, eg_slice_str(words[i])))
            return true;
    bool digit = false;
    for (size_t i = 0; i < text.n; i++) {
        digit = digit || is_digit(text.p[i]);
        if (!is_digit(text.p[i]) && !memchr("+-.:_abcdefABCDEFxXo", text.p[i], 20))
            return false;
    }
    return digit || text.n == 0;
}

static enum eg_status quoted(struct eg_buf *out, struct eg_slice s)
{
    enum eg_status st = eg_buf_put(out, EG_SLICE("\""));
    for (size_t i = 0; st == EG_OK && i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            st = eg_buf_put(out, EG_SLICE("\\"));
        if (st == EG_OK)
            st = eg_buf_append(out, s.p + i, 1);
    }
    return st == EG_OK ? eg_buf_put(out, EG_SLICE("\"")) : st;
}

enum eg_status eg_fmt_scalar(struct eg_buf *out, const struct eg_yaml *node, bool flow)
{
    if (node->text.n == 0 && node->plain)
        return EG_OK;
    bool plain = is_plain(node->text, flow) && (node->plain || !eg_fmt_typed(node->text));
    return plain ? eg_buf_put(out, node->text) : quoted(out, node->text);
}

enum eg_status eg_fmt_key(struct eg_buf *out, struct eg_slice name, bool flow)
{
    return is_plain(name, flow) ? eg_buf_put(out, name) : quoted(out, name);
}
