/* sigv4.c - any bytes as an Authorization field with a target and fields behind it, and as a stream of signed chunks.
 *
 * Properties: what is signed is verified with the same secret and with no other; a stream gives the same whole and byte by byte, and never more than it
 * promised. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cred/sigv4.h"
#include "proxy/awschunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

/* Up to the next newline. */
static struct eg_slice line_of(struct eg_slice *rest)
{
    long end = eg_slice_index(*rest, '\n');
    struct eg_slice line = end < 0 ? *rest : eg_slice(rest->p, (size_t)end);
    *rest = end < 0 ? EG_SLICE_NONE : eg_slice_from(*rest, (size_t)end + 1);
    return line;
}

static size_t read_fields(struct eg_slice rest, struct eg_sigv4_field *out, size_t cap)
{
    size_t n = 0;
    while (rest.n > 0 && n < cap) {
        struct eg_slice line = line_of(&rest);
        long colon = eg_slice_index(line, ':');
        if (colon <= 0)
            continue;
        out[n].name = eg_slice(line.p, (size_t)colon);
        out[n++].value = eg_slice_trim(eg_slice_from(line, (size_t)colon + 1));
    }
    return n;
}

static void sign(struct eg_slice in)
{
    struct eg_sigv4_auth a = { 0 };
    struct eg_sigv4_field fields[32];
    struct eg_err err = { 0 };
    char made[EG_SIGV4_HEX + 1];
    struct eg_slice value = line_of(&in), target = line_of(&in);
    long query = eg_slice_index(target, '?');
    struct eg_sigv4_request r = { EG_SLICE("GET"), target, EG_SLICE_NONE,
                                  fields,          0,      EG_SLICE(EG_SIGV4_EMPTY) };
    if (query >= 0) {
        r.path.n = (size_t)query;
        r.query = eg_slice_from(target, (size_t)query + 1);
    }
    r.field_count = read_fields(in, fields, 32);
    enum eg_status status = eg_sigv4_parse(value, &a, &err);
    must(status != EG_INVALID || err.text[0]);
    if (status != EG_OK)
        return;
    must(a.key_id.n > 0 && a.day.n == 8 && a.signature.n == EG_SIGV4_HEX);
    a.time = EG_SLICE("20150830T123600Z");
    (void)!eg_sigv4_fresh(&a, 1440938160);
    if (eg_sigv4_make(&r, &a, EG_SLICE("one secret"), made) != EG_OK)
        return;
    a.signature = eg_slice(made, EG_SIGV4_HEX);
    must(eg_sigv4_verify(&r, &a, EG_SLICE("one secret")) == EG_OK);
    must(eg_sigv4_verify(&r, &a, EG_SLICE("two secret")) == EG_PHANTOM_INVALID);
}

struct outcome {
    enum eg_status status;
    struct eg_awschunk c;
    struct eg_buf out;
};

static void feed(struct outcome *o, struct eg_slice in)
{
    struct eg_slice piece;
    while (in.n > 0 && o->status == EG_OK) {
        size_t before = in.n;
        o->status = eg_awschunk_next(&o->c, &in, &piece, NULL);
        must(o->status == EG_BAD_REQUEST || (o->status == EG_OK && in.n < before));
        if (o->status == EG_OK)
            must(eg_buf_put(&o->out, piece) == EG_OK);
    }
}

static void chunks(struct eg_slice in, bool keep)
{
    struct outcome whole = { EG_OK, { .expected = in.n / 2, .keep = keep }, { 0 } }, single = whole;
    eg_buf_init(&whole.out, in.n * 2 + 64);
    eg_buf_init(&single.out, in.n * 2 + 64);
    feed(&whole, in);
    for (size_t i = 0; i < in.n && single.status == EG_OK; i++)
        feed(&single, eg_slice(in.p + i, 1));
    must(whole.status == single.status && whole.c.at == single.c.at);
    must(whole.status != EG_OK || eg_slice_eq(eg_buf_slice(&whole.out), eg_buf_slice(&single.out)));
    must(keep || whole.out.len <= whole.c.expected);
    must(whole.c.at != EG_AWSCHUNK_DONE || keep || whole.out.len == whole.c.expected ||
         whole.status != EG_OK);
    eg_buf_done(&whole.out);
    eg_buf_done(&single.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eg_slice in = eg_slice(data, size);
    if (size == 0 || sodium_init() < 0)
        return 0;
    if (data[0] == 'A')
        sign(in);
    else
        chunks(eg_slice_from(in, 1), data[0] & 1);
    return 0;
}
