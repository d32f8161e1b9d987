/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cuda/emulator.h"
#include "ethash/ethash_gpu_host.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif
#if !defined(__x86_64__) || defined(__SANITIZE_THREAD__)
#define BY_UCONTEXT 1
#include <ucontext.h>
#else
#define BY_UCONTEXT 0
#endif

#define STACK_BYTES (64u << 10)
#define WARP        32u
#define SPINS_MAX   1000000u

enum state { RUNNABLE, AT_SHUFFLE, AT_WARP, AT_BLOCK, GONE };

struct context {
#if BY_UCONTEXT
    ucontext_t of;
#else
    void *stack_top;
#endif
#ifdef __SANITIZE_THREAD__
    void *tsan;
#endif
};
struct fibre {
    struct context context;
    enum state state;
    uint32_t value, from, result;
    int width;
};
struct copy {
    void *to;
    const void *from;
    uint32_t bytes;
    uint64_t *barrier;
};
/* The block that this OS thread runs. */
struct machine {
    struct fibre fibres[EMULATOR_THREADS_MAX];
    struct copy copies[EMULATOR_THREADS_MAX];
    uint32_t copies_count;
    struct context scheduler;
    uint8_t *stacks;
    uint32_t threads, block, running;
    const struct emulated_kernel *kernel;
    const void *arguments;
};
static _Thread_local struct machine *machine;

static _Noreturn void wrong(const char *what)
{
    (void)fprintf(stderr, "emulator: %s, block %u, thread %u: %s\n", machine->kernel->name,
                  machine->block, machine->running, what);
    abort();
}

/* ---- fibres -------------------------------------------------------------------------------------
 */
static void enter(void)
{
    machine->kernel->run(machine->arguments);
    machine->fibres[machine->running].state = GONE;
}

#if BY_UCONTEXT
static void switch_to(struct context *from, struct context *to)
{
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    (void)swapcontext(&from->of, &to->of);
}
static void start(void)
{
    enter();
    switch_to(&machine->fibres[machine->running].context, &machine->scheduler);
}
static void prepare(struct context *context, uint8_t *stack)
{
    (void)getcontext(&context->of);
    context->of.uc_stack.ss_sp = stack;
    context->of.uc_stack.ss_size = STACK_BYTES;
    makecontext(&context->of, start, 0);
#ifdef __SANITIZE_THREAD__
    if (context->tsan == NULL) {
        context->tsan = __tsan_create_fiber(0);
    }
#endif
}
#else
/* swapcontext asks the kernel for the signal mask each time, which is 20 times slower. */
void emulator_switch(void **save, void *load);
__asm__(".text\n"
        ".type emulator_switch,@function\n"
        "emulator_switch:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size emulator_switch,.-emulator_switch\n");
static void switch_to(struct context *from, struct context *to)
{
    emulator_switch(&from->stack_top, to->stack_top);
}
static void start(void)
{
    enter();
    switch_to(&machine->fibres[machine->running].context, &machine->scheduler);
    wrong("a thread that had left goes on");
}
static void prepare(struct context *context, uint8_t *stack)
{
    /* As if `start` had been called: six registers, the address to go to, an address to return to.
     */
    void *frame[8] = {NULL};
    void (*entry)(void) = start;
    memcpy(&frame[6], &entry, sizeof(entry));
    uint8_t *top = stack + STACK_BYTES - 16 - sizeof(frame);
    memcpy(top, frame, sizeof(frame));
    context->stack_top = top;
}
#endif

/* Lets the others run until this thread may go on. */
static void wait_as(enum state state)
{
    struct fibre *fibre = &machine->fibres[machine->running];
    fibre->state = state;
    switch_to(&fibre->context, &machine->scheduler);
}

/* ---- meetings -----------------------------------------------------------------------------------
 */
/* Lets a warp go on whose lanes are all at the same meeting. */
static bool meet_warp(struct fibre *lanes)
{
    enum state state = lanes[0].state;
    if (state != AT_SHUFFLE && state != AT_WARP) {
        return false;
    }
    for (uint32_t i = 1; i < WARP; i++) {
        if (lanes[i].state == RUNNABLE) {
            return false;
        }
        if (lanes[i].state != state) {
            wrong("lanes of a warp are at different meetings");
        }
    }
    for (uint32_t i = 0; i < WARP; i++) {
        if (state == AT_SHUFFLE) {
            uint32_t width = (uint32_t)lanes[i].width;
            lanes[i].result = lanes[(i & ~(width - 1)) | (lanes[i].from & (width - 1))].value;
        }
    }
    for (uint32_t i = 0; i < WARP; i++) {
        lanes[i].state = RUNNABLE;
    }
    return true;
}

static bool meet_block(void)
{
    for (uint32_t i = 0; i < machine->threads; i++) {
        if (machine->fibres[i].state != AT_BLOCK) {
            return false;
        }
    }
    for (uint32_t i = 0; i < machine->threads; i++) {
        machine->fibres[i].state = RUNNABLE;
    }
    return true;
}

static bool run_warp(uint32_t first, bool backwards)
{
    bool any = false;
    for (uint32_t i = 0; i < WARP; i++) {
        uint32_t thread = first + (backwards ? WARP - 1 - i : i);
        if (machine->fibres[thread].state == RUNNABLE) {
            machine->running = thread;
            switch_to(&machine->scheduler, &machine->fibres[thread].context);
            any = true;
        }
    }
    return meet_warp(&machine->fibres[first]) || any;
}

