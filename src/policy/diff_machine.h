/* diff_machine.h - path patterns of two policies as one automaton, and the search through it. Internal to the room; diff_requests.c is its user.
 *
 * A language is what one "METHOD /pattern" matches of paths: as an allow rule reads it, or as a deny rule does (paths.c says how). The automaton reads a
 * canonical path from its start and knows at each place which languages end there. Its states are made when they are first reached; the search goes
 * through them from the shortest path on. It does not know what a match means: for every new set of languages that match, a path is handed to the
 * caller, who asks both policies. */
#ifndef EG_POLICY_DIFF_MACHINE_H
#define EG_POLICY_DIFF_MACHINE_H

#include "policy/block.h"

struct eg_language {
    const struct eg_policy *p;
    const struct eg_block_path *path;
    struct eg_slice
        base;      /* what is sent before the path that is searched for; canonical, may be empty */
    bool deny;     /* read as a deny rule reads */
    bool wanted;   /* see eg_search.wanted */
    uint64_t body; /* the caller's own */
};

/* Does a match all that b matches, whatever reads them? Errs towards no. */
bool eg_diff_covers(const struct eg_language *a, const struct eg_language *b);

struct eg_machine;
/* Languages must outlive it. EG_NOMEM. */
enum eg_status eg_machine_new(const struct eg_language *list, uint32_t count,
                              struct eg_machine **ret) EG_MUST_USE;
void eg_machine_free(struct eg_machine *m);

/* A state: one number of flags, then the cells that are live, in order and without doubles. */
struct eg_machine_state {
    uint32_t flags;
    uint32_t *cells;
    uint32_t count;
};
/* What a path may be made of: an octet as it stands, or the escape of one. */
struct eg_machine_sign {
    unsigned char octet;
    bool escaped;
};

/* The state behind every language's base and the slash that a path begins with. to->cells has room for eg_machine_cells(m). */
void eg_machine_start(struct eg_machine *m, struct eg_machine_state *to);
uint32_t eg_machine_cells(const struct eg_machine *m);
/* The state behind one more sign. False: no safe path goes on like this. */
bool eg_machine_step(struct eg_machine *m, const struct eg_machine_state *from,
                     struct eg_machine_sign sign, struct eg_machine_state *to);
/* Languages that match a path that ends here, in order, into out (room for all); how many. False: no safe path ends here. */
bool eg_machine_end(struct eg_machine *m, const struct eg_machine_state *at, uint32_t *out,
                    uint32_t *count);
/* Is a cell of a wanted language live? */
bool eg_machine_wanted(const struct eg_machine *m, const struct eg_machine_state *at);
/* Signs after which the state may be another one; those that no live cell tells apart are represented by one. plain: no escapes and no
 * parameters. Returns how many. */
enum { EG_MACHINE_SIGNS = 512 };
unsigned eg_machine_signs(const struct eg_machine *m, const struct eg_machine_state *at, bool plain,
                          struct eg_machine_sign out[EG_MACHINE_SIGNS]);

/* --- the search --- */
struct eg_search {
    const struct eg_language *list;
    uint32_t count;
    bool wanted;      /* paths that match no wanted language need not be looked at */
    bool plain;       /* only paths without escapes and parameters are looked at, which are few */
    uint64_t *budget; /* steps of cells; 0: stop. Shared by many searches */
    /* A path of a set of languages that no path had before. False: it is not what it seems (an unsafe path), another one is wanted. */
    bool (*take)(void *ctx, struct eg_slice path);
    void *ctx;
    bool cut; /* out: not all was looked at, or a set had no path that was taken */
};
enum eg_status eg_search_run(struct eg_search *s) EG_MUST_USE;

#endif
