/* redact_needle.c - one needle at one place of a text: does it stand there, and what takes its place.
 *
 * A text is read from the place on, unit by unit: an escape that is whole counts as the byte that it stands for, anything else as itself, so that any mix of forms
 * is found and nothing is tried twice. (A value with a percent sign or backslash of its own has further needles, which read fewer escapes.) Base64 digits are
 * taken from the value's bits as they are needed: of the digits at its ends, one at the front that it shares with its neighbour is left out, the
 * last one is compared, and replaced, in its own bits. A line break may stand between any two digits. */
#include "cred/redact_set.h"

#include "base/slice.h"

enum escape { ESCAPE_NONE, ESCAPE_WHOLE, ESCAPE_OPEN };

struct token {
    unsigned char value, known; /* of an escape that is open: the bits that are known already */
    unsigned width;
};

/* ---- units ---- */

static unsigned digit_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26u;
    if (c >= '0' && c <= '9')
        return c - '0' + 52u;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : 255;
}

/* Bits of the first digit that is the value's own, before its first bit: 0, 4 and 2 bits of the value are left out. */
static size_t first_bit(const struct eg_needle *d)
{
    return d->align == 0 ? 0 : d->align == 1 ? 4 : 2;
}

static unsigned unit_of(const struct eg_needle *d, const unsigned char *value, size_t k)
{
    if (d->align == EG_NEEDLE_PLAIN)
        return value[k];
    size_t bit = first_bit(d) + 6 * k, at = bit / 8;
    unsigned two = (unsigned)value[at] << 8 | (at + 1 < d->n ? value[at + 1] : 0u);
    return two >> (10 - bit % 8) & 63;
}

void eg_needle_measure(struct eg_needle *d)
{
    size_t bits = 8 * d->n - first_bit(d), left = bits % 6;
    d->units = d->align == EG_NEEDLE_PLAIN ? d->n : (bits + 5) / 6;
    d->tail = (uint8_t)(left ? 63u << (6 - left) & 63 : 63u);
}

static unsigned bits_of(const struct eg_needle *d, size_t k)
{
    return k + 1 == d->units ? d->tail : 63u;
}

static bool accepts(const struct eg_needle *d, size_t k, unsigned want, unsigned char c)
{
    if (d->align == EG_NEEDLE_PLAIN)
        return c == want;
    unsigned digit = digit_of(c);
    return digit < 64 && ((digit ^ want) & bits_of(d, k)) == 0;
}

bool eg_needle_accepts(const struct eg_needle *d, const unsigned char *block, size_t k,
                       unsigned char c)
{
    return accepts(d, k, unit_of(d, block + d->off, k), c);
}

/* ---- escapes ---- */

static const char short_name[] = "\"\\/bfnrt", short_value[] = "\"\\/\b\f\n\r\t";

