/* The supervisor's side of one worker, without a supervisor around it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/state.h"

/* A worker that could not take its policy once (no memory) must get its next life all the same. */
Test(cmd_workers, one_that_failed_is_started_anew, .timeout = 60)
{
    struct eg_supervisor *s = calloc(1, sizeof *s);
    struct eg_sup_worker *w = &s->workers[0];
    struct eg_err err = { 0 };
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), status;
    struct eg_sup_policy policy = { .generation = 1, .block_fd = null, .facts_fd = null };
    cr_assert_eq(eg_loop_new(&s->loop, NULL), EG_OK);
    cr_assert_eq(egress_ring_create(16, &s->ring, &s->ring_fd), EG_OK);
    s->trail = (struct eg_trail){ .ring = s->ring, .file = -1 };
    s->policy = &policy;
    s->phase = EG_SUP_RUNNING;
    *w = (struct eg_sup_worker){ .supervisor = s, .number = 1, .failed = true };
    w->err.status = EG_NOMEM;
    cr_assert_eq(eg_sup_worker_start(w, &err), EG_OK, "%s", err.text);
    cr_expect(w->pid > 0 && w->state == EG_SUP_WORKER_STARTING && !w->failed);
    kill(w->pid, SIGKILL);
    cr_expect_eq(waitpid(w->pid, &status, 0), w->pid);
    eg_link_close(&w->link);
    eg_timer_clear(s->loop, &w->timer);
    egress_ring_free(s->ring);
    eg_loop_free(s->loop);
    close(null);
    free(s);
}
