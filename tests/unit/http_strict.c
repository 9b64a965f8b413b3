/* http_strict.c - the checks that llhttp makes too: they must hold by themselves, should another
 * llhttp let one through. */
#include <criterion/criterion.h>

#include "http/strict.h"

static enum eg_status judge(enum eg_msg_kind kind, const struct eg_field *fields, uint32_t count)
{
    struct eg_head head = { .method = EG_SLICE("POST"),
                            .status = 200,
                            .minor = 1,
                            .fields = fields,
                            .field_count = count };
    const char *why = NULL;
    enum eg_status status = eg_strict_head(kind, head.method, &head, &why);
    cr_expect_eq(status == EG_OK, why == NULL, "a refusal says why");
    return status;
}

#define F(name, value)                                                                             \
    {                                                                                              \
        { name, sizeof(name) - 1 },                                                                \
        {                                                                                          \
            value, sizeof(value) - 1                                                               \
        }                                                                                          \
    }

Test(http, strict_framing_without_llhttp)
{
    static const struct eg_field both[] = { F("Content-Length", "5"),
                                            F("Transfer-Encoding", "chunked"), F("Host", "a") };
    static const struct eg_field twice[] = { F("Content-Length", "5"), F("Content-Length", "5"),
                                             F("Host", "a") };
    static const struct eg_field list[] = { F("Content-Length", "5, 5"), F("Host", "a") };
    static const struct eg_field sign[] = { F("Content-Length", "+5"), F("Host", "a") };
    static const struct eg_field huge[] = { F("Content-Length", "9223372036854775808"),
                                            F("Host", "a") };
    static const struct eg_field empty[] = { F("Content-Length", ""), F("Host", "a") };
    static const struct eg_field codings[] = { F("Transfer-Encoding", "chunked"),
                                               F("Transfer-Encoding", "chunked"), F("Host", "a") };
    static const struct eg_field last[] = { F("Transfer-Encoding", "chunked, gzip"),
                                            F("Host", "a") };
    for (int kind = EG_MSG_REQUEST; kind <= EG_MSG_RESPONSE; kind++) {
        enum eg_msg_kind k = (enum eg_msg_kind)kind;
        cr_expect_eq(judge(k, both, 3), EG_AMBIGUOUS_FRAMING);
        cr_expect_eq(judge(k, twice, 3), EG_AMBIGUOUS_FRAMING);
        cr_expect_eq(judge(k, list, 2), EG_AMBIGUOUS_FRAMING);
        cr_expect_eq(judge(k, sign, 2), EG_AMBIGUOUS_FRAMING);
        cr_expect_eq(judge(k, huge, 2), EG_AMBIGUOUS_FRAMING);
        cr_expect_eq(judge(k, empty, 2), EG_AMBIGUOUS_FRAMING);
        cr_expect_eq(judge(k, codings, 3), EG_AMBIGUOUS_FRAMING);
        cr_expect_eq(judge(k, last, 2), EG_AMBIGUOUS_FRAMING);
        cr_expect_eq(judge(k, both + 1, 2), EG_OK);
    }
}

Test(http, strict_target_bytes_without_the_scanner)
{
    struct eg_head head = { 0 };
    const char *why = NULL;
    cr_expect_eq(eg_strict_request_line(EG_SLICE("GET /\x01 HTTP/1.1"), &head, &why),
                 EG_BAD_TARGET);
    cr_expect_eq(eg_strict_request_line(EG_SLICE("GET /\x80 HTTP/1.1"), &head, &why),
                 EG_BAD_TARGET);
    cr_expect_eq(eg_strict_request_line(EG_SLICE("GET /\x7f HTTP/1.1"), &head, &why),
                 EG_BAD_TARGET);
    cr_expect_eq(head.method.n, 0, "outputs are untouched");
    cr_expect_eq(eg_strict_request_line(EG_SLICE("GET /a HTTP/1.1"), &head, &why), EG_OK);
    cr_expect(eg_slice_eq(head.target, EG_SLICE("/a")) && head.minor == 1);
}
