/* residue.h - is a secret left anywhere in this process? Looks at all writable memory through
 * /proc/self/mem, freed memory and the stack included, for bytes that the test itself keeps in
 * a masked form only. */
#ifndef EG_TESTS_SUPPORT_RESIDUE_H
#define EG_TESTS_SUPPORT_RESIDUE_H

#include <stddef.h>

enum { RESIDUE_MAX = 64 };
struct residue { /* n printable random bytes, each masked */
    unsigned char masked[RESIDUE_MAX];
    size_t n;
};

/* Chooses n <= RESIDUE_MAX letters and digits. */
void residue_choose(struct residue *r, size_t n);
/* Writes the plain bytes (no NUL); the caller wipes them. */
void residue_reveal(const struct residue *r, char *to);
/* Copies of it in this process' memory. Needs a /proc that shows our memory. */
unsigned residue_count(const struct residue *r);

#endif
