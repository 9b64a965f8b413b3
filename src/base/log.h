/* log.h - messages for the operator on stderr, one line each. Only processes' main files (cmd) and
 * the rooms' callbacks given to them log: library code returns errors instead. The level is the
 * only global state of the project. */
#ifndef EG_BASE_LOG_H
#define EG_BASE_LOG_H

enum eg_log_level { EG_LOG_NONE = -1 /* as a level: nothing is printed */, EG_LOG_ERROR, EG_LOG_WARN, EG_LOG_INFO, EG_LOG_DEBUG };

void eg_log_set_level(enum eg_log_level level);
/* "egressd: warning: TEXT\n" in one write(2); control bytes of the text are escaped. */
void eg_log(enum eg_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
