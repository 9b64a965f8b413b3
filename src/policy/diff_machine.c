/* diff_machine.c - the automaton of diff_machine.h: path patterns as cells, and what one more sign of a path makes of them.
 *
 * Every language is read in one view (allow rules) or in seven (deny rules: as it is, and six that an origin might take, see paths.c). A view
 * of a pattern is a track: for each of its segments the cells of its alternatives, of one token each. Streams are what a view reads: octets as
 * they are, or decoded, where an encoded slash is data or ends a segment. What is known beside the cells is the same for all tracks of a
 * stream and is kept in the flags. What is taken for a safe path may in odd cases be an unsafe one (escapes nested in escapes): the search asks
 * eg_path_canon before it believes one. */
#include "policy/diff_machine.h"

#include <stdlib.h>

enum { ASIS, RAW, DECODED, SLASHES, STREAMS };
enum { STAR = 0x200, END = 0x201, SLASH = 0x100 | '/', VIEWS = 7, PASSES = 4 };
enum cell_kind {
    CELL_GLOB,
    CELL_STAY,  /* a ** takes this segment */
    CELL_NAMED, /* the segment matches without its parameters */
    CELL_DONE   /* nothing is left of the pattern */
};

/* Flags of a state: what is pending of an escape (0, '%', or '%' and a digit), how a segment of dots begins, and for each stream of an
 * origin what is known of its segment. */
enum {
    PENDING = 0xff, /* the digit */
    IN_ESCAPE = 1 << 8,
    DOTS_SHIFT = 9, /* 0 none so far, 1 ".", 2 "..", 3 something else */
    DOTS = 3 << DOTS_SHIFT,
    AFTER_SLASH = 1 << 11,
    FLAGS_SHIFT = 12, /* 3 for each of RAW, DECODED, SLASHES */
    FILLED = 1,       /* the segment has a token */
    NAME_ENDED = 2,   /* parameters have begun */
    BARE = 4          /* with the first token */
};

struct cell {
    uint32_t track;
    uint16_t token; /* an octet, SLASH, STAR or END */
    uint8_t kind, segment;
};
struct segment {
    uint32_t cell;         /* of kind STAY or NAMED */
    uint32_t first, count; /* alternatives: their first cells */
    bool any, optional;    /* **; nothing may stand for it and all that follows */
};
struct track {
    uint32_t language, segments, done;
    uint8_t count, stream;
    bool whole;
};

struct list { /* of fixed-size items */
    void *items;
    size_t count, room, size;
};

struct eg_machine {
    const struct eg_language *languages;
    uint32_t language_count;
    struct list cells, segments, alternatives, tracks;
    uint32_t *mark, *scratch[2]; /* by cell */
    uint32_t generation, count;  /* cells in scratch[0] */
    uint32_t flags;
    bool raw_used[256]; /* octets that some pattern has as they stand */
    bool digits, origins, failed,
        dead; /* digits: the digits of an escape may matter to a pattern */
};

#define AT(list, type, i) (&((type *)(list).items)[i])
#define CELL(m, i)        AT((m)->cells, struct cell, i)
#define TRACK(m, i)       AT((m)->tracks, struct track, i)

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

static int hex_value(unsigned c)
{
    if (c >= '0' && c <= '9')
        return (int)c - '0';
    return c >= 'A' && c <= 'F' ? (int)c - 'A' + 10 : c >= 'a' && c <= 'f' ? (int)c - 'a' + 10 : -1;
}

