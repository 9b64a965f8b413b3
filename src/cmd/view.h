/* view.h - audit events as a table for people. */
#ifndef EG_CMD_VIEW_H
#define EG_CMD_VIEW_H

#include "base/buf.h"
#include "egress/audit.h"

struct eg_view_filter {
    bool denied;         /* refusals, canaries and failed ends only */
    const char *session; /* NULL: all */
};
bool eg_view_wanted(const struct eg_view_filter *f, const struct egress_event *e);

/* Collects events and joins a decision with its end. */
struct eg_view;
enum { EG_VIEW_MAX = 1 << 20 }; /* events that a table holds at most */
enum eg_status eg_view_new(bool color, struct eg_view **ret) EG_MUST_USE;
void eg_view_free(struct eg_view *v);
/* EG_TOO_BIG above EG_VIEW_MAX. */
enum eg_status eg_view_add(struct eg_view *v, const struct egress_event *e) EG_MUST_USE;
/* All rows, with their head. Texts are escaped: what a child wrote reaches no terminal as
 * control bytes. */
enum eg_status eg_view_write(const struct eg_view *v, const struct eg_view_filter *f,
                             enum eg_status (*line)(void *ctx, struct eg_slice text),
                             void *ctx) EG_MUST_USE;
/* One event as a row, for --follow. */
enum eg_status eg_view_row(const struct egress_event *e, const struct egress_event *end, bool color,
                           struct eg_buf *out) EG_MUST_USE;
struct eg_slice eg_view_head(void);

#endif
