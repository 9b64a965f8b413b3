/* path_pattern.c - fuzzes rules on requests: "METHOD /pattern" lines, then an empty line, a method and a raw path. Whatever they are, compiling and
 * judging end; what an allow rule lets through a deny rule of the same text refuses, in every spelling that origins might take for it; and the index over a long list finds
 * what trying a short one finds. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>

#include "policy/compile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RULES_MAX = 16, POLICY_MAX = 1 << 16, FILLERS = 9 };
#define FILLER "FILLER"

/* JSON, so that any printable byte can stand in a rule. */
static bool quote(struct eg_buf *out, struct eg_slice line)
{
    enum eg_status st = eg_buf_put(out, EG_SLICE("\""));
    for (size_t i = 0; i < line.n && st == EG_OK; i++) {
        unsigned char c = (unsigned char)line.p[i];
        if (c < 0x20 || c >= 0x7f)
            return false;
        st = c == '"' || c == '\\' ? eg_buf_printf(out, "\\%c", c) : eg_buf_append(out, &c, 1);
    }
    return st == EG_OK && eg_buf_put(out, EG_SLICE("\"")) == EG_OK;
}

/* More: so many that there is an index; nothing asks for these. */
static bool list(struct eg_buf *out, const char *key, const struct eg_slice *rules, unsigned count,
                 bool more)
{
    if (eg_buf_printf(out, ", %s: [", key) != EG_OK)
        return false;
    for (unsigned i = 0; i < FILLERS && more; i++)
        if (eg_buf_printf(out, "\"%s /%c*/-%u\", ", FILLER, 'a' + (int)i % 3, i) != EG_OK)
            return false;
    for (unsigned i = 0; i < count; i++)
        if (!quote(out, rules[i]) || eg_buf_put(out, EG_SLICE(", ")) != EG_OK)
            return false;
    return eg_buf_put(out, EG_SLICE("]")) == EG_OK;
}

/* One service that allows, one that denies, one with a base path; and the first two with no more than these rules. */
static struct eg_policy *compile(const struct eg_slice *rules, unsigned count, struct eg_buf *block)
{
    struct eg_diags *d = NULL;
    struct eg_policy *p = NULL;
    struct eg_buf text;
    eg_buf_init(&text, POLICY_MAX);
    bool fine =
        eg_buf_printf(&text, "egress: 1\nservices:\n  a: {upstream: \"https://a.example\"") ==
            EG_OK &&
        list(&text, "rules", rules, count, true) &&
        eg_buf_printf(&text, "}\n  d: {upstream: \"https://a.example\"") == EG_OK &&
        list(&text, "deny", rules, count, true) &&
        eg_buf_printf(&text, "}\n  p: {upstream: \"https://a.example\"") == EG_OK &&
        list(&text, "rules", rules, count, false) &&
        eg_buf_printf(&text, "}\n  q: {upstream: \"https://a.example\"") == EG_OK &&
        list(&text, "deny", rules, count, false) &&
        eg_buf_printf(&text, "}\n  b: {upstream: \"https://a.example/v1\"") == EG_OK &&
        list(&text, "rules", rules, count, true) && eg_buf_put(&text, EG_SLICE("}\n")) == EG_OK;
    const struct eg_policy_file file = { "egress.yaml", eg_buf_slice(&text), EG_LAYER_REPO, true };
    if (fine && eg_diags_new(&d) == EG_OK) {
        enum eg_status st = eg_policy_compile(&file, 1, NULL, d, block, NULL);
        if (st != EG_OK && st != EG_INVALID)
            abort();
        if (st == EG_OK && eg_policy_open(block->data, block->len, &p, NULL) != EG_OK)
            abort();
    }
    eg_diags_free(d);
    eg_buf_done(&text);
    return p;
}

static enum eg_status judge(const struct eg_policy *p, const char *route, struct eg_slice method,
                            struct eg_slice path, struct eg_path_flags flags)
{
    struct eg_verdict v;
    int service = eg_policy_service_of_route(p, eg_slice_str(route));
    if (service < 0)
        abort();
    eg_policy_judge_route(p, (unsigned)service, method, path, flags, &v);
    if (v.status != EG_OK && (v.status != EG_RULE_DENIED || v.detail.n == 0 || v.rule.n == 0))
        abort();
    return v.status;
}

