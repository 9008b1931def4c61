/* SPDX-License-Identifier: Apache-2.0 */
/* The conversations of the load in tests/vm find what goes wrong: both ends by a pair of sockets, and somebody between them. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/vm/talk.c"

typedef struct Between Between;

/* What somebody does to the bytes from the asker to the answer, who sits between two pairs; NULL: nobody does. */
struct Between {
    const char *name;
    size_t (*change)(uint8_t *bytes, size_t size, size_t before); /* how many are passed on; there is room for one more */
    TalkEnd answer;
};

static size_t flip(uint8_t *bytes, size_t size, size_t before)
{
    if (before <= 1000 && before + size > 1000)
        bytes[1000 - before] ^= 1;
    return size;
}

static size_t drop(uint8_t *bytes, size_t size, size_t before)
{
    if (before > 1000 || before + size <= 1000)
        return size;
    memmove(bytes + 1000 - before, bytes + 1001 - before, before + size - 1001);
    return size - 1;
}

static size_t twice(uint8_t *bytes, size_t size, size_t before)
{
    if (before > 1000 || before + size <= 1000)
        return size;
    memmove(bytes + 1001 - before, bytes + 1000 - before, before + size - 1000);
    return size + 1;
}

/* Somebody else has read the beginning. */
static size_t behead(uint8_t *bytes, size_t size, size_t before)
{
    if (before > 0)
        return size;
    memmove(bytes, bytes + 7, size - 7);
    return size - 7;
}

static size_t end(uint8_t *bytes, size_t size, size_t before)
{
    return before > 1000 ? 0 : before + size > 1000 ? 1000 - before : size;
}

static void make_pair(int fds[static 2])
{
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), errno);
}

/* Both ends, in turn, until both have come to theirs. */
static void run(const TalkOpening *opening, const Between *between, TalkEnd *ret_asker, TalkEnd *ret_answer)
{
    static Talk asker, answer;
    uint8_t bytes[16385];
    size_t passed = 0;
    int near[2], far[2] = {-1, -1};
    TalkEnd ends[2] = {TALK_GOES_ON, TALK_GOES_ON};

    make_pair(near);
    if (between)
        make_pair(far);
    talk_begin(&asker, near[0], near[0], opening);
    talk_begin(&answer, between ? far[0] : near[1], between ? far[0] : near[1], NULL);
    for (int turns = 0; (ends[0] == TALK_GOES_ON || ends[1] == TALK_GOES_ON) && turns < 100000; turns++) {
        if (ends[0] == TALK_GOES_ON && (ends[0] = talk_step(&asker)) != TALK_GOES_ON)
            close(near[0]);
        ssize_t n;
        while (between && (n = read(near[1], bytes, sizeof(bytes) - 1)) >= 0) {
            size_t left = n > 0 ? between->change(bytes, (size_t)n, passed) : 0;
            passed += (size_t)n;
            if (left == 0) {
                shutdown(far[1], SHUT_WR);
                break;
            }
            if (write(far[1], bytes, left) < 0)
                break; /* it has seen enough */
        }
        if (ends[1] == TALK_GOES_ON && (ends[1] = talk_step(&answer)) != TALK_GOES_ON)
            close(answer.in_fd);
        if (between && ends[1] != TALK_GOES_ON)
            ends[0] = ends[0] == TALK_GOES_ON ? TALK_CUT : ends[0];
    }
    close(near[1]);
    close(far[1]);
    *ret_asker = ends[0];
    *ret_answer = ends[1];
}

static void test_good(void **state)
{
    static const uint32_t sizes[] = {0, 1, 2000, 65521, 300000};

    for (uint32_t manner = 0; manner < TALK_MANNER_MAX; manner++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
            for (size_t j = 0; j < sizeof(sizes) / sizeof(*sizes); j++) {
                TalkOpening opening = {.seed = 4294967295u - (uint32_t)i, .manner = manner, .ask_bytes = sizes[i], .answer_bytes = sizes[j]};
                TalkEnd asker, answer;

                run(&opening, NULL, &asker, &answer);
                assert_int_equal(asker, TALK_GOOD);
                if (manner != TALK_LEAVE)
                    assert_int_equal(answer, TALK_GOOD);
                else
                    assert_true(answer == TALK_CUT || answer == TALK_GOOD);
            }
}

static void test_bad(void **state)
{
    static const Between cases[] = {
        {"a bit is another", flip, TALK_WRONG},   {"a byte is missing", drop, TALK_WRONG},
        {"a byte comes twice", twice, TALK_WRONG}, {"it begins in the middle", behead, TALK_WRONG},
        {"it ends too soon", end, TALK_CUT},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const TalkOpening opening = {.seed = 5, .manner = TALK_ASKER_FIRST, .ask_bytes = 5000, .answer_bytes = 100};
        TalkEnd asker, answer;

        run(&opening, &cases[i], &asker, &answer);
        if (answer != cases[i].answer)
            fail_msg("%s: %d, not %d", cases[i].name, (int)answer, (int)cases[i].answer);
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
