/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests for offers, quotes and jobs. Whoever knows a job's handle may ask for it; the order that
 * made it was signed, and what it costs is paid. */
#include "daemon/daemon_work_jobs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLOCKS_APART_MS (10u * 60 * 1000) /* of an order */
#define SHARD_BYTES_MAX (512u << 20)
#define POINTS_MAX      (UINT64_C(8192) * 4320)
#define QUOTE_MS_MIN    60000 /* a quote binds at least this long */

/* ---- the offer
 * ------------------------------------------------------------------------------------------- */

static void add_codec(struct rr_work_offer *offer, const char *name, struct rr_coin price,
                      uint32_t rate)
{
    if (rr_coin_is_zero(price)) {
        return;
    }
    uint8_t at = offer->codec_count++;
    while (at > 0 && strcmp(offer->codecs[at - 1].codec, name) > 0) {
        offer->codecs[at] = offer->codecs[at - 1];
        at--;
    }
    snprintf(offer->codecs[at].codec, sizeof offer->codecs[at].codec, "%s", name);
    offer->codecs[at].price = price;
    offer->codecs[at].rate = rate;
}

/* Under the lock: jobs that take this rig's time and room. A quote alone takes neither. */
static uint32_t count_held(const struct daemon_work *work)
{
    uint32_t held = 0;
    for (const struct work_job *job = work->jobs; job != NULL; job = job->next) {
        held += (job->funding || job->funded) && !job->ended && job->error[0] == '\0' ? 1 : 0;
    }
    return held;
}

void daemon_work_offer(struct daemon_work *work, struct rr_work_offer *out)
{
    const struct work_settings *settings = &work->rig->config.work;
    uint64_t now_ms = rr_wall_ms(work->rig->clock);
    pthread_mutex_lock(&work->lock);
    uint32_t speed = work->speed;
    uint16_t busy = (uint16_t)count_held(work);
    pthread_mutex_unlock(&work->lock);
    *out = (struct rr_work_offer){
        .chain_id = rr_genesis_chain_id(&work->rig->config.genesis),
        .created_ms = now_ms,
        .expires_ms = now_ms + (uint64_t)settings->valid_s * 1000,
        .kinds = 1u << RR_WORK_DEMUX | 1u << RR_WORK_DECODE_VIDEO | 1u << RR_WORK_ENCODE_VIDEO |
                 1u << RR_WORK_DECODE_AUDIO | 1u << RR_WORK_ENCODE_AUDIO,
        .exact = true,
        .device = "cpu",
        .demux_price = settings->demux_price,
        .decode_price = settings->decode_price,
        .audio_price = settings->audio_price,
        .unit_price = settings->unit_price,
        .rung_min = RR_RUNG_MIN,
        .rung_max = RR_RUNG_MAX,
        .gop_ms_min = 500,
        .gop_ms_max = 10000,
        .source_bytes_max = settings->source_bytes_max,
        .points_max = POINTS_MAX,
        .jobs_max = (uint16_t)settings->jobs_max,
        .jobs_now = busy,
        .unpaid_max = settings->unpaid_max,
        .pool_blocks_min = work->rig->config.genesis.pool_blocks_min,
        .margin_blocks = work->rig->config.margin_blocks,
    };
    for (unsigned i = 0; i < DAEMON_WORK_CODECS; i++) {
        add_codec(out, rr_codec_text((enum rr_codec)i), settings->codec_price[i], speed);
    }
    rr_work_offer_sign(out, work->rig->key);
}

static void put(json_t *object, const char *key, json_t *value)
{
    RR_CHECK(value != NULL && json_object_set_new(object, key, value) == 0);
}

static void put_hex(json_t *object, const char *key, const void *bytes, size_t len)
{
    char text[129];
    RR_CHECK(len * 2 < sizeof text);
    rr_hex(text, bytes, len);
    put(object, key, json_string(text));
}

static int append(const char *bytes, size_t len, void *ctx)
{
    rr_buf_append(ctx, bytes, len);
    return 0;
}