char eg_needle_short(char c)
{
    const char *at = c ? strchr(short_value, c) : NULL;
    return at ? short_name[at - short_value] : '\0';
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = eg_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum escape read_hex(const struct eg_redact_view *v, size_t at, struct token *t)
{
    for (unsigned i = 0; i < 2; i++) {
        if (at + i >= eg_view_len(v))
            return ESCAPE_OPEN;
        int digit = hex_of(*eg_view_at(v, at + i));
        if (digit < 0)
            return ESCAPE_NONE;
        t->value |= (unsigned char)(digit << (4 - 4 * i));
        t->known |= (unsigned char)(15 << (4 - 4 * i));
    }
    return ESCAPE_WHOLE;
}

/* RFC 8259 section 7, as far as \u00XX goes: needles are bytes. */
static enum escape read_json(const struct eg_redact_view *v, size_t at, struct token *t)
{
    if (at + 1 >= eg_view_len(v))
        return ESCAPE_OPEN;
    char c = *eg_view_at(v, at + 1);
    const char *name = c ? strchr(short_name, c) : NULL;
    if (name) {
        t->value = (unsigned char)short_value[name - short_name];
        t->width = 2;
        return ESCAPE_WHOLE;
    }
    if (c != 'u')
        return ESCAPE_NONE;
    for (size_t i = at + 2; i < at + 4; i++) {
        if (i >= eg_view_len(v))
            return ESCAPE_OPEN;
        if (*eg_view_at(v, i) != '0')
            return ESCAPE_NONE;
    }
    t->width = 6;
    return read_hex(v, at + 4, t);
}

static enum escape read_escape(const struct eg_needle *d, const struct eg_redact_view *v, size_t at,
                               struct token *t)
{
    char c = *eg_view_at(v, at);
    enum escape escape = ESCAPE_NONE;
    *t = (struct token){ 0, 0, 3 };
    if (c == '%' && (d->modes & EG_NEEDLE_PERCENT))
        escape = read_hex(v, at + 1, t);
    else if (c == '\\' && (d->modes & EG_NEEDLE_JSON))
        escape = read_json(v, at, t);
    return escape == ESCAPE_OPEN && v->last ? ESCAPE_NONE : escape;
}

/* ---- matching ---- */

/* The text ends in an escape: can it become unit k? */
static bool may_become(const struct eg_needle *d, size_t k, unsigned want, const struct token *t)
{
    for (unsigned c = 0; c < 256; c++)
        if (((c ^ t->value) & t->known) == 0 && accepts(d, k, want, (unsigned char)c))
            return true;
    return false;
}

static enum eg_needle_result match_unit(const struct eg_needle *d, const unsigned char *value,
                                        const struct eg_redact_view *v, size_t at, size_t k,
                                        struct token *t)
{
    if (at >= eg_view_len(v))
        return EG_NEEDLE_OPEN;
    unsigned want = unit_of(d, value, k);
    unsigned char c = (unsigned char)*eg_view_at(v, at);
    enum escape escape = read_escape(d, v, at, t);
    if (escape == ESCAPE_OPEN && may_become(d, k, want, t))
        return EG_NEEDLE_OPEN;
    if (escape != ESCAPE_WHOLE)
        *t = (struct token){ c, 255, 1 };
    bool plus = c == '+' && want == ' ' && (d->modes & EG_NEEDLE_PERCENT);
    if (!accepts(d, k, want, t->value) && !plus)
        return EG_NEEDLE_NO;
    return escape == ESCAPE_OPEN ? EG_NEEDLE_OPEN : EG_NEEDLE_YES;
}

/* MIME's base64 has lines; in JSON their ends are escaped. */
static enum eg_needle_result match_break(const struct eg_redact_view *v, size_t at, size_t *width)
{
    static const struct eg_slice forms[] = {
        { "\n", 1 }, { "\r\n", 2 }, { "\\n", 2 }, { "\\r\\n", 4 }
    };
    enum eg_needle_result result = EG_NEEDLE_NO;
    *width = 0;
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        size_t i = 0;
        while (i < forms[f].n && at + i < eg_view_len(v) && *eg_view_at(v, at + i) == forms[f].p[i])
            i++;
        if (i == forms[f].n) {
            *width = i;
            return EG_NEEDLE_YES;
        }
        if (at + i == eg_view_len(v) && !v->last)
            result = EG_NEEDLE_OPEN;
    }
    return result;
}

static bool is_literal(unsigned char c)
{
    return c > '\r' && c != '%' && c != '\\' && c != '+';
}

/* Unit k from *at on, which moves to where it stands, behind a line break. */
static enum eg_needle_result find_unit(const struct eg_needle *d, const unsigned char *value,
                                       const struct eg_redact_view *v, size_t *at, size_t k,
                                       struct token *t)
{
    if (*at < eg_view_len(v) && is_literal((unsigned char)*eg_view_at(v, *at))) { /* mostly */
        *t = (struct token){ (unsigned char)*eg_view_at(v, *at), 255, 1 };
        return accepts(d, k, unit_of(d, value, k), t->value) ? EG_NEEDLE_YES : EG_NEEDLE_NO;
    }
    if (d->align != EG_NEEDLE_PLAIN && k > 0) {
        size_t width;
        if (match_break(v, *at, &width) == EG_NEEDLE_OPEN)
            return EG_NEEDLE_OPEN;
        *at += width;
    }
    return match_unit(d, value, v, *at, k, t);
}

