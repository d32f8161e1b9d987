/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "serve/serve_thread.h"

static void link_slot(struct serve_conn *conn)
{
    struct serve_thread *thread = conn->thread;
    uint64_t slot = (conn->deadline_ms + SERVE_TICK_MS - 1) / SERVE_TICK_MS;
    uint64_t last = thread->tick + SERVE_WHEEL_SLOTS - 1;
    slot = slot > last ? last : slot;
    conn->slot = slot <= thread->tick ? thread->tick + 1 : slot;
    struct serve_conn **head = &thread->slots[conn->slot % SERVE_WHEEL_SLOTS];
    conn->previous = NULL;
    conn->next = *head;
    if (*head != NULL) {
        (*head)->previous = conn;
    }
    *head = conn;
}

void serve_wheel_remove(struct serve_conn *conn)
{
    if (conn->previous != NULL) {
        conn->previous->next = conn->next;
    } else {
        conn->thread->slots[conn->slot % SERVE_WHEEL_SLOTS] = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->previous = conn->previous;
    }
}

void serve_wheel_add(struct serve_conn *conn, uint64_t deadline_ms)
{
    conn->deadline_ms = deadline_ms;
    link_slot(conn);
}

void serve_wheel_move(struct serve_conn *conn, uint64_t deadline_ms)
{
    conn->deadline_ms = deadline_ms;
    if (deadline_ms < conn->slot * SERVE_TICK_MS) {
        serve_wheel_remove(conn);
        link_slot(conn);
    }
}

static void turn_slot(struct serve_thread *thread, void (*expired)(struct serve_conn *conn))
{
    struct serve_conn *conn = thread->slots[thread->tick % SERVE_WHEEL_SLOTS];
    while (conn != NULL) {
        struct serve_conn *next = conn->next;
        bool due = conn->deadline_ms <= thread->now_ms;
        serve_wheel_remove(conn);
        link_slot(conn); /* also a due one: expired may give it more time */
        if (due) {
            expired(conn);
        }
        conn = next;
    }
}

void serve_wheel_turn(struct serve_thread *thread, void (*expired)(struct serve_conn *conn))
{
    uint64_t now = thread->now_ms / SERVE_TICK_MS;
    if (thread->tick + SERVE_WHEEL_SLOTS < now) { /* after a long sleep each slot is seen once */
        thread->tick = now - SERVE_WHEEL_SLOTS;
    }
    while (thread->tick < now) {
        thread->tick++;
        turn_slot(thread, expired);
    }
}

void serve_wheel_visit(struct serve_thread *thread, void (*visit)(struct serve_conn *conn))
{
    for (unsigned i = 0; i < SERVE_WHEEL_SLOTS; i++) {
        struct serve_conn *conn = thread->slots[i];
        while (conn != NULL) {
            struct serve_conn *next = conn->next;
            visit(conn);
            conn = next;
        }
    }
}
