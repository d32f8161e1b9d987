/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig watch: the viewer's side of the road. All that money hangs on is on disk before it
 * leaves. */
#include "cli/cli_puzzler.h"
#include "cli/cli_solver.h"
#include "cli/cli_viewer.h"
#include "pay/pay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TX_WAIT_S       600
#define RESERVE_UNITS   16 /* units that are put on disk as possibly spent, ahead of spending */
#define SPARE_UNITS     64 /* above the rendition's slices: those asked for twice after a crash */
#define STATE_VERSION   1
#define STATE_BYTES_MAX (4u << 20)

struct watch {
    struct cli_viewer viewer;
    struct cli_solver *solver;
    bool wants_puzzles;
    bool no_certificates;
    uint32_t puzzle_seconds, cpu_share, gpu_share; /* CPU 0: as the solver has it; GPU 0: none */
    struct cli_puzzler *puzzler;                   /* NULL: puzzles are passed over */
    struct rr_hash32 resource_id;
    char resource_text[65];
    struct rr_manifest manifest;
    const struct rr_rendition *rendition;
    struct rr_pubkey target;
    uint32_t margin_blocks, pool_blocks_min, pool_blocks;
    bool paid; /* the resource has a price */
    struct rr_tx pool_tx;
    struct rr_hash32 pool_id;
    uint64_t pool_height;
    struct rr_purse *purse;
    uint32_t reserved; /* depth that may have left this process, as on disk */
    struct rr_payment_header payment;
    bool doubt; /* the session is not new: slices may be paid already, ask before paying */
    const char *out_path;
    int fd;
    uint64_t bytes, slices, paid_units;
    uint32_t segments;
};

/* ---- state on disk --------------------------------------------------------------------------- */

static enum rr_err save_state(struct watch *watch, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf out = {0}, tx = {0}, purse = {0};
    rr_tx_encode(&tx, &watch->pool_tx);
    if (watch->purse != NULL) {
        rr_purse_encode(&purse, watch->purse);
    }
    rr_write_u8(&out, STATE_VERSION);
    rr_write_var32(&out, rr_buf_slice(&tx));
    rr_write_var32(&out, rr_buf_slice(&purse));
    rr_write_u32(&out, watch->reserved);
    enum rr_err err = cli_viewer_path(&watch->viewer, path, fault, "pool-%s", watch->resource_text);
    if (err == RR_OK) {
        err = rr_file_write(path, rr_buf_slice(&out), 0600, fault);
    }
    rr_buf_clear(&purse);
    rr_buf_clear(&tx);
    rr_buf_clear(&out);
    return err;
}

/* RR_ERR_NOTFOUND: no pool of this resource yet. */
static enum rr_err load_state(struct watch *watch, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf bytes = {0};
    enum rr_err err = cli_viewer_path(&watch->viewer, path, fault, "pool-%s", watch->resource_text);
    if (err != RR_OK || (err = rr_file_read(&bytes, path, STATE_BYTES_MAX, fault)) != RR_OK) {
        goto out;
    }
    struct rr_reader reader = rr_reader_of(rr_buf_slice(&bytes));
    uint8_t version = rr_read_u8(&reader);
    struct rr_slice tx = rr_read_var32(&reader, RR_TX_BYTES_MAX);
    struct rr_slice purse = rr_read_var32(&reader, STATE_BYTES_MAX);
    watch->reserved = rr_read_u32(&reader);
    if (!rr_reader_done(&reader) || version != STATE_VERSION) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "%s is not a pool's state", path);
    } else if ((err = rr_tx_decode(&watch->pool_tx, tx, fault)) == RR_OK && purse.len > 0) {
        err = rr_purse_decode(&watch->purse, watch->viewer.key, purse, fault);
    }
    rr_tx_id(&watch->pool_id, &watch->pool_tx);
out:
    rr_buf_clear(&bytes);
    return err;
}

static void forget_state(struct watch *watch)
{
    char path[RR_PATH_BYTES];
    if (cli_viewer_path(&watch->viewer, path, NULL, "pool-%s", watch->resource_text) == RR_OK) {
        unlink(path);
    }
    rr_purse_free(watch->purse);
    watch->purse = NULL;
    watch->reserved = 0;
}

/* ---- what is for sale ------------------------------------------------------------------------ */

