/* socks_request: the messages of a SOCKS5 client, one after the other, whole and growing byte by byte.
 *
 * Properties: no byte beyond n is read (the copy is exact, so ASan sees it); a message that was read is the same with bytes behind
 * it, and a refusal stays the same refusal; a destination is canonical: read again from its own text, it is the same one. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/socks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum eg_status status;
    size_t used;
    struct eg_socks_said said;
    size_t user, password; /* lengths: the slices do not outlive the copy */
};

static struct outcome parse_exact(enum eg_socks_part part, const uint8_t *data, size_t n)
{
    struct outcome o = { 0 };
    struct eg_err err = { 0 };
    char *copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    memcpy(copy, data, n);
    o.status = eg_socks_parse(part, eg_slice(copy, n), &o.used, &o.said, &err);
    o.user = o.said.user.n;
    o.password = o.said.password.n;
    free(copy);
    if (o.status == EG_OK)
        assert(o.used > 0 && o.used <= n && o.used <= EG_SOCKS_PART_MAX);
    else if (o.status != EG_AGAIN)
        assert(err.status == o.status && err.text[0]);
    else
        assert(n < EG_SOCKS_PART_MAX);
    return o;
}

static void check_destination(const struct eg_authority *to)
{
    char text[EG_AUTHORITY_TEXT];
    struct eg_authority again;
    assert(to->port > 0 && to->host_len > 0 && strlen(to->host) == to->host_len);
    eg_authority_format(to, 0, text, sizeof text);
    if (eg_authority_parse(eg_slice_str(text), 0, &again, NULL) != EG_OK)
        abort();
    assert(eg_authority_eq(&again, to) && (!to->literal || eg_addr_eq(&again.addr, &to->addr)));
}

static struct outcome check_part(enum eg_socks_part part, const uint8_t *data, size_t size)
{
    struct outcome whole = parse_exact(part, data, size);
    size_t bound = size < EG_SOCKS_PART_MAX ? size : EG_SOCKS_PART_MAX;
    for (size_t n = 0; n < bound; n++) {
        struct outcome some = parse_exact(part, data, n);
        if (some.status == EG_AGAIN)
            continue;
        assert(some.status == whole.status && some.used == whole.used);
        assert(some.user == whole.user && some.password == whole.password);
        assert(some.said.reply == whole.said.reply && some.said.no_auth == whole.said.no_auth);
        break;
    }
    if (part == EG_SOCKS_REQUEST && whole.status == EG_OK)
        check_destination(&whole.said.to);
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome o = check_part(EG_SOCKS_GREETING, data, size);
    if (o.status == EG_OK) {
        data += o.used;
        size -= o.used;
        if (!o.said.no_auth && o.said.password_auth) {
            o = check_part(EG_SOCKS_LOGIN, data, size);
            data += o.status == EG_OK ? o.used : 0;
            size -= o.status == EG_OK ? o.used : 0;
        }
    }
    (void)check_part(EG_SOCKS_REQUEST, data, size); /* also on its own */
    return 0;
}
