/* diff_machine.c - the automaton of diff_machine.h: path patterns as cells, and what one more sign of a path makes of them.
 *
 * Every language is read in one view (allow rules) or in seven (deny rules: as it is, and six that an origin might take, see paths.c). A view
 * of a pattern is a track: for each of its segments the cells of its alternatives, of one token each. Streams are what a view reads: octets as
 * they are, or decoded, where an encoded slash is data or ends a segment. What is known beside the cells is the same for all tracks of a
 * stream and is kept in the flags. What is taken for a safe path may in odd cases be an unsafe one (escapes nested in escapes): the search asks
 * eg_path_canon before it believes one. */
#include "policy/diff_machine_parts.h"

#include <stdlib.h>

/* ---- making it ---- */

static uint32_t push(struct eg_machine *m, struct list *l, const void *item)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        void *more = room > UINT32_MAX / 4 ? NULL : realloc(l->items, room * l->size);
        if (!more) {
            m->failed = true;
            return 0;
        }
        l->items = more;
        l->room = room;
    }
    memcpy((char *)l->items + l->count * l->size, item, l->size);
    return (uint32_t)l->count++;
}

/* The token at *at of a glob, as its stream reads it; *at moves behind it. */
static uint16_t glob_token(struct eg_slice glob, size_t *at, unsigned stream)
{
    int value = (unsigned char)glob.p[(*at)++], next;
    if (value == '*')
        return STAR;
    if (stream <= RAW || value != '%')
        return (uint16_t)value;
    while (value == '%' && (next = digits_at(glob, *at)) >= 0) {
        value = next;
        *at += 2;
    }
    return value == '/' && stream == DECODED ? SLASH : (uint16_t)value;
}

/* Cells of one alternative. Returns the first; *empty: nothing at all matches it. */
static uint32_t add_glob(struct eg_machine *m, uint32_t track, uint8_t segment,
                         struct eg_slice glob, unsigned stream, bool *empty)
{
    uint32_t first = (uint32_t)m->cells.count;
    bool starred = false;
    for (size_t at = 0; at < glob.n;) {
        struct cell c = { track, glob_token(glob, &at, stream), CELL_GLOB, segment };
        *empty = *empty && c.token == STAR;
        m->digits = m->digits || (stream <= RAW && c.token == '%') ||
                    (stream <= RAW && starred && hex_value(c.token) >= 0);
        starred = c.token == STAR;
        if (c.token < 0x100 && stream <= RAW)
            m->raw_used[c.token] = true;
        (void)push(m, &m->cells, &c);
    }
    const struct cell end = { track, END, CELL_GLOB, segment };
    (void)push(m, &m->cells, &end);
    return first;
}

static void add_segment(struct eg_machine *m, uint32_t track, uint8_t index,
                        const struct eg_policy *p, const struct eg_block_segment *from)
{
    unsigned stream = TRACK(m, track)->stream;
    struct segment s = { .any = from->globs.count == 0, .optional = from->globs.count == 0 };
    const struct cell own = { track, 0, s.any ? CELL_STAY : CELL_NAMED, index };
    s.cell = push(m, &m->cells, &own);
    s.first = (uint32_t)m->alternatives.count;
    for (; s.count < from->globs.count && !m->failed; s.count++) {
        bool empty = true;
        uint32_t first =
            add_glob(m, track, index, eg_block_slice(p, p->names[from->globs.first + s.count]),
                     stream, &empty);
        s.optional = s.optional || (empty && stream != ASIS);
        (void)push(m, &m->alternatives, &first);
    }
    (void)push(m, &m->segments, &s);
}

static void add_track(struct eg_machine *m, uint32_t language, uint8_t stream, bool whole)
{
    const struct eg_language *l = &m->languages[language];
    struct track t = { .language = language,
                       .segments = (uint32_t)m->segments.count,
                       .count = (uint8_t)l->path->segments.count,
                       .stream = stream,
                       .whole = whole };
    const struct cell done = { (uint32_t)m->tracks.count, 0, CELL_DONE, t.count };
    t.done = push(m, &m->cells, &done);
    uint32_t track = push(m, &m->tracks, &t);
    for (uint8_t i = 0; i < t.count && !m->failed; i++)
        add_segment(m, track, i, l->p, &l->p->segments[l->path->segments.first + i]);
    bool optional = true;
    for (unsigned i = t.count; i-- > 0 && !m->failed;) {
        struct segment *s = AT(m->segments, struct segment, t.segments + i);
        optional = optional && s->optional;
        s->optional = optional;
    }
}