static void run_block(uint32_t block)
{
    machine->block = block;
    machine->copies_count = 0;
    for (uint32_t i = 0; i < machine->threads; i++) {
        machine->fibres[i].state = RUNNABLE;
        prepare(&machine->fibres[i].context, machine->stacks + (size_t)i * STACK_BYTES);
    }
    bool backwards = block % 2 == 1;
    for (;;) {
        bool any = false;
        for (uint32_t i = 0; i < machine->threads; i += WARP) {
            uint32_t first = backwards ? machine->threads - WARP - i : i;
            while (run_warp(first, backwards)) {
                any = true;
            }
        }
        if (!any && !meet_block()) {
            break;
        }
    }
    for (uint32_t i = 0; i < machine->threads; i++) {
        if (machine->fibres[i].state != GONE) {
            machine->running = i;
            wrong("waits for threads that have left");
        }
    }
    if (machine->copies_count != 0) {
        wrong("copies that nobody waited for");
    }
}

void emulator_launch(const struct emulated_kernel *kernel, uint32_t blocks, uint32_t threads,
                     const void *arguments)
{
    static _Thread_local struct machine here;
    if (threads == 0 || threads % WARP != 0 || threads > EMULATOR_THREADS_MAX) {
        abort();
    }
    here.stacks = mmap(NULL, (size_t)EMULATOR_THREADS_MAX * STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (here.stacks == MAP_FAILED) {
        abort();
    }
    here.threads = threads;
    here.kernel = kernel;
    here.arguments = arguments;
    machine = &here;
#ifdef __SANITIZE_THREAD__
    here.scheduler.tsan = __tsan_get_current_fiber();
#endif
    for (uint32_t block = 0; block < blocks; block++) {
        run_block(block);
    }
#ifdef __SANITIZE_THREAD__
    for (uint32_t i = 0; i < EMULATOR_THREADS_MAX; i++) {
        if (here.fibres[i].context.tsan != NULL) {
            __tsan_destroy_fiber(here.fibres[i].context.tsan);
            here.fibres[i].context.tsan = NULL;
        }
    }
#endif
    machine = NULL;
    (void)munmap(here.stacks, (size_t)EMULATOR_THREADS_MAX * STACK_BYTES);
}

const struct emulated_kernel *emulated_find(const struct emulated_kernel *kernels, const char *name)
{
    for (size_t i = 0; kernels[i].name != NULL; i++) {
        if (strcmp(kernels[i].name, name) == 0) {
            return &kernels[i];
        }
    }
    return NULL;
}

/* ---- what the bodies ask for --------------------------------------------------------------------
 */
uint32_t gpu_thread(void)
{
    return machine->running;
}
uint32_t gpu_threads(void)
{
    return machine->threads;
}
uint32_t gpu_block(void)
{
    return machine->block;
}
uint32_t gpu_shuffle(uint32_t value, uint32_t from, int width)
{
    struct fibre *fibre = &machine->fibres[machine->running];
    fibre->value = value;
    fibre->from = from;
    fibre->width = width;
    wait_as(AT_SHUFFLE);
    return fibre->result;
}
void gpu_sync_block(void)
{
    wait_as(AT_BLOCK);
}
void gpu_sync_warp(void)
{
    wait_as(AT_WARP);
}
uint32_t gpu_take(uint32_t *counter, uint32_t step)
{
    return __atomic_fetch_add(counter, step, __ATOMIC_RELAXED);
}

/* A barrier: bit 0 the phase that runs, bit 1 set once it has been initialised, from bit 32 the
 * bytes that are still to come. */
#define PHASE  UINT64_C(1)
#define INITED UINT64_C(2)
void gpu_barrier_init(uint64_t *barrier)
{
    *barrier = INITED;
}
void gpu_barrier_expect(uint64_t *barrier, uint32_t bytes)
{
    if ((*barrier & INITED) == 0 || *barrier >> 32 != 0) {
        wrong("a barrier gets bytes before its last phase is over");
    }
    *barrier += (uint64_t)bytes << 32;
}
void gpu_bulk_load(void *to, const void *from, uint32_t bytes, uint64_t *barrier)
{
    if (bytes % 16 != 0 || (uintptr_t)to % 16 != 0 || (uintptr_t)from % 16 != 0) {
        wrong("a bulk copy that is not of whole, aligned quads");
    }
    if (machine->copies_count == EMULATOR_THREADS_MAX) {
        wrong("a second copy of a thread before its first was waited for");
    }
    memset(to, 0xee, bytes); /* whoever looks before the wait sees it */
    machine->copies[machine->copies_count++] = (struct copy){to, from, bytes, barrier};
}
/* Does the copies of a barrier once all its bytes have been asked for. */
static void complete(uint64_t *barrier)
{
    uint64_t asked = 0;
    for (uint32_t i = 0; i < machine->copies_count; i++) {
        asked += machine->copies[i].barrier == barrier ? machine->copies[i].bytes : 0;
    }
    if (asked == 0 || asked < *barrier >> 32) {
        return;
    }
    if (asked > *barrier >> 32) {
        wrong("more bytes than the barrier was told of");
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < machine->copies_count; i++) {
        struct copy copy = machine->copies[i];
        if (copy.barrier == barrier) {
            memcpy(copy.to, copy.from, copy.bytes);
        } else {
            machine->copies[kept++] = copy;
        }
    }
    machine->copies_count = kept;
    *barrier = ((*barrier ^ PHASE) & PHASE) | INITED;
}
void gpu_barrier_wait(uint64_t *barrier, uint32_t phase)
{
    for (uint32_t spins = 0; (*barrier & PHASE) == (phase & 1); spins++) {
        complete(barrier);
        if ((*barrier & PHASE) != (phase & 1)) {
            break;
        }
        if (spins == SPINS_MAX) {
            wrong("waits for copies that nobody asked for");
        }
        wait_as(RUNNABLE);
    }
}
