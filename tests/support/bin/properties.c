/* properties.c - the properties of support/property.h for as long as somebody likes: properties [PAIRS [SEED]]. Prints the seed, which shows a failure again. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/property.h"

enum { REQUESTS = 50 };

static int show(const char *name, const struct eg_property_count *c)
{
    printf("%s: %lu pairs: %lu allowed, %lu refused, %lu observed; %lu failed\n", name, c->pairs,
           c->allowed, c->refused, c->observed, c->failed);
    return c->failed > 0 || c->allowed == 0 || c->refused == 0;
}

int main(int argc, char **argv)
{
    unsigned long pairs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    uint64_t seed;
    struct eg_property_count count;
    if (sodium_init() < 0)
        return 2;
    randombytes_buf(&seed, sizeof seed);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 0);
    printf("seed 0x%llx\n", (unsigned long long)seed);
    fflush(stdout);
    eg_property_engine(seed, (unsigned)(pairs / REQUESTS) + 1, REQUESTS, &count);
    int code = show("engine = naive", &count);
    eg_property_laws(seed, (unsigned)(pairs / (8 * REQUESTS)) + 1, REQUESTS, &count);
    code |= show("laws", &count);
    eg_property_diff(seed, (unsigned)(pairs / REQUESTS) + 1, REQUESTS, &count);
    return show("comparison misses nothing", &count) | code;
}
