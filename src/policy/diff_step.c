/* diff_step.c - what one more sign of a path makes of a state of the automaton, and which languages match where the path ends. */
#include "policy/diff_machine_parts.h"

#include <stdlib.h>

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
