/* Descriptors: where they lie, what reads and writes mean, what comes of calls that fail or are interrupted. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <sys/resource.h>

#include "base/descriptor.h"

/* Are descriptors that come made close-on-exec by calls of their own? */
#if defined(__linux__) && !defined(POOL__PORTABLE)
#define MARKED_ONE_BY_ONE 0
#else
#define MARKED_ONE_BY_ONE 1
#endif

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD, 0L) >= 0;
}

static void close_both(int ends[2])
{
    pool__close(&ends[0]);
    pool__close(&ends[1]);
}

/* The next number that an open would give. */
static int next_number(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    close(fd);
    return fd;
}

/* ---- made */

static void pairs_are_closed_on_exec(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pool__pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_GETFD, 0L), FD_CLOEXEC);
    assert_int_equal(fcntl(ends[1], F_GETFD, 0L), FD_CLOEXEC);
    close_both(ends);
    assert_int_equal(ends[0], -1);
    assert_int_equal(pool__socket_pair(ends), 0);
    assert_int_equal(fcntl(ends[0], F_GETFD, 0L), FD_CLOEXEC);
    assert_int_equal(fcntl(ends[1], F_GETFD, 0L), FD_CLOEXEC);
    assert_int_equal(pool__write_some(ends[0], &(struct iovec){"x", 1}, 1), 1); /* both ways */
    assert_int_equal(pool__write_some(ends[1], &(struct iovec){"x", 1}, 1), 1);
    close_both(ends);
}

#ifdef POOL__PIPE_SIZE
static void pipes_are_as_small_as_the_build_asked(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pool__pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_GETPIPE_SZ, 0L), POOL__PIPE_SIZE);
    close_both(ends);
}
#endif

static void none_takes_the_place_of_a_standard_stream(void **state)
{
    int kept = dup(0), ends[2], next, lone;

    (void)state;
    assert_true(kept > 2);
    close(0);
    assert_int_equal(pool__pipe(ends), 0);
    assert_false(is_open(0));
    assert_true(ends[0] > 2 && ends[1] > 2);
    close_both(ends);
    lone = 1234;
    assert_int_equal(pool__above_standard(&lone), 0);
    assert_int_equal(lone, 1234); /* one above is left alone */

    next = kept + 1;
    fail_next(CALL_FCNTL, 1, EMFILE); /* no number above 2 is to be had for it */
    assert_int_equal(pool__socket_pair(ends), -1);
    assert_int_equal(errno, EMFILE);
    assert_int_equal(fail_no_more(CALL_FCNTL), 1);
    assert_false(is_open(0));
    assert_int_equal(dup2(kept, 0), 0);
    assert_int_equal(next_number(), next);
    close(kept);
}

static void failing_makers_leave_nothing(void **state)
{
    int ends[2], next = next_number();

    (void)state;
    fail_next(CALL_PIPE, 1, EMFILE);
    assert_int_equal(pool__pipe(ends), -1);
    assert_int_equal(errno, EMFILE);
    assert_int_equal(fail_no_more(CALL_PIPE), 1);
    fail_next(CALL_SOCKETPAIR, 1, ENFILE);
    assert_int_equal(pool__socket_pair(ends), -1);
    assert_int_equal(errno, ENFILE);
    assert_int_equal(fail_no_more(CALL_SOCKETPAIR), 1);
    assert_int_equal(next_number(), next);
}

static void closing_keeps_errno_and_takes_nothing(void **state)
{
    int fd = -1, gone = dup(0);

    (void)state;
    errno = ERANGE;
    pool__close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(errno, ERANGE);
    fd = gone;
    close(gone);
    pool__close(&fd); /* not open any more: EBADF, and that is told nobody */
    assert_int_equal(errno, ERANGE);
}

static void nonblocking_keeps_other_flags(void **state)
{
    int fd = open("/dev/null", O_WRONLY | O_APPEND | O_CLOEXEC), flags;

    (void)state;
    assert_int_equal(pool__set_nonblocking(fd), 0);
    flags = fcntl(fd, F_GETFL, 0L);
    assert_true((flags & O_NONBLOCK) != 0 && (flags & O_APPEND) != 0);
    close(fd);
    assert_int_equal(pool__set_nonblocking(fd), -1);
    assert_int_equal(errno, EBADF);
}