static enum rr_err read_url(struct watch *watch, const char *url, struct rr_fault *fault)
{
    static const char marker[] = "/v1/resources/";
    const char *at = strstr(url, marker);
    if (at == NULL || strlen(at + sizeof marker - 1) < 64) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "'%s' names no resource; http://HOST:PORT/v1/resources/ID was expected",
                       url);
    }
    memcpy(watch->resource_text, at + sizeof marker - 1, 64);
    if (!rr_unhex(watch->resource_id.bytes, 32, watch->resource_text)) {
        return rr_fail(fault, RR_ERR_USAGE, "'%s' is not a resource id (64 hex digits)",
                       watch->resource_text);
    }
    return RR_OK;
}

static enum rr_err read_manifest(struct watch *watch, struct rr_fault *fault)
{
    struct cli_response response = {0};
    enum rr_err err = cli_viewer_get(&watch->viewer, &response, "the manifest", fault,
                                     "/v1/resources/%s/manifest", watch->resource_text);
    if (err == RR_OK) {
        err = rr_manifest_decode(&watch->manifest, rr_buf_slice(&response.body), fault);
    }
    if (err == RR_OK && (!rr_manifest_verify(&watch->manifest) ||
                         !rr_hash32_equal(&watch->manifest.resource_id, &watch->resource_id))) {
        err = rr_fail(fault, RR_ERR_TRUST, "the manifest is not signed for this resource");
    }
    watch->paid = err == RR_OK && !rr_coin_is_zero(watch->manifest.slice_price);
    cli_response_clear(&response);
    return err;
}

static enum rr_err read_offer(struct watch *watch, struct rr_fault *fault)
{
    struct cli_response response = {0};
    struct rr_offer offer;
    enum rr_err err = cli_viewer_get(&watch->viewer, &response, "the offer", fault,
                                     "/v1/resources/%s/offer", watch->resource_text);
    if (err == RR_OK &&
        (err = rr_offer_parse(&offer, rr_buf_slice(&response.body), fault)) == RR_OK) {
        watch->target = offer.target;
        watch->margin_blocks = offer.margin_blocks;
        watch->pool_blocks_min = offer.pool_blocks_min;
        if (offer.chain_id != rr_genesis_chain_id(&watch->viewer.genesis) ||
            !rr_hash32_equal(&offer.genesis, &watch->viewer.genesis_hash) ||
            rr_coin_compare(offer.slice_price, watch->manifest.slice_price) != 0 ||
            offer.slice_bytes != watch->manifest.slice_bytes) {
            err = rr_fail(fault, RR_ERR_TRUST,
                          "the offer differs from the owner's manifest or names another network");
        }
    }
    cli_response_clear(&response);
    return err;
}

static enum rr_err choose(struct watch *watch, const char *name, struct rr_fault *fault)
{
    struct rr_buf names = {0};
    for (uint32_t i = 0; i < watch->manifest.rendition_count; i++) {
        const struct rr_rendition *r = &watch->manifest.renditions[i];
        if (name == NULL ? watch->rendition == NULL : strcmp(r->name, name) == 0) {
            watch->rendition = r;
        }
        rr_buf_format(&names, " %s", r->name);
    }
    enum rr_err err = RR_OK;
    if (watch->rendition == NULL) {
        err = rr_fail(fault, RR_ERR_NOTFOUND, "there is no rendition '%s'; there are:%.*s",
                      name != NULL ? name : "", (int)names.len, (const char *)names.ptr);
    }
    rr_buf_clear(&names);
    return err;
}

static uint32_t slices_of(const struct watch *watch, const struct rr_segment *segment)
{
    return (segment->bytes + watch->manifest.slice_bytes - 1) / watch->manifest.slice_bytes;
}

/* ---- pool and session ------------------------------------------------------------------------ */

