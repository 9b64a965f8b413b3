/* err.c - the caller-owned detail of a failure.
 *
 * It allocates nothing and keeps the first report: the lowest layer knows best. What it is given
 * must hold neither peer bytes nor secrets; control bytes are replaced all the same, so that a text
 * is always one line. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum eg_status eg_err_set(struct eg_err *err, enum eg_status status, const char *layer, int sys,
                          const char *format, ...)
{
    if (!err || err->status != EG_OK)
        return status;
    err->status = status;
    err->layer = layer;
    err->sys = sys;
    err->text[0] = '\0';
    if (!format)
        return status;
    va_list ap;
    va_start(ap, format);
    if (vsnprintf(err->text, sizeof err->text, format, ap) < 0)
        err->text[0] = '\0';
    va_end(ap);
    for (char *c = err->text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    return status;
}

void eg_err_reset(struct eg_err *err)
{
    if (err)
        *err = (struct eg_err){ .status = EG_OK };
}

const char *eg_err_format(const struct eg_err *err, char *buffer, unsigned long cap)
{
    if (cap == 0)
        return "";
    const char *layer = err->layer ? err->layer : "";
    const char *text = err->text[0] ? err->text : egress_status_sentence(err->status);
    const char *sys = err->sys ? strerrordesc_np(err->sys) : NULL;
    snprintf(buffer, cap, "%s%s%s%s%s", layer, layer[0] ? ": " : "", text, sys ? ": " : "",
             sys ? sys : "");
    return buffer;
}