static void write_json(struct rr_buf *out, json_t *object)
{
    RR_CHECK(json_dump_callback(object, append, out, JSON_COMPACT) == 0);
    json_decref(object);
}

/* ---- orders
 * --------------------------------------------------------------------------------------------- */

static enum rr_err check_order(const struct daemon_work *work, const struct rr_work_order *order,
                               const struct rr_work_offer *offer, struct rr_fault *fault)
{
    struct rr_transcode_options options;
    uint64_t now_ms = rr_wall_ms(work->rig->clock);
    uint64_t apart =
        now_ms > order->created_ms ? now_ms - order->created_ms : order->created_ms - now_ms;
    if (memcmp(&order->rig, &work->rig->public_key, sizeof order->rig) != 0 ||
        order->chain.chain_id != offer->chain_id) {
        return rr_fail(fault, RR_ERR_TRUST, "the order is for another rig or network than this");
    }
    if (apart > CLOCKS_APART_MS) {
        return rr_fail(fault, RR_ERR_TRUST, "the order is dated %llu s from this rig's clock",
                       (unsigned long long)apart / 1000);
    }
    if (!rr_work_order_verify(order)) {
        return rr_fail(fault, RR_ERR_TRUST, "the order is not signed by the owner of its chain");
    }
    if ((order->steps & ~rr_transcode_chain_offered(&order->chain, offer)) != 0) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "the order has steps that this rig does not offer, or half a part: see its "
                       "offer");
    }
    for (unsigned leg = 0; leg < RR_TRANSCODE_LEGS; leg++) {
        uint32_t of = rr_transcode_chain_leg(&order->chain, (enum rr_transcode_leg)leg);
        if ((order->steps & of) != 0 && (order->steps & of) != of) {
            return rr_fail(fault, RR_ERR_UNSUPPORTED,
                           "the order cuts a chain between steps that pass frames in memory");
        }
    }
    return rr_transcode_chain_options(&options, &order->chain, fault);
}

static enum rr_err no_room(const struct daemon_work *work, struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_BUSY, "this rig has %u jobs, as many as it takes; try later",
                   work->rig->config.work.jobs_max);
}

static void end_job(struct daemon_work *work, struct work_job *job)
{
    if (job != NULL) {
        job->ended = true;
        atomic_store(&job->cancel, true);
        pthread_cond_broadcast(&work->changed);
    }
}

/* Under the lock: a publisher who comes again ends what he had ordered before; an order that is
 * sent twice, by whomever, is nothing new; and a quote that nobody pays for holds nobody up. */
static enum rr_err admit(struct daemon_work *work, struct work_job *job, struct rr_fault *fault)
{
    struct work_job *former = NULL, *oldest = NULL, **at = &work->jobs;
    unsigned waiting = 0;
    for (; *at != NULL; at = &(*at)->next) {
        struct work_job *other = *at;
        bool paid = other->funding || other->funded;
        if (other->ended) {
            continue;
        }
        if (rr_hash32_equal(&other->work_id, &job->work_id)) {
            if (job->order.created_ms <= other->order.created_ms) {
                return rr_fail(fault, RR_ERR_STATE,
                               "this order, or a later one of the same work, was taken before; "
                               "sign a new one");
            }
            former = other; /* there is at most one */
        } else if (!paid) {
            oldest = oldest == NULL ? other : oldest;
            waiting++;
        }
    }
    bool in_place = former != NULL && (former->funding || former->funded) &&
                    former->error[0] == '\0'; /* it gives its place up */
    if (work->stopping ||
        count_held(work) - (in_place ? 1 : 0) >= work->rig->config.work.jobs_max) {
        return no_room(work, fault);
    }
    end_job(work, former);
    end_job(work, waiting >= WORK_UNFUNDED_MAX ? oldest : NULL);
    *at = job; /* first come, first served */
    return RR_OK;
}