static enum rr_err fund_pool(struct watch *watch, struct rr_fault *fault)
{
    struct cli_pool_ask ask = {.resource_id = watch->resource_id,
                               .price = watch->manifest.slice_price,
                               .unit_count = SPARE_UNITS,
                               .duration_blocks = watch->pool_blocks > watch->pool_blocks_min
                                                      ? watch->pool_blocks
                                                      : watch->pool_blocks_min};
    for (uint32_t i = 0; i < watch->rendition->segment_count; i++) {
        ask.unit_count += slices_of(watch, &watch->rendition->segments[i]);
    }
    enum rr_err err = cli_viewer_make_pool(&watch->viewer, &watch->pool_tx, &ask, fault);
    if (err != RR_OK) {
        return err;
    }
    rr_tx_id(&watch->pool_id, &watch->pool_tx);
    return save_state(
        watch, fault); /* before it leaves: a second start finds it and opens no second pool */
}

static enum rr_err make_purse(struct watch *watch, struct rr_fault *fault)
{
    uint8_t seed[32];
    uint64_t units = rr_coin_units(watch->pool_tx.body.create_pool.deposit) /
                     rr_coin_units(watch->manifest.slice_price);
    rr_random(seed, sizeof seed);
    watch->purse =
        rr_purse_new(watch->viewer.key, rr_genesis_chain_id(&watch->viewer.genesis),
                     &watch->pool_id, &watch->target, watch->manifest.slice_price, (uint32_t)units,
                     watch->pool_height + watch->pool_tx.body.create_pool.duration_blocks, seed);
    rr_wipe(seed, sizeof seed);
    return save_state(watch, fault);
}

static enum rr_err open_session(struct watch *watch, const struct rr_buf *proof,
                                struct rr_fault *fault)
{
    struct rr_session_request request = {.resource_id = watch->resource_id,
                                         .viewer = watch->viewer.public_key,
                                         .voucher = *rr_purse_voucher(watch->purse)};
    struct rr_session_answer answer;
    struct cli_response response = {0};
    struct rr_buf bytes = {0};
    rr_buf_append(&request.pool_proof, proof->ptr, proof->len);
    rr_session_request_encode(&bytes, &request);
    enum rr_err err = cli_viewer_post(&watch->viewer, &response, "opening a session",
                                      "/v1/sessions", rr_buf_slice(&bytes), fault);
    if (err == RR_OK) {
        err = rr_session_answer_decode(&answer, rr_buf_slice(&response.body), fault);
    }
    if (err == RR_OK && answer.accepted_depth > watch->reserved) {
        err = rr_fail(fault, RR_ERR_TRUST,
                      "the rig claims %u paid units, at most %u have left this wallet",
                      (unsigned)answer.accepted_depth, (unsigned)watch->reserved);
    }
    if (err == RR_OK) {
        rr_purse_resume(watch->purse, answer.accepted_depth);
        memcpy(watch->payment.session_id, answer.session_id, RR_SESSION_ID_BYTES);
        watch->doubt = answer.accepted_depth > 0;
    }
    rr_session_request_clear(&request);
    rr_buf_clear(&bytes);
    cli_response_clear(&response);
    return err;
}

static enum rr_err open_pool(struct watch *watch, struct rr_fault *fault)
{
    struct rr_buf proof = {0};
    enum rr_err err = read_offer(watch, fault);
    if (err != RR_OK) {
        return err;
    }
    err = load_state(watch, fault);
    if (err == RR_OK && watch->purse != NULL) {
        uint64_t height;
        if ((err = cli_viewer_tip(&watch->viewer, &height, fault)) != RR_OK) {
            return err;
        }
        if (height + watch->margin_blocks >= rr_purse_voucher(watch->purse)->expiry_height) {
            forget_state(
                watch); /* that pool has ended; `reelrig pool release` brings the rest back */
            err = RR_ERR_NOTFOUND;
        }
    }
    if (err == RR_ERR_NOTFOUND) {
        err = fund_pool(watch, fault);
    }
    if (err == RR_OK &&
        (err = cli_viewer_wait_tx(&watch->viewer, &watch->pool_tx, TX_WAIT_S, fault)) == RR_OK &&
        (watch->purse != NULL ||
         (err = cli_viewer_prove_tx(&watch->viewer, &proof, &watch->pool_tx, &watch->pool_height,
                                    fault)) == RR_OK) &&
        (watch->purse != NULL || (err = make_purse(watch, fault)) == RR_OK)) {
        err = open_session(watch, &proof, fault);
    }
    rr_buf_clear(&proof);
    return err;
}

/* ---- pulling slices -------------------------------------------------------------------------- */

