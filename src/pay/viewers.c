/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Does the work of service come back? Per viewer, over the puzzles in which it was served. */
#include "pay/pay_till.h"
#include <stdio.h>
#include <string.h>

RR_COUNTER(withheld_total, "reelrig_pay_withholding_total",
           "Times that a viewer was found to keep certificates back")

/* Ours: the offer of a puzzle is renewed four times a second and has a way to the viewer, whose
 * engine has to start on it: no work is demanded for this long. */
#define SLACK_US 500000

void pay_viewer_attach(struct rr_till *till, struct pay_session *session)
{
    struct pay_session *known = pay_index_find(&till->by_viewer, session->viewer.bytes, NULL);
    if (known != NULL) {
        session->record = known->record;
        return;
    }
    struct pay_viewer *viewer = rr_alloc(sizeof(*viewer));
    viewer->key = session->viewer;
    RR_CHECK(pthread_mutex_init(&viewer->lock, NULL) == 0);
    viewer->next = atomic_load(&till->viewers);
    atomic_store(&till->viewers, viewer);
    session->record = viewer;
}

void pay_viewers_free(struct rr_till *till)
{
    struct pay_viewer *viewer = atomic_load(&till->viewers);
    while (viewer != NULL) {
        struct pay_viewer *next = viewer->next;
        pthread_mutex_destroy(&viewer->lock);
        rr_free(viewer);
        viewer = next;
    }
}

bool pay_viewer_dropped(struct rr_till *till, struct pay_viewer *viewer)
{
    return viewer != NULL && atomic_load(&viewer->dropped_until) > atomic_load(&till->height);
}

void pay_viewer_describe(struct rr_till *till, struct rr_till_pool *out, struct pay_viewer *viewer)
{
    out->dropped = pay_viewer_dropped(till, viewer);
    pthread_mutex_lock(&viewer->lock);
    rr_proof_withholding(&out->service, viewer->served, viewer->served_count);
    pthread_mutex_unlock(&viewer->lock);
}

/* Moves the oldest open puzzle to those that are judged. Under the viewer's lock. */
static void close_oldest(struct rr_till *till, struct pay_viewer *viewer)
{
    const struct rr_genesis *genesis = till->options.genesis;
    const struct pay_puzzle *puzzle = &viewer->open[0];
    uint64_t puzzle_us = (uint64_t)genesis->puzzle_blocks * genesis->block_ms * 1000;
    uint64_t us = puzzle->last_us - puzzle->first_us;
    us = us < puzzle->most_us ? us : puzzle->most_us;
    us = us > SLACK_US ? us - SLACK_US : 0;
    /* Shorter ones could not be credited: the ledger's floor is a quarter of a puzzle. */
    if (us >= puzzle_us / 4) {
        struct rr_proof_served *served = &viewer->served[viewer->served_next];
        served->hashes = us / 1000 * genesis->certificate_hashes_per_s / 1000;
        served->missing = !puzzle->came;
        memcpy(served->final_be, puzzle->final_be, sizeof(served->final_be));
        viewer->served_next = (viewer->served_next + 1) % RR_PROOF_WITHHOLDING_PUZZLES;
        if (viewer->served_count < RR_PROOF_WITHHOLDING_PUZZLES) {
            viewer->served_count++;
        }
    }
    viewer->open_count--;
    memmove(&viewer->open[0], &viewer->open[1], viewer->open_count * sizeof(viewer->open[0]));
}

void pay_viewer_served(struct rr_till *till, struct pay_viewer *viewer)
{
    if (viewer == NULL || till->options.withholding == RR_WITHHOLDING_OFF) {
        return;
    }
    const struct rr_genesis *genesis = till->options.genesis;
    uint64_t tip = atomic_load(&till->height);
    uint64_t height = rr_proof_puzzle_height(genesis, tip);
    uint64_t now_us = rr_monotonic_us(till->options.clock);
    pthread_mutex_lock(&viewer->lock);
    struct pay_puzzle *last = viewer->open_count > 0 ? &viewer->open[viewer->open_count - 1] : NULL;
    if (last != NULL && last->height >= height) {
        last->last_us = now_us;
    } else {
        if (viewer->open_count == PAY_OPEN_PUZZLES) {
            close_oldest(till, viewer);
        }
        viewer->open[viewer->open_count++] = (struct pay_puzzle){
            .height = height,
            .first_us = now_us,
            .last_us = now_us,
            .most_us = (height + genesis->puzzle_blocks - tip) * genesis->block_ms * 1000,
        };
    }
    pthread_mutex_unlock(&viewer->lock);
}

