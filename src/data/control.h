/*
 * control - the messages between the host and its zygote, on a stream socket. Pure codec. Requests are even, notices
 * odd.
 *
 * Every message has 32 bytes:   0: kind (4)   4: seat (4)   8: life (4)   12: board (4)   16: value (8)   24: zero (8)
 *
 *   kind           from    carries                                                 the other side then
 *   HELLO      0   host    -                                                       answers ALIVE (by now the process between the two is gone)
 *   ALIVE      1   zygote  value: pid << 32 | parent's pid                         the pool can begin
 *   SPAWN      2   host    seat, life, board; with its first byte two              forks a worker that has both, says SPAWNED or SPAWN_FAILED
 *                          descriptors: task pipe to read, result pipe to write
 *   SPAWNED    3   zygote  seat, life; value: pid                                  closes its copy of the result pipe's end
 *   KILL       4   host    seat, life                                              SIGKILL to the group; drops a SPAWN not yet carried out; an unknown life is ignored
 *   EXITED     5   zygote  seat, life; value: wait status                          drains, salvages, judges
 *   QUIT       6   host    -                                                       kills what is left and exits
 *   SPAWN_FAILED 7 zygote  seat, life; value: errno                                tries again later
 */
#ifndef POOL__CONTROL_H
#define POOL__CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL__MESSAGE_SIZE 32u
/* The most SPAWNs that the host sends before it has heard of them: a KILL behind them waits for no more forks. */
#define POOL__SPAWNS_AHEAD 16u

enum pool__message_kind {
    POOL__HELLO = 0,
    POOL__ALIVE = 1,
    POOL__SPAWN = 2,
    POOL__SPAWNED = 3,
    POOL__KILL = 4,
    POOL__EXITED = 5,
    POOL__QUIT = 6,
    POOL__SPAWN_FAILED = 7
};

struct pool__message {
    enum pool__message_kind kind;
    uint32_t seat, life, board;
    uint64_t value;
};

void pool__message_encode(unsigned char bytes[POOL__MESSAGE_SIZE], const struct pool__message *message);
/* false: nonsense */
bool pool__message_decode(const unsigned char bytes[POOL__MESSAGE_SIZE], struct pool__message *message);

#endif
