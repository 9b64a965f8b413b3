/* A tunnel at rest: its ticket comes back as it was, whatever is in it. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>

#include "proxy/flow.h"

static void comes_back(const unsigned char *bytes)
{
    struct eg_engine *e = calloc(1, sizeof *e);
    struct eg_flow f = { .engine = e, .ticket = malloc(sizeof(struct eg_ticket)) };
    memcpy(f.ticket, bytes, sizeof *f.ticket);
    eg_flow_rest(&f);
    cr_assert(f.rest && !f.ticket && !f.request);
    for (int i = 0; i < 2; i++) /* it may be asked for again */
        cr_assert_eq(memcmp(eg_flow_ticket(&f), bytes, sizeof(struct eg_ticket)), 0);
    free(f.rest);
    free(e);
}

Test(proxy, ticket_of_a_flow_at_rest_comes_back)
{
    unsigned char bytes[sizeof(struct eg_ticket)] = { 0 };
    comes_back(bytes);
    memset(bytes, 0xff, sizeof bytes);
    comes_back(bytes);
    for (size_t at = 0; at < sizeof bytes; at += 7) { /* one byte, everywhere: both ends too */
        memset(bytes, 0, sizeof bytes);
        bytes[at] = bytes[sizeof bytes - 1 - at] = 1;
        comes_back(bytes);
    }
    for (uint32_t round = 0; round < 300; round++) { /* runs of zeros of all lengths */
        randombytes_buf(bytes, sizeof bytes);
        for (size_t at = 0; at < sizeof bytes;) {
            size_t n = randombytes_uniform(1 + round % 40) + 1;
            n = n < sizeof bytes - at ? n : sizeof bytes - at;
            memset(bytes + at, 0, n);
            at += n + randombytes_uniform(1 + round / 8);
        }
        comes_back(bytes);
    }
}

Test(proxy, flow_that_works_keeps_its_ticket)
{
    struct eg_ticket ticket = { .open = true };
    struct eg_flow f = { .ticket = &ticket };
    cr_assert_eq(eg_flow_ticket(&f), &ticket);
}
