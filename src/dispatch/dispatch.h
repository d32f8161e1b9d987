/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of dispatch, floor 3: shards of a transcoding job out to rigs and back. One interface
 * over the queues; what a rig gives is checked by transcode before it counts. The only includer of
 * libnats. */
#ifndef RR_DISPATCH_H
#define RR_DISPATCH_H
#include "base/base.h"
#include "transcode/transcode.h"

#define RR_DISPATCH_NAME_MAX   63 /* of a rig: letters, digits, '-', '_' */
#define RR_DISPATCH_AVOID_MAX  16
#define RR_DISPATCH_TRIES      5            /* of a shard, then its job fails (ours) */
#define RR_DISPATCH_PLAN_BYTES 65536        /* of a plan, as transcode gives it */
#define RR_DISPATCH_PART_BYTES (1ull << 32) /* of what a rig gives for one shard */

/* ---- what travels (dispatch_task.c) ---- */
struct rr_dispatch_task {
    struct rr_hash32 job, source; /* rr_transcode_key; "rr.source.v1" over the source's bytes */
    uint64_t source_bytes;
    uint32_t number, revision, attempt; /* attempt: how often it was offered before */
    struct rr_transcode_shard shard;    /* sound, cells, packet_first and cost travel */
    struct rr_buf plan;                 /* owned */
    char avoid[RR_DISPATCH_AVOID_MAX][RR_DISPATCH_NAME_MAX + 1]; /* rigs that are not to take it */
    uint8_t avoid_count;
};
void rr_dispatch_task_clear(struct rr_dispatch_task *task);
void rr_dispatch_task_write(struct rr_buf *out, const struct rr_dispatch_task *task);
/* RR_ERR_FORMAT; *out is to be cleared after RR_OK alone. Any thread. */
enum rr_err rr_dispatch_task_read(struct rr_dispatch_task *out, struct rr_slice bytes,
                                  struct rr_fault *fault) RR_MUST_USE;
struct rr_dispatch_answer {
    uint32_t number, revision, attempt;
    char rig[RR_DISPATCH_NAME_MAX + 1];
    enum rr_err code; /* RR_OK: the part is there */
    char text[256];   /* else why not */
    uint64_t bytes;   /* of the part */
    struct rr_hash32 digest;
    uint32_t pieces;
};
void rr_dispatch_answer_write(struct rr_buf *out, const struct rr_dispatch_answer *answer);
enum rr_err rr_dispatch_answer_read(struct rr_dispatch_answer *out, struct rr_slice bytes,
                                    struct rr_fault *fault) RR_MUST_USE;
/* "rr.source.v1" over a file from its beginning; *bytes its size. */
enum rr_err rr_dispatch_source_digest(struct rr_hash32 *out, uint64_t *bytes, int fd,
                                      const atomic_bool *cancel,
                                      struct rr_fault *fault) RR_MUST_USE;
/* True for a name that may stand in a subject and a path. */
bool rr_dispatch_name_good(const char *name) RR_MUST_USE;

/* ---- the interface over queues
 * A queue brings tasks to rigs and answers back; it is asked by one thread, blocks no longer than
 * some seconds, and may lose or double anything: the coordinator offers again what stays away, and
 * takes each shard once. In-process, NATS, or rigs of others over their API, which are paid in
 * `accept`. ---- */
struct rr_dispatch_job {
    struct rr_hash32 key, source;
    uint64_t source_bytes;
    int source_fd;      /* borrowed until end */
    const char *folder; /* for parts that arrive; borrowed until end */
    const char *title;  /* for people; borrowed until end */
    uint32_t shards;
    const struct rr_transcode_options *options; /* worker program; borrowed until end */
};
struct rr_dispatch_ops {
    /* Before the first offer, once per job. */
    enum rr_err (*begin)(void *ctx, const struct rr_dispatch_job *job, struct rr_fault *fault);
    /* Puts a task where rigs find it; tasks come largest first. fresh: this coordinator has not
     * offered it, an earlier life of it may have: then it need not be doubled. Copied. */
    enum rr_err (*offer)(void *ctx, const struct rr_dispatch_task *task, bool fresh,
                         struct rr_fault *fault);
    /* One answer within timeout_ms, *got false when there is none. With RR_OK in it, its bytes are
     * in the file `path`, whose digest has been checked, and which the caller moves or removes. */
    enum rr_err (*next)(void *ctx, struct rr_dispatch_answer *out, char path[RR_PATH_BYTES],
                        bool *got, unsigned timeout_ms, struct rr_fault *fault);
    /* The answer holds, or does not: then its rig is not to be paid. It may be forgotten. */
    void (*accept)(void *ctx, const struct rr_dispatch_answer *answer, bool holds);
    /* Whether the task still waits or is worked on; true when that cannot be known. */
    bool (*alive)(void *ctx, const struct rr_dispatch_task *task);
    /* For people: done of `shards`; how many rigs there are, -1: unknown. */
    int (*tell)(void *ctx, uint32_t done, double percent);
    /* done: the job has ended well; cancelled: rigs are to stop; neither: they may go on, for the
     * next life of this coordinator. */
    void (*end)(void *ctx, bool done, bool cancelled);
};
struct rr_dispatch_queue {
    const struct rr_dispatch_ops *ops;
    void *ctx;
};

/* ---- in one rig (dispatch_local.c): `shards` at a time, each with its own decoder ---- */
struct rr_dispatch_local;
struct rr_dispatch_local *rr_dispatch_local_new(unsigned shards);
void rr_dispatch_local_free(struct rr_dispatch_local *local); /* after end; NULL is fine */
struct rr_dispatch_queue rr_dispatch_local_queue(struct rr_dispatch_local *local);