static enum rr_err pay_one(struct watch *watch, struct rr_fault *fault)
{
    uint32_t depth = rr_purse_depth(watch->purse) + 1;
    if (depth > watch->reserved) {
        watch->reserved = depth - 1 + RESERVE_UNITS;
        enum rr_err err = save_state(watch, fault);
        if (err != RR_OK) {
            return err;
        }
    }
    watch->payment.has_preimage = true;
    return rr_purse_pay(watch->purse, 1, &watch->payment.depth, &watch->payment.preimage, fault);
}

static enum rr_err request_range(struct watch *watch, struct cli_response *response,
                                 const char *url, uint64_t first, uint64_t last,
                                 struct rr_fault *fault)
{
    char range[64];
    struct rr_buf payment = {0};
    const char *headers[3] = {range, NULL, NULL};
    snprintf(range, sizeof range, "Range: bytes=%llu-%llu", (unsigned long long)first,
             (unsigned long long)last);
    if (watch->paid) {
        rr_buf_format(&payment, "Reelrig-Payment: ");
        rr_payment_header_text(&payment, &watch->payment);
        rr_write_u8(&payment, 0);
        headers[1] = (const char *)payment.ptr;
    }
    struct cli_request request = {.url = url, .headers = headers};
    enum rr_err err = cli_http_send(watch->viewer.http, response, &request, fault);
    rr_buf_clear(&payment);
    return err;
}

static enum rr_err fetch_slice(struct watch *watch, struct rr_buf *segment, const char *url,
                               uint64_t first, uint64_t last, struct rr_fault *fault)
{
    struct cli_response response = {0};
    enum rr_err err = RR_OK;
    if (watch->paid && !watch->doubt) {
        err = pay_one(watch, fault);
    }
    if (err == RR_OK) {
        err = request_range(watch, &response, url, first, last, fault);
    }
    if (err == RR_OK && watch->paid && watch->doubt && response.status == 402) {
        watch->doubt = false; /* the first one that is not paid yet: from here on all are new */
        if ((err = pay_one(watch, fault)) == RR_OK) {
            err = request_range(watch, &response, url, first, last, fault);
        }
    }
    if (err == RR_OK && (err = cli_response_check(&response, "a slice", fault)) == RR_OK) {
        if (response.body.len != last - first + 1) {
            err = rr_fail(fault, RR_ERR_FORMAT, "the rig sent %zu bytes of a slice of %llu",
                          response.body.len, (unsigned long long)(last - first + 1));
        } else {
            rr_buf_append(segment, response.body.ptr, response.body.len);
            watch->slices++;
            cli_solver_offer(watch->solver, response.puzzle);
        }
    }
    cli_response_clear(&response);
    return err;
}

/* A checked segment, or init.mp4, which carries none. */
static enum rr_err take_puzzles(struct watch *watch, const struct rr_segment *segment,
                                struct rr_slice file, struct rr_fault *fault)
{
    if (watch->puzzler == NULL || segment == &watch->rendition->init) {
        return RR_OK;
    }
    const struct rr_proof_place place = {
        .chain_id = rr_genesis_chain_id(&watch->viewer.genesis),
        .resource_id = watch->resource_id,
        .rendition = (uint16_t)(watch->rendition - watch->manifest.renditions),
        .segment = (uint32_t)(segment - watch->rendition->segments)};
    return cli_puzzler_segment(watch->puzzler, &place, file, fault);
}

static enum rr_err fetch_segment(struct watch *watch, const struct rr_segment *segment,
                                 const char *file, bool free_of_charge, struct rr_fault *fault)
{
    char url[1024];
    struct rr_buf bytes = {0};
    struct rr_hash32 digest;
    bool paid = watch->paid;
    int n = snprintf(url, sizeof url, "%s/v1/resources/%s/hls/%s/%s", watch->viewer.base,
                     watch->resource_text, watch->rendition->name, file);
    RR_CHECK(n > 0 && (size_t)n < sizeof url);
    enum rr_err err = RR_OK;
    watch->paid = paid && !free_of_charge;
    for (uint64_t at = 0; at < segment->bytes && err == RR_OK; at += watch->manifest.slice_bytes) {
        uint64_t end = at + watch->manifest.slice_bytes < segment->bytes
                           ? at + watch->manifest.slice_bytes
                           : segment->bytes;
        err = fetch_slice(watch, &bytes, url, at, end - 1, fault);
    }
    watch->paid = paid;
    if (err == RR_OK) {
        rr_segment_digest(&digest, rr_buf_slice(&bytes));
        if (!rr_hash32_equal(&digest, &segment->digest)) {
            err = rr_fail(fault, RR_ERR_TRUST, "%s is not what the owner's manifest says", file);
        } else if ((err = rr_write_full(watch->fd, bytes.ptr, bytes.len, fault)) == RR_OK) {
            watch->bytes += bytes.len;
            err = take_puzzles(watch, segment, rr_buf_slice(&bytes), fault);
        }
    }
    rr_buf_clear(&bytes);
    return err;
}