static enum rr_err add_job(struct daemon_work *work, struct work_job *job, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = daemon_work_path(work, job, path, "", 0, fault);
    if (err != RR_OK || (err = rr_make_folders(path, fault)) != RR_OK ||
        (err = daemon_work_path(work, job, path, "source", 0, fault)) != RR_OK) {
        return err;
    }
    job->source_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (job->source_fd < 0) {
        return rr_fail_errno(fault, "cannot make %s", path);
    }
    pthread_mutex_lock(&work->lock);
    err = admit(work, job, fault);
    pthread_mutex_unlock(&work->lock);
    return err;
}

static enum rr_err take_order(struct daemon_work *work, struct rr_slice body, struct rr_buf *out,
                              struct rr_fault *fault)
{
    struct rr_work_offer offer;
    struct work_job *job = rr_alloc(sizeof *job);
    struct rr_work_quote *quote = &job->quote;
    job->source_fd = -1;
    daemon_work_offer(work, &offer);
    enum rr_err err = rr_work_order_decode(&job->order, body, fault);
    if (err != RR_OK || (err = check_order(work, &job->order, &offer, fault)) != RR_OK) {
        goto fail;
    }
    uint64_t now_ms = rr_wall_ms(work->rig->clock);
    *quote = (struct rr_work_quote){.chain_id = offer.chain_id,
                                    .publisher = job->order.chain.owner,
                                    .created_ms = now_ms,
                                    .expires_ms = offer.expires_ms > now_ms + QUOTE_MS_MIN
                                                      ? offer.expires_ms
                                                      : now_ms + QUOTE_MS_MIN};
    rr_work_order_id(&quote->order_id, &job->order);
    rr_random(quote->handle.bytes, sizeof quote->handle.bytes);
    if ((err = rr_work_quote_price(quote, &offer, &job->order, fault)) != RR_OK) {
        goto fail;
    }
    rr_work_quote_sign(quote, work->rig->key);
    rr_work_quote_id(&job->quote_id, quote);
    rr_hex(job->handle, quote->handle.bytes, 32);
    job->touched_ms = now_ms;
    struct rr_work_chain undated = job->order.chain;
    undated.created_ms = 0;
    rr_work_chain_id(&job->work_id, &undated);
    rr_hasher_init(&job->hasher, "rr.work.source");
    struct rr_buf bytes = {0};
    rr_work_quote_encode(&bytes, quote);
    if ((err = add_job(work, job, fault)) == RR_OK) {
        rr_buf_append(out, bytes.ptr, bytes.len); /* from here on the job is the list's */
    }
    rr_buf_clear(&bytes);
    if (err == RR_OK) {
        return RR_OK;
    }
    char path[RR_PATH_BYTES];
    if (daemon_work_path(work, job, path, "", 0, NULL) == RR_OK) {
        enum rr_err ignored = rr_remove_tree(path, NULL);
        (void)ignored;
    }
fail:
    if (job->source_fd >= 0) {
        close(job->source_fd);
    }
    rr_free(job);
    return err;
}

enum rr_err daemon_work_price(void *ctx, const struct rr_hash32 *quote_id, struct rr_coin *price,
                              struct rr_fault *fault)
{
    struct daemon_work *work = ctx;
    bool found = false;
    pthread_mutex_lock(&work->lock);
    for (struct work_job *job = work->jobs; job != NULL && !found; job = job->next) {
        found = !job->ended && rr_hash32_equal(&job->quote_id, quote_id);
        *price = found ? job->quote.unit_price : *price;
    }
    pthread_mutex_unlock(&work->lock);
    return found ? RR_OK
                 : rr_fail(fault, RR_ERR_NOTFOUND, "there is no resource and no quote of this id");
}

/* ---- one job
 * --------------------------------------------------------------------------------------------- */