/* ---- the coordinator (dispatch_job.c)
 * A rr_transcode_maker; ctx is a struct rr_dispatch_run. The journal in the job's folder is the
 * only memory: killed at any moment, the same call goes on, on any queue, with the same bytes.
 * RR_ERR_DAMAGED: a shard failed on RR_DISPATCH_TRIES rigs. ---- */
struct rr_dispatch_run {
    struct rr_dispatch_queue queue;
    const char *title; /* may be NULL */
    /* First answers of a rig are always made again in part; of later ones, this many in 1000. */
    unsigned checks_per_mille;
    bool own; /* all is made in this process: nothing is made again */
};
enum rr_err rr_dispatch_make(void *ctx, struct rr_transcode_result *out, int source_fd,
                             const struct rr_transcode_options *options,
                             rr_transcode_progress_fn *progress, void *progress_ctx,
                             const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;

/* ---- sources that rigs keep (dispatch_cache.c) ---- */
struct rr_dispatch_cache; /* files of a folder by digest; any thread */
enum rr_err rr_dispatch_cache_open(struct rr_dispatch_cache **out, const char *folder,
                                   uint64_t bytes_max, struct rr_fault *fault) RR_MUST_USE;
void rr_dispatch_cache_close(struct rr_dispatch_cache *cache); /* NULL is fine; files stay */
/* Reads `len` bytes at `offset` of the source, len at most `piece`; RR_ERR_UNREACHABLE. */
typedef enum rr_err rr_dispatch_fetch_fn(void *ctx, uint8_t *out, uint64_t offset, size_t len,
                                         struct rr_fault *fault);
/* A descriptor of the whole source, owned by the caller: from the folder, or fetched piece by piece
 * and checked; the longest unused ones go until it fits. One thread fetches, others wait.
 * RR_ERR_TRUST: the bytes have another digest; RR_ERR_LIMIT: larger than all of the cache. */
enum rr_err rr_dispatch_cache_get(struct rr_dispatch_cache *cache, int *fd,
                                  const struct rr_hash32 *digest, uint64_t bytes, size_t piece,
                                  rr_dispatch_fetch_fn *fetch, void *ctx, const atomic_bool *cancel,
                                  struct rr_fault *fault) RR_MUST_USE;

/* ---- a rack over NATS JetStream (spec 80, 7; dispatch_nats*.c). Left out of a build: every call
 * is RR_ERR_UNSUPPORTED and rr_dispatch_nats_built false. ---- */
bool rr_dispatch_nats_built(void);
struct rr_dispatch_nats_options {
    const char *urls;      /* nats://HOST:PORT or tls://..., by commas */
    const char *auth_file; /* "user:password", an nkey's seed and public key in two lines, or a
                              credentials file; NULL: none */
    const char *ca_file;   /* PEM; with it, TLS is asked for; NULL: the system's */
};
struct rr_dispatch_nats;
/* Connects and makes sure of streams and registries: three replicas, or one where there are not
 * three servers. Blocks up to 30 s. RR_ERR_UNREACHABLE, RR_ERR_USAGE. */
enum rr_err rr_dispatch_nats_open(struct rr_dispatch_nats **out,
                                  const struct rr_dispatch_nats_options *options,
                                  struct rr_fault *fault) RR_MUST_USE;
void rr_dispatch_nats_close(struct rr_dispatch_nats *nats); /* NULL is fine */
struct rr_dispatch_queue rr_dispatch_nats_queue(struct rr_dispatch_nats *nats);
struct rr_dispatch_rig_options {
    const char *name;   /* rr_dispatch_name_good */
    const char *folder; /* of its own: cache of sources, scratch room */
    uint64_t cache_bytes;
    unsigned slots;          /* shards at a time; 0: a quarter of the cores */
    unsigned workers;        /* encoders of one shard; 0: the cores over the slots */
    const char *worker_path; /* as rr_transcode_options */
    const atomic_bool *stop;
};
/* Takes shards until *stop; what it holds then goes to others. Blocks. RR_ERR_BUSY: another works
 * in the folder. Lost servers are waited for. */
enum rr_err rr_dispatch_rig_run(struct rr_dispatch_nats *nats,
                                const struct rr_dispatch_rig_options *options,
                                struct rr_fault *fault) RR_MUST_USE;
/* Appends {"rigs":[{name,version,cores,slots,busy,done,failed,seconds_ago}],"jobs":[{job,title,
 * shards,done,percent,rigs,state,seconds_ago}]}. */
enum rr_err rr_dispatch_nats_fleet(struct rr_dispatch_nats *nats, struct rr_buf *json,
                                   struct rr_fault *fault) RR_MUST_USE;

/* ---- scaling, simulated (dispatch_plan.c) ---- */
/* Largest first: tasks that take seconds[i], taken in falling order, each by whoever of `workers`
 * is free first, overhead_s added to each. The ideal, all work evenly spread, over the time until
 * the last has ended: 0..1; 1 for no tasks. The ideal is never less than the longest task alone.
 * workers >= 1. Pure. */
double rr_dispatch_efficiency(const double *seconds, size_t count, unsigned workers,
                              double overhead_s);
/* Order of offers: falling cost, then rising number. For qsort of indices into `shards`. */
void rr_dispatch_order(uint32_t *order, const struct rr_transcode_shard *shards, size_t count);
#endif