/* Keeps the whole segments that a former run has written and checks them again; the rest is cut
 * off. */
static enum rr_err resume_file(struct watch *watch, uint32_t *next_segment, bool *have_init,
                               struct rr_fault *fault)
{
    struct stat st;
    uint64_t at = 0;
    *next_segment = 0;
    *have_init = false;
    if (fstat(watch->fd, &st) != 0) {
        return rr_fail_errno(fault, "cannot read %s", watch->out_path);
    }
    for (uint32_t i = 0; i <= watch->rendition->segment_count; i++) {
        const struct rr_segment *s =
            i == 0 ? &watch->rendition->init : &watch->rendition->segments[i - 1];
        if (at + s->bytes > (uint64_t)st.st_size) {
            break;
        }
        uint8_t *bytes = rr_alloc(s->bytes);
        struct rr_hash32 digest;
        enum rr_err err = rr_pread_full(watch->fd, bytes, s->bytes, at, fault);
        rr_segment_digest(&digest, rr_slice_of(bytes, s->bytes));
        bool whole = err == RR_OK && rr_hash32_equal(&digest, &s->digest);
        err = whole ? take_puzzles(watch, s, rr_slice_of(bytes, s->bytes), fault) : RR_OK;
        rr_free(bytes);
        if (err != RR_OK) {
            return err;
        }
        if (!whole) {
            break;
        }
        at += s->bytes;
        *have_init = true;
        *next_segment = i;
    }
    watch->bytes = at;
    if (ftruncate(watch->fd, (off_t)at) != 0 || lseek(watch->fd, (off_t)at, SEEK_SET) < 0) {
        return rr_fail_errno(fault, "cannot go on writing %s", watch->out_path);
    }
    return RR_OK;
}

static void show_progress(struct watch *watch)
{
    struct cli_solver_stats stats;
    char work[96] = "";
    cli_solver_stats(watch->solver, &stats);
    if (stats.puzzles > 0) {
        snprintf(work, sizeof work, ", %u puzzles, %u certificates, %.1f kH/s",
                 (unsigned)stats.puzzles, (unsigned)stats.accepted,
                 (double)rr_hash_engine_rate(cli_solver_engine(watch->solver)) / 1e3);
    }
    cli_progress("%s: segment %u of %u, %.1f MB%s", watch->rendition->name,
                 (unsigned)watch->segments, (unsigned)watch->rendition->segment_count,
                 (double)watch->bytes / 1e6, work);
}

static enum rr_err pull(struct watch *watch, struct rr_fault *fault)
{
    uint32_t next;
    bool have_init;
    enum rr_err err = resume_file(watch, &next, &have_init, fault);
    if (err == RR_OK && !have_init) {
        err = fetch_segment(watch, &watch->rendition->init, "init.mp4", true, fault);
    }
    for (uint32_t i = next; i < watch->rendition->segment_count && err == RR_OK; i++) {
        char file[32];
        snprintf(file, sizeof file, "seg_%05u.m4s", (unsigned)i);
        err = fetch_segment(watch, &watch->rendition->segments[i], file, false, fault);
        watch->segments = i + 1;
        show_progress(watch);
    }
    cli_progress("%s", "");
    if (err == RR_OK && fdatasync(watch->fd) != 0) {
        err = rr_fail_errno(fault, "cannot keep %s", watch->out_path);
    }
    return err;
}

static enum rr_err open_file(struct watch *watch, char part[static RR_PATH_BYTES],
                             struct rr_fault *fault)
{
    enum rr_err err = rr_path(part, fault, "%s.part", watch->out_path);
    if (err == RR_OK) {
        watch->fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (watch->fd < 0) {
            err = rr_fail_errno(fault, "cannot write %s", part);
        }
    }
    return err;
}