static struct work_job *hold(struct daemon_work *work, struct rr_slice handle)
{
    struct work_job *found = NULL;
    pthread_mutex_lock(&work->lock);
    for (struct work_job *job = work->jobs; job != NULL; job = job->next) {
        if (!job->ended && rr_slice_equal(handle, rr_slice_str(job->handle))) {
            job->users++;
            job->touched_ms = rr_wall_ms(work->rig->clock);
            found = job;
        }
    }
    pthread_mutex_unlock(&work->lock);
    return found;
}

static void let_go(struct daemon_work *work, struct work_job *job)
{
    pthread_mutex_lock(&work->lock);
    job->users--;
    pthread_cond_broadcast(&work->changed);
    pthread_mutex_unlock(&work->lock);
}

static const char *state_text(enum work_shard_state state)
{
    static const char *const texts[] = {
#define X(id, text) [id] = (text),
        WORK_SHARD_STATES(X)
#undef X
    };
    return texts[state];
}

static void show(struct daemon_work *work, struct work_job *job, struct rr_buf *out)
{
    json_t *object = json_object(), *shards = json_array();
    RR_CHECK(object != NULL && shards != NULL);
    uint64_t paid;
    pthread_mutex_lock(&work->lock);
    uint64_t due = daemon_work_due(work, job, &paid);
    for (size_t i = 0; i < job->shard_count; i++) {
        const struct work_shard *shard = &job->shards[i];
        json_array_append_new(shards,
                              json_pack("{s:s, s:I, s:I}", "state", state_text(shard->state),
                                        "units", (json_int_t)shard->due_units, "bytes",
                                        (json_int_t)shard->commit.bytes));
    }
    put(object, "opened", json_boolean(job->opened));
    put_hex(object, "key", job->key.bytes, 32);
    put(object, "error", json_string(job->error));
    put(object, "source_bytes", json_integer((json_int_t)job->source_bytes));
    pthread_mutex_unlock(&work->lock);
    put(object, "paid_units", json_integer((json_int_t)paid));
    put(object, "due_units", json_integer((json_int_t)due));
    put(object, "shards", shards);
    write_json(out, object);
}

/* Pieces in their order; one that came before is taken as known. */
static enum rr_err take_source(struct daemon_work *work, struct work_job *job,
                               struct rr_slice query, struct rr_slice body, struct rr_fault *fault)
{
    uint64_t at = 0;
    bool read = query.len > 3 && memcmp(query.ptr, "at=", 3) == 0 && query.len < 23;
    for (size_t i = 3; i < query.len && read; i++) {
        read = query.ptr[i] >= '0' && query.ptr[i] <= '9';
        at = at * 10 + (uint64_t)(query.ptr[i] - '0');
    }
    if (!read) {
        return rr_fail(fault, RR_ERR_FORMAT, "source?at=OFFSET was expected");
    }
    if (!job->funded) {
        return rr_fail(fault, RR_ERR_FUNDS,
                       "nothing is taken before the job has a session that pays: open one for the "
                       "quote's id, then POST pay");
    }
    pthread_mutex_lock(&work->lock);
    enum rr_err err = RR_OK;
    if (at + body.len < job->source_bytes || (at + body.len == job->source_bytes && body.len > 0)) {
        pthread_mutex_unlock(&work->lock);
        return RR_OK;
    }
    if (at != job->source_bytes || at + body.len > job->order.facts.bytes || job->source_done) {
        err = rr_fail(fault, RR_ERR_STATE, "a piece of %zu bytes at %llu; at %llu of %llu it is",
                      body.len, (unsigned long long)at, (unsigned long long)job->source_bytes,
                      (unsigned long long)job->order.facts.bytes);
    } else if ((err = rr_pwrite_full(job->source_fd, body.ptr, body.len, at, fault)) == RR_OK) {
        rr_hasher_add(&job->hasher, body.ptr, body.len);
        job->source_bytes += body.len;
    }
    if (err == RR_OK && job->source_bytes == job->order.facts.bytes) {
        struct rr_hash32 digest;
        rr_hasher_final(&job->hasher, &digest);
        job->source_done = true;
        if (!rr_hash32_equal(&digest, &job->order.chain.source)) {
            err = rr_fail(fault, RR_ERR_TRUST, "the source is not the one that the order names");
            snprintf(job->error, sizeof job->error, "%s", fault->text);
        }
        pthread_cond_broadcast(&work->changed);
    }
    pthread_mutex_unlock(&work->lock);
    return err;
}

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
    enum rr_err result;
};