/* ---- reads and writes */

static void reads_have_one_meaning(void **state)
{
    static char bytes[8]; /* not on the stack: so many bytes from there on would lie beyond all memory */
    int ends[2], wrong = next_number();

    (void)state;
    assert_int_equal(pool__pipe(ends), 0);
    assert_int_equal(pool__set_nonblocking(ends[0]), 0);
    assert_int_equal(pool__read_some(ends[0], bytes, sizeof bytes), POOL__NOT_NOW);
    assert_true(pool__write_all(ends[1], "abc", 3));
    fail_next(CALL_READ, 3, EINTR);
    assert_int_equal(pool__read_some(ends[0], bytes, SIZE_MAX), 3); /* no system takes so many at once */
    assert_int_equal(fail_no_more(CALL_READ), 3);
    assert_memory_equal(bytes, "abc", 3);
    fail_next(CALL_READ, 1, EIO);
    assert_int_equal(pool__read_some(ends[0], bytes, sizeof bytes), POOL__GONE);
    assert_int_equal(errno, EIO);
    pool__close(&ends[1]);
    assert_int_equal(pool__read_some(ends[0], bytes, sizeof bytes), POOL__GONE); /* end of file */
    pool__close(&ends[0]);
    wrong = next_number();
    assert_int_equal(pool__read_some(wrong, bytes, sizeof bytes), POOL__GONE);
}

static void writes_have_one_meaning(void **state)
{
    static char many[1 << 17];
    const struct iovec parts[2] = {{"ab", 2}, {"cde", 3}}, all = {many, sizeof many}, none = {many, 0};
    char bytes[8];
    int ends[2];

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pool__pipe(ends), 0);
    fail_next(CALL_WRITEV, 2, EINTR);
    assert_int_equal(pool__write_some(ends[1], parts, 2), 5);
    assert_int_equal(fail_no_more(CALL_WRITEV), 2);
    assert_int_equal(pool__read_some(ends[0], bytes, sizeof bytes), 5);
    assert_memory_equal(bytes, "abcde", 5);
    assert_int_equal(pool__write_some(ends[1], &none, 1), POOL__NOT_NOW);
    assert_int_equal(pool__set_nonblocking(ends[1]), 0);
    while (pool__write_some(ends[1], &all, 1) > 0)
        continue;
    assert_int_equal(pool__write_some(ends[1], &all, 1), POOL__NOT_NOW);
    fail_next(CALL_WRITEV, 1, EBADF);
    assert_int_equal(pool__write_some(ends[1], &all, 1), POOL__GONE);
    assert_int_equal(errno, EBADF);
    pool__close(&ends[0]);
    assert_int_equal(pool__write_some(ends[1], &all, 1), POOL__GONE);
    assert_int_equal(errno, EPIPE);
    pool__close(&ends[1]);
    signal(SIGPIPE, SIG_DFL);
}

static void writing_all_goes_on_until_it_is_done(void **state)
{
    char bytes[8];
    int ends[2];

    (void)state;
    assert_int_equal(pool__pipe(ends), 0);
    fail_next(CALL_WRITE, 2, EINTR);
    assert_true(pool__write_all(ends[1], "abc", 3));
    assert_int_equal(fail_no_more(CALL_WRITE), 2);
    assert_int_equal(pool__read_some(ends[0], bytes, sizeof bytes), 3);
    assert_true(pool__write_all(ends[1], "abc", 0));
    assert_int_equal(pool__readable_bytes(ends[0]), 0);
    fail_next(CALL_WRITE, 1, EPIPE);
    assert_false(pool__write_all(ends[1], "abc", 3));
    close_both(ends);
}

static void readable_bytes_are_counted_where_they_can_be(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pool__pipe(ends), 0);
    assert_int_equal(pool__readable_bytes(ends[0]), 0);
    assert_true(pool__write_all(ends[1], "abc", 3));
    assert_int_equal(pool__readable_bytes(ends[0]), 3);
    fail_next(CALL_IOCTL, 1, ENOTTY);
    assert_true(pool__readable_bytes(ends[0]) >= 1 << 20); /* as many as there can be */
    assert_int_equal(fail_no_more(CALL_IOCTL), 1);
    close_both(ends);
}

