/* socks5_reply: any bytes as what a SOCKS5 proxy answers. The first byte chooses the target's form and whether there is a login,
 * the rest is said whole, and then again byte by byte.
 *
 * Properties: both ways end the same; a refusal has a text, of the layer; what stands after an accepted reply comes out of the
 * stream, all of it and nothing else. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "stream/stream.h"

enum { PIPE = 8192 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum eg_status status;
    struct eg_err err;
    size_t rest;
    char tunnel[PIPE];
};

static void must(bool good)
{
    if (!good)
        abort();
}

static void run(const uint8_t *p, size_t n, const struct eg_authority *to,
                const struct eg_secret *login, bool single, struct outcome *o)
{
    struct eg_stream *a = NULL, *b = NULL;
    size_t done = 0;
    memset(o, 0, sizeof *o);
    o->status = EG_AGAIN;
    must(eg_stream_mem(PIPE, &a, &b) == EG_OK);
    must(eg_stream_socks5(a, to, login, &a) == EG_OK);
    for (size_t at = 0; at < n; at += done) {
        must(eg_stream_send(b, (const char *)p + at, single ? 1 : n - at, &done, NULL) == EG_OK);
        if (o->status == EG_AGAIN)
            o->status = eg_stream_connect(a, &o->err);
    }
    must(eg_stream_shut(b, NULL) == EG_OK);
    if (o->status == EG_AGAIN)
        o->status = eg_stream_connect(a, &o->err);
    must(o->status != EG_AGAIN && o->status != EG_EOF);
    while (o->status == EG_OK &&
           eg_stream_recv(a, o->tunnel + o->rest, sizeof o->tunnel - o->rest, &done, NULL) == EG_OK)
        o->rest += done;
    eg_stream_free(a);
    eg_stream_free(b);
}

static void check(const struct outcome *o, const uint8_t *p, size_t n)
{
    must(o->status == EG_OK || o->status == EG_UPSTREAM_PROXY_AUTH ||
         o->status == EG_UPSTREAM_PROXY_REFUSED || o->status == EG_UPSTREAM_PROXY_FAILED);
    must(o->status == EG_OK ||
         (o->err.status == o->status && o->err.text[0] && strcmp(o->err.layer, "socks5") == 0));
    must(o->rest <= n && memcmp(o->tunnel, p + n - o->rest, o->rest) == 0);
    if (o->status == EG_OK)
        must(n >= 2 + 7 && n - o->rest <= 2 + 2 + 262);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct eg_vault *vault;
    static struct eg_secret *login;
    static const struct eg_slice targets[] = { { "api.example.test:443", 20 },
                                               { "192.0.2.1:80", 12 },
                                               { "[2001:db8::1]:8443", 18 } };
    static struct outcome whole, split;
    struct eg_authority to;
    if (!vault) {
        must(sodium_init() >= 0);
        must(eg_vault_new(&vault, 256, false, NULL, NULL) == EG_OK);
        must(eg_secret_new(vault, "user:password", 13, &login, NULL) == EG_OK);
    }
    if (size == 0 || size > PIPE)
        return 0;
    must(eg_authority_parse(targets[data[0] % 3], 0, &to, NULL) == EG_OK);
    const struct eg_secret *with = data[0] & 0x80 ? login : NULL;
    run(data + 1, size - 1, &to, with, false, &whole);
    run(data + 1, size - 1, &to, with, true, &split);
    check(&whole, data + 1, size - 1);
    must(whole.status == split.status && whole.rest == split.rest &&
         strcmp(whole.err.text, split.err.text) == 0);
    return 0;
}
