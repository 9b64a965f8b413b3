/* fmt.h - a policy file in its one layout, with its comments. Internal to the room, for `egressctl policy fmt`.
 *
 * Keys stand in the order of the schema's table, lists keep theirs. A small map or list that fits stands on one line. Only layout, quotes and the order of keys change:
 * the text that comes out is read again and compared before anybody sees it. Pure. */
#ifndef EG_POLICY_FMT_H
#define EG_POLICY_FMT_H

#include "policy/compile.h"

/* Appends the file in its layout to out. It need not compile: what can be read can be laid out. EG_INVALID: it can't be read, diags tell. EG_INTERNAL: the result would
 * mean something else, or a comment would be lost; nothing is appended then. EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_policy_fmt(const struct eg_policy_file *file, struct eg_diags *diags, struct eg_buf *out, struct eg_err *err) EG_MUST_USE;

#endif
