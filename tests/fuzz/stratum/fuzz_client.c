/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's core under a mining pool's bytes: the first byte is the dialect. What we send are
 * whole lines of JSON, a job has a boundary and a range that does not wrap, and a nonce goes out
 * only for a job that is there. */
#include "stratum/stratum_client.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_output(struct stratum_client *client)
{
    size_t at = 0;
    while (at < client->output.len) {
        const uint8_t *end = memchr(client->output.ptr + at, '\n', client->output.len - at);
        RR_CHECK(end != NULL);
        size_t len = (size_t)(end - (client->output.ptr + at));
        json_t *message = json_loadb((const char *)client->output.ptr + at, len, 0, NULL);
        RR_CHECK(json_is_object(message) && json_is_string(json_object_get(message, "method")));
        json_decref(message);
        at += len + 1;
    }
    client->output.len = 0;
}

static void check_job(struct stratum_client *client, uint64_t now)
{
    static const uint8_t mix[32];
    const struct rr_stratum_job *job = stratum_client_job(client);
    if (job->number == 0) {
        RR_CHECK(!stratum_client_found(client, 1, 1, mix, now) || client->jobs_made > 0);
        return;
    }
    RR_CHECK(!rr_u256_is_zero(job->boundary) &&
             !rr_u256_is_zero(rr_stratum_difficulty(job->boundary)));
    RR_CHECK(job->nonce_count > 0 && job->nonce_start + (job->nonce_count - 1) >= job->nonce_start);
    (void)stratum_client_found(client, job->number, job->nonce_start + job->nonce_count - 1, mix,
                               now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const urls[] = {"stratum0+tcp://u:p@a:1", "stratum1+tcp://u:p@a:1",
                                       "stratum2+tcp://u:p@a:1", "stratum3+tcp://u:p@a:1"};
    struct stratum_client_config config = {
        .pool_count = 1, .response_ms = 4000, .work_ms = 60000, .return_ms = 60000, .seed = 1};
    if (size == 0) {
        return 0;
    }
    RR_CHECK(stratum_pool_parse(&config.pools[0], urls[data[0] % 4], NULL) == RR_OK);
    uint64_t now = 1000000;
    struct stratum_client *client = stratum_client_new(&config, now);
    stratum_client_tick(client, now);
    stratum_client_opened(client, client->link, now);
    for (size_t at = 1; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end != NULL ? (size_t)(end - (data + at)) + 1 : size - at;
        for (size_t done = 0; done < len; done += 4096) {
            size_t piece = len - done < 4096 ? len - done : 4096;
            stratum_client_input(client, client->link, rr_slice_of(data + at + done, piece), now);
        }
        check_job(client, now);
        check_output(client);
        now += 1000;
        stratum_client_tick(client, now);
        at += len;
    }
    stratum_client_free(client);
    return 0;
}