enum eg_needle_result eg_needle_match(const struct eg_needle *d, const unsigned char *block,
                                      const struct eg_redact_view *v, size_t at, size_t *len)
{
    struct token t;
    size_t from = at;
    for (size_t k = 0; k < d->units; k++) {
        enum eg_needle_result result = find_unit(d, block + d->off, v, &at, k, &t);
        if (result != EG_NEEDLE_YES)
            return result;
        at += t.width;
    }
    *len = at - from;
    return EG_NEEDLE_YES;
}

/* ---- replacing ---- */

/* How the place looks as a whole. */
struct look {
    bool escaped, url; /* there are escapes; the digits are of base64url */
};

static char phantom_char(const struct eg_needle *d, const unsigned char *block, size_t k,
                         const struct token *t, const struct look *look)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    unsigned unit = unit_of(d, block + d->phantom_off, k);
    if (d->align == EG_NEEDLE_PLAIN)
        return (char)unit;
    unsigned bits = bits_of(d, k);
    unit = (unit & bits) | (digit_of(t->value) & 63 & ~bits);
    if (unit < 62)
        return digits[unit];
    return look->url ? "-_"[unit - 62] : "+/"[unit - 62];
}

static bool is_unreserved(char c)
{
    return digit_of((unsigned char)c) < 62 || (c && strchr("-._~", c));
}

/* Can c stand where t stood, in the same form? */
static bool fits(char c, const struct token *t, const struct look *look)
{
    if (t->width == 2)
        return eg_needle_short(c) != '\0';
    if (t->width > 2 || is_unreserved(c))
        return true;
    return !look->escaped && c > ' ' && c < 0x7f && !strchr("\"\\%", c);
}

static void put(const struct eg_redact_view *v, size_t at, const struct token *t, char c)
{
    static const char upper[] = "0123456789ABCDEF", lower[] = "0123456789abcdef";
    size_t last = at + t->width - 1;
    if (t->width <= 2) {
        *eg_view_at(v, last) = t->width == 1 ? c : eg_needle_short(c);
        return;
    }
    bool small = *eg_view_at(v, last - 1) >= 'a' || *eg_view_at(v, last) >= 'a';
    const char *hex = small ? lower : upper;
    *eg_view_at(v, last - 1) = hex[(unsigned char)c >> 4];
    *eg_view_at(v, last) = hex[(unsigned char)c & 15];
}

static struct look look_at(const struct eg_needle *d, const unsigned char *value,
                           const struct eg_redact_view *v, size_t at)
{
    struct look look = { false, false };
    struct token t;
    for (size_t k = 0; k < d->units; k++) {
        (void)find_unit(d, value, v, &at, k, &t);
        look.escaped |= t.width > 1;
        look.url |= t.value == '-' || t.value == '_';
        at += t.width;
    }
    return look;
}

void eg_needle_replace(const struct eg_needle *d, const unsigned char *block,
                       const struct eg_redact_view *v, size_t from)
{
    const unsigned char *value = block + d->off;
    struct look look = look_at(d, value, v, from);
    struct token t;
    bool same = d->phantom_n == d->n;
    size_t at = from;
    for (size_t k = 0; k < d->units && same; k++, at += t.width) {
        (void)find_unit(d, value, v, &at, k, &t);
        same = fits(phantom_char(d, block, k, &t, &look), &t, &look);
    }
    at = from;
    for (size_t k = 0; k < d->units; k++, at += t.width) {
        (void)find_unit(d, value, v, &at, k, &t);
        if (same)
            put(v, at, &t, phantom_char(d, block, k, &t, &look));
        for (size_t i = 0; i < t.width && !same; i++)
            *eg_view_at(v, at + i) = '*';
    }
}