/* ---- the verb -------------------------------------------------------------------------------- */

/* The engine serves certificates and puzzles; without either there is none. */
static enum rr_err start_searching(struct watch *watch, struct rr_fault *fault)
{
    const struct cli_solver_options solver = {.viewer = &watch->viewer,
                                              .cacher = &watch->target,
                                              .certificates = !watch->no_certificates,
                                              .cpu_share = watch->cpu_share,
                                              .gpu_share = watch->gpu_share};
    if (watch->no_certificates && !watch->wants_puzzles) {
        return RR_OK;
    }
    enum rr_err err = cli_solver_start(&watch->solver, &solver, fault);
    if (err != RR_OK || !watch->wants_puzzles) {
        return err;
    }
    const struct cli_puzzler_options options = {.engine = cli_solver_engine(watch->solver),
                                                .key = watch->viewer.key,
                                                .wallet = watch->viewer.folder,
                                                .seconds = watch->puzzle_seconds};
    return cli_puzzler_start(&watch->puzzler, &options, fault);
}

static enum rr_err run(struct watch *watch, const char *wallet, const char *url,
                       const char *rendition, struct rr_fault *fault)
{
    char part[RR_PATH_BYTES];
    enum rr_err err = read_url(watch, url, fault);
    if (err != RR_OK || (err = cli_viewer_open(&watch->viewer, wallet, url, fault)) != RR_OK ||
        (err = read_manifest(watch, fault)) != RR_OK ||
        (err = choose(watch, rendition, fault)) != RR_OK ||
        (err = open_file(watch, part, fault)) != RR_OK ||
        (err = start_searching(watch, fault)) != RR_OK) {
        return err;
    }
    if (watch->paid && (err = open_pool(watch, fault)) != RR_OK) {
        return err;
    }
    if ((err = pull(watch, fault)) != RR_OK) {
        return err;
    }
    watch->paid_units = watch->purse != NULL ? rr_purse_depth(watch->purse) : 0;
    if (rename(part, watch->out_path) != 0) {
        return rr_fail_errno(fault, "cannot rename %s to %s", part, watch->out_path);
    }
    if ((err = cli_solver_finish(watch->solver, fault)) != RR_OK || watch->puzzler == NULL ||
        (err = cli_puzzler_finish(watch->puzzler, fault)) != RR_OK) {
        return err;
    }
    struct rr_fault why = {0};
    if (cli_puzzler_post(watch->puzzler, watch->viewer.http, watch->viewer.base, &why) != RR_OK) {
        /* They are kept, and a rig need not take any. */
        fprintf(stderr, "reelrig: the claims were not taken: %s\n", why.text);
    }
    return RR_OK;
}

static void print_refused(const struct cli_solver_stats *work)
{
    for (size_t i = RR_PROOF_ACCEPTED + 1; i < RR_PROOF_REFUSAL_COUNT; i++) {
        if (work->refused[i] > 0) {
            cli_print("%u certificates refused: %s\n", (unsigned)work->refused[i],
                      rr_proof_refusal_text((enum rr_proof_refusal)i));
        }
    }
}

