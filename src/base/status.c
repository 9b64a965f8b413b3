/* status.c - the rows of EG_STATUS_LIST as data, for look-up by number.
 *
 * Nothing is computed here: the list in egress/status.h is the only place where an outcome is
 * described. A number outside of the list is answered like EG_INTERNAL, with the name "invalid". */
#include "egress/status.h"

#include <stddef.h>

struct row {
    const char *name;
    const char *sentence;
    enum eg_class class;
    short http;
    short socks;
};

static const struct row rows[EG_STATUS_COUNT] = {
#define EG_STATUS_ROW(name, text, class, http, socks, sentence)                                    \
    [EG_##name] = { text, sentence, EG_CLASS_##class, http, socks },
    EG_STATUS_LIST(EG_STATUS_ROW)
#undef EG_STATUS_ROW
};

static const struct row none = { "invalid", "unknown outcome", EG_CLASS_INTERNAL, 500, 0x01 };

static const struct row *row_of(enum eg_status status)
{
    return (unsigned)status < EG_STATUS_COUNT ? &rows[status] : &none;
}

const char *egress_status_name(enum eg_status status)
{
    return row_of(status)->name;
}

const char *egress_status_sentence(enum eg_status status)
{
    return row_of(status)->sentence;
}

int egress_status_http(enum eg_status status)
{
    return row_of(status)->http;
}

int egress_status_socks(enum eg_status status)
{
    return row_of(status)->socks;
}

enum eg_class egress_status_class(enum eg_status status)
{
    return row_of(status)->class;
}