static void an_identity_is_of_one_file(void **state)
{
    struct pool__identity first, second;
    int one[2], two[2];

    (void)state;
    assert_int_equal(pool__pipe(one), 0);
    assert_int_equal(pool__pipe(two), 0);
    assert_true(pool__identity_of(one[1], &first));
    assert_true(pool__identity_of(two[1], &second));
    assert_true(pool__identity_is(one[1], &first));
    assert_false(pool__identity_is(two[1], &first)); /* another inode of one device */
    first.device++;
    assert_false(pool__identity_is(one[1], &first));
    close_both(two);
    assert_false(pool__identity_is(next_number(), &second));
    assert_false(pool__identity_of(next_number(), &second));
    close_both(one);
}

static void a_pipe_has_hung_up_when_all_writers_have(void **state)
{
    int ends[2], other;

    (void)state;
    assert_int_equal(pool__pipe(ends), 0);
    other = dup(ends[1]);
    assert_false(pool__has_hung_up(ends[0]));
    assert_true(pool__write_all(other, "x", 1));
    assert_false(pool__has_hung_up(ends[0])); /* readable, that is all */
    pool__close(&ends[1]);
    assert_false(pool__has_hung_up(ends[0]));
    pool__close(&other);
    assert_true(pool__has_hung_up(ends[0]));
    pool__close(&ends[0]);
}

static void ringing_never_blocks_or_fails(void **state)
{
    int ends[2];

    (void)state;
    pool__ring(-1);
    assert_int_equal(pool__pipe(ends), 0);
    pool__ring(ends[1]);
    assert_int_equal(pool__readable_bytes(ends[0]), 1);
    errno = ERANGE;
    fail_next(CALL_WRITE, 1, EAGAIN);
    pool__ring(ends[1]);
    assert_int_equal(errno, ERANGE);
    assert_int_equal(pool__readable_bytes(ends[0]), 1);
    close_both(ends);
}

/* ---- records */

static void records_carry_descriptors(void **state)
{
    struct pool__identity identity[2];
    char record[8] = {0};
    int ends[2], sent[2], got[POOL__FDS_MAX];
    size_t count;
    bool cut;

    (void)state;
    assert_int_equal(pool__socket_pair(ends), 0);
    assert_int_equal(pool__pipe(sent), 0);
    assert_true(pool__identity_of(sent[0], &identity[0]) && pool__identity_of(sent[1], &identity[1]));
    fail_next(CALL_SENDMSG, 2, EINTR);
    fail_next(CALL_RECVMSG, 2, EINTR);
    assert_int_equal(pool__send_record(ends[0], "record", 6, sent, 2), 6);
    assert_int_equal(pool__receive_record(ends[1], record, sizeof record, got, &count, &cut), 6);
    assert_int_equal(fail_no_more(CALL_SENDMSG), 2);
    assert_int_equal(fail_no_more(CALL_RECVMSG), 2);
    assert_int_equal(count, 2);
    assert_false(cut);
    assert_string_equal(record, "record");
    assert_int_equal(fcntl(got[0], F_GETFD, 0L), FD_CLOEXEC);
    assert_int_equal(fcntl(got[1], F_GETFD, 0L), FD_CLOEXEC);
    assert_true(pool__identity_is(got[0], &identity[0]) && pool__identity_is(got[1], &identity[1]));
    close_both(got);
    close_both(sent);

    assert_int_equal(pool__send_record(ends[0], "plain", 5, NULL, 0), 5);
    assert_int_equal(pool__receive_record(ends[1], record, sizeof record, got, &count, &cut), 5);
    assert_int_equal(count, 0);
    close_both(ends);
}

