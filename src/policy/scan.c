/* scan.c - the bytes of a policy file before YAML sees them: one pass, no tree.
 *
 * It refuses what parsers disagree about (NUL, control bytes, tabs, lone carriage returns, broken UTF-8, invisible direction
 * marks that make a reviewer read another file than the parser) and names the place. */
#include "policy/yaml.h"

#include <stdio.h>

enum { MAX_REPORTED = 20, MAX_OPEN = 64 };

/* Length of the UTF-8 sequence at p (RFC 3629: no surrogates, nothing overlong), 0 when it is broken; *code gets the code point. */
static size_t utf8_length(const unsigned char *p, size_t n, uint32_t *code)
{
    unsigned char lead = p[0];
    size_t want = lead < 0x80                    ? 1
                  : lead >= 0xc2 && lead <= 0xdf ? 2
                  : (lead & 0xf0) == 0xe0        ? 3
                  : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                 : 0;
    if (want == 0 || want > n)
        return 0;
    *code = want == 1 ? lead : lead & (0xffu >> (want + 1));
    for (size_t i = 1; i < want; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (p[i] & 0x3f);
    }
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (*code < least[want] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
        return 0;
    return want;
}

/* Code points that end lines for some readers, hide text, or turn its direction. */
static bool is_deceptive(uint32_t code)
{
    return (code >= 0x80 && code <= 0x9f) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           (code >= 0x200b && code <= 0x200f) || code == 0x061c ||
           (code >= 0xe0000 && code <= 0xe007f) || code == 0xfeff || code == 0xfffe || code == 0xffff;
}

size_t eg_yaml_visible(const char *p, size_t n)
{
    uint32_t code;
    size_t length = utf8_length((const unsigned char *)p, n, &code);
    return length == 0 || code < 0x20 || code == 0x7f || is_deceptive(code) ? 0 : length;
}

/* A tab may stand in a comment, and anywhere in JSON, whose tools indent with it. */
struct tab_state {
    bool json;
    bool comment;
    char before;
};

static void step_tab_state(struct tab_state *s, char c)
{
    if (c == '\n')
        s->comment = false;
    else if (c == '#' && (s->before == '\n' || s->before == ' ' || s->before == '\t'))
        s->comment = true;
    s->before = c;
}

/* What is wrong with the character at i, or NULL; *rule gets the code of the error. */
static const char *byte_fault(const struct eg_source *s, size_t i, uint32_t code,
                              const struct tab_state *tab, const char **rule)
{
    *rule = "bad-byte";
    if (code == 0)
        return "a NUL byte";
    if (code == '%' &&
        (i == 0 ||
         s->text.p[i - 1] == '\n')) { /* also: a long line of these takes libfyaml quadratic time */
        *rule = "tag";
        return "a directive; directives are not part of the policy language";
    }
    if (code == '\t') {
        *rule = "tab";
        return tab->json || tab->comment ? NULL : "a tab; indent and separate with spaces";
    }
    if (code == '\r')
        return i + 1 < s->text.n && s->text.p[i + 1] == '\n'
                   ? NULL
                   : "a carriage return without a line feed";
    if ((code < 0x20 && code != '\n') || code == 0x7f)
        return "a control byte";
    if (is_deceptive(code) && !(code == 0xfeff && i == 0))
        return "an invisible character that shows readers another text than the parser sees";
    return NULL;
}

bool eg_yaml_scan(const struct eg_source *source, struct eg_diags *diags)
{
    const unsigned char *p = (const unsigned char *)source->text.p;
    size_t first = 0;
    while (first < source->text.n && strchr(" \t\r\n", p[first]) && p[first])
        first++;
    struct tab_state tab = { .json = first < source->text.n && p[first] == '{', .before = '\n' };
    unsigned faults = 0;
    for (size_t i = 0, n; i < source->text.n; i += n) {
        uint32_t code = 0;
        const char *rule = "bad-utf8";
        const char *fault = "this is not valid UTF-8";
        n = utf8_length(p + i, source->text.n - i, &code);
        if (n > 0)
            fault = byte_fault(source, i, code, &tab, &rule);
        n += n == 0;
        step_tab_state(&tab, source->text.p[i]);
        if (!fault)
            continue;
        if (strcmp(rule, "bad-utf8") == 0 &&
            faults > 0) /* one is enough: columns mean little behind it */
            continue;
        if (faults++ < MAX_REPORTED)
            eg_diag_error(diags, rule, eg_place_at(source, (uint32_t)i, (uint32_t)n), NULL, "%s",
                          fault);
    }
    return faults == 0;
}

/* Skips a quoted text that begins at i; returns the index of its closing quote, or n. */
static size_t skip_quoted(struct eg_slice text, size_t i)
{
    char quote = text.p[i];
    for (i++; i < text.n && text.p[i] != quote; i++)
        if (quote == '"' && text.p[i] == '\\')
            i++;
    return i < text.n ? i : text.n;
}

/* The line that breaks at i ends in a backslash, blanks behind it not counted. */
static bool follows_backslash(struct eg_slice text, size_t i)
{
    while (i > 0 && strchr(" \t\r", text.p[i - 1]))
        i--;
    return i > 0 && text.p[i - 1] == '\\';
}

/* Two escaped quotes side by side in the single-quoted text that begins at i. */
static bool has_double_escape(struct eg_slice text, size_t i)
{
    for (i++; i + 3 < text.n; i++) {
        if (text.p[i] != '\'')
            continue;
        if (text.p[i + 1] != '\'')
            return false;
        if (text.p[i + 2] == '\'' && text.p[i + 3] == '\'')
            return true;
        i++;
    }
    return false;
}

const char *eg_yaml_quoted_fault(struct eg_slice text, size_t i)
{
    if (text.p[i] == '\'')
        return has_double_escape(text, i)
                   ? "two escaped quotes side by side in single quotes are not taken"
                   : NULL;
    if (text.p[i] != '"')
        return NULL;
    size_t end = skip_quoted(text, i);
    for (; i < end; i++)
        if (text.p[i] == '\n' && follows_backslash(text, i))
            return "a backslash at the end of a line of quoted text is not taken";
    return NULL;
}

/* Follows the brackets of flow collections, blind to those in comments, quotes and the middle of plain text. Stops where more than `limit` are open.
 * Offsets of the open ones in `open`; returns how many. */
static size_t follow_brackets(struct eg_slice text, size_t *open, size_t limit)
{
    size_t depth = 0;
    char before = '\n'; /* the last byte that is no blank, or the line's start */
    for (size_t i = 0; i < text.n && depth < limit; i++) {
        char c = text.p[i];
        bool starts = strchr("\n:,-[{?", before) != NULL;
        if (c == '#' && (i == 0 || strchr(" \n", text.p[i - 1]))) {
            while (i < text.n && text.p[i] != '\n')
                i++;
            before = '\n';
            continue;
        }
        if ((c == '"' || c == '\'') && starts)
            i = skip_quoted(text, i);
        else if ((c == '[' || c == '{') && starts)
            open[depth++] = i;
        else if ((c == ']' || c == '}') && depth > 0)
            depth--;
        if (c != ' ')
            before = c;
    }
    return depth;
}

long eg_yaml_open_bracket(struct eg_slice text)
{
    size_t open[MAX_OPEN];
    size_t depth = follow_brackets(text, open, MAX_OPEN);
    return depth > 0 ? (long)open[depth - 1] : -1;
}

long eg_yaml_too_deep(struct eg_slice text)
{
    size_t open[MAX_OPEN];
    return follow_brackets(text, open, MAX_OPEN) == MAX_OPEN ? (long)open[EG_YAML_DEPTH_MAX - 1]
                                                             : -1;
}