void pay_viewer_worked(struct rr_till *till, const struct rr_certificate *certificate,
                       const uint8_t final_be[static 32])
{
    struct pay_session *session = pay_index_find(&till->by_viewer, certificate->viewer.bytes, NULL);
    struct pay_viewer *viewer = session == NULL ? NULL : session->record;
    if (viewer == NULL) {
        return;
    }
    pthread_mutex_lock(&viewer->lock);
    for (uint32_t i = 0; i < viewer->open_count; i++) {
        struct pay_puzzle *puzzle = &viewer->open[i];
        if (puzzle->height == certificate->block_height &&
            (!puzzle->came || memcmp(final_be, puzzle->final_be, 32) < 0)) {
            puzzle->came = true;
            memcpy(puzzle->final_be, final_be, 32);
        }
    }
    pthread_mutex_unlock(&viewer->lock);
}

/* Under the viewer's lock. True when that is news. */
static bool judge(struct rr_till *till, struct pay_viewer *viewer,
                  struct rr_proof_withholding *verdict, uint64_t tip_height)
{
    rr_proof_withholding(verdict, viewer->served, viewer->served_count);
    bool news = verdict->withheld && !viewer->reported;
    viewer->reported = verdict->withheld;
    if (verdict->withheld && till->options.withholding == RR_WITHHOLDING_DROP) {
        atomic_store(&viewer->dropped_until, tip_height + till->options.genesis->window_blocks);
        viewer->served_count = 0; /* comes back with a clean sheet */
        viewer->served_next = 0;
        viewer->open_count = 0;
        viewer->reported = false;
    }
    return news;
}

static void report(struct rr_till *till, const struct pay_viewer *viewer,
                   const struct rr_proof_withholding *verdict, uint64_t dropped_until)
{
    char key[65];
    char end[64] = "";
    rr_hex(key, viewer->key.bytes, 32);
    if (dropped_until > 0) {
        snprintf(end, sizeof(end), "; not served before block %llu",
                 (unsigned long long)dropped_until);
    }
    atomic_fetch_add(&till->withheld, 1);
    rr_counter_add(&withheld_total, 1);
    rr_log(
        RR_LOG_WARN, "pay",
        "viewer %s keeps certificates back: of %u puzzles it was served in, %u brought none; all "
        "show about %.0f %% of the work (chance of an honest one: %.1e)%s",
        key, verdict->puzzles, verdict->missing, 100 * verdict->share, verdict->chance, end);
}

bool pay_on_time(struct rr_till *till, uint64_t height, const struct rr_chain_tip *tip)
{
    struct rr_header end = {.time_ms = tip->time_ms};
    uint64_t end_height = height + till->options.genesis->puzzle_blocks;
    if (end_height < tip->height &&
        rr_chain_header(till->options.chain, end_height, &end, NULL) != RR_OK) {
        return false;
    }
    return rr_proof_on_time(till->options.genesis, height, tip->height, end.time_ms, tip->time_ms);
}

/* Height of the last of the viewer's open puzzles that is past its grace; false: none is. The chain
 * is asked without the viewer's lock. */
static bool find_late(struct rr_till *till, struct pay_viewer *viewer, uint64_t *height,
                      const struct rr_chain_tip *tip)
{
    uint64_t heights[PAY_OPEN_PUZZLES];
    uint32_t late = 0;
    pthread_mutex_lock(&viewer->lock);
    uint32_t count = viewer->open_count;
    for (uint32_t i = 0; i < count; i++) {
        heights[i] = viewer->open[i].height;
    }
    pthread_mutex_unlock(&viewer->lock);
    while (late < count && !pay_on_time(till, heights[late], tip)) {
        *height = heights[late++];
    }
    return late > 0;
}

void pay_viewers_judge(struct rr_till *till, const struct rr_chain_tip *tip)
{
    struct pay_viewer *viewer = atomic_load(&till->viewers);
    for (; viewer != NULL; viewer = viewer->next) {
        struct rr_proof_withholding verdict;
        bool news = false;
        uint64_t late = 0;
        if (!find_late(till, viewer, &late, tip)) {
            continue;
        }
        pthread_mutex_lock(&viewer->lock);
        while (viewer->open_count > 0 && viewer->open[0].height <= late) {
            close_oldest(till, viewer);
        }
        news = judge(till, viewer, &verdict, tip->height);
        uint64_t until = atomic_load(&viewer->dropped_until);
        pthread_mutex_unlock(&viewer->lock);
        if (news) {
            report(till, viewer, &verdict, until > tip->height ? until : 0);
        }
    }
}