/* The path with every letter and slash but the first escaped once more, or with a parameter or slash at its end. */
static void respell(struct eg_slice path, unsigned how, struct eg_buf *out)
{
    enum eg_status st = EG_OK;
    for (size_t i = 0; i < path.n && st == EG_OK; i++) {
        unsigned char c = (unsigned char)path.p[i];
        bool letter = (c >= 'a' && c <= 'z') || c == '_';
        st = how == 1 && letter ? eg_buf_printf(out, "%%25%02X", c) : eg_buf_append(out, &c, 1);
    }
    if (st == EG_OK && how == 2)
        st = eg_buf_put(out, EG_SLICE(";x=y"));
    if (st == EG_OK && how == 3)
        st = eg_buf_put(out, EG_SLICE("/"));
    if (st != EG_OK)
        out->len = 0;
}

static void ask(const struct eg_policy *p, struct eg_slice method, struct eg_slice raw,
                bool parameters)
{
    struct eg_buf path, again, spelt;
    struct eg_path_flags flags = { 0 }, flags2 = { 0 };
    eg_buf_init(&path, POLICY_MAX);
    if (eg_path_canon(raw, &path, &flags, NULL) == EG_OK) {
        bool allowed = judge(p, "a", method, eg_buf_slice(&path), flags) == EG_OK;
        bool denied = judge(p, "d", method, eg_buf_slice(&path), flags) != EG_OK;
        if (allowed && (flags.unsafe || !denied))
            abort();
        if (!eg_slice_caseeq(method, EG_SLICE(FILLER)) &&
            (allowed != (judge(p, "p", method, eg_buf_slice(&path), flags) == EG_OK) ||
             denied != (judge(p, "q", method, eg_buf_slice(&path), flags) != EG_OK)))
            abort();
        (void)judge(p, "b", method, eg_buf_slice(&path), flags);
        /* a rule may match the digits of an escape, which another spelling has not */
        bool escaped = memchr(path.data + path.off, '%', path.len) != NULL;
        for (unsigned how = 1; how <= 3 && allowed && !escaped; how++) {
            if (how == 2 && parameters)
                continue; /* a rule that names one means that one */
            eg_buf_init(&spelt, POLICY_MAX);
            eg_buf_init(&again, POLICY_MAX);
            respell(eg_buf_slice(&path), how, &spelt);
            if (spelt.len > 0 &&
                eg_path_canon(eg_buf_slice(&spelt), &again, &flags2, NULL) == EG_OK &&
                judge(p, "d", method, eg_buf_slice(&again), flags2) == EG_OK)
                abort(); /* the same request to some origin */
            eg_buf_done(&spelt);
            eg_buf_done(&again);
        }
    }
    eg_buf_done(&path);
}

/* The next line; false at the end. */
static bool next_line(struct eg_slice *rest, struct eg_slice *line)
{
    if (rest->n == 0)
        return false;
    long end = eg_slice_index(*rest, '\n');
    *line = end < 0 ? *rest : eg_slice(rest->p, (size_t)end);
    *rest = end < 0 ? EG_SLICE_NONE : eg_slice_from(*rest, (size_t)end + 1);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eg_slice rest = eg_slice(data, size), rules[RULES_MAX], line, method;
    unsigned count = 0;
    struct eg_buf block;
    if (sodium_init() < 0 || size > 8192)
        return 0;
    while (next_line(&rest, &line) && line.n > 0 && count < RULES_MAX)
        rules[count++] = line;
    if (count == 0 || !next_line(&rest, &method))
        return 0;
    eg_buf_init(&block, 4 << 20);
    struct eg_policy *p = compile(rules, count, &block);
    while (p && next_line(&rest, &line))
        ask(p, method, line, memchr(data, ';', size) || memmem(data, size, "%3", 2));
    eg_policy_close(p);
    eg_buf_done(&block);
    return 0;
}
