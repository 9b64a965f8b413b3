/* cmd_walk.c - the audit as the control socket gives it to one who does not follow: all that was
 * there when it was asked for, also behind a number whose writer was killed or is slow. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "cmd/state.h"

enum { NEWEST_AT = 64, CAPACITY = 16 }; /* tests/unit/audit_ring.c */

struct setup {
    struct eg_supervisor supervisor;
    struct eg_ctl_answer answer;
    uint64_t *newest;
    char *memory;
    size_t size;
};

static void set_up(struct setup *s)
{
    struct stat st;
    int fd;
    memset(s, 0, sizeof *s);
    cr_assert_eq(egress_ring_create(CAPACITY, &s->supervisor.ring, &fd), EG_OK);
    cr_assert_eq(fstat(fd, &st), 0);
    s->size = (size_t)st.st_size;
    s->memory = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(s->memory, MAP_FAILED);
    s->newest = (uint64_t *)(void *)(s->memory + NEWEST_AT);
}

static void tear_down(struct setup *s)
{
    if (s->answer.done)
        s->answer.done(s->answer.stream);
    munmap(s->memory, s->size);
    egress_ring_free(s->supervisor.ring);
}

static void add(struct setup *s)
{
    struct egress_event e = { .kind = EGRESS_EVENT_SYSTEM };
    cr_assert_gt(egress_ring_append(s->supervisor.ring, &e), 0);
}

static void ask(struct setup *s, bool follow)
{
    json_t *request = json_pack("{s:s,s:b}", "op", "audit", "follow", (int)follow);
    json_t *reply = eg_ctl_dispatch(eg_sup_handlers, &s->supervisor, request, false, &s->answer);
    json_decref(request);
    cr_assert(!reply && s->answer.next);
}

/* The numbers of the events up to the end or to EG_AGAIN, and what was lost, as "1 2 lost1 4 "; the
 * last status. */
static enum eg_status walk(struct setup *s, char *out, size_t cap)
{
    enum eg_status status;
    json_t *o = NULL;
    while ((status = s->answer.next(s->answer.stream, &o)) == EG_OK) {
        const json_t *event = json_object_get(o, "event"), *lost = json_object_get(o, "lost");
        const json_t *number = event ? json_object_get(event, "seq") : lost;
        size_t n = strlen(out);
        if (number)
            snprintf(out + n, cap - n, "%s%lld ", event ? "" : "lost",
                     (long long)json_integer_value(number));
        json_decref(o);
    }
    return status;
}

Test(cmd, audit_walk_waits_for_a_young_gap_and_gives_what_is_behind_it)
{
    struct setup s;
    char seen[200] = "";
    set_up(&s);
    add(&s);
    add(&s);
    ++*s.newest; /* a writer that was killed in mid-append */
    add(&s);
    uint64_t from = eg_clock_ms();
    ask(&s, false);
    enum eg_status status = walk(&s, seen, sizeof seen);
    if (eg_clock_ms() - from < 200)
        cr_expect(status == EG_AGAIN && strcmp(seen, "1 2 ") == 0, "%d %s", (int)status, seen);
    while (status == EG_AGAIN && eg_clock_ms() - from < 30000)
        status = walk(&s, seen, sizeof seen);
    cr_assert_eq(status, EG_EOF);
    cr_assert_str_eq(seen, "1 2 lost1 4 ");
    tear_down(&s);
}

Test(cmd, audit_walk_gives_up_a_last_number_that_never_comes)
{
    struct setup s;
    char seen[200] = "";
    enum eg_status status = EG_AGAIN;
    set_up(&s);
    add(&s);
    ++*s.newest;
    uint64_t from = eg_clock_ms();
    ask(&s, false);
    while (status == EG_AGAIN && eg_clock_ms() - from < 30000)
        status = walk(&s, seen, sizeof seen);
    cr_assert_eq(status, EG_EOF);
    cr_assert_str_eq(seen, "1 ");
    cr_assert(eg_clock_ms() - from >= 990, "a writer may be at it still");
    cr_assert_lt(eg_clock_ms() - from, 30000);
    tear_down(&s);
}

Test(cmd, audit_walk_without_a_gap_ends_at_once)
{
    struct setup s;
    char seen[200] = "";
    set_up(&s);
    ask(&s, false);
    cr_assert_eq(walk(&s, seen, sizeof seen), EG_EOF);
    cr_assert_str_eq(seen, "");
    s.answer.done(s.answer.stream);
    for (int i = 0; i < 20; i++)
        add(&s);
    ask(&s, false);
    add(&s); /* what comes later is given too while there is something */
    cr_assert_eq(walk(&s, seen, sizeof seen), EG_EOF);
    cr_assert_str_eq(seen, "lost5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 ");
    tear_down(&s);
}

Test(cmd, audit_walk_that_follows_never_ends)
{
    struct setup s;
    char seen[200] = "";
    set_up(&s);
    add(&s);
    ask(&s, true);
    cr_assert_eq(walk(&s, seen, sizeof seen), EG_AGAIN);
    add(&s);
    cr_assert_eq(walk(&s, seen, sizeof seen), EG_AGAIN);
    cr_assert_str_eq(seen, "1 2 ");
    tear_down(&s);
}
