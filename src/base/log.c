/* log.c - messages for the operator, one line and one write(2) each.
 *
 * What is not printable ASCII is shown as \xHH, so that no text can forge a line or drive a
 * terminal. A message that is too long is cut. Failure to write is ignored: there is nobody left to
 * tell. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 1024, LINE_MAX_BYTES = 4 * TEXT_MAX + 128 };

static enum eg_log_level log_level = EG_LOG_INFO;

void eg_log_set_level(enum eg_log_level level)
{
    log_level = level;
}

static const char *level_name(enum eg_log_level level)
{
    switch (level) {
    case EG_LOG_NONE:
    case EG_LOG_ERROR:
        return "error";
    case EG_LOG_WARN:
        return "warning";
    case EG_LOG_INFO:
        return "info";
    case EG_LOG_DEBUG:
        return "debug";
    }
    return "error";
}

/* Appends text in visible form at line + n; four bytes for each are known to fit. */
static size_t escape(char *line, size_t n, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    for (const char *c = text; *c; c++) {
        unsigned char u = (unsigned char)*c;
        if (u >= 0x20 && u < 0x7f) {
            line[n++] = *c;
            continue;
        }
        line[n++] = '\\';
        line[n++] = 'x';
        line[n++] = hex[u >> 4];
        line[n++] = hex[u & 15];
    }
    return n;
}

void eg_log(enum eg_log_level level, const char *format, ...)
{
    char text[TEXT_MAX];
    char line[LINE_MAX_BYTES];
    int saved = errno;
    va_list ap;
    if (level > log_level)
        return;
    va_start(ap, format);
    if (vsnprintf(text, sizeof text, format, ap) < 0)
        text[0] = '\0';
    va_end(ap);
    int head = snprintf(line, 100, "%.64s: %s: ", program_invocation_short_name, level_name(level));
    size_t n = escape(line, (size_t)head, text);
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written;
    errno = saved;
}