static void charged(void *ctx, enum rr_err result)
{
    struct waiting *waiting = ctx;
    pthread_mutex_lock(&waiting->lock);
    waiting->done = true;
    waiting->result = result;
    pthread_cond_signal(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
}

static enum rr_err take_payment(struct daemon_work *work, struct work_job *job,
                                const struct rr_payment_header *payment, struct rr_fault *fault)
{
    if (payment == NULL) {
        return rr_fail(fault, RR_ERR_FORMAT, "a payment without Reelrig-Payment: nothing was paid");
    }
    struct waiting waiting = {.lock = PTHREAD_MUTEX_INITIALIZER,
                              .changed = PTHREAD_COND_INITIALIZER};
    pthread_mutex_lock(&work->lock);
    bool first = !job->funding && !job->funded;
    bool room = !first || count_held(work) < work->rig->config.work.jobs_max;
    job->funding |= first && room;
    pthread_mutex_unlock(&work->lock);
    if (!room) {
        return no_room(work, fault); /* others have paid before */
    }
    rr_till_charge(work->rig->till, payment, &job->quote_id, NULL, 0, charged, &waiting);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.done) {
        pthread_cond_wait(&waiting.changed, &waiting.lock);
    }
    pthread_mutex_unlock(&waiting.lock);
    if (waiting.result != RR_OK) {
        pthread_mutex_lock(&work->lock);
        job->funding &= !first;
        pthread_mutex_unlock(&work->lock);
        return rr_fail(fault, waiting.result,
                       "the payment is not taken (%s): renew the voucher, or wait for the next "
                       "settlement",
                       rr_err_text(waiting.result));
    }
    pthread_mutex_lock(&work->lock);
    memcpy(job->session_id, payment->session_id, sizeof job->session_id);
    job->funded = true;
    pthread_cond_broadcast(&work->changed);
    pthread_mutex_unlock(&work->lock);
    return RR_OK;
}

/* whole: decode it from the first packet on, because of damage before it that only the publisher
 * knows of. */
static enum rr_err ask_shard(struct daemon_work *work, struct work_job *job, size_t index,
                             bool whole, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    pthread_mutex_lock(&work->lock);
    uint32_t wanted =
        index < job->shard_count
            ? rr_transcode_chain_leg(&job->order.chain, job->shards[index].shard.sound
                                                            ? RR_TRANSCODE_LEG_SOUND
                                                            : RR_TRANSCODE_LEG_PICTURES)
            : 0;
    if (index >= job->shard_count) {
        err = rr_fail(fault, RR_ERR_NOTFOUND, "there is no shard %zu; the job has %zu", index,
                      job->shard_count);
    } else if ((wanted & job->order.steps) != wanted) {
        err = rr_fail(fault, RR_ERR_STATE, "shard %zu has steps that were not ordered here", index);
    } else if (job->shards[index].state == WORK_IDLE ||
               (job->shards[index].state == WORK_DONE && whole &&
                job->shards[index].shard.packet_first > 0)) {
        job->shards[index].shard.packet_first = whole ? 0 : job->shards[index].shard.packet_first;
        job->shards[index].state = WORK_QUEUED;
        pthread_cond_broadcast(&work->changed);
    }
    pthread_mutex_unlock(&work->lock);
    return err;
}

