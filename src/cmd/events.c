/* events.c - the supervisor's own events, the `end` events of a worker that died, and the file that
 * `run` keeps.
 *
 * What stands in the ring may have been written by a worker that was taken over: it is copied
 * out, checked and used as data only. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/table.h"
#include "cmd/files.h"
#include "cmd/state.h"

void eg_sup_event(struct eg_supervisor *s, enum eg_status reason, uint64_t number,
                  const char *format, ...)
{
    struct egress_event e = { .kind = EGRESS_EVENT_SYSTEM,
                              .reason = (uint16_t)reason,
                              .id = number };
    char text[sizeof e.detail * 4];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    eg_event_text(&e, e.detail, sizeof e.detail, eg_slice_str(text));
    if (eg_trail_write(&s->trail, &e) != EG_OK)
        eg_log(EG_LOG_ERROR, "the audit file can't be written");
    if (s->control)
        eg_ctl_server_poke(s->control);
}

void eg_supervisor_event(struct eg_supervisor *s, enum eg_status reason, const char *detail)
{
    eg_sup_event(s, reason, 0, "%s", detail ? detail : "");
}

static struct eg_slice key_of(const uint64_t *id)
{
    return eg_slice(id, sizeof *id);
}

/* Keeps the table at what is open after e: an allowed decision opens, an end closes. */
static void follow(struct eg_table *open, uint32_t writer, const struct egress_event *e)
{
    if (e->kind == EGRESS_EVENT_END) { /* its own, or ours from the last time that it died */
        free(eg_table_take(open, key_of(&e->id)));
    } else if (e->writer == writer && e->kind == EGRESS_EVENT_DECISION && e->allowed) {
        struct egress_event *copy = malloc(sizeof *copy);
        if (!copy)
            return;
        *copy = *e;
        if (eg_table_add(open, key_of(&e->id), copy) != EG_OK)
            free(copy);
    }
}

void eg_sup_events_close(struct eg_supervisor *s, uint32_t writer)
{
    struct eg_table *open = NULL;
    /* a reader of our own: s->ring goes on to wait for numbers that are still to come */
    struct egress_ring *ring = NULL;
    uint32_t capacity = 0;
    uint64_t newest = 0, after = 0;
    if (egress_ring_open(s->ring_fd, &ring) != EG_OK)
        return;
    /* a number that the dead worker took and never filled must not hide what follows */
    egress_ring_settle(ring);
    egress_ring_stats(ring, &newest, &capacity, NULL);
    if (eg_table_new(&open, capacity ? capacity : 1) != EG_OK) {
        egress_ring_free(ring);
        return;
    }
    struct egress_event e;
    while (after < newest && egress_ring_read(ring, after, &e, NULL) == EG_OK && e.seq > after) {
        after = e.seq;
        follow(open, writer, &e);
    }
    egress_ring_free(ring);
    size_t cursor = 0;
    void *value;
    struct eg_slice key;
    while (eg_table_next(open, &cursor, &key, &value)) {
        struct egress_event *end = value;
        uint64_t now = eg_clock_wall_us();
        end->kind = EGRESS_EVENT_END;
        end->reason = EG_WORKER_DIED;
        end->duration_us = now > end->wall_us ? now - end->wall_us : 0;
        end->seq = end->wall_us = 0;
        if (eg_trail_write(&s->trail, end) != EG_OK)
            eg_log(EG_LOG_ERROR, "the audit file can't be written");
    }
    eg_table_free(open, free);
}

enum eg_status eg_sup_events_keep(const struct eg_supervisor *s, struct eg_err *err)
{
    int fd;
    uint64_t after = 0;
    struct egress_event e;
    struct eg_buf out;
    struct stat st;
    if (!s->options.events_file)
        return EG_OK;
    enum eg_status status = eg_file_create(s->options.events_file, false, &fd, err);
    if (status != EG_OK)
        return status;
    eg_buf_init(&out, 4 * EGRESS_EVENT_JSON_MAX);
    egress_ring_settle(s->ring); /* no writer is left */
    while (status == EG_OK && egress_ring_read(s->ring, after, &e, NULL) == EG_OK &&
           e.seq > after) {
        char *room;
        after = e.seq;
        status = eg_buf_reserve(&out, EGRESS_EVENT_JSON_MAX + 1, &room);
        if (status != EG_OK)
            break;
        size_t n = egress_event_json(&e, room, EGRESS_EVENT_JSON_MAX);
        if (n == 0)
            continue;
        room[n] = '\n';
        eg_buf_commit(&out, n + 1);
        if (eg_buf_room(&out) <= EGRESS_EVENT_JSON_MAX) {
            status = eg_file_write(fd, eg_buf_slice(&out), err);
            eg_buf_reset(&out);
        }
    }
    if (status == EG_OK)
        status = eg_file_write(fd, eg_buf_slice(&out), err);
    eg_buf_done(&out);
    /* What a full disk took is kept; a file of nothing is nobody's. */
    if (status != EG_OK && fstat(fd, &st) == 0 && st.st_size == 0)
        (void)unlink(s->options.events_file);
    close(fd);
    return status;
}
