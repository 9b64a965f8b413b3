/* table.h - a hash table with byte-string keys, keyed with a random SipHash key so that a peer
 * can't choose collisions. */
#ifndef EG_BASE_TABLE_H
#define EG_BASE_TABLE_H

#include <stdbool.h>

#include "base/slice.h"
#include "egress/status.h"

struct eg_table;

/* max_entries > 0 is the ceiling: EG_TOO_BIG above it. Values are borrowed; keys are copied. */
enum eg_status eg_table_new(struct eg_table **ret, size_t max_entries) EG_MUST_USE;
/* drop (may be NULL) is called for every value left. */
void eg_table_free(struct eg_table *t, void (*drop)(void *value));
/* NULL when absent. Key bytes are compared with memcmp: for secrets, use their hash as the key. */
void *eg_table_get(const struct eg_table *t, struct eg_slice key);
/* EG_EXISTS when the key is there (the old value stays). value is not NULL. */
enum eg_status eg_table_add(struct eg_table *t, struct eg_slice key, void *value) EG_MUST_USE;
/* Removes and returns the value; NULL when absent. */
void *eg_table_take(struct eg_table *t, struct eg_slice key);
size_t eg_table_count(const struct eg_table *t);
/* Walks all entries in no order: start with *cursor = 0; false at the end. The table must not
 * change meanwhile. key may be NULL. */
bool eg_table_next(const struct eg_table *t, size_t *cursor, struct eg_slice *key, void **value);

#endif
