/* diff_values.c - two values of one key: do they differ, and how is that said? No contents of files, no templates of credentials. */
#include "policy/diff_values.h"

#include <stdio.h>

void eg_pair_name(struct eg_pair_of *p, const char *map, struct eg_slice name, const char *key)
{
    char text[96];
    snprintf(p->subject, sizeof p->subject, "%s%s%s%s%s", map, *map && name.n ? "." : "",
             eg_pair_print(name, text, sizeof text), (*map || name.n) && *key ? "." : "", key);
}

char *eg_pair_print(struct eg_slice text, char *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (n + 5 > cap) {
            memcpy(out + cap - 4, "...", 4);
            return out;
        }
        out[n++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    out[n] = '\0';
    return out;
}

static void say(struct eg_pair_of *p, enum eg_change_label label, const char *before,
                const char *after)
{
    eg_diff_setting(p->d, label, p->subject, before, after, p->rule[0], p->rule[1]);
}

void eg_pair_text(struct eg_pair_of *p, enum eg_change_label label, struct eg_slice a,
                  struct eg_slice b)
{
    char before[EG_DIFF_VALUE], after[EG_DIFF_VALUE];
    if (eg_slice_eq(a, b))
        return;
    say(p, label, a.n ? eg_pair_print(a, before, sizeof before) : "none",
        b.n ? eg_pair_print(b, after, sizeof after) : "none");
}

void eg_pair_hidden(struct eg_pair_of *p, enum eg_change_label label, struct eg_slice a,
                    struct eg_slice b)
{
    if (!eg_slice_eq(a, b))
        say(p, label, a.n ? "set" : "none", !b.n ? "none" : a.n ? "another one" : "set");
}

static void print_number(enum eg_pair_unit unit, uint64_t n, const char *none, char out[48])
{
    static const char *const sizes[] = { "", "KiB", "MiB", "GiB" };
    unsigned k = 0;
    if (n == 0) {
        snprintf(out, 48, "%s", none);
        return;
    }
    for (; unit == EG_PAIR_BYTES && k < 3 && n % 1024 == 0; k++)
        n /= 1024;
    if (unit != EG_PAIR_MS)
        snprintf(out, 48, "%llu%s", (unsigned long long)n, sizes[k]);
    else if (n % 1000)
        snprintf(out, 48, "%llums", (unsigned long long)n);
    else if (n % 60000 || n == 60000)
        snprintf(out, 48, "%llus", (unsigned long long)n / 1000);
    else if (n % 3600000)
        snprintf(out, 48, "%llum", (unsigned long long)n / 60000);
    else
        snprintf(out, 48, "%lluh", (unsigned long long)n / 3600000);
}

void eg_pair_limit(struct eg_pair_of *p, enum eg_pair_unit unit, uint64_t a, uint64_t b,
                   const char *none)
{
    char before[48], after[48];
    if (a == b)
        return;
    print_number(unit, a, none, before);
    print_number(unit, b, none, after);
    say(p, b - 1 > a - 1 ? EG_CHANGE_WIDENS : EG_CHANGE_NARROWS, before, after); /* 0: no limit */
}

void eg_pair_switch(struct eg_pair_of *p, bool a, bool b, enum eg_change_label on,
                    enum eg_change_label off)
{
    if (a != b)
        say(p, b ? on : off, a ? "true" : "false", b ? "true" : "false");
}

/* ---- lists ---- */

void eg_pair_add(struct eg_pair_list *l, struct eg_slice text)
{
    if (l->count == EG_PAIR_ITEMS)
        l->full = true;
    else
        l->items[l->count++] = text;
}

static bool is_in(const struct eg_pair_list *l, struct eg_slice text)
{
    for (unsigned i = 0; i < l->count; i++)
        if (eg_slice_eq(l->items[i], text))
            return true;
    return false;
}

static bool has_more(const struct eg_pair_list *l, const struct eg_pair_list *than)
{
    for (unsigned i = 0; i < l->count; i++)
        if (!is_in(than, l->items[i]))
            return true;
    return l->full;
}

static bool same_order(const struct eg_pair_list *a, const struct eg_pair_list *b)
{
    for (unsigned i = 0; i < a->count && i < b->count; i++)
        if (!eg_slice_eq(a->items[i], b->items[i]))
            return false;
    return a->count == b->count;
}

static const char *print_list(const struct eg_pair_list *l, char out[EG_DIFF_VALUE])
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < l->count && n + 8 < EG_DIFF_VALUE; i++) {
        n += (size_t)snprintf(out + n, EG_DIFF_VALUE - n, "%s", i ? ", " : "");
        eg_pair_print(l->items[i], out + n, EG_DIFF_VALUE - n);
        n += strlen(out + n);
    }
    return l->count ? out : "none";
}

void eg_pair_lists(struct eg_pair_of *p, enum eg_change_label gained, enum eg_change_label lost,
                   const struct eg_pair_list *a, const struct eg_pair_list *b)
{
    char before[EG_DIFF_VALUE], after[EG_DIFF_VALUE];
    bool more = has_more(b, a), less = has_more(a, b);
    bool moved = a->ordered && !more && !less && !same_order(a, b);
    if (more || less || moved)
        say(p, more || moved ? gained : lost, print_list(a, before), print_list(b, after));
}