static int digits_at(struct eg_slice s, size_t i)
{
    if (i + 2 > s.n)
        return -1;
    int high = hex_value((unsigned char)s.p[i]), low = hex_value((unsigned char)s.p[i + 1]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
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

/* ---- sets of cells ---- */

static void put(struct eg_machine *m, uint32_t cell)
{
    if (m->mark[cell] == m->generation)
        return;
    m->mark[cell] = m->generation;
    m->scratch[0][m->count++] = cell;
}

/* A place in a glob; behind a * the next one too. */
static void put_glob(struct eg_machine *m, uint32_t cell)
{
    put(m, cell);
    while (CELL(m, cell)->token == STAR)
        put(m, ++cell);
}

/* A segment of the text begins, and the pattern is at its segment `at`. */
static void put_position(struct eg_machine *m, uint32_t track, unsigned at)
{
    const struct track *t = TRACK(m, track);
    for (;; at++) {
        if (at == t->count) {
            if (t->stream != ASIS) /* there every slash has a segment behind it */
                put(m, t->done);
            return;
        }
        const struct segment *s = AT(m->segments, struct segment, t->segments + at);
        if (s->any)
            put(m, s->cell);
        for (uint32_t i = 0; i < s->count; i++)
            put_glob(m, *AT(m->alternatives, uint32_t, s->first + i));
        if (!s->any)
            return;
    }
}

static unsigned known(uint32_t flags, unsigned stream)
{
    return stream == ASIS ? FILLED : flags >> (FLAGS_SHIFT + 3 * (stream - RAW)) & 7;
}

static bool counts(const struct track *t, unsigned know)
{
    return (know & FILLED) && (t->whole || !(know & BARE));
}

static void end_segment(struct eg_machine *m, uint32_t id, const struct cell *c,
                        const struct track *t)
{
    if (!counts(t, known(m->flags, t->stream)))
        put(m, id);
    else if (c->kind == CELL_STAY)
        put_position(m, c->track, c->segment);
    else if (c->kind == CELL_NAMED || (c->kind == CELL_GLOB && c->token == END))
        put_position(m, c->track, c->segment + 1u);
}

static void read_token(struct eg_machine *m, uint32_t id, const struct cell *c,
                       const struct track *t, uint16_t token)
{
    unsigned know = known(m->flags, t->stream);
    bool origin = t->stream != ASIS;
    bool bare = (know & BARE) || (token == ';' && !(know & FILLED));
    if (c->kind == CELL_STAY || c->kind == CELL_NAMED || (origin && !t->whole && bare)) {
        put(m, id);
        return;
    }
    if (c->kind == CELL_DONE)
        return;
    if (origin && token == ';' && !(know & NAME_ENDED) && c->token == END)
        put(m, AT(m->segments, struct segment, t->segments + c->segment)->cell);
    if (c->token == STAR)
        put_glob(m, id); /* what stands behind it may begin here as well */
    else if (c->token == token)
        put_glob(m, id + 1);
}

static void note(struct eg_machine *m, unsigned stream, uint16_t token)
{
    unsigned shift = FLAGS_SHIFT + 3 * (stream - RAW), know = m->flags >> shift & 7;
    if (token == '/')
        know = 0;
    else
        know |= FILLED | (token == ';' ? NAME_ENDED | (know & FILLED ? 0 : BARE) : 0);
    m->flags = (m->flags & ~(7u << shift)) | know << shift;
}

/* All cells of the streams of mask read the token. escaped: it was an escape, so that a slash is data to some. */
static void pass(struct eg_machine *m, unsigned mask, uint16_t token, bool escaped)
{
    uint32_t *from = m->scratch[0], n = m->count;
    m->scratch[0] = m->scratch[1];
    m->scratch[1] = from;
    m->generation++;
    m->count = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct cell *c = CELL(m, from[i]);
        const struct track *t = TRACK(m, c->track);
        uint16_t own = token == '/' && escaped && t->stream == DECODED ? SLASH : token;
        if (!(mask >> t->stream & 1))
            put(m, from[i]);
        else if (own == '/')
            end_segment(m, from[i], c, t);
        else
            read_token(m, from[i], c, t, own);
    }
    for (unsigned s = RAW; s < STREAMS; s++)
        if (mask >> s & 1)
            note(m, s, token == '/' && escaped && s == DECODED ? SLASH : token);
}

/* ---- a path, sign by sign ---- */

/* A path that no rule allows (base/path.c), as far as it is told apart here. */
static void judge(struct eg_machine *m, uint16_t value)
{
    unsigned dots = m->flags >> DOTS_SHIFT & 3;
    bool ends = value == '/' || value == ';';
    if (value < 0x20 || value == 0x7f || value == '\\' || (ends && (dots == 1 || dots == 2)))
        m->dead = true;
    dots = value == '/' ? 0 : value == '.' ? (dots < 3 ? dots + 1 : 3) : 3;
    m->flags = (m->flags & ~(uint32_t)DOTS) | dots << DOTS_SHIFT;
}

static void read_value(struct eg_machine *m, uint16_t value, bool escaped)
{
    judge(m, value);
    if (m->origins)
        pass(m, 1u << DECODED | 1u << SLASHES, value, escaped);
}

/* The escape that was begun is none. */
static void flush(struct eg_machine *m)
{
    uint16_t digit = m->flags & PENDING;
    if (!(m->flags & IN_ESCAPE))
        return;
    m->flags &= ~(uint32_t)(IN_ESCAPE | PENDING);
    read_value(m, '%', true);
    if (digit)
        read_value(m, digit, false);
}

/* An escape's octet; an escaped percent sign may begin another one. */
static void read_escaped(struct eg_machine *m, uint16_t value)
{
    if (value == '%' && m->origins)
        m->flags |= IN_ESCAPE;
    else
        read_value(m, value, true);
}

static void read_octet(struct eg_machine *m, uint16_t octet)
{
    uint32_t digit = m->flags & PENDING;
    pass(m, 1u << ASIS | (m->origins ? 1u << RAW : 0), octet, false);
    if ((m->flags & IN_ESCAPE) && hex_value(octet) >= 0) {
        if (!digit) {
            m->flags |= octet;
            return;
        }
        m->flags &= ~(uint32_t)(IN_ESCAPE | PENDING);
        read_escaped(m, (uint16_t)(hex_value(digit) << 4 | hex_value(octet)));
        return;
    }
    flush(m);
    read_value(m, octet, false);
}

static void read_sign(struct eg_machine *m, struct eg_machine_sign sign)
{
    static const char hex[] = "0123456789ABCDEF";
    bool slash = !sign.escaped && sign.octet == '/';
    if (slash && (m->flags & AFTER_SLASH))
        m->dead = true;
    m->flags = slash ? m->flags | AFTER_SLASH : m->flags & ~(uint32_t)AFTER_SLASH;
    if (!sign.escaped) {
        read_octet(m, sign.octet);
        return;
    }
    const uint16_t text[] = { '%', (uint16_t)hex[sign.octet >> 4], (uint16_t)hex[sign.octet & 15] };
    for (unsigned i = 0; i < 3; i++)
        pass(m, 1u << ASIS | (m->origins ? 1u << RAW : 0), text[i], false);
    flush(m);
    read_escaped(m, sign.octet);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* What no live cell can tell apart is forgotten, so that there are fewer states. */
static void forget(struct eg_machine *m)
{
    unsigned live = 0;
    for (uint32_t i = 0; i < m->count; i++)
        live |= 1u << TRACK(m, CELL(m, m->scratch[0][i])->track)->stream;
    for (unsigned s = RAW; s < STREAMS; s++)
        if (!(live >> s & 1))
            m->flags &= ~(7u << (FLAGS_SHIFT + 3 * (s - RAW)));
    if (!(live & (1u << DECODED | 1u << SLASHES)) && (m->flags & IN_ESCAPE))
        m->flags = (m->flags & ~(uint32_t)(IN_ESCAPE | PENDING)) | 3u << DOTS_SHIFT;
}

static void save(struct eg_machine *m, struct eg_machine_state *to)
{
    forget(m);
    if (m->count > 0)
        memcpy(to->cells, m->scratch[0], m->count * sizeof *to->cells);
    qsort(to->cells, m->count, sizeof *to->cells, compare);
    to->count = m->count;
    to->flags = m->flags;
}

static void load(struct eg_machine *m, const struct eg_machine_state *from)
{
    m->generation++;
    m->count = from->count;
    m->flags = from->flags;
    m->dead = false;
    if (from->count > 0)
        memcpy(m->scratch[0], from->cells, from->count * sizeof *from->cells);
}

/* The languages of one base, behind it. */
static void read_base(struct eg_machine *m, struct eg_slice base)
{
    for (size_t i = 1; i < base.n && !m->failed; i++) {
        int octet = base.p[i] == '%' ? digits_at(base, i + 1) : -1;
        struct eg_machine_sign sign = { octet < 0 ? (unsigned char)base.p[i] : (unsigned char)octet,
                                        octet >= 0 };
        read_sign(m, sign);
        i += octet < 0 ? 0 : 2;
    }
    if (base.n > 0)
        read_sign(m, (struct eg_machine_sign){ '/', false });
}

void eg_machine_start(struct eg_machine *m, struct eg_machine_state *to)
{
    to->count = 0;
    for (uint32_t from = 0, end; from < m->tracks.count; from = end) {
        struct eg_slice base = m->languages[TRACK(m, from)->language].base;
        const struct eg_machine_state none = { 0, NULL, 0 };
        load(m, &none);
        for (end = from;
             end < m->tracks.count && eg_slice_eq(base, m->languages[TRACK(m, end)->language].base);
             end++)
            put_position(m, end, 0);
        read_base(m, base);
        if (m->count > 0)
            memcpy(to->cells + to->count, m->scratch[0], m->count * sizeof *to->cells);
        to->count += m->count;
    }
    qsort(to->cells, to->count, sizeof *to->cells, compare);
    to->flags = AFTER_SLASH;
}

bool eg_machine_step(struct eg_machine *m, const struct eg_machine_state *from,
                     struct eg_machine_sign sign, struct eg_machine_state *to)
{
    load(m, from);
    read_sign(m, sign);
    if (m->dead)
        return false;
    save(m, to);
    return true;
}

/* Does the track match a path that ends with this cell live? */
static bool accepts(const struct eg_machine *m, const struct cell *c)
{
    const struct track *t = TRACK(m, c->track);
    bool counted = counts(t, known(m->flags, t->stream));
    unsigned at = c->segment; /* all from here on must be optional */
    if (counted && c->kind != CELL_STAY) {
        if (c->kind == CELL_GLOB && c->token != END)
            return false;
        at += c->kind != CELL_DONE;
    }
    return at >= t->count || AT(m->segments, struct segment, t->segments + at)->optional;
}

bool eg_machine_end(struct eg_machine *m, const struct eg_machine_state *at, uint32_t *out,
                    uint32_t *count)
{
    uint32_t n = 0;
    load(m, at);
    flush(m);
    unsigned dots = m->flags >> DOTS_SHIFT & 3;
    if (m->dead || dots == 1 || dots == 2)
        return false;
    m->generation++;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct cell *c = CELL(m, m->scratch[0][i]);
        uint32_t language = TRACK(m, c->track)->language;
        if (accepts(m, c))
            out[n++] = language;
    }
    qsort(out, n, sizeof *out, compare);
    *count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || out[i] != out[*count - 1])
            out[(*count)++] = out[i];
    return true;
}

bool eg_machine_wanted(const struct eg_machine *m, const struct eg_machine_state *at)
{
    for (uint32_t i = 0; i < at->count; i++)
        if (m->languages[TRACK(m, CELL(m, at->cells[i])->track)->language].wanted)
            return true;
    return false;
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