static enum rr_err give_shard(struct daemon_work *work, struct work_job *job, size_t index,
                              bool commit, struct rr_buf *out, struct rr_fault *fault)
{
    struct rr_work_commit made;
    char path[RR_PATH_BYTES];
    pthread_mutex_lock(&work->lock);
    bool done = index < job->shard_count && job->shards[index].state == WORK_DONE;
    made = done ? job->shards[index].commit : (struct rr_work_commit){0};
    pthread_mutex_unlock(&work->lock);
    if (!done) {
        return rr_fail(fault, RR_ERR_NOTFOUND, "shard %zu is not made; POST asks for it", index);
    }
    if (commit) {
        rr_work_commit_encode(out, &made);
        return RR_OK;
    }
    enum rr_err err = daemon_work_path(work, job, path, "shard", (unsigned)index, fault);
    return err != RR_OK ? err : rr_file_read(out, path, SHARD_BYTES_MAX, fault);
}

/* ---- the way of a request
 * -------------------------------------------------------------------------------- */

static struct rr_slice take_word(struct rr_slice *path)
{
    size_t len = 0;
    while (len < path->len && path->ptr[len] != '/') {
        len++;
    }
    struct rr_slice word = rr_slice_of(path->ptr, len);
    size_t past = len < path->len ? len + 1 : len;
    path->ptr += past;
    path->len -= past;
    return word;
}

static bool is(struct rr_slice word, const char *text)
{
    return rr_slice_equal(word, rr_slice_str(text));
}

static bool number_of(struct rr_slice word, size_t *out)
{
    size_t value = 0;
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] < '0' || word.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (size_t)(word.ptr[i] - '0');
    }
    *out = value;
    return word.len > 0 && word.len < 8;
}

static enum rr_err answer_job(struct daemon_work *work, struct work_job *job, struct rr_slice path,
                              const struct rr_serve_work *asked, struct rr_buf *out,
                              struct rr_fault *fault)
{
    struct rr_slice verb = take_word(&path);
    size_t index = 0;
    enum rr_err err = RR_OK;
    if (is(verb, "") && !asked->post) {
        show(work, job, out);
        return RR_OK;
    }
    if (is(verb, "source") && asked->post) {
        err = take_source(work, job, asked->query, asked->body, fault);
    } else if (is(verb, "pay") && asked->post) {
        err = take_payment(work, job, asked->payment, fault);
    } else if (is(verb, "end") && asked->post) {
        pthread_mutex_lock(&work->lock);
        job->ended = true;
        atomic_store(&job->cancel, true);
        pthread_mutex_unlock(&work->lock);
    } else if (is(verb, "shards") && number_of(take_word(&path), &index)) {
        if (!asked->post) {
            return give_shard(work, job, index, is(path, "commit"), out, fault);
        }
        err = ask_shard(work, job, index, is(asked->query, "from=0"), fault);
    } else {
        err = rr_fail(fault, RR_ERR_NOTFOUND, "there is nothing at this path; see docs/offers.md");
    }
    if (err == RR_OK) {
        show(work, job, out);
    }
    return err;
}

enum rr_err daemon_work_answer(void *ctx, const struct rr_serve_work *asked, struct rr_buf *out,
                               struct rr_fault *fault)
{
    struct daemon_work *work = ctx;
    struct rr_slice path = asked->path;
    struct rr_slice first = take_word(&path);
    if (is(first, "offers")) {
        struct rr_work_offer offer;
        daemon_work_offer(work, &offer);
        if (asked->json) {
            rr_work_offer_json(out, &offer);
        } else {
            rr_work_offer_encode(out, &offer);
        }
        return RR_OK;
    }
    if (path.len == 0) {
        return asked->post ? take_order(work, asked->body, out, fault)
                           : rr_fail(fault, RR_ERR_NOTFOUND, "jobs are named by their handles");
    }
    struct work_job *job = hold(work, take_word(&path));
    if (job == NULL) {
        return rr_fail(fault, RR_ERR_NOTFOUND,
                       "there is no such job; it was ended, forgotten, or the rig was restarted");
    }
    enum rr_err err = answer_job(work, job, path, asked, out, fault);
    let_go(work, job);
    return err;
}
