/* first_flight: the first bytes of a tunnel, whole and growing byte by byte.
 *
 * Properties: no byte beyond n is read (the copy is exact, so ASan sees it); a verdict other than "more" never changes when
 * bytes are added; a valid server name is a canonical host. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_exact(const uint8_t *data, size_t n, struct eg_hello *ret)
{
    char *copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    memcpy(copy, data, n);
    eg_hello_parse(copy, n, ret);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eg_hello whole, part;
    if (size > EG_HELLO_MAX)
        size = EG_HELLO_MAX;
    parse_exact(data, size, &whole);
    if (whole.sni_valid) {
        struct eg_authority again;
        assert(eg_host_parse(eg_authority_host(&whole.sni), &again, NULL) == EG_OK &&
               !again.literal);
        assert(eg_slice_eq(eg_authority_host(&again), eg_authority_host(&whole.sni)));
    }
    size_t step = size > 256 ? size / 64 : 1;
    for (size_t n = 0; n < size; n += step) {
        parse_exact(data, n, &part);
        if (part.kind != EG_HELLO_MORE)
            assert(part.kind == whole.kind && part.sni_valid == whole.sni_valid);
    }
    return 0;
}
