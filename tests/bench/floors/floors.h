/*
 * floors - what a good C programmer writes without this library, for one purpose each, with nothing around it: no
 * outcome for a child that dies, no second caller, no cancel. All figures are of one run of `count` tasks.
 *
 * Each floor is opened (its children started) once, measured many times, and closed.
 */
#ifndef BENCH_FLOORS_H
#define BENCH_FLOORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The function of all that computes on longs, called through a pointer as in a pool. */
typedef long floor_function(long value);

/* ---- ping_pong.c: a child reads 8 bytes from a pipe and answers with 8; one task at a time, all blocking. */
struct ping_pong {
    pid_t child;
    int task, result;
    size_t count;
};
void ping_pong_open(struct ping_pong *floor, size_t count);
double ping_pong_us(void *floor);     /* microseconds a task */
double ping_pong_cpu_us(void *floor); /* processor time a task, of both processes */
void ping_pong_close(struct ping_pong *floor);

/* ---- epoll_loop.c: many such children, one at work, epoll over all result pipes. */
struct epoll_loop {
    size_t workers, count;
    pid_t *children;
    int *task, *result;
    int epoll;
};
void epoll_loop_open(struct epoll_loop *floor, size_t workers, size_t count);
double epoll_loop_us(void *floor); /* microseconds a task */
void epoll_loop_close(struct epoll_loop *floor);

/* ---- chunk_loop.c: an array's chunks through pipes to two children that compute, results read back to their place. */
struct chunk_loop {
    pid_t child[2];
    int task[2], result[2];
    floor_function *function;
    const long *in;
    long *out;
    size_t count;
    size_t chunk; /* items a message */
    unsigned depth; /* messages at a worker at once */
};
void chunk_loop_open(struct chunk_loop *floor, floor_function *function, const long *in, long *out, size_t count);
double chunk_loop_rate(void *floor); /* million items a second */
void chunk_loop_tune(struct chunk_loop *floor); /* sets chunk and depth to the best of some */
void chunk_loop_close(struct chunk_loop *floor);

/* ---- counter.c: fork two, which take the next row from a counter that they share, until there is none. */
struct counter {
    void (*row)(size_t index);
    size_t rows;
};
double counter_ms(void *floor); /* forks, work and wait, in milliseconds */

/* ---- echo.c: a child that reads `size` bytes and writes them back, by pipes as the system makes them. */
struct echo {
    pid_t child;
    int task, result;
    unsigned char *out, *in;
    size_t size;
};
void echo_open(struct echo *floor, size_t size);
double echo_ms(void *floor);
void echo_close(struct echo *floor);

/* ---- zygote_loop.c: a small process that forks workers on demand, with their pipes by SCM_RIGHTS: start it, `workers`
 * of them, one task on each, end all. */
struct zygote_loop {
    size_t workers;
    void (*task)(void); /* what each worker's first task does, before it answers */
    void (*rearm)(void); /* in the parent, before each run */
};
double zygote_loop_ms(void *floor);

/* ---- death.c: a child that is busy is killed; how long to its wait status, and to the first answer of another. */
double death_told_ms(void *unused);
double death_replaced_ms(void *unused);

/* ---- serial_loop.c: a plain loop that calls a task function through its pointer, as a worker does. */
struct pool_task;
struct serial_loop {
    int (*function)(struct pool_task *task);
    const long *in;
    long *out;
    size_t count;
};
double serial_loop_rate(void *floor); /* million items a second */

#endif
