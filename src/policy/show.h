/* show.h - a compiled policy as people and programs read it: all layers united, presets and extended files filled in, defaults written out, and for each line where it
 * comes from. Internal to the room, for `egressctl policy show`.
 *
 * It is a policy file itself: compiled alone and trusted it is the same policy, but for certificates and keys, whose contents stand as a hash.
 * There is no secret in it: a policy holds none. */
#ifndef EG_POLICY_SHOW_H
#define EG_POLICY_SHOW_H

#include "base/arena.h"
#include "policy/policy.h"

enum eg_shown_kind { EG_SHOWN_MAP, EG_SHOWN_LIST, EG_SHOWN_TEXT, EG_SHOWN_BARE /* number, boolean, a word */ };

struct eg_shown { /* lives in the arena; texts also with the policy */
    struct eg_shown *first, *last, *next;
    enum eg_shown_kind kind;
    struct eg_slice key;    /* of a member */
    struct eg_slice text;   /* of a scalar */
    struct eg_slice origin; /* "file:line", "default", or empty: what its members or its parent say */
};

/* The whole policy. EG_NOMEM. */
enum eg_status eg_policy_show(const struct eg_policy *p, struct eg_arena *arena,
                              struct eg_shown **ret) EG_MUST_USE;
/* Appends it as a policy file, each line with its origin as a comment. EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_policy_show_text(const struct eg_shown *root, struct eg_buf *out,
                                   struct eg_err *err) EG_MUST_USE;

/* Where a single value comes from, by its key ("limits.connections", "services.openai.write"): "file:line", empty where no file says it. */
struct eg_slice eg_policy_origin(const struct eg_policy *p, struct eg_slice key);

#endif
