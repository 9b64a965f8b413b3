/* ctl_wire.c - framing of control messages: ceilings, splits, and what is no message. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/wire.h"

static void put_raw(struct eg_buf *b, uint32_t announced, const char *text, size_t n)
{
    uint32_t prefix = htonl(announced);
    cr_assert_eq(eg_buf_append(b, &prefix, sizeof prefix), EG_OK);
    cr_assert_eq(eg_buf_append(b, text, n), EG_OK);
}

static enum eg_status take_text(const char *text)
{
    struct eg_buf b;
    json_t *m = NULL;
    eg_buf_init(&b, EG_CTL_IN_MAX);
    put_raw(&b, (uint32_t)strlen(text), text, strlen(text));
    enum eg_status status = eg_ctl_wire_take(&b, &m, NULL);
    cr_assert_eq(m != NULL, status == EG_OK);
    json_decref(m);
    eg_buf_done(&b);
    return status;
}

Test(ctl, wire_gives_back_what_was_put)
{
    struct eg_buf b;
    eg_buf_init(&b, EG_CTL_IN_MAX);
    json_t *out = json_pack("{s:s,s:i}", "op", "status", "v", 1), *in = NULL;
    cr_assert_eq(eg_ctl_wire_put(&b, out), EG_OK);
    cr_assert_eq(eg_ctl_wire_put(&b, out), EG_OK);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(eg_ctl_wire_take(&b, &in, NULL), EG_OK);
        cr_assert(json_equal(in, out));
        json_decref(in);
    }
    cr_assert_eq(eg_ctl_wire_take(&b, &in, NULL), EG_AGAIN);
    json_decref(out);
    eg_buf_done(&b);
}

Test(ctl, wire_waits_for_the_last_byte_at_every_split)
{
    struct eg_buf whole, b;
    eg_buf_init(&whole, EG_CTL_IN_MAX);
    json_t *out = json_pack("{s:s}", "op", "status"), *in = NULL;
    cr_assert_eq(eg_ctl_wire_put(&whole, out), EG_OK);
    for (size_t cut = 0; cut < whole.len; cut++) {
        eg_buf_init(&b, EG_CTL_IN_MAX);
        cr_assert_eq(eg_buf_append(&b, whole.data, cut), EG_OK);
        cr_assert_eq(eg_ctl_wire_take(&b, &in, NULL), EG_AGAIN);
        size_t missing = eg_ctl_wire_missing(&b);
        cr_assert(missing > 0 && missing <= whole.len - cut);
        cr_assert_eq(eg_buf_append(&b, whole.data + cut, whole.len - cut), EG_OK);
        cr_assert_eq(eg_ctl_wire_missing(&b), 0);
        cr_assert_eq(eg_ctl_wire_take(&b, &in, NULL), EG_OK);
        json_decref(in);
        eg_buf_done(&b);
    }
    json_decref(out);
    eg_buf_done(&whole);
}

Test(ctl, wire_refuses_lengths_outside_1_to_64_KiB)
{
    static const uint32_t bad[] = { 0, EG_CTL_MESSAGE_MAX + 1, 0x7fffffff, 0xffffffff };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct eg_buf b;
        json_t *m = NULL;
        struct eg_err err = { 0 };
        eg_buf_init(&b, EG_CTL_IN_MAX);
        put_raw(&b, bad[i], "{}", 2);
        cr_assert_eq(eg_ctl_wire_take(&b, &m, &err), EG_TOO_BIG);
        cr_assert_eq(err.status, EG_TOO_BIG);
        eg_buf_done(&b);
    }
}

Test(ctl, wire_takes_64_KiB_and_no_byte_more)
{
    for (int extra = 0; extra < 2; extra++) {
        size_t n = EG_CTL_MESSAGE_MAX - strlen("{\"a\":\"\"}") + (size_t)extra;
        char *text = malloc(n + 1);
        memset(text, 'x', n);
        text[n] = 0;
        json_t *out = json_pack("{s:s}", "a", text), *in = NULL;
        struct eg_buf b;
        eg_buf_init(&b, 2 * EG_CTL_IN_MAX);
        cr_assert_eq(eg_ctl_wire_put(&b, out), extra ? EG_TOO_BIG : EG_OK);
        cr_assert_eq(b.len, extra ? 0 : EG_CTL_IN_MAX);
        if (!extra) {
            cr_assert_eq(eg_ctl_wire_take(&b, &in, NULL), EG_OK);
            cr_assert(json_equal(in, out));
        }
        json_decref(in);
        json_decref(out);
        eg_buf_done(&b);
        free(text);
    }
}

Test(ctl, wire_refuses_what_is_not_one_object)
{
    cr_assert_eq(take_text("{}"), EG_OK);
    cr_assert_eq(take_text("[]"), EG_INVALID);
    cr_assert_eq(take_text("1"), EG_INVALID);
    cr_assert_eq(take_text("{"), EG_INVALID);
    cr_assert_eq(take_text("{}{}"), EG_INVALID);
    cr_assert_eq(take_text("{\"a\":1,\"a\":2}"), EG_INVALID);
    cr_assert_eq(take_text("{\"a\":\"\xff\"}"), EG_INVALID);
    cr_assert_eq(take_text("{\"a\":\"\n\"}"), EG_INVALID);
    cr_assert_eq(take_text("null"), EG_INVALID);
}

Test(ctl, wire_survives_deep_nesting)
{
    enum { DEEP = 60000 };
    char *text = malloc(DEEP + 1);
    memset(text, '[', DEEP);
    text[DEEP] = 0;
    cr_assert_eq(take_text(text), EG_INVALID);
    free(text);
}

Test(ctl, text_members_hold_no_nul)
{
    json_t *o =
        json_loads("{\"a\":\"x\\u0000y\",\"b\":\"x\",\"c\":3,\"d\":-1}", JSON_ALLOW_NUL, NULL);
    uint64_t n = 0;
    cr_assert_null(eg_ctl_text(o, "a"));
    cr_assert_str_eq(eg_ctl_text(o, "b"), "x");
    cr_assert_null(eg_ctl_text(o, "c"));
    cr_assert_null(eg_ctl_text(o, "z"));
    cr_assert(eg_ctl_number(o, "c", 0, &n) && n == 3);
    cr_assert(eg_ctl_number(o, "z", 7, &n) && n == 7);
    cr_assert(!eg_ctl_number(o, "d", 0, &n));
    cr_assert(!eg_ctl_number(o, "b", 0, &n));
    json_decref(o);
}

Test(ctl, error_answers_carry_code_and_sentence)
{
    struct eg_err err = { 0 };
    (void)!eg_err_set(&err, EG_NOT_FOUND, "session", 0, "there is no such session");
    json_t *o = eg_ctl_error(EG_NOT_FOUND, &err);
    const json_t *e = json_object_get(o, "error");
    cr_assert_str_eq(eg_ctl_text(e, "code"), "not_found");
    cr_assert(strstr(eg_ctl_text(e, "message"), "there is no such session"));
    json_decref(o);
    o = eg_ctl_error(EG_NOMEM, NULL);
    cr_assert_str_eq(eg_ctl_text(json_object_get(o, "error"), "code"), "no_memory");
    json_decref(o);
}
