/* residue.c - looks for a secret in all of this process' writable memory.
 *
 * The needle is compared masked, so that the search itself makes no copy; what it reads into is
 * a mapping of its own that it skips. */
#include "support/residue.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MASK = 0xa5, WINDOW = 1 << 20 };
static const size_t REGION_MAX = (size_t)512 << 20; /* a sanitizer's shadow is not memory of ours */

void residue_choose(struct residue *r, size_t n)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    r->n = n;
    for (size_t i = 0; i < n; i++)
        r->masked[i] = (unsigned char)letters[randombytes_uniform(sizeof letters - 1)] ^ MASK;
}

void residue_reveal(const struct residue *r, char *to)
{
    for (size_t i = 0; i < r->n; i++)
        to[i] = (char)(r->masked[i] ^ MASK);
}

static unsigned count_in(const unsigned char *p, size_t n, const struct residue *r)
{
    unsigned found = 0;
    const unsigned char *end = p + n, *at = p;
    while ((at = memchr(at, r->masked[0] ^ MASK, (size_t)(end - at))) &&
           (size_t)(end - at) >= r->n) {
        size_t k = 1;
        while (k < r->n && (at[k] ^ MASK) == r->masked[k])
            k++;
        found += k == r->n;
        if (++at == end)
            break;
    }
    return found;
}

static unsigned count_region(int mem, uint64_t from, uint64_t to, unsigned char *window,
                             const struct residue *r)
{
    unsigned found = 0;
    while (from < to) {
        size_t want = to - from < WINDOW ? (size_t)(to - from) : WINDOW;
        ssize_t got = pread(mem, window, want, (off_t)from);
        if (got <= 0)
            return found;
        found += count_in(window, (size_t)got, r);
        if ((size_t)got == want && from + want == to)
            return found;
        from += (size_t)got > r->n ? (size_t)got - (r->n - 1) : (size_t)got;
    }
    return found;
}

unsigned residue_count(const struct residue *r)
{
    unsigned found = 0;
    unsigned char *window =
        mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    while (maps && mem >= 0 && window != MAP_FAILED && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char mode[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || mode[0] != 'r' || mode[1] != 'w')
            continue;
        if (to - from > REGION_MAX)
            continue;
        /* Our window may have grown together with a neighbour: search around it. */
        unsigned long own = (unsigned long)(uintptr_t)window;
        if (own >= from && own < to) {
            found += count_region(mem, from, own, window, r);
            found += count_region(mem, own + WINDOW, to, window, r);
        } else {
            found += count_region(mem, from, to, window, r);
        }
    }
    if (maps)
        fclose(maps);
    if (mem >= 0)
        close(mem);
    if (window != MAP_FAILED)
        munmap(window, WINDOW);
    return found;
}