enum eg_status eg_machine_new(const struct eg_language *list, uint32_t count,
                              struct eg_machine **ret)
{
    struct eg_machine *m = calloc(1, sizeof *m);
    if (!m)
        return EG_NOMEM;
    m->languages = list;
    m->language_count = count;
    m->cells.size = sizeof(struct cell);
    m->segments.size = sizeof(struct segment);
    m->alternatives.size = sizeof(uint32_t);
    m->tracks.size = sizeof(struct track);
    for (uint32_t i = 0; i < count && !m->failed; i++) {
        m->failed = list[i].path->segments.count > 64; /* which no compiler makes */
        add_track(m, i, ASIS, true);
        m->origins = m->origins || list[i].deny;
        for (uint8_t s = RAW; list[i].deny && s < STREAMS; s++) {
            add_track(m, i, s, false);
            add_track(m, i, s, true);
        }
    }
    size_t n = m->cells.count + 1;
    m->mark = calloc(n, sizeof *m->mark);
    m->scratch[0] = calloc(n, sizeof *m->scratch[0]);
    m->scratch[1] = calloc(n, sizeof *m->scratch[1]);
    if (m->failed || !m->mark || !m->scratch[0] || !m->scratch[1]) {
        eg_machine_free(m);
        return EG_NOMEM;
    }
    *ret = m;
    return EG_OK;
}

void eg_machine_free(struct eg_machine *m)
{
    if (!m)
        return;
    free(m->cells.items);
    free(m->segments.items);
    free(m->alternatives.items);
    free(m->tracks.items);
    free(m->mark);
    free(m->scratch[0]);
    free(m->scratch[1]);
    free(m);
}

uint32_t eg_machine_cells(const struct eg_machine *m)
{
    return (uint32_t)m->cells.count;
}

/* ---- signs ---- */

static bool is_unreserved(unsigned c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* Octets that a live cell waits for, as they stand and decoded. */
struct awaited {
    bool raw[256], value[256], digits;
};

static void await(const struct eg_machine *m, const struct eg_machine_state *at,
                  struct awaited *ret)
{
    memset(ret, 0, sizeof *ret);
    for (uint32_t i = 0; i < at->count; i++) {
        const struct cell *c = CELL(m, at->cells[i]);
        unsigned token = c->token == SLASH ? '/' : c->token;
        if (c->kind == CELL_GLOB && token < 256)
            (TRACK(m, c->track)->stream <= RAW ? ret->raw : ret->value)[token] = true;
    }
    ret->digits = (at->flags & IN_ESCAPE) != 0;
}

static bool is_awaited(const struct awaited *w, unsigned c)
{
    return w->raw[c] || w->value[c] || c == '/' || c == '.' || c == ';' ||
           (w->digits && hex_value(c) >= 0);
}

/* What tells the escape of an octet from others: its digits, where a pattern has them, and what it stands for. */
static uint32_t escape_class(const struct eg_machine *m, const struct awaited *w, unsigned c)
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned high = (unsigned char)hex[c >> 4], low = (unsigned char)hex[c & 15];
    bool own = w->value[c] || c == '/' || c == ';' || c == '%';
    return (m->digits && m->raw_used[high] ? high : 0) << 16 |
           (m->digits && m->raw_used[low] ? low : 0) << 8 | (own ? c : 0);
}

static unsigned escape_signs(const struct eg_machine *m, const struct awaited *w,
                             struct eg_machine_sign *out)
{
    uint32_t seen[256];
    unsigned n = 0;
    for (unsigned c = 0x20; c < 0x100; c++) {
        uint32_t class = escape_class(m, w, c);
        unsigned k = 0;
        if (is_unreserved(c) || c == 0x7f || c == '\\')
            continue;
        while (k < n && seen[k] != class)
            k++;
        if (k < n)
            continue;
        seen[n] = class;
        out[n++] = (struct eg_machine_sign){ (unsigned char)c, true };
    }
    return n;
}

unsigned eg_machine_signs(const struct eg_machine *m, const struct eg_machine_state *at, bool plain,
                          struct eg_machine_sign out[EG_MACHINE_SIGNS])
{
    static const char octets[] = "xyzwvutsrqponmlkjihgfedcbaXYZWVUTSRQPONMLKJIHGFEDCBA9876543210-_~"
                                 "!$&'()+,=:@*./;";
    struct awaited w;
    unsigned n = 0;
    bool other = false;
    await(m, at, &w);
    for (const char *c = octets; *c; c++) {
        unsigned char octet = (unsigned char)*c;
        bool own = is_awaited(&w, octet);
        if ((own || !other) && (!plain || octet != ';'))
            out[n++] = (struct eg_machine_sign){ octet, false };
        other = other || !own;
    }
    return plain ? n : n + escape_signs(m, &w, out + n);
}