static void print_result(const struct watch *watch, bool json, double seconds)
{
    struct rr_coin paid = RR_COIN_ZERO;
    char coins[RR_COIN_TEXT_BYTES], pool[65] = "";
    struct cli_solver_stats work;
    cli_solver_stats(watch->solver, &work);
    uint32_t certificates = work.accepted;
    json_t *puzzles = watch->puzzler != NULL ? cli_puzzler_json(watch->puzzler) : NULL;
    if (!rr_coin_mul(&paid, watch->manifest.slice_price, watch->paid_units)) {
        paid = RR_COIN_ZERO;
    }
    rr_coin_text(coins, paid);
    if (watch->purse != NULL) {
        rr_hex(pool, watch->pool_id.bytes, 32);
    }
    if (!json) {
        cli_print("%s: %u segments, %.1f MB in %.1f s; paid %llu units (%s coins), %u certificates "
                  "returned\n",
                  watch->out_path, (unsigned)watch->segments, (double)watch->bytes / 1e6, seconds,
                  (unsigned long long)watch->paid_units, coins, (unsigned)certificates);
        print_refused(&work);
        if (puzzles != NULL) {
            cli_print("%llu of %llu puzzles solved, %llu claims count; they are in "
                      "%s/puzzle-claims\n",
                      (unsigned long long)cli_number(puzzles, "solved"),
                      (unsigned long long)cli_number(puzzles, "seen"),
                      (unsigned long long)cli_number(puzzles, "accepted"), watch->viewer.folder);
        }
        json_decref(puzzles);
        return;
    }
    json_t *out =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:I, s:f}", "file", watch->out_path,
                  "rendition", watch->rendition->name, "bytes", (json_int_t)watch->bytes,
                  "segments", (json_int_t)watch->segments, "slices", (json_int_t)watch->slices,
                  "paid_units", (json_int_t)watch->paid_units, "paid", coins, "pool", pool,
                  "certificates", (json_int_t)certificates, "seconds", seconds);
    if (watch->solver != NULL && !watch->no_certificates) {
        json_object_set_new(out, "service", cli_solver_json(watch->solver));
    }
    if (puzzles != NULL) {
        json_object_set_new(out, "puzzles", puzzles);
    }
    cli_print_json(out);
    json_decref(out);
}

static bool read_count(const char *text, uint32_t *out)
{
    uint64_t value = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || value > 10000000) {
            return false;
        }
        value = value * 10 + (uint64_t)(*p - '0');
    }
    *out = (uint32_t)value;
    return text[0] != '\0';
}

int cli_watch(int argc, char **argv)
{
    const char *wallet = NULL, *rendition = NULL, *out_path = "watched.mp4", *url = NULL,
               *blocks = "60", *seconds_text = "20", *cpu_share = "0", *gpu_share = "50",
               *share = NULL;
    bool json = false, release = false;
    size_t count;
    struct watch watch = {.fd = -1};
    const struct cli_option options[] = {{"wallet", &wallet, NULL},
                                         {"rendition", &rendition, NULL},
                                         {"o", &out_path, NULL},
                                         {"pool-blocks", &blocks, NULL},
                                         {"release", NULL, &release},
                                         {"json", NULL, &json},
                                         {"puzzles", NULL, &watch.wants_puzzles},
                                         {"puzzle-seconds", &seconds_text, NULL},
                                         {"no-certificates", NULL, &watch.no_certificates},
                                         {"cpu-share", &cpu_share, NULL},
                                         {"gpu-share", &gpu_share, NULL},
                                         {"share", &share, NULL}}; /* of both */
    struct rr_fault fault = {0};
    if (!cli_options(argc, argv, options, RR_COUNT(options), &url, 1, &count) || count != 1 ||
        !read_count(blocks, &watch.pool_blocks) ||
        !read_count(seconds_text, &watch.puzzle_seconds) ||
        !read_count(share != NULL ? share : cpu_share, &watch.cpu_share) ||
        !read_count(share != NULL ? share : gpu_share, &watch.gpu_share) || watch.cpu_share > 100 ||
        watch.gpu_share > 100) {
        return cli_usage(argv[0]);
    }
    uint64_t started_us = rr_monotonic_us(rr_clock_system());
    watch.out_path = out_path;
    enum rr_err err = run(&watch, wallet, url, rendition, &fault);
    double seconds = (double)(rr_monotonic_us(rr_clock_system()) - started_us) / 1e6;
    if (err == RR_OK) {
        print_result(&watch, json, seconds);
    }
    if (err == RR_OK && release && watch.purse != NULL) {
        fprintf(stderr, "reelrig: the file is written; waiting for the pool's end to release it\n");
        err = cli_viewer_release(&watch.viewer, &watch.pool_id, true, &fault);
        if (err == RR_OK) {
            forget_state(&watch);
        }
    }
    int status = 0;
    if (err != RR_OK) {
        status = cli_fail(err, &fault, json);
    }
    cli_puzzler_free(watch.puzzler); /* before the engine that it searches on */
    cli_solver_free(watch.solver);
    rr_purse_free(watch.purse);
    rr_manifest_clear(&watch.manifest);
    if (watch.fd >= 0) {
        close(watch.fd);
    }
    cli_viewer_close(&watch.viewer);
    return status;
}
