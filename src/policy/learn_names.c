/* learn_names.c - what names and paths look like: identifiers in paths, and hosts that a person should look at. Guesses, which never allow anything by themselves. */
#include "policy/diag.h"
#include "policy/learn.h"

/* ---- paths ---- */

static bool is_identifier(struct eg_slice s)
{
    size_t digits = 0, hex = 0, dashes = 0;
    for (size_t i = 0; i < s.n; i++) {
        digits += s.p[i] >= '0' && s.p[i] <= '9';
        hex += eg_lower(s.p[i]) >= 'a' && eg_lower(s.p[i]) <= 'f';
        dashes += s.p[i] == '-';
    }
    if (digits == s.n && s.n > 0)
        return true;
    return digits > 1 && digits + hex + dashes == s.n && s.n - dashes >= 8;
}

/* "*" for an identifier, "file-*" for one behind a word, else the segment itself. */
static enum eg_status put_segment(struct eg_slice s, struct eg_buf *out)
{
    if (is_identifier(s))
        return eg_buf_put(out, EG_SLICE("*"));
    for (size_t i = s.n; i > 1; i--) {
        struct eg_slice rest = eg_slice_from(s, i);
        if (s.p[i - 1] != '-' && s.p[i - 1] != '_')
            continue;
        if (rest.n < 8 || !is_identifier(rest))
            break;
        enum eg_status st = eg_buf_put(out, eg_slice(s.p, i));
        return st == EG_OK ? eg_buf_put(out, EG_SLICE("*")) : st;
    }
    return eg_buf_put(out, s);
}

enum eg_status eg_learn_pattern(struct eg_slice path, struct eg_buf *out)
{
    enum eg_status st = EG_OK;
    while (st == EG_OK && path.n > 0) {
        size_t n = 1; /* behind the slash */
        while (n < path.n && path.p[n] != '/')
            n++;
        struct eg_slice segment = eg_slice(path.p + 1, n - 1);
        st = eg_buf_put(out, EG_SLICE("/"));
        if (st == EG_OK)
            st = put_segment(segment, out);
        path = eg_slice_from(path, n);
    }
    return st;
}

/* ---- hosts ---- */

static bool has_odd_label(struct eg_slice host)
{
    static const char *const words[] = { "paste", "ngrok", "tunnel", "webhook", "requestbin", "oast", "burp" };
    while (host.n > 0) {
        long dot = eg_slice_index(host, '.');
        struct eg_slice label = eg_slice(host.p, dot < 0 ? host.n : (size_t)dot);
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            for (size_t k = 0; k + strlen(words[i]) <= label.n; k++)
                if (memcmp(label.p + k, words[i], strlen(words[i])) == 0)
                    return true;
        host = dot < 0 ? EG_SLICE_NONE : eg_slice_from(host, (size_t)dot + 1);
    }
    return false;
}

static bool has_made_up_label(struct eg_slice host)
{
    while (host.n > 0) {
        long dot = eg_slice_index(host, '.');
        struct eg_slice label = eg_slice(host.p, dot < 0 ? host.n : (size_t)dot);
        size_t digits = 0;
        for (size_t i = 0; i < label.n; i++)
            digits += label.p[i] >= '0' && label.p[i] <= '9';
        if (label.n > 40 || eg_secret_like(label) || (label.n >= 16 && digits >= 4))
            return true;
        host = dot < 0 ? EG_SLICE_NONE : eg_slice_from(host, (size_t)dot + 1);
    }
    return false;
}

const char *eg_learn_name_doubt(struct eg_slice host)
{
    if (has_odd_label(host))
        return "its name is like that of a paste site, a tunnel or a catcher of requests";
    if (has_made_up_label(host))
        return "a part of its name looks made up: data can leave in names";
    return eg_slice_index(host, '.') < 0 ? "a name without a domain" : NULL;
}
