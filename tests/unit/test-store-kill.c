/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 at any moment of a row of commits: what was answered as done is there afterwards, whole transactions alone,
 * and the file is sound. */

#include <poll.h>
#include <signal.h>

#include "tests/unit/test-store.h"

#define KILLS 200
#define BATCH 3 /* services in a transaction */
#define KEPT 60 /* transactions whose services are kept: older ones are deleted */
#define DELAY_MAX_US 4000

/* Commits one transaction after the other and reports each that was answered as done, until it is killed. */
static void commit_for_ever(Fixture *fixture, unsigned next, int report_fd)
{
    char *trouble;
    Store *store;

    if (store_open(fixture->state, fixture->runtime, &store, &trouble) != 0)
        _exit(2);
    for (unsigned transaction = next;; transaction++) {
        for (unsigned i = 0; i < BATCH; i++)
            if (put_numbered(store, transaction * BATCH + i) != 0)
                _exit(3);
        for (unsigned i = 0; transaction >= KEPT && i < BATCH; i++) {
            char name[32];
            snprintf(name, sizeof(name), "service-%06u", (transaction - KEPT) * BATCH + i);
            if (store_delete(store, STORED_SERVICE, STORED_USER, name, false) != 0)
                _exit(4);
        }
        char mayfly[32];
        snprintf(mayfly, sizeof(mayfly), "%u", transaction);
        const StoredRecord record = {
            .kind = STORED_SERVICE, .origin = STORED_USER, .name = "mayfly", .context = mayfly, .ephemeral_pid = 1};
        if (store_put(store, &record) != 0 || store_commit(store) != 0 ||
            write(report_fd, &transaction, sizeof(transaction)) != sizeof(transaction))
            _exit(5);
    }
}

typedef struct Seen {
    unsigned first, last, count;
    unsigned mayfly;
} Seen;

static int see(const StoredRecord *record, void *userdata)
{
    Seen *seen = userdata;

    if (record->ephemeral_pid) {
        seen->mayfly = (unsigned)strtoul(record->context, NULL, 10);
        return 0;
    }
    unsigned number = (unsigned)strtoul(record->name + strlen("service-"), NULL, 10);
    if (seen->count++ == 0)
        seen->first = number;
    else if (number != seen->last + 1)
        return -EINVAL;
    seen->last = number;
    return 0;
}

static void test_kill(void **state)
{
    Fixture *fixture = *state;
    const StoreVisitor visitor = {.on_record = see};
    unsigned next = 0, seed = 7, answered = 0, answered_last = 0, unanswered = 0;

    store_free(fixture_open(fixture, 0));
    for (int i = 0; i < KILLS; i++) {
        int reports[2];
        unsigned report, last = UINT32_MAX, count = 0;
        assert_int_equal(pipe(reports), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            commit_for_ever(fixture, next, reports[1]);
        close(reports[1]);
        seed = seed * 1103515245u + 12345u;
        /* Every other one in the middle of its work, however long it takes to begin. */
        struct pollfd begun = {.fd = reports[0], .events = POLLIN};
        if (i % 2)
            assert_int_equal(poll(&begun, 1, 60000), 1);
        usleep((seed >> 8) % DELAY_MAX_US);
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (read(reports[0], &report, sizeof(report)) == sizeof(report)) {
            assert_int_equal(report, next + count);
            answered_last = last = report;
            count++;
        }
        close(reports[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        Store *store = fixture_open(fixture, 0);
        Seen seen = {.mayfly = UINT32_MAX};
        if (store_load(store, &visitor, &seen) != 0)
            fail_msg("after kill %d: a hole after service %u", i, seen.last);
        store_free(store);
        assert_int_equal(seen.count % BATCH, 0);
        unsigned found = seen.count ? seen.last / BATCH + 1 : 0; /* transactions that are there */
        if (count > 0 && found <= last)
            fail_msg("after kill %d: transaction %u was answered, the last one is %u", i, last, found - 1);
        /* Beyond those at most the one that was not answered yet. */
        assert_in_range(found, next + count, next + count + 1);
        assert_int_equal(seen.count / BATCH, found < KEPT ? found : KEPT);
        if (answered + count > 0) /* the two files are one transaction's as soon as it is answered */
            assert_in_range(seen.mayfly, answered_last, found - 1);
        unanswered += found > next + count;
        answered += count;
        next = found;
    }
    print_message("%u commits were answered; %u were there without an answer\n", answered, unanswered);
    assert_true(answered > KILLS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_kill),
    };
    return cmocka_run_group_tests_name("store-kill", tests, NULL, NULL);
}
