/* show_parts.h - what the show files share: how the tree grows. Only they include it. */
#ifndef EG_POLICY_SHOW_PARTS_H
#define EG_POLICY_SHOW_PARTS_H

#include "policy/block.h"
#include "policy/show.h"

struct eg_show {
    const struct eg_policy *p;
    struct eg_arena *arena;
    bool failed;     /* no memory; what is added then goes nowhere */
    char prefix[192]; /* of the keys of origins: "services.openai." */
};

/* A new last child. key NULL: an element of a list. Never NULL. */
struct eg_shown *eg_show_add(struct eg_show *s, struct eg_shown *parent, const char *key,
                             enum eg_shown_kind kind, struct eg_slice text);
/* A scalar member with its origin by prefix and key; "default" where no file says it. */
void eg_show_text(struct eg_show *s, struct eg_shown *parent, const char *key, struct eg_slice text);
void eg_show_bare(struct eg_show *s, struct eg_shown *parent, const char *key, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));
/* The text only where it is not empty. */
void eg_show_some(struct eg_show *s, struct eg_shown *parent, const char *key, struct eg_slice text);
/* A list or map with the origin of its key. */
struct eg_shown *eg_show_branch(struct eg_show *s, struct eg_shown *parent, const char *key,
                                enum eg_shown_kind kind);
struct eg_slice eg_show_printf(struct eg_show *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Contents of a file that a key named: "sha256:..."; nothing where there is none. */
void eg_show_pem(struct eg_show *s, struct eg_shown *parent, const char *key, struct eg_slice pem);
/* "POST /v1/{a,b}" of each, in a list. */
void eg_show_paths(struct eg_show *s, struct eg_shown *parent, const char *key,
                   struct eg_block_paths paths);
/* 90000 as "90s", in the largest unit that has no rest. */
void eg_show_time(struct eg_show *s, struct eg_shown *parent, const char *key, uint64_t ms);
void eg_show_size(struct eg_show *s, struct eg_shown *parent, const char *key, uint64_t bytes);
/* "10.0.0.0/8"; an address alone without its full length. */
struct eg_slice eg_show_prefix(struct eg_show *s, const struct eg_addr *a, unsigned bits);
/* "127.0.0.1:5353", "[::1]:53" */
struct eg_slice eg_show_socket(struct eg_show *s, const struct eg_sockaddr *at);

void eg_show_services(struct eg_show *s, struct eg_shown *root);
void eg_show_credentials(struct eg_show *s, struct eg_shown *root);
void eg_show_upstream(struct eg_show *s, struct eg_shown *root);
void eg_show_listen(struct eg_show *s, struct eg_shown *root);

#endif
