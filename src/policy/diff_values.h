/* diff_values.h - values of settings as people read them, and settings that are numbers or switches. Internal to the room. */
#ifndef EG_POLICY_DIFF_VALUES_H
#define EG_POLICY_DIFF_VALUES_H

#include "policy/diff_state.h"

struct eg_pair_of { /* one key, before and after */
    struct eg_diff *d;
    char subject[EG_DIFF_VALUE];
    struct eg_slice rule[2]; /* where it stands, if that is known */
};

/* "services.NAME.key"; any part may be empty. */
void eg_pair_name(struct eg_pair_of *p, const char *map, struct eg_slice name, const char *key);
/* Printable ASCII of the text, cut where it is long. Returns out; cap > 4. */
char *eg_pair_print(struct eg_slice text, char *out, size_t cap);

/* Each reports where the two differ. */
void eg_pair_text(struct eg_pair_of *p, enum eg_change_label label, struct eg_slice a,
                  struct eg_slice b);
/* Only that they differ: contents of files, keys. */
void eg_pair_hidden(struct eg_pair_of *p, enum eg_change_label label, struct eg_slice a,
                    struct eg_slice b);
enum eg_pair_unit { EG_PAIR_NUMBER, EG_PAIR_BYTES, EG_PAIR_MS };
/* More is wider. */
void eg_pair_limit(struct eg_pair_of *p, enum eg_pair_unit unit, uint64_t a, uint64_t b,
                   const char *none);
/* on: the label of false -> true; off: of true -> false. */
void eg_pair_switch(struct eg_pair_of *p, bool a, bool b, enum eg_change_label on,
                    enum eg_change_label off);

/* More than it has room for makes it differ from every other. Items are compared as they are, and cut for people alone. */
enum { EG_PAIR_ITEMS = 320 };
struct eg_pair_list {
    struct eg_slice items[EG_PAIR_ITEMS];
    unsigned count;
    bool full;
    bool ordered; /* else its order has no meaning */
};
void eg_pair_add(struct eg_pair_list *l, struct eg_slice text);
/* gained: the label where the second has one that the first has not, or has the same in another order; lost: where one is missing, and no more. */
void eg_pair_lists(struct eg_pair_of *p, enum eg_change_label gained, enum eg_change_label lost,
                   const struct eg_pair_list *a, const struct eg_pair_list *b);

#endif