static void records_have_one_meaning_too(void **state)
{
    char record[8];
    int ends[2], got[POOL__FDS_MAX];
    size_t count = 7;
    bool cut = true;

    (void)state;
    assert_int_equal(pool__socket_pair(ends), 0);
    assert_int_equal(pool__set_nonblocking(ends[1]), 0);
    assert_int_equal(pool__receive_record(ends[1], record, sizeof record, got, &count, &cut), POOL__NOT_NOW);
    assert_int_equal(count, 0);
    assert_false(cut);
    fail_next(CALL_RECVMSG, 1, ECONNRESET);
    assert_int_equal(pool__receive_record(ends[1], record, sizeof record, got, &count, &cut), POOL__GONE);
    fail_next(CALL_SENDMSG, 1, EAGAIN);
    assert_int_equal(pool__send_record(ends[0], "x", 1, NULL, 0), POOL__NOT_NOW);
    pool__close(&ends[0]);
    assert_int_equal(pool__receive_record(ends[1], record, sizeof record, got, &count, &cut), POOL__GONE);
    assert_int_equal(pool__send_record(ends[1], "x", 1, NULL, 0), POOL__GONE); /* and no SIGPIPE */
    assert_int_equal(errno, EPIPE);
    pool__close(&ends[1]);
}

/* Where there is room for one of two descriptors, neither is kept. */
static void cut_off_descriptors_are_closed(void **state)
{
    struct rlimit before, low;
    char record[8];
    int ends[2], sent[2], got[POOL__FDS_MAX], next;
    size_t count;
    bool cut;
    ssize_t size;

    (void)state;
    assert_int_equal(pool__socket_pair(ends), 0);
    assert_int_equal(pool__pipe(sent), 0);
    assert_int_equal(pool__send_record(ends[0], "record", 6, sent, 2), 6);
    next = next_number();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = (rlim_t)next + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    size = pool__receive_record(ends[1], record, sizeof record, got, &count, &cut);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(size, 6);
    assert_true(cut);
    assert_int_equal(count, 0);
    assert_int_equal(next_number(), next);
    close_both(sent);
    close_both(ends);
}

/* Only as many are kept as were meant to come, and none in the place of a standard stream. */
static void more_descriptors_than_meant_are_closed(void **state)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } room;
    struct iovec part = {"record", 6};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    int ends[2], got[POOL__FDS_MAX], kept = dup(0), fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char record[8];
    size_t count;
    bool cut;

    (void)state;
    assert_int_equal(pool__socket_pair(ends), 0);
    memset(&room, 0, sizeof room);
    room.header.cmsg_level = SOL_SOCKET;
    room.header.cmsg_type = SCM_RIGHTS;
    room.header.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&room.header), &fd, sizeof fd);
    close(0);
    assert_int_equal(sendmsg(ends[0], &message, 0), 6);
    assert_int_equal(pool__receive_record(ends[1], record, sizeof record, got, &count, &cut), 6);
    assert_int_equal(count, 1);
    assert_true(got[0] > 2);
    assert_false(is_open(0));
    close(got[0]);
    assert_int_equal(sendmsg(ends[0], &message, 0), 6);
    fail_after(CALL_FCNTL, MARKED_ONE_BY_ONE ? 2 : 0, 1, EMFILE); /* and where it cannot be moved it is closed */
    assert_int_equal(pool__receive_record(ends[1], record, sizeof record, got, &count, &cut), 6);
    assert_int_equal(count, 0);
    assert_false(is_open(0));
    assert_int_equal(dup2(kept, 0), 0);
    close(kept);
    close(fd);
    close_both(ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_closed_on_exec),
#ifdef POOL__PIPE_SIZE
        cmocka_unit_test(pipes_are_as_small_as_the_build_asked),
#endif
        cmocka_unit_test(none_takes_the_place_of_a_standard_stream),
        cmocka_unit_test(failing_makers_leave_nothing),
        cmocka_unit_test(closing_keeps_errno_and_takes_nothing),
        cmocka_unit_test(nonblocking_keeps_other_flags),
        cmocka_unit_test(reads_have_one_meaning),
        cmocka_unit_test(writes_have_one_meaning),
        cmocka_unit_test(writing_all_goes_on_until_it_is_done),
        cmocka_unit_test(readable_bytes_are_counted_where_they_can_be),
        cmocka_unit_test(an_identity_is_of_one_file),
        cmocka_unit_test(a_pipe_has_hung_up_when_all_writers_have),
        cmocka_unit_test(ringing_never_blocks_or_fails),
        cmocka_unit_test(records_carry_descriptors),
        cmocka_unit_test(records_have_one_meaning_too),
        cmocka_unit_test(cut_off_descriptors_are_closed),
        cmocka_unit_test(more_descriptors_than_meant_are_closed),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
